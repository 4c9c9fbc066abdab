"""Pieces of work for tests of engines, in a module that workers can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def double(factor: int, number: int, nthread: int) -> int:
    return factor * number


def same(thing: Any, piece: Any, nthread: int) -> Any:
    return piece


def die_once(folder: str, number: int, nthread: int) -> int:
    """Kills its process the first time that it is asked for 1."""
    mark = Path(folder) / str(number)
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(thing: Any, piece: Any, nthread: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(thing: Any, seconds: float, nthread: int) -> None:
    time.sleep(seconds)


def fail(thing: Any, piece: Any, nthread: int) -> None:
    raise ZeroDivisionError("a defect")
