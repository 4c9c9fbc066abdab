"""What every command does with a terminal: one that has no ± or – in it, warnings, and readers that leave."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

_PLAIN = {"±": "+-", "–": "-", "−": "-", "×": "x", "°": " degrees", "µ": "u", "·": "*", "…": "..."}
_PLAIN |= dict.fromkeys("─━═╌╴╶╸╺", "-") | dict.fromkeys("│┃║", "|")


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    """What a terminal without these letters shows in their place."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter, "+" if "─" <= letter <= "╿" else "?") for letter in letters), error.end


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Output that any terminal can take, and warnings as notes of a line, without a path to a package."""
    codecs.register_error("mbmf_plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            reconfigure(errors="mbmf_plain")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        yield


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """A warning of ours as a note; those that packages give each other are not for the user."""
    if issubclass(category, UserWarning | RuntimeWarning):
        note(str(message))


def note(text: str) -> None:
    """Says something that the user should know, beside the output."""
    print(f"note: {text}", file=sys.stderr)


def leave_quietly() -> None:
    """The reader of our output is gone (`mbmf ... | head`): nothing to report, and nowhere to do so."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def leave_at_once(code: int) -> None:
    """Ends the process: all that was open is closed, and Python takes most of a second to tidy up PyTorch."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def os_message(error: OSError) -> str:
    """What the system says, in the form of our own messages."""
    if error.filename is None or not error.strerror:
        return str(error) or type(error).__name__
    names = " and ".join(str(each) for each in (error.filename, error.filename2) if each is not None)
    return f"{names} must be readable, or writable, got: {error.strerror}"
