"""Configurations of runs: reading them, and comparing two of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mbmf.arguments import MAX_THREADS, whole_number
from mbmf.errors import ConfigError, DataError
from mbmf.runs.layout import CONFIG
from mbmf.runs.records import Entry
from mbmf.tasks.identity import OVERRIDE, Identity, check_identity
from mbmf.tasks.load import load_task
from mbmf.tasks.record import comparable_task, located_model, relative_model, with_model
from mbmf.tasks.task import Task
from mbmf.words import show
from mbmf.yaml_text import parse_yaml, read_text

# what may differ between a run and its continuation
_INCIDENTAL = ("nthread", "limits", "versions", "identity", "keyframe", "model_file", "driven_by")
_MAPPINGS = ("task", "settings", "versions", "limits", "identity")


def read_config(path: Path) -> Entry:
    """The configuration of the run directory ``path``, as it was written.

    Raises DataError, which names the file, if it is damaged; FileNotFoundError if there is none.
    """
    file = path / CONFIG
    what = f"{file}: configuration must be"
    try:
        text = read_text(file, DataError)
        config = parse_yaml(text, "", error=DataError)
    except FileNotFoundError:
        raise
    except (OSError, DataError) as error:
        said = str(error).removeprefix(f"{file}: ").lstrip(",: ")
        raise DataError(f"{what} readable YAML, got: {said}") from None
    if not isinstance(config, dict):
        raise DataError(f"{what} a mapping, got {type(config).__name__}")
    for key in _MAPPINGS:
        if not isinstance(config.get(key, {}), dict):
            raise DataError(f"{file}: {key} must be a mapping, got {show(config[key])}")
    return Entry(config, str(file))


def check_config(config: Mapping[str, Any]) -> None:
    """Raises ConfigError if a run cannot work with it, before it has a directory."""
    with_threads = config.get("nthread", 0)
    try:
        whole_number("nthread", with_threads, 0, MAX_THREADS)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def task_entries(task: Task) -> dict[str, Any]:
    """What the configuration of a run says of its task: what it has to do, and what it is of.

    functions: which of its reward and cost are functions that are not in it.
    keyframe: a digest of the MJCF's keyframe that episodes start from.
    """
    found: dict[str, Any] = {"task": task.to_data(), "identity": task.identity.to_data()}
    if task.unnamed_functions:
        found["functions"] = task.unnamed_functions
    if task.keyframe_digest is not None:
        found["keyframe"] = task.keyframe_digest
    return found


def with_model_file(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A configuration that says where its task's MJCF is from the run at ``path``, if the task has a file."""
    task = config.get("task")
    model = task.get("model") if isinstance(task, Mapping) else None
    if not isinstance(model, Mapping) or model.get("package"):
        model = {}
    return {**config, **relative_model(model.get("file"), path)}


def recorded_task(config: Entry, path: Path, *, allow_other_task: bool = False) -> Task:
    """The task of the configuration of the run at ``path``. Raises DataError, which names the file.

    allow_other_task: take the robot as it is by now, whatever it was.
    """
    file = path / CONFIG
    recorded = config["task"]
    if not isinstance(recorded, dict):
        raise DataError(f"{file}: task must be a mapping, got {show(recorded)}")
    try:
        task = load_task(with_model(recorded, located_model(config, path)))
    except ConfigError as error:
        raise DataError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from None
    if not allow_other_task:
        check_recorded_identity(config, path, task.identity, task.name)
    return task


def check_recorded_identity(config: Mapping[str, Any], path: Path, wanted: Identity, name: str) -> None:
    """Raises DataError if the run at ``path`` is not known to be of the task ``name`` as it is now."""
    data, file = config.get("identity"), path / CONFIG
    found = None if data is None else Identity.from_data(data, str(file))
    check_identity(f"{file}: run", found, wanted, name)


def check_recorded_keyframe(config: Mapping[str, Any], path: Path, wanted: str | None) -> None:
    """Raises DataError if episodes of the run at ``path`` began at another keyframe, by its digest."""
    if config.get("keyframe") != wanted:
        raise DataError(
            f"{path / CONFIG}: the keyframe that episodes start from must be as it was when the run began, "
            f"got another one; {OVERRIDE} takes it all the same"
        )


def versions() -> dict[str, str]:
    """Of this package and of those that its numbers depend on."""
    found = {}
    for name in ("mbmf", "torch", "mujoco", "numpy", "gymnasium"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def comparable(config: Mapping[str, Any], sections: tuple[str, ...]) -> dict[str, Any]:
    """What two configurations must agree in; of the task's learning sections those in ``sections``."""
    kept = {key: value for key, value in config.items() if key not in _INCIDENTAL}
    if isinstance(kept.get("task"), Mapping):
        kept["task"] = comparable_task(kept["task"], sections)
    return kept


def first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key at which two configurations differ, and both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{key}.{name}" if key else str(name)
            found = first_difference(old.get(name), new.get(name), inner)
            if found is not None:
                return found
        return None
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        differences = (first_difference(a, b, f"{key}[{i}]") for i, (a, b) in pairs)
        return next((found for found in differences if found is not None), None)
    return None if old == new else (key, old, new)
