"""The value baseline of the model-free learner: ridge regression on simple features (algorithm of the paper's
experiments: observation, its square, and powers of time)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def nfeatures(nobservation: int) -> int:
    """How many features, and coefficients, there are for a size of observations."""
    return 2 * nobservation + 4


@dataclass(frozen=True)
class Baseline:
    """Coefficients (nfeatures) float64 of what is expected from a step on; zeros expect nothing."""

    coefficients: Floats

    @classmethod
    def zero(cls, nobservation: int) -> Baseline:
        return cls(np.zeros(nfeatures(nobservation)))
