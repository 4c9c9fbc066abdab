"""How many iterations a run of ``mbmf mb`` is to have: those it was made with, until it is given others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbmf.errors import DataError
from mbmf.runs.layout import CONFIG, PARTS, PATHS


def iterations_of(config: Mapping[str, Any]) -> int | None:
    """Those of a run's configuration; None where it is not one of mbmf mb."""
    if config.get("algorithm") != "model_based" or not isinstance(config.get("task"), Mapping):
        return None
    section = config["task"].get("model_based")
    iterations = section.get("iterations") if isinstance(section, Mapping) else None
    return iterations if type(iterations) is int else None


def with_iterations(config: Mapping[str, Any], iterations: int) -> dict[str, Any]:
    """The configuration of a run of mbmf mb that has so many."""
    task = config["task"]
    return {**config, "task": {**task, "model_based": {**task["model_based"], "iterations": iterations}}}


def check_other(path: Path, before: int | None, wanted: int, done: int) -> None:
    """Raises DataError unless the run at ``path``, with ``done`` behind it, may have ``wanted`` in place of
    ``before``: what was made of it knows the controller that there was."""
    what = f"{path / CONFIG}: model_based.iterations must be"
    if wanted <= done:
        raise DataError(f"{what} the run's, {before}, or more than the {done} that are done, got {wanted}")
    files = [file for pattern in (*PARTS, f"{PATHS}/*") for file in path.glob(f"{pattern}/{CONFIG}")]
    if files:
        names = ", ".join(sorted(str(file.parent.relative_to(path)) for file in files))
        raise DataError(
            f"{what} {before}, as when {names} began from the run, got {wanted}: go on with a copy of the "
            "run's folder without them"
        )
