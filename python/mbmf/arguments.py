"""Checks of arguments, with messages of one form: `<argument> must be <requirement>, got <value>`."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_SEED = 2**64 - 1
MAX_COUNT = 2**31 - 1
MAX_THREADS = 1024


def whole_number(name: str, value: Any, low: int = 1, high: int = MAX_COUNT) -> int:
    """``value`` as an int in [low, high]. Raises ValueError otherwise; True and 1.0 are not whole numbers."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None
    if not low <= number <= high:
        limit = f"at least {low}" if high == MAX_COUNT and number < low else f"from {low} to {high}"
        raise ValueError(f"{name} must be {limit}, got {number}")
    return number


def number(name: str, value: Any, low: float, high: float) -> float:
    """``value`` as a float in [low, high]. Raises ValueError otherwise."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")
    return float(value)


def float64_array(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """``value`` as a C-contiguous float64 array of exactly that shape. Raises ValueError otherwise."""
    try:
        array = np.ascontiguousarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers of shape {shape}, got {value!r}") from None
    if array.shape != shape:
        raise ValueError(f"{name} must be of shape {shape}, got {array.shape}")
    return array
