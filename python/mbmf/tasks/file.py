"""Reads a task file: YAML to `TaskConfig`, with errors that name the file, the key and what is right."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mbmf.errors import ConfigError
from mbmf.tasks.schema import TaskConfig
from mbmf.words import one_of as one_of
from mbmf.words import printed
from mbmf.words import show as show
from mbmf.yaml_text import parse_yaml as parse_yaml
from mbmf.yaml_text import read_text

PRESETS = Path(__file__).parent.parent / "presets"
# that a message lists
_MOST_PROBLEMS = 50


def preset_names() -> list[str]:
    """The names that `load_task` knows without a file."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def find_task_file(name_or_path: str | Path) -> Path:
    """The file of a preset's name, or of a path: anything with a folder or the ending .yaml or .yml."""
    text = str(name_or_path)
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix not in (".yaml", ".yml") and path.name == text:
        names = preset_names()
        if text not in names:
            choices = one_of(text, names, "a preset")
            raise ConfigError(f"task name must be {choices} or a path ending in .yaml, got {show(text)}")
        return PRESETS / f"{text}.yaml"
    if not os.path.isfile(path):
        raise ConfigError(f"task file must be a file that exists, got {show(text)}")
    return path


def read_task_file(path: Path) -> TaskConfig:
    """The checked contents of a task file. Raises ConfigError."""
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    return check_task(parse_yaml(text, str(path), cycles=True), str(path))


# --- checks against the schema


def check_task(data: Any, file: str) -> TaskConfig:
    """`data` (mappings and lists, as from YAML), checked. Raises ConfigError with a line per problem."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{file}: must be a mapping of keys to values, got {show(data)}")
    try:
        return TaskConfig.model_validate(dict(data))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        lines = [_line(problem, data) for problem in problems[:_MOST_PROBLEMS]]
        if len(problems) > _MOST_PROBLEMS:
            lines.append(f"and {len(problems) - _MOST_PROBLEMS} more")
        raise ConfigError("\n".join(f"{file}: {line}" for line in lines)) from None


_REQUIREMENTS = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "invalid_key": "a text, as every key",
    "tuple_type": "a list",
    "recursion_loop": "free of references to itself",
}


def _line(problem: Any, data: Any) -> str:
    """One of pydantic's errors as `<key> must be <requirement>, got <value>`."""
    kind, context = problem["type"], problem.get("ctx", {})
    location, value = list(problem["loc"]), problem["input"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        # the location is that of the term or section; the key that says which it is, is wrong or missing
        key = context["discriminator"].strip("'")
        found = value.get(key) if isinstance(value, Mapping) else None
        location.append(key)
        requirement = one_of(found, _tags(key), f"a {key}") if found is not None else "given"
        return f"{_path(location, data, absent=True)} must be {requirement}, got {show(found)}"
    path = _path(location, data, absent=kind == "missing")
    if kind == "missing":
        return f"{path} must be given, got nothing"
    if kind == "extra_forbidden":
        keys = sorted(_keys_at(location[:-1]))
        return f"{path} must be {one_of(str(location[-1]), keys, 'a known key')}, got {show(location[-1])}"
    if kind == "value_error":
        requirement = str(context["error"])
    elif kind == "literal_error":
        choices = [choice.strip(" '") for choice in re.split(r",| or ", context["expected"])]
        requirement = one_of(value, choices, "a known word")
    else:
        requirement = _REQUIREMENTS.get(kind, problem["msg"])
    return f"{path or 'the file'} must be {requirement}, got {show(value)}"


def _path(location: list[Any], data: Any, absent: bool) -> str:
    """A location as the user writes it, cost[1].weight, without the tags that pydantic puts in for unions.

    absent: the last key is not in the data.
    """
    path, at = "", data
    for place, key in enumerate(location):
        if isinstance(at, list | tuple) and isinstance(key, int):
            path += f"[{key}]"
            at = at[key] if key < len(at) else None
        elif isinstance(at, Mapping) and (key in at or (absent and place == len(location) - 1)):
            path += f".{printed(str(key))}" if path else printed(str(key))
            at = at.get(key)
    return path


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The schema classes within a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


# the keys that choose among schema classes, and a field that has them
_TAGS = {"term": "reward", "search": "planner", "kind": "actuators"}


def _tag(model: type[BaseModel], key: str) -> str:
    return str(get_args(model.model_fields[key].annotation)[0])


def _tags(key: str) -> list[str]:
    return [_tag(model, key) for model in _models(TaskConfig.model_fields[_TAGS[key]].annotation)]


def _keys_at(location: list[Any]) -> set[str]:
    """The keys that may stand at a location."""
    models: list[type[BaseModel]] = [TaskConfig]
    for key in location:
        if isinstance(key, int):
            continue
        inner = [model.model_fields[key] for model in models if key in model.model_fields]
        if inner:
            models = [model for field in inner for model in _models(field.annotation)]
        else:  # a union's tag, or a name of the user's, such as a recipe's
            tagged = [m for m in models for tag in _TAGS if tag in m.model_fields and key == _tag(m, tag)]
            models = tagged or models
    return {name for model in models for name in model.model_fields}
