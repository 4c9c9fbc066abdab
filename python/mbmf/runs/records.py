"""The records of runs, of iterations and of the whole: JSON that is written finite and read with its types
checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mbmf.errors import DataError
from mbmf.json_text import parse_json
from mbmf.words import show

Record = dict[str, Any]

_NUMBER = "a number"
# what others count on: these are never null
_COUNTS = (
    *(
        "iteration",
        "points",
        "points_old",
        "points_new",
        "points_validation",
        "steps",
        "steps_total",
        "episodes",
    ),
    *("episode_length_mean", "diverged", "terminated", "rollouts_labelled", "steps_labelled", "attempts"),
    *("rollouts_saved", "rollouts_wanted", "min_return", "iterations", "completed", "final_segment"),
    *("last_segment", "distance_mean", "distance_max", "progress", "progress_share", "policy_std"),
    *(
        "seconds",
        *(f"seconds_{what}" for what in ("training", "control", "tests", "labelling", "sampling", "update")),
    ),
)
_VALUES = (
    *("reward_mean", "reward_std", "reward_min", "reward_max", "loss_train", "loss_old", "loss_new"),
    *(
        "loss_validation",
        "loss_before",
        "loss_after",
        "kl",
        "step_fraction",
        "explained_variance",
        "steps_to_end",
    ),
    *("heading_error", "best_reward_mean", "best_iteration", "mpc_reward_mean"),
)
_LISTS = ("returns", "end", "low", "high")
_TEXTS = ("path", "segment_rule", "heading_of", "stopped")


class Entry(dict[str, Any]):
    """A mapping of a file, where a key that is not there is a DataError with the file's name."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        super().__init__(values)
        self._where = where

    def __missing__(self, key: str) -> Any:
        raise DataError(f"{self._where}: {key} must be there, got nothing")


def read_record(value: Any, where: str) -> Entry:
    """A record of a file, whose numbers, texts and lists are what they are used for. Raises DataError."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: record must be a mapping, got {show(value)}")
    entry = Entry(value, where)
    for key, found in value.items():
        requirement = _requirement(key, found)
        if requirement:
            raise DataError(f"{where}: {key} must be {requirement}, got {show(found)}")
        if key == "tracking":
            tracking = read_record(found, f"{where}: tracking")
            rollouts = tracking["rollouts"]
            if not isinstance(rollouts, list) or not rollouts:
                raise DataError(f"{where}: tracking.rollouts must be a list of records, got {show(rollouts)}")
            tracking["rollouts"] = [read_record(each, f"{where}: tracking.rollouts") for each in rollouts]
            entry[key] = tracking
        elif key == "validation_error":
            entry[key] = Entry(found, f"{where}: {key}")
    return entry


def read_lines(text: str, path: str) -> list[Record]:
    """The records of iterations 1, 2, ..., a line each.

    A last line that is cut off is left out. Raises DataError, which names the line, on other damage.
    """
    records: list[Record] = []
    lines = text.split("\n")
    cut = lines.pop()
    for number, line in enumerate([*lines, *([cut] if cut else [])], start=1):
        where = f"{path}:{number}"
        try:
            value = parse_json(line, where)
        except DataError:
            if number > len(lines):
                break
            value = None
        if not isinstance(value, dict) or value.get("iteration") != number or value["iteration"] is True:
            got = line if len(line) < 200 else line[:200] + "..."
            raise DataError(f"{where}: line must be the JSON record of iteration {number}, got {got!r}")
        records.append(read_record(value, where))
    return records


def line_of(record: Record) -> str:
    """The record as a line of JSON."""
    return json.dumps(finite(record), allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they are null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a record, by name; those of inner mappings as outer/inner."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key != "iteration":
            yield prefix + key, float(value)


def _requirement(key: str, value: Any) -> str | None:
    """What a value must be, if it is not."""
    if key in _COUNTS and not _is_number(value):
        return _NUMBER
    if key in _VALUES and value is not None and not _is_number(value):
        return f"{_NUMBER} or null"
    if key in _LISTS and not (isinstance(value, list) and value and all(map(_is_number, value))):
        return "a list of numbers"
    if key in _TEXTS and not isinstance(value, str):
        return "a text"
    if key == "validation_error" and not (
        isinstance(value, dict) and all(each is None or _is_number(each) for each in value.values())
    ):
        return "a mapping to numbers"
    return None


def _is_number(value: Any) -> bool:
    """A number that a float64 holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -1e308 <= value <= 1e308
