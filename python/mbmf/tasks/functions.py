"""Reward and cost functions of users: what they return is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mbmf.errors import DataError

FloatArray = npt.NDArray[np.floating[Any]]
RewardFunction = Callable[[FloatArray, FloatArray], npt.ArrayLike]


class CheckedFunction:
    """A user's reward or cost function, whose results are checked: finite, one number a row."""

    def __init__(self, name: str, function: RewardFunction) -> None:
        self.name = name
        self.function = function

    def __call__(self, states: FloatArray, actions: FloatArray) -> npt.NDArray[np.float64]:
        """states (n, ...), actions (n, ...) -> (n,) float64. Raises DataError on another shape or NaN."""
        result = self.function(states, actions)
        try:
            array = np.asarray(result, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{self.name} must return numbers, got {type(result).__name__}") from None
        if array.shape != states.shape[:1]:
            raise DataError(f"{self.name} must return shape {states.shape[:1]}, got {array.shape}")
        if not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array))[0])
            raise DataError(f"{self.name} must return finite numbers, got {array[bad]} in row {bad}")
        return array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CheckedFunction) and self.function == other.function

    def __hash__(self) -> int:
        return hash((self.name, self.function))
