"""Writing files so that a reader, or a killed run, never meets half of one.

What is not written yet has a temporary name in the same folder, and a lock of the system as long as its
process lives. What a killed process left is removed by whoever writes the same file or folder next.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# of temporary names, behind the name of what is written
_ENDING = r"\.\d+-[0-9a-f]{8}\.(tmp|old)"


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
    _clear(target)
    temporary, descriptor = _begin(target, folder=False)
    try:
        with _naming(target, temporary), os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            # before the lock is gone
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
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear(target)
    temporary, descriptor = _begin(target, folder=True)
    before = temporary.with_suffix(".old")
    try:
        with _naming(target, temporary):
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
    finally:
        os.close(descriptor)
    _sync_folder(target.parent)
    # the old one, under the name that it has now
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(before, ignore_errors=True)


@contextlib.contextmanager
def _naming(target: Path, temporary: Path) -> Iterator[None]:
    """Errors of the system name what is written, not its temporary name; a full disk names nothing itself."""
    try:
        yield
    except OSError as error:
        name = None if error.filename is None else os.fsdecode(error.filename)
        if error.errno is not None and name is None:
            error.filename = str(target)
        elif name is not None and (name + os.sep).startswith(f"{temporary}{os.sep}"):
            error.filename = str(target) + name.removeprefix(str(temporary))
            if error.filename2 is not None:  # of a rename; None would be shown
                del error.filename2
        raise


def _begin(target: Path, *, folder: bool) -> tuple[Path, int]:
    """A new temporary file or folder beside ``target``, open and locked. Raises OSError."""
    while True:
        temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with _naming(target, temporary):
            if folder:
                temporary.mkdir()
                flags = os.O_RDONLY | os.O_DIRECTORY
            descriptor = os.open(temporary, flags, 0o666)
        with contextlib.suppress(OSError):  # no locks here: then nobody can take one to remove it, either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # before it was locked it may have been taken for one that was left
        if os.path.lexists(temporary):
            return temporary, descriptor
        os.close(descriptor)


def _clear(target: Path) -> None:
    """Removes what killed processes left of writing ``target``; what was there before is put back."""
    pattern = re.compile(re.escape(f".{target.name}") + _ENDING)
    with contextlib.suppress(OSError):
        left = [name for name in os.listdir(target.parent) if pattern.fullmatch(name)]
        # the new one before the old one, whose lock it is
        for path in (target.with_name(name) for name in sorted(left, reverse=True)):
            if path.suffix == ".old" and os.path.lexists(path.with_suffix(".tmp")):
                continue
            with contextlib.suppress(OSError):
                _remove_unless_locked(path, target)


def _remove_unless_locked(path: Path, target: Path) -> None:
    """Raises OSError, with all as it was, if a living process has it, and for what none of them has made."""
    folder = path.is_dir()
    descriptor = os.open(path, (os.O_RDONLY if folder else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.suffix == ".old" and not os.path.lexists(target):
            os.rename(path, target)
        elif folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)


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
