"""Which files a run has, and their digests: what is missing or changed is an error, not another result.

A file's digest is on the disk before the file is, beside that of the file which it replaces. So at any
moment, in whatever a killed run left, every file is one of those that are recorded.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from mbmf.errors import DataError
from mbmf.files import atomic_write, rename
from mbmf.json_text import parse_json
from mbmf.runs.layout import CONFIG, FILES, KEPT, METRICS, SUMMARY
from mbmf.words import show

_FORMAT = "mbmf-files-1"
_CHUNK = 1 << 20
# the files of the folders in `KEPT` that a run reads
_READ = re.compile(
    r"(data/(train|validation)|rollouts/(saved|saving_\d+|iteration_\d+))\.npz|"
    r"(models/(iteration|value|policy)_\d+|policy/(checkpoint|policy))\.safetensors"
)
# collected again, to the same bits, if they are gone
_SPARE = re.compile(rf"rollouts/saving_\d+\.npz|{re.escape(SUMMARY)}")


class Manifest:
    """The recorded files of the run at ``path``, by their names relative to it.

    A name has one digest, or two while the file is being replaced; None stands for no file.
    """

    def __init__(self, path: Path, *, read: bool = True) -> None:
        self._path = path
        self._files: dict[str, list[str | None]] = {}
        self._settled = True
        self.exists = read and self._read()

    def _read(self) -> bool:
        file = self._path / FILES
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DataError(f"{file}: list of files must be readable, got: {error.strerror}") from error
        found = parse_json(data, f"{file}: list of files")
        files = found.get("files") if isinstance(found, dict) and found.get("format") == _FORMAT else None
        if not isinstance(files, dict) or not all(map(_is_entry, files.values())):
            raise DataError(f"{file}: list of files must be one of format {_FORMAT}, got {show(found)}")
        if not all(self.covers(self._path, self._path / name) and ".." not in name for name in files):
            raise DataError(f"{file}: list of files must be one of files of a run, got others")
        self._files = files
        return True

    @staticmethod
    def covers(path: Path, file: Path) -> bool:
        """Whether ``file`` is one of those that a run at ``path`` records."""
        return (file.parent == path and file.name in (CONFIG, METRICS, SUMMARY)) or (
            file.parent.parent == path and file.parent.name in KEPT
        )

    @property
    def models(self) -> list[int]:
        """The iterations whose models are recorded."""
        names = (re.fullmatch(r"models/iteration_(\d{1,9})\.safetensors", name) for name in self._files)
        return sorted(int(match[1]) for match in names if match)

    @property
    def names(self) -> list[str]:
        return sorted(self._files)

    def replace(self, file: Path, new: Path) -> None:
        """Records, on the disk, what ``file`` is about to become, and renames ``new`` to it. Raises OSError.

        If there is nothing ``new``, ``file`` was written already, and is recorded as it is.
        """
        if not new.exists():
            if file.exists():
                self.record(file)
                self.save()
            return
        name, digest = self._name(file), digest_of(new)
        before = self._files.get(name, [None])
        if before[-1] != digest:
            self._files[name] = [before[-1], digest]
            self.save()
        rename(new, file)
        # on the disk with the next one
        self._files[name] = [digest]
        self._settled = self._settled and before == [digest]

    def record(self, file: Path) -> None:
        """Records a file as it is now."""
        self._files[self._name(file)] = [digest_of(file)]
        self._settled = False

    def forget(self, file: Path) -> None:
        """Leaves a file out that the run no longer needs."""
        if self._files.pop(self._name(file), None) is not None:
            self._settled = False

    def trim(self) -> None:
        """Of two digests the one that the file has is left: what a killed process did, or did not do."""
        for name, entry in list(self._files.items()):
            if len(entry) > 1 or None in entry:
                file = self._path / name
                found = [digest_of(file)] if file.exists() else []
                self._files[name] = [each for each in found if each in entry]
                if not self._files[name]:
                    del self._files[name]
                self._settled = False

    def settle(self) -> None:
        """Writes what was not yet written. Raises OSError."""
        if not self._settled:
            self.save()

    def save(self) -> None:
        text = json.dumps({"format": _FORMAT, "files": self._files}, indent=1)
        with atomic_write(self._path / FILES) as file:
            file.write(text.encode() + b"\n")
        self.exists = self._settled = True

    def check(self, file: Path) -> None:
        """Raises DataError if a recorded file is missing or not as the run wrote it."""
        name = self._name(file)
        entry = self._files.get(name)
        if entry is None:
            return
        found = digest_of(file) if file.exists() else None
        if found is None and None not in entry and not _SPARE.fullmatch(name):
            raise DataError(f"{file}: file must be there, the run has written it, got none")
        if found is not None and found not in entry:
            raise DataError(
                f"{file}: file must be as the run wrote it (SHA-256 {str(entry[-1])[:12]}...), "
                f"got another one ({found[:12]}...)"
            )
        if found is not None:
            self._files[name] = [found]
            self._settled = self._settled and len(entry) == 1

    def check_folders(self, folders: tuple[str, ...]) -> None:
        """`check` of every recorded file in ``folders``."""
        for name in self.names:
            if name.partition("/")[0] in folders:
                self.check(self._path / name)

    def check_strangers(self) -> None:
        """Raises DataError if there is a file that the run would read, and that is not recorded."""
        for file in self._readable(KEPT):
            if self._name(file) not in self._files:
                raise DataError(f"{file}: file must be one that the run wrote, got one that it does not know")

    def keep(self, folders: tuple[str, ...]) -> None:
        """Only what is in ``folders`` is left, and all that the run reads of it is recorded."""
        self._files = {}
        for file in self._readable(folders):
            self.record(file)

    def _readable(self, folders: tuple[str, ...]) -> list[Path]:
        """The files in ``folders`` that a run reads."""
        files = [file for folder in folders for file in sorted((self._path / folder).glob("*"))]
        return [file for file in files if _READ.fullmatch(self._name(file))]

    def _name(self, file: Path) -> str:
        return file.relative_to(self._path).as_posix()


def digest_of(file: Path) -> str:
    """The SHA-256 of a file's contents, hexadecimal."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while part := stream.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and 1 <= len(entry) <= 2
        and all(
            each is None or (isinstance(each, str) and re.fullmatch("[0-9a-f]{64}", each)) for each in entry
        )
    )
