"""What searches there are, and their options: the core's registry, as Python checks and shows it."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mbmf import _core


@dataclasses.dataclass(frozen=True)
class SearchOption:
    """A number of a search in a range, or one of some words.

    Attributes:
      name, meaning: for people.
      value: the default.
      low, high: the range; ``low`` itself is out of it where ``low_open``.
      whole: whether it is a whole number.
      words: what may be given in place of a number, if not empty; the value is a place among them.
    """

    name: str
    value: float
    low: float
    high: float
    whole: bool
    low_open: bool
    words: tuple[str, ...]
    meaning: str

    @property
    def default(self) -> Any:
        """The default as a user writes it."""
        return self.shown(self.value)

    def shown(self, value: float) -> Any:
        """A value as a user writes it."""
        if self.words:
            word = self.words[int(value)]
            return {"no": False, "yes": True}.get(word, word)
        return int(value) if self.whole else value

    @property
    def requirement(self) -> str:
        """What a value must be: the end of "<name> must be ..."."""
        if self.words == ("no", "yes"):
            return "true or false"
        if self.words:
            return f"one of {', '.join(self.words)}"
        kind = "a whole number" if self.whole else "a finite number"
        return f"{kind} {'above' if self.low_open else 'at least'} {self.low:g} and at most {self.high:g}"

    def check(self, value: Any) -> float:
        """The value as the core takes it. Raises ValueError, whose message is the requirement."""
        if self.words:
            if self.words == ("no", "yes") and isinstance(value, bool | np.bool_):
                return float(value)
            if isinstance(value, str) and value in self.words and self.words != ("no", "yes"):
                return float(self.words.index(value))
            raise ValueError(self.requirement)
        if isinstance(value, bool | np.bool_) or not isinstance(
            value, int | float | np.integer | np.floating
        ):
            raise ValueError(self.requirement)
        if self.whole and isinstance(value, float | np.floating) and value != np.floor(value):
            raise ValueError(self.requirement)
        try:
            found = float(value)
        except OverflowError as error:  # a whole number that no float is near
            raise ValueError(self.requirement) from error
        good = math.isfinite(found) and self.low <= found <= self.high
        if not good or (self.low_open and found == self.low):
            raise ValueError(self.requirement)
        return found


@dataclasses.dataclass(frozen=True)
class SearchKind:
    """A search that the core knows.

    Attributes:
      name, meaning: for people.
      candidates: of the first round, where none are given; ``most_candidates`` at most.
      options: by name.
    """

    name: str
    meaning: str
    candidates: int
    most_candidates: int
    options: dict[str, SearchOption]


@functools.cache
def search_kinds() -> dict[str, SearchKind]:
    """The searches that there are, by name."""
    return {
        kind["name"]: SearchKind(
            kind["name"],
            kind["meaning"],
            kind["candidates"],
            kind["most_candidates"],
            {
                option["name"]: SearchOption(**{**option, "words": tuple(option["words"])})
                for option in kind["options"]
            },
        )
        for kind in _core.search_kinds()
    }


def search_kind(name: str) -> SearchKind:
    """The search of that name. Raises ValueError, which names the nearest."""
    kinds = search_kinds()
    if name in kinds:
        return kinds[name]
    raise ValueError(f"search must be {nearest(name, list(kinds))}, got {name!r}")


def nearest(name: Any, names: list[str]) -> str:
    """A requirement: the names, the ones that are most like ``name`` first if any are."""
    close = difflib.get_close_matches(str(name).lower(), names, n=2, cutoff=0.5)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return f"one of {', '.join(names)}{hint}"


def default_candidates(search: str) -> int:
    """Candidates of the first round where nobody says."""
    return search_kind(search).candidates


def search_values(search: str, settings: Mapping[str, Any]) -> dict[str, float]:
    """All options of a search as the core takes them. Raises ValueError for each that cannot be."""
    options = search_kind(search).options
    for name in settings:
        if name not in options:
            raise ValueError(f"a setting of {search} must be {nearest(name, list(options))}, got {name!r}")
    values = {}
    for name, option in options.items():
        if name not in settings:
            values[name] = option.value
            continue
        try:
            values[name] = option.check(settings[name])
        except ValueError as error:
            raise ValueError(f"{name} must be {error}, got {settings[name]!r}") from None
    return values


def shown_values(search: str, values: Mapping[str, float]) -> dict[str, Any]:
    """What `search_values` gave, as a user writes it."""
    options = search_kind(search).options
    return {name: options[name].shown(value) for name, value in values.items()}


@dataclasses.dataclass(frozen=True)
class PlannerSettings:
    """How a task plans, as its file says.

    Attributes:
      search: the name of a search.
      horizon: control steps; None: the file has none.
      candidates: of the first round.
      settings: of the search, by name, as a user writes them.
    """

    search: str
    horizon: int | None
    candidates: int
    settings: dict[str, Any]
