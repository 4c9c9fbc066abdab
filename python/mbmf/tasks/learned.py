"""What a task says of a model, a value and a policy that are learned once and then used as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

# how many a policy proposes is the planner's affair
_OF_PLANNER = ("policy.proposals",)


def learned_otherwise(before: Task, after: Task) -> Iterator[tuple[str, Any, Any]]:
    """Settings of dynamics, value and policy in which two tasks differ: the key, then both values."""
    for name, found, given in zip(
        ("dynamics", "value", "policy"), _learned(before), _learned(after), strict=True
    ):
        if found is None or given is None:
            if found is not given:
                yield name, found, given
            continue
        for key in found:
            if f"{name}.{key}" not in _OF_PLANNER and found[key] != given[key]:
                yield f"{name}.{key}", found[key], given[key]


def _learned(task: Task) -> list[dict[str, Any] | None]:
    dynamics = {field.name: getattr(task.dynamics, field.name) for field in dataclasses.fields(task.dynamics)}
    sections = [
        None if each is None else each.model_dump() for each in (task.config.value, task.config.policy)
    ]
    return [dynamics.pop("model") | dynamics, *sections]
