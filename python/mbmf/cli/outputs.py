"""Outputs are checked before the work whose result they take."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mbmf.errors import ConfigError


def check_output(path: Path, *, flag: str = "--output", folder: bool = False) -> None:
    """Makes what is above ``path``, and sees whether a file, or with ``folder`` files in it, can be written.

    Raises ConfigError.
    """
    if not folder and path.is_dir():
        raise ConfigError(f"{flag} must be a file, got the folder {path}")
    where = path if folder else path.parent
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=where):
            pass
    except OSError as error:
        raise ConfigError(f"{flag} must be a place to write, got {path}: {error.strerror or error}") from None


def check_folder(path: Path) -> None:
    """Of --output: raises ConfigError where ``path`` is there and no folder, before anything is made."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--output must be a folder, got the file {path}")
