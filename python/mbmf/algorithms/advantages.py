"""Returns and advantages of whole episodes, kept as flat arrays: episode after episode, step after step.

Without ``final_values`` every episode is taken as over after its last step, whether it was terminated or ran
out of time, as in the paper's experiments: nothing is expected after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class EpisodeSums:
    """Discounted sums within episodes of ``lengths`` (E), each at least 1; N = sum(lengths).

    Steps are put in the order of time, longest episodes first, so that step t of all episodes is one slice.
    """

    def __init__(self, lengths: NDArray[np.integer[Any]]) -> None:
        by_length = np.argsort(-lengths, kind="stable")
        starts = (np.cumsum(lengths) - lengths)[by_length]
        # episodes that have a step t, for each t
        alive = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(lengths.max()), side="right")
        self._ends = np.cumsum(alive)
        self._order = np.concatenate([starts[:n] + t for t, n in enumerate(alive)])
        self._alive = alive

    def __call__(self, values: Floats, factor: float) -> Floats:
        """sum over l of factor^l values[t + l], to the end of the step's episode; (N) -> (N)."""
        sums = values[self._order]
        for t in range(len(self._alive) - 2, -1, -1):
            here, after = self._ends[t] - self._alive[t], self._ends[t]
            n = self._alive[t + 1]
            sums[here : here + n] += factor * sums[after : after + n]
        result: Floats = np.empty_like(sums)
        result[self._order] = sums
        return result


def generalized_advantages(
    rewards: Floats,
    values: Floats,
    lengths: NDArray[np.integer[Any]],
    discount: float,
    gae_lambda: float,
    sums: EpisodeSums | None = None,
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
    return (sums or EpisodeSums(lengths))(errors, discount * gae_lambda)


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
