"""Changes of a task by words of a command line: model_based.epochs=5."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence, Set
from typing import Any

from mbmf.errors import ConfigError
from mbmf.tasks.dynamics_section import make_way
from mbmf.tasks.load import load_task
from mbmf.tasks.task import Task
from mbmf.words import show
from mbmf.yaml_text import parse_yaml

#: sections that only mbmf mb learns and plans with
OF_CONTROLLER = ("model_based", "planner", "dynamics", "value", "policy")
#: what `mbmf mf` does not use, sections and keys of a task
NOT_OF_MODEL_FREE = (
    *OF_CONTROLLER,
    *("imitation", "fine_tune", "cost", "terminal_cost", "alive", "dying_cost", "schedule"),
)
#: sections that `mbmf mb` does not use
NOT_OF_MODEL_BASED = ("imitation", "model_free", "fine_tune")
_WORD = re.compile(r"(?P<key>[^=\s]+)=(?P<value>.*)", re.DOTALL)
_KEY = re.compile(r"(?:[^.\[\]]+(?:\[\d{1,9}\])*)(?:\.[^.\[\]]+(?:\[\d{1,9}\])*)*")
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def check_sections(settings: Sequence[str], without: Sequence[str], why: str) -> None:
    """Raises ConfigError if one of the settings, each key=value, is of a section that changes nothing."""
    for setting in settings:
        section = setting.partition("=")[0].partition(".")[0].partition("[")[0]
        if section in without:
            raise ConfigError(f"--set must be without {section}: {why}, got {show(setting)}")


def changed_task(task: Task, settings: Sequence[str]) -> Task:
    """The task with settings in place of its own, checked as a file is.

    Args:
        settings: each a key of the task file and its value as YAML: ``model_based.epochs=5``,
            ``reward[0].weight=2``, ``model_based.hidden=[200, 200]``.

    Raises ConfigError, which names the setting.
    """
    if not settings:
        return task
    data = task.to_data()
    _put_search(data, settings)
    given = set()
    for setting in settings:
        match = _WORD.fullmatch(setting)
        parts = _parts(match["key"]) if match else []
        if match is None or not parts:
            raise ConfigError(f"--set must be of the form section.key=value, got {show(setting)}")
        if parts[0] in ("recipe", "recipes"):
            raise ConfigError(f"--set must be without {parts[0]}: --recipe is for that, got {show(setting)}")
        value = parse_yaml(match["value"], f"--set {match['key']}")
        _put(data, parts, value, match["key"])
        given.add(match["key"])
    make_way(data, task.config.dynamics)
    try:
        changed = load_task(data)
    except ConfigError as error:
        raise ConfigError("\n".join(f"--set: {line}" for line in str(error).splitlines())) from None
    _warn_of_planner(changed, given)
    return changed


def _warn_of_planner(task: Task, given: Set[str]) -> None:
    """Says which settings count for nothing, as the section planner says otherwise."""
    if task.model_based is None:
        return
    for name in ("horizon", "candidates"):
        used = getattr(task.planner, name)
        if f"model_based.{name}" in given and used != getattr(task.model_based, name):
            warnings.warn(
                f"--set model_based.{name} has no effect: planner.{name} is {used}, which "
                f"--set planner.{name} changes",
                stacklevel=3,
            )


def _put_search(data: dict[str, Any], settings: Sequence[str]) -> None:
    """Another search has settings of its own, whose defaults it has before others are put, as by --search."""
    section, key = data.get("planner"), "planner.search"
    given = [setting.partition("=")[2] for setting in settings if setting.startswith(f"{key}=")]
    if not given or not isinstance(section, dict):
        return
    if parse_yaml(given[-1], f"--set {key}") != section.get("search"):
        data["planner"] = {name: section[name] for name in ("horizon",) if name in section}


def _parts(key: str) -> list[str | int]:
    """The keys and numbers of a.b[1].c; none where it is not of that form."""
    if not _KEY.fullmatch(key):
        return []
    return [int(number) if number else name for name, number in _PART.findall(key)]


def _put(data: Any, parts: Sequence[str | int], value: Any, key: str) -> None:
    """Sets a value within mappings and lists; mappings that are not there are made."""
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if isinstance(part, int):
            if not isinstance(data, list) or part >= len(data):
                count = f"a list of {len(data)}" if isinstance(data, list) else show(data) if data else "none"
                raise ConfigError(f"--set {key} must be in a list that has {part}, got {count}")
        elif not isinstance(data, Mapping):
            raise ConfigError(f"--set {key} must be in a section of the task, got {show(data)}")
        if last:
            data[part] = value
        else:
            if isinstance(data, dict) and data.get(part) is None:
                data[part] = {}
            data = data[part]
