"""Returns and advantages of whole episodes, kept as flat arrays: episode after episode, step after step.

Without ``final_values`` every episode is taken as over after its last step, whether it was terminated or ran
out of time, as in the paper's experiments: nothing is expected after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbmf import _core

Floats = NDArray[np.float64]


def discounted_sums(values: Floats, lengths: NDArray[np.integer[Any]], factor: float) -> Floats:
    """sum over l of factor^l values[t + l], to the end of the step's episode; (N) -> (N)."""
    return _core.discounted_sums(values, lengths.astype(np.int32), factor)


def generalized_advantages(
    rewards: Floats,
    values: Floats,
    lengths: NDArray[np.integer[Any]],
    discount: float,
    gae_lambda: float,
    final_values: Floats | None = None,
) -> Floats:
    """Advantages (N): discounted sums, by discount * lambda, of the errors of one-step predictions (Schulman
    et al., High-dimensional continuous control using generalized advantage estimation, equation 16).

    rewards, values (N): of each step, and what was expected from it on. final_values (E): what is expected
    after each episode's last step; by default nothing.
    """
    after = np.append(values[1:], 0.0)
    after[np.cumsum(lengths) - 1] = 0.0 if final_values is None else final_values
    errors = rewards + discount * after - values
    return discounted_sums(errors, lengths, discount * gae_lambda)


def standardized(advantages: Floats) -> Floats:
    """Centred, and scaled to deviation 1; all 0 if they are all equal."""
    scale = 1.0 / (float(advantages.std()) + 1e-8)
    scaled: Floats = (advantages - advantages.mean()) * scale
    return scaled


def explained_variance(predicted: Floats, actual: Floats) -> float:
    """1 - var(actual - predicted) / var(actual): 1 is perfect, 0 no better than a constant.

    Where nothing varies: 1 if the prediction does not vary either, else 0.
    """
    variance = float(actual.var())
    if variance == 0.0:
        return 0.0 if float(predicted.var()) > 0 else 1.0
    return 1.0 - float((actual - predicted).var()) / variance
