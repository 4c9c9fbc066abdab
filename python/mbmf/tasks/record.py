"""Tasks as files record them: what two runs must agree in to be of the same task, and where its robot is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mbmf.errors import ConfigError
from mbmf.tasks.file import check_task
from mbmf.tasks.schema import LEARNING_SECTIONS, TaskConfig


def comparable_task(recorded: Mapping[str, Any], sections: tuple[str, ...] = ()) -> dict[str, Any]:
    """What to compare of a task's configuration, as `Task.to_yaml` wrote it, now or in an earlier release.

    That is what the robot has to do, and of the learning sections only those in ``sections``. Keys that a
    newer release has in addition count with their defaults. What the robot is, wherever its MJCF lies, its
    identity says (`mbmf.tasks.identity`).
    """
    physical: dict[str, Any] = {key: value for key, value in recorded.items() if key not in LEARNING_SECTIONS}
    # one of another release may not pass the check: it is compared as it is
    with contextlib.suppress(ConfigError):
        physical = check_task(physical, "task").model_dump(exclude_none=True)
    if isinstance(physical.get("model"), Mapping) and "file" in physical["model"]:
        physical["model"] = {"file": "of one's own"}
    return physical | {name: _section(name, recorded[name]) for name in sections if name in recorded}


def _section(name: str, recorded: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(TaskConfig.model_fields[name].rebuild_annotation())
    try:
        return adapter.dump_python(adapter.validate_python(recorded), exclude_none=True)
    except ValueError:
        return recorded


def relative_model(file: str | None, folder: Path) -> dict[str, str]:
    """What a file in ``folder`` records beside a task: model_file, where its MJCF is from there.

    So that a project may be moved or copied with what it learned. Nothing for a robot that is no file.
    """
    return {} if file is None else {"model_file": os.path.relpath(file, os.path.abspath(folder))}


def located_model(recorded: Mapping[str, Any], folder: Path) -> str | None:
    """The MJCF that `relative_model` recorded, if it is there; it may have been removed or replaced since."""
    relative = recorded.get("model_file")
    if not isinstance(relative, str):
        return None
    # links stay as they are: what a file includes lies beside the link
    path = os.path.abspath(folder / relative)
    return path if "\0" not in path and os.path.isfile(path) else None


def with_model(task: Mapping[str, Any], file: str | None) -> dict[str, Any]:
    """A recorded task whose robot is the MJCF ``file``, if that is given and the task's is a file."""
    model = task.get("model")
    if file is None or not isinstance(model, Mapping) or "file" not in model or model.get("package"):
        return dict(task)
    return {**task, "model": {**model, "file": file}}
