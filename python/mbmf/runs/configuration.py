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
from mbmf.tasks.record import comparable_task
from mbmf.tasks.task import Task, load_task
from mbmf.words import show
from mbmf.yaml_text import parse_yaml, read_text

# what may differ between a run and its continuation
_INCIDENTAL = ("nthread", "limits", "versions")
_MAPPINGS = ("task", "settings", "versions", "limits")


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


def recorded_task(config: Entry, path: Path) -> Task:
    """The task of the configuration of the run at ``path``. Raises DataError, which names the file."""
    file = path / CONFIG
    recorded = config["task"]
    if not isinstance(recorded, dict):
        raise DataError(f"{file}: task must be a mapping, got {show(recorded)}")
    try:
        return load_task(recorded)
    except ConfigError as error:
        raise DataError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from None


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
