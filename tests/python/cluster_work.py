"""Pieces of work for tests of engines, in a module that workers can import."""

from __future__ import annotations

import importlib
import os
import signal
import sys
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


def mark_and_sleep(folder: str, seconds: float, nthread: int) -> None:
    """Leaves a file of its process's number, then sleeps."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(seconds)


def own_number(thing: Any, seconds: float, nthread: int) -> int:
    """The process's, after a while."""
    time.sleep(seconds)
    return os.getpid()


def import_from(folder: str, name: str, nthread: int) -> int:
    """Imports a module of the folder."""
    sys.path.insert(0, folder)
    importlib.import_module(name)
    return os.getpid()


def fail(thing: Any, piece: Any, nthread: int) -> None:
    raise ZeroDivisionError("a defect")
