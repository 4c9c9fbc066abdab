"""Seeds of the parts of a run, derived from the run's own."""

from __future__ import annotations

import numpy as np


def derive_seed(seed: int, stage: int, index: int = 0) -> int:
    """The seed of a stage: 63 bits that no other stage, index or seed shares, for all practical purposes."""
    sequence = np.random.SeedSequence((seed, stage, index))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
