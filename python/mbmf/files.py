"""Writing files so that a reader, or a killed run, never meets half of one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` when the block ends without an error.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and are then renamed. If the
    block or the disk fails, the temporary file is removed and ``path`` is as it was.

    Raises:
        OSError: the folder does not exist or cannot be written, the disk is full, or ``path`` is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"path must be a file, got the folder {target}")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    file = open(temporary, "xb")  # noqa: SIM115 - closed below, before the rename
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def rename(path: Path, target: Path) -> None:
    """Renames a file, in place of one that is there, on the disk when this returns. Raises OSError."""
    os.replace(path, target)
    _sync_folder(target.parent)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends without an error.

    ``path`` may be a folder, which is then removed, or nothing; what is above it is made. If the block or the
    disk fails, the new folder is removed and ``path`` is as it was; where the system can exchange two folders
    in one step there is a whole one at any moment.

    Raises:
        OSError: it cannot be written, or ``path`` is a file.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"path must be a folder, got the file {target}")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    before = temporary.with_suffix(".old")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists() and not _exchange(temporary, target):
            os.rename(target, before)
            try:
                os.rename(temporary, target)
            except BaseException:
                os.rename(before, target)
                raise
        elif not target.exists():
            os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(target.parent)
    # the old one, under the name that it has now
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(before, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step; False where the system cannot do that."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    at_cwd, exchange = -100, 2
    return bool(renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0)


def _sync_folder(folder: Path) -> None:
    """Flush the rename itself; file systems that cannot do that for a folder are left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
