"""Locks of run directories: one process writes a run, or several read it, and it stays where it is."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import IO

from mbmf.errors import DataError
from mbmf.runs.layout import LOCK, enclosing


class Lock:
    """A lock on the run directory ``path``, to write it alone or to read it with others, until `close`.

    The run that this one is a part of is locked for reading: nobody may replace it meanwhile. The system
    frees a lock when its process ends, however that ends.

    Raises DataError if the run, or the one around it, is in use; OSError.
    """

    def __init__(self, path: Path, *, write: bool) -> None:
        self._path = path
        self._files: list[IO[bytes]] = []
        outer = enclosing(path)
        try:
            if outer is not None:
                self.add_reader(outer)
            self._files.insert(0, _lock(path, fcntl.LOCK_EX if write else fcntl.LOCK_SH))
        except BaseException:
            self.close()
            raise

    def add_reader(self, path: Path) -> None:
        """Locks another run for reading, too."""
        self._files.append(_lock(path, fcntl.LOCK_SH))

    def check_place(self) -> None:
        """Raises DataError if the directory is no longer the one that was locked."""
        mine = os.fstat(self._files[0].fileno())
        try:
            there = os.stat(self._path / LOCK)
        except OSError:
            there = None
        if there is None or not os.path.samestat(mine, there):
            raise DataError(
                f"{self._path}: run directory must stay where it is while it is in use, got one that was "
                "moved, removed or replaced"
            )

    def close(self) -> None:
        while self._files:
            self._files.pop().close()


def _lock(path: Path, kind: int) -> IO[bytes]:
    file = open(path / LOCK, "ab")  # noqa: SIM115 - kept for the lock's life
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise DataError(f"{path}: run must not be in use, got one of another process") from None
    return file
