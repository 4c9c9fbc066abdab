"""Where the results of a path go: one trained model serves every path, and none's results replace another's.

The run that trains a model, ``runs/run_<N>``, holds the results of its own path, as any run. Another path
that is followed with its data or its model has a run directory inside, ``runs/run_<N>/paths/<path>``, whose
data and models are the outer run's where they are reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbmf.errors import DataError
from mbmf.runs.run import Run
from mbmf.tasks.task import Task

FOLDER = "paths"


def results_path(path: Path, task: Task) -> Path:
    """The run directory for the results of ``task``, where ``path`` is the run's."""
    base = Run(path)
    if task.path is None or not base.exists or _label(base.config()) == task.path.label:
        return path
    return path / FOLDER / task.path.label


def refuse_other_path(path: Path, task: Task) -> None:
    """Raises DataError if the run at ``path`` followed another path: nobody asked for its model."""
    if results_path(path, task) != path:
        raise DataError(
            f"{path}: run directory must be new, or be reused with --use_existing_training_data "
            f"--use_existing_dynamics_model to follow another path with its model, got a run on the path "
            f"{_label(Run(path).config())}; --overwrite replaces it"
        )


def refuse_other_waypoints(path: Path, task: Task) -> None:
    """Raises DataError if the results at ``path`` are of another path with the same name."""
    if task.path is None or not Run(path).exists:
        return
    recorded = _section(Run(path).config())
    own = task.to_data()["path"]
    if _label(Run(path).config()) == task.path.label and _waypoints(recorded) != _waypoints(own):
        raise DataError(
            f"{path}: results must be of the path that is to be followed, got those of another one with the "
            f"name {task.path.label}: give its file another name"
        )


def _waypoints(section: Mapping[str, Any]) -> Any:
    """Of the path to follow, where they are not those of a common path."""
    paths = section.get("paths")
    followed = paths.get(section.get("follow", "straight")) if isinstance(paths, Mapping) else None
    return followed.get("waypoints") if isinstance(followed, Mapping) else None


def _section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section path of a run's configuration, or nothing."""
    task = config.get("task")
    section = task.get("path") if isinstance(task, Mapping) else None
    return section if isinstance(section, Mapping) else {}


def _label(config: Mapping[str, Any]) -> str | None:
    """`TaskPath.label` of a run's configuration."""
    section = _section(config)
    if not section:
        return None
    name, rule = section.get("follow", "straight"), section.get("segment_rule", "predicted")
    return str(name) if rule == "predicted" else f"{name}_{rule}"
