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
        if number.bit_length() > 256:
            raise ValueError(
                f"{name} must be from {low} to {high}, got a number of {number.bit_length()} bits"
            )
        limit = f"at least {low}" if high == MAX_COUNT and number < low else f"from {low} to {high}"
        raise ValueError(f"{name} must be {limit}, got {number}")
    return number


def of_class(name: str, value: Any, cls: type, made_by: str) -> None:
    """Raises TypeError unless ``value`` is an instance: "task must be a Task, as mbmf.load_task gives it"."""
    if not isinstance(value, cls):
        text = repr(value)
        text = text if len(text) <= 60 else type(value).__name__
        raise TypeError(f"{name} must be a {cls.__name__}, as {made_by} gives it, got {text}")


def a_task(name: str, value: Any) -> None:
    """Raises TypeError unless ``value`` is a task."""
    from mbmf.tasks.task import Task

    of_class(name, value, Task, "mbmf.load_task")


def true_or_false(name: str, value: Any) -> bool:
    """``value`` as a bool. Raises ValueError unless it is one."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_size(width: int, height: int) -> None:
    """Of a picture, in pixels. Raises ValueError."""
    for name, size in (("width", width), ("height", height)):
        if not isinstance(size, int | np.integer) or size < 2 or size % 2:
            raise ValueError(f"{name} must be a positive even number, got {size}")


def number(name: str, value: Any, low: float, high: float) -> float:
    """``value`` as a float in [low, high]. Raises ValueError otherwise."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if isinstance(value, int) and value.bit_length() > 1023:
        raise ValueError(f"{name} must be a number of 64 bits, got one of {value.bit_length()}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")
    return float(value)


def count(name: str, value: Any, low: int, high: int) -> int:
    """`whole_number`, with the limit that it passes in the message alone. Raises ValueError."""
    number = whole_number(name, value, -(2**128), 2**128)
    if number < low:
        requirement = "non-negative" if low == 0 else f"at least {low}"
        raise ValueError(f"{name} must be {requirement}, got {number}")
    if number > high:
        raise ValueError(f"{name} must be at most {high}, got {number}")
    return number


def numbers(name: str, value: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """``value`` as a C-contiguous array of floats. Raises ValueError unless it is of real numbers.

    Texts, dates, complex numbers, objects and truth values are none.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or (array.dtype.kind not in "fiu" and array.size):
        raise ValueError(f"{name} must be an array of numbers, got {_short(value)}")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array, dtype=dtype, order="C")


def finite_numbers(name: str, value: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """`numbers`, of which none is NaN or infinite, before and after they are of ``dtype``."""
    array = numbers(name, value, dtype)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity as {np.dtype(dtype)}")
    return array


def whole_numbers(
    name: str, value: npt.ArrayLike, shape: tuple[int, ...], low: int, high: int, dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """``value`` as a C-contiguous array of whole numbers in [low, high]. Raises ValueError otherwise."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is not None and array.dtype.kind == "f":
        # NumPy makes floats of whole numbers some of which are above 2^63 and some below
        exact = np.asarray(value, dtype=object)
        if all(type(each) is int and 0 <= each < 2**64 for each in exact.flat):
            array = exact.astype(np.uint64)
    if array is None or (array.dtype.kind not in "iu" and array.size):
        raise ValueError(f"{name} must be whole numbers of shape {shape}, got {_short(value)}")
    if array.shape != shape:
        raise ValueError(f"{name} must be of shape {shape}, got {array.shape}")
    for extreme in (int(array.min()), int(array.max())) if array.size else ():
        if not low <= extreme <= high:
            raise ValueError(f"{name} must be from {low} to {high}, got {extreme}")
    return np.ascontiguousarray(array, dtype=dtype)


def float64_array(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """``value`` as a C-contiguous float64 array of exactly that shape. Raises ValueError otherwise."""
    try:
        array = numbers(name, value, np.float64)
    except ValueError:
        raise ValueError(f"{name} must be numbers of shape {shape}, got {_short(value)}") from None
    if array.shape != shape:
        raise ValueError(f"{name} must be of shape {shape}, got {array.shape}")
    return array


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
