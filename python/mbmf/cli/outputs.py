"""Outputs are checked before the work whose result they take."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mbmf.errors import ConfigError
from mbmf.runs.layout import CONFIG, FILES
from mbmf.runs.manifest import Manifest


def check_output(path: Path, *, flag: str = "--output", folder: bool = False) -> None:
    """Makes what is above ``path``, and sees whether a file, or with ``folder`` files in it, can be written.

    Raises ConfigError.
    """
    if not folder and path.is_dir():
        raise ConfigError(f"{flag} must be a file, got the folder {path}")
    if not folder and _is_of_a_run(path):
        raise ConfigError(f"{flag} must be no file that a run needs, got {path}")
    where = path if folder else path.parent
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=where):
            pass
    except OSError as error:
        raise ConfigError(f"{flag} must be a place to write, got {path}: {error.strerror or error}") from None


def check_folder(path: Path) -> None:
    """Of --output, for runs: raises ConfigError where ``path`` is there and no folder, or is a run itself.

    Nothing is made.
    """
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--output must be a folder, got the file {path}")
    if (path / CONFIG).exists() and (path / FILES).exists():
        raise ConfigError(f"--output must be a folder for runs, got the run {path}")


def _is_of_a_run(path: Path) -> bool:
    """Whether a run that is there has, or may come to have, the file."""
    path = path.resolve()
    return any(
        (run / CONFIG).exists() and (Manifest.covers(run, path) or path == run / FILES)
        for run in path.parents[:2]
    )
