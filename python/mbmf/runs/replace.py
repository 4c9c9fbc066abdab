"""Replacing a run: what was there is moved aside as a whole, and comes back if the new one does not begin.

Everything is renamed into a folder within the run's, the configuration first and back last. Killed before the
new configuration is there, the old run is put back by whoever opens the directory next; after that, the rest
of it is removed. Symbolic links are renamed and removed themselves; what they point at stays.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path

from mbmf.runs.layout import CONFIG, CONTENTS

_ASIDE = ".replaced.*.tmp"
# names of `mbmf.files`, and of this module
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.\d+-[0-9a-f]+\.(tmp|(?P<old>old))")


class Replacement:
    """The run at ``path``, but for what is named in ``keep``, is out of the way, until `commit` or `undo`.

    Raises OSError, with everything as it was.
    """

    def __init__(self, path: Path, keep: tuple[str, ...]) -> None:
        self._path = path
        self._aside = path / f".replaced.{os.getpid()}-{secrets.token_hex(4)}.tmp"
        self._aside.mkdir()
        try:
            for name in CONTENTS:
                for entry in sorted(path.glob(name)):
                    if entry.name not in keep:
                        os.rename(entry, self._aside / entry.name)
        except BaseException:
            self.undo()
            raise

    def commit(self) -> None:
        """The new run is there: the old one is removed. What cannot be removed now is so next time."""
        shutil.rmtree(self._aside, ignore_errors=True)

    def undo(self) -> None:
        """Puts everything back."""
        _put_back(self._aside, self._path)


def is_interrupted(path: Path) -> bool:
    """A replacement of the run at ``path`` was interrupted before the new one began."""
    return not (path / CONFIG).exists() and any((each / CONFIG).exists() for each in path.glob(_ASIDE))


def recover(path: Path) -> None:
    """Puts the old run back if its replacement was interrupted before the new one began. Raises OSError."""
    if is_interrupted(path):
        for aside in sorted(path.glob(_ASIDE)):
            _put_back(aside, path)


def clear(path: Path) -> None:
    """Removes what killed processes left half written in the folder ``path``. Raises OSError.

    An exported folder that was being replaced is put back.
    """
    for entry in sorted(path.glob("**/.*.*-*.*")):
        match = _UNFINISHED.fullmatch(entry.name)
        if match is None or not os.path.lexists(entry):
            continue
        if match["old"] and not os.path.lexists(entry.with_name(match["name"])):
            os.rename(entry, entry.with_name(match["name"]))
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def is_leftover(entry: Path) -> bool:
    """Something that a process which was killed at once may have left in a new folder."""
    return _UNFINISHED.fullmatch(entry.name) is not None


def _put_back(aside: Path, path: Path) -> None:
    if not aside.is_dir():
        return
    for entry in sorted(aside.iterdir(), key=lambda entry: entry.name == CONFIG):
        os.rename(entry, path / entry.name)
    aside.rmdir()
