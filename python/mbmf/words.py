"""Words of messages: values that are shown, and choices with the nearest first."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from textwrap import shorten
from typing import Any


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write thousands of digits
        if x.bit_length() > 10_000:
            return f"a whole number of {x.bit_length()} bits"
        return super().repr_int(x, level)


def show(value: Any) -> str:
    """A value in a message, cut to a bearable length."""
    return "nothing" if value is None else _Short().repr(value)


def printed(text: str) -> str:
    """A word of a file, as it is, unless it is long or would spoil a terminal."""
    return text if len(text) <= 60 and text.isprintable() else show(text)


def one_of(found: Any, choices: Iterable[str], what: str) -> str:
    """`one of a, b, c`, or where that is long `what (a, b, ...)`, with the nearest first."""
    known = list(choices)
    # a list or a mapping is like none of them, and may be without end when it is written out
    word = found[:60] if isinstance(found, str) else show(found)
    nearest = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
    return f"{what} ({shown or 'there is none'}{hint})"


def some(names: Iterable[str]) -> str:
    """Names of a list in a message, as many as a bearable length has."""
    return shorten(", ".join(names), 60, placeholder=" ...")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number of things: 1 episode, 2 episodes."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
