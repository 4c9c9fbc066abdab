"""Run directories that travel: as the bytes of their files, to and from machines that do not see them."""

from __future__ import annotations

import contextlib
import os
import shutil
from fnmatch import fnmatch
from pathlib import Path

from mbmf.errors import DataError
from mbmf.files import atomic_folder, atomic_write
from mbmf.runs.layout import LOCK, PARTS, PATHS

#: contents by name, with / between folders
Files = dict[str, bytes]


def read_folder(path: Path) -> Files:
    """The files of the run at ``path``, but for its lock, half-written ones, and the runs within it."""
    found = {}
    for folder, inner, names in os.walk(path):
        if Path(folder) == path:
            inner[:] = [name for name in inner if not _is_a_run(name)]
        for name in names:
            file = Path(folder) / name
            if name != LOCK and not name.endswith(".tmp"):
                found[file.relative_to(path).as_posix()] = file.read_bytes()
    return found


def write_folder(path: Path, files: Files) -> None:
    """Makes the folder ``path`` with these files. Raises OSError."""
    for name, contents in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents)


def update_folder(path: Path, changed: Files, removed: tuple[str, ...]) -> None:
    """Replaces the run at ``path`` by one with other files; at any moment it is as before or as afterwards.

    What stays is linked, the lock too: who has it keeps it. Raises DataError, which names the run, if that
    cannot be written.
    """
    if not changed and not removed:
        return
    try:
        with atomic_folder(path) as new:
            shutil.copytree(path, new, copy_function=_linked, dirs_exist_ok=True)
            for name in (*removed, *changed):
                with contextlib.suppress(FileNotFoundError):
                    (new / name).unlink()
            for name, contents in changed.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(new / name) as file:
                    file.write(contents)
    except OSError as error:
        raise DataError(
            f"{path}: run must be writable, got: {error.strerror or error}; it is as it was"
        ) from error


def changes(before: Files, after: Files) -> tuple[Files, tuple[str, ...]]:
    """What makes the one the other: files that are new or changed, and names of those that are gone."""
    changed = {name: contents for name, contents in after.items() if before.get(name) != contents}
    return changed, tuple(name for name in before if name not in after)


def _is_a_run(name: str) -> bool:
    return name == PATHS or any(fnmatch(name, pattern) for pattern in PARTS)


def _linked(old: str, new: str) -> str:
    try:
        os.link(old, new)
    except OSError:  # a file system without links
        shutil.copy2(old, new)
    return new
