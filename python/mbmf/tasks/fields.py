"""The kinds of values in a task file, each with one message for everything that can be wrong with it.

A message is a requirement that completes "<key> must be ...".
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator

from mbmf.names import PLAIN_NAME, is_plain_name


def _number(value: Any, requirement: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(requirement)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(requirement) from None
    if not math.isfinite(number):
        raise ValueError(requirement)
    return number


def integer(low: int, high: int) -> PlainValidator:
    """An integer within [low, high]; a bool is none."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return PlainValidator(check)


def number(low: float = -math.inf, high: float = math.inf, *, low_open: bool = False) -> PlainValidator:
    """A finite number within [low, high], or (low, high] with low_open."""
    parts = [f"{'above' if low_open else 'at least'} {low:g}"] if low > -math.inf else []
    parts += [f"at most {high:g}"] if high < math.inf else []
    requirement = " ".join(["a finite number", " and ".join(parts)]).strip()

    def check(value: Any) -> float:
        result = _number(value, requirement)
        if result < low or result > high or (low_open and result == low):
            raise ValueError(requirement)
        return result

    return PlainValidator(check)


def _numbers(value: Any) -> tuple[float, ...]:
    requirement = "a finite number or a list of them"
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise ValueError(requirement)
    return tuple(_number(item, requirement) for item in items)


def _interval(value: Any) -> tuple[float, float]:
    requirement = "a list [low, high] of two finite numbers, low below high"
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(requirement)
    low, high = (_number(item, requirement) for item in value)
    if not low < high:
        raise ValueError(requirement)
    return low, high


def _names(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise ValueError("a name or a list of names")
    return tuple(items)


def _objects(value: Any) -> tuple[str, ...]:
    # what has no name goes by its number, which YAML reads as an integer
    items = value if isinstance(value, list | tuple) else [value]
    texts = [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]
    if not texts or not all(isinstance(item, str) and item for item in texts):
        raise ValueError("a name (or a number, of what has none) or a list of them")
    return tuple(texts)


def _indices(value: Any) -> tuple[int, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in items):
        raise ValueError("an index (0, 1, ...) or a list of them")
    return tuple(items)


def _states(value: Any) -> tuple[str | int, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or any(isinstance(i, bool) or not isinstance(i, int | str) or i == "" for i in items):
        raise ValueError("a state's name or index, or a list of them")
    return tuple(items)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty")
    return value


def _function_name(value: Any) -> str:
    text = _text(value)
    module, _, name = text.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError("a function's name, module:function")
    return text


def _file_name(value: Any) -> str:
    if not is_plain_name(_text(value)):
        raise ValueError(PLAIN_NAME)
    return str(value)


def _file_names(value: Any) -> tuple[str, ...]:
    return tuple(_file_name(item) for item in _names(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _decay(value: Any) -> float | tuple[float, ...]:
    requirement = "a number from 0 to 1e6, or a list of one for each layer"
    numbers = [_number(item, requirement) for item in (value if isinstance(value, list | tuple) else [value])]
    if not numbers or not all(0 <= item <= 1e6 for item in numbers):
        raise ValueError(requirement)
    return tuple(numbers) if isinstance(value, list | tuple) else numbers[0]


def list_of(low: int = 0, high: int = 1_000_000) -> BeforeValidator:
    """A list with low to high items, which are checked by their own type."""
    requirement = "a list"
    if low > 0 or high < 1_000_000:
        requirement += f" of {low} or more items" if high == 1_000_000 else f" of {low} to {high} items"

    def check(value: Any) -> Any:
        if not isinstance(value, list | tuple) or not low <= len(value) <= high:
            raise ValueError(requirement)
        return value

    return BeforeValidator(check)


Scalar = bool | int | float | str
Attribute = Scalar | tuple[int | float, ...]
Attributes = dict[str, Attribute]


def _attribute(value: Any) -> Attribute:
    requirement = "a finite number, true, false, a keyword or a list of finite numbers"
    if isinstance(value, bool | str):
        return value
    if isinstance(value, list | tuple) and value:
        return tuple(_int_or_float(item, requirement) for item in value)
    return _int_or_float(value, requirement)


def _int_or_float(value: Any, requirement: str) -> int | float:
    checked = _number(value, requirement)
    return value if isinstance(value, int) else checked


def _element(value: Any) -> Attribute | Attributes:
    if not isinstance(value, dict):
        return _attribute(value)
    if not all(isinstance(key, str) for key in value):
        raise ValueError("a mapping of attributes to values")
    return {key: _attribute(item) for key, item in value.items()}


def _key(value: Any) -> str:
    # an element without a name goes by its number, which YAML reads as an integer
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a name or a number")
    return str(value)


def _range(value: Any) -> tuple[float, float]:
    requirement = "a finite number or [low, high], low at most high"
    pair = value if isinstance(value, list | tuple) else [value, value]
    if len(pair) != 2:
        raise ValueError(requirement)
    low, high = (_number(item, requirement) for item in pair)
    if low > high:
        raise ValueError(requirement)
    return low, high


def _waypoints(value: Any) -> tuple[tuple[float, float], ...]:
    requirement = "a list of two or more points [x, y], finite, each another than the one before"
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise ValueError(requirement)
    points: list[tuple[float, float]] = []
    for item in value:
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise ValueError(requirement)
        x, y = (_number(number, requirement) for number in item)
        if points and points[-1] == (x, y):
            raise ValueError(requirement)
        points.append((x, y))
    return tuple(points)


Number = Annotated[float, number()]
Numbers = Annotated[tuple[float, ...], PlainValidator(_numbers)]
Names = Annotated[tuple[str, ...], PlainValidator(_objects)]
Indices = Annotated[tuple[int, ...], PlainValidator(_indices)]
States = Annotated[tuple[str | int, ...], PlainValidator(_states)]
Interval = Annotated[tuple[float, float], PlainValidator(_interval)]
Waypoints = Annotated[tuple[tuple[float, float], ...], PlainValidator(_waypoints)]
Text = Annotated[str, PlainValidator(_text)]
FunctionName = Annotated[str, PlainValidator(_function_name)]
FileName = Annotated[str, PlainValidator(_file_name)]
FileNames = Annotated[tuple[str, ...], PlainValidator(_file_names)]
Flag = Annotated[bool, PlainValidator(_flag)]
Decay = Annotated[float | tuple[float, ...], PlainValidator(_decay)]
Count = Annotated[int, integer(1, 1_000_000)]
Key = Annotated[str, PlainValidator(_key)]
AttributeMap = dict[Text, Annotated[Attribute, PlainValidator(_attribute)]]
Elements = dict[Key, Annotated[Attribute | Attributes, PlainValidator(_element)]]
SetPositions = dict[Key, Annotated[tuple[float, float], PlainValidator(_range)]]
