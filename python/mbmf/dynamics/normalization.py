"""Noise on training data, and its normalisation to mean 0 and deviation 1 (paper, section IV-A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A deviation below this part of max(1, |mean|) is rounding, not motion: its inverse would turn rounding into
# signal, and overflow the float32 weights that it is folded into. In random data of the paper's four agents
# the deviations of states and of their differences are exactly 0 (what a planar robot cannot do) or above
# 0.002; rounding of float64 states of size 1 is 1e-16.
NEGLIGIBLE_DEVIATION = 1e-10


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per dimension, (n,) float64; a deviation of 0 maps its dimension to 0."""

    mean: Floats
    std: Floats

    @classmethod
    def of(cls, values: NDArray[Any]) -> Statistics:
        """The statistics of the rows of ``values`` (N, n); negligible deviations become 0."""
        mean = np.asarray(np.mean(values, axis=0, dtype=np.float64))
        std = np.asarray(np.std(values, axis=0, dtype=np.float64))
        std[std <= NEGLIGIBLE_DEVIATION * np.maximum(1.0, np.abs(mean))] = 0.0
        return cls(mean, std)

    @property
    def inverse_std(self) -> Floats:
        """1 / std, and 0 where the deviation is 0."""
        moving = self.std > 0
        return np.where(moving, 1.0 / np.where(moving, self.std, 1.0), 0.0)

    def normalize(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """``values`` (..., n) to mean 0 and deviation 1, computed in float64."""
        return ((values - self.mean) * self.inverse_std).astype(np.float32)


@dataclass(frozen=True)
class Normalization:
    """Statistics of the first data set (after noise): of states, actions and state differences."""

    state: Statistics
    action: Statistics
    delta: Statistics

    @classmethod
    def of(cls, states: NDArray[Any], actions: NDArray[Any], deltas: NDArray[Any]) -> Normalization:
        return cls(Statistics.of(states), Statistics.of(actions), Statistics.of(deltas))

    def inputs(self, states: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float32]:
        """The network's inputs (N, nstate + naction)."""
        return np.concatenate([self.state.normalize(states), self.action.normalize(actions)], axis=1)


def add_noise(values: Floats, scale: float, rng: np.random.Generator) -> None:
    """Adds N(0, scale * mean) to each column of ``values`` (N, n) whose mean is positive, in place."""
    std = scale * np.maximum(values.mean(axis=0), 0.0)
    values += std * rng.standard_normal(values.shape)
