"""Loads tasks: finds the file of a name, reads and checks it, and compiles it into a `Task`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from mbmf.errors import ConfigError
from mbmf.tasks.functions import RewardFunction
from mbmf.tasks.task import Task


def load_task(
    name_or_path: str | Path | Mapping[str, Any],
    *,
    reward: RewardFunction | None = None,
    cost: RewardFunction | None = None,
    path: str | Path | npt.ArrayLike | None = None,
    segment_rule: Literal["predicted", "reached"] | None = None,
    recipe: str | None = None,
) -> Task:
    """A task from a preset's name, a YAML file, or a mapping with a file's keys.

    Args:
        name_or_path: a preset's name; a path, with a folder or the ending .yaml or .yml; or a mapping with
            the keys of a task file, whose model.file is relative to the current folder.
        reward: takes the place of the task's reward: reward(states (n, nstate), actions (n, naction)) ->
            (n,), of the states after the step and the actions in [-1, 1]. Slower: it leaves the C++ core. It
            needs a cost, as a function or in the file.
        cost: takes the place of the task's planning cost: cost(states (K, H + 1, nstate), actions
            (K, H, naction)) -> (K,), lower is better. Slower: it leaves the C++ core.
        path: to follow, for a task whose file has a section ``path``: the name of one of its paths or of a
            common one (docs/tasks.md), a CSV file of x,y rows, or waypoints (P, 2); metres, relative to where
            a rollout starts. None: the file's.
        segment_rule: when a rollout goes on to the next segment: "predicted", as soon as the best plan does
            (the paper's), or "reached", when the robot has passed its segment. None: the file's.
        recipe: one of the file's recipes, whose learning sections take the place of the file's own
            (docs/recipes.md). None: the file's own.

    Raises:
        ConfigError: what is wrong in the file, a line for each thing, as
            `<file>: <key> must be <requirement>, got <value>`.
    """
    from mbmf.tasks.file import check_task, find_task_file, read_task_file

    for argument, function in (("reward", reward), ("cost", cost)):
        if function is not None and not callable(function):
            raise ConfigError(f"{argument} must be a function of (states, actions), got {function!r}")
    if isinstance(name_or_path, Mapping):
        file, directory = "task", Path.cwd()
        config = check_task(name_or_path, file)
    elif isinstance(name_or_path, str | Path):
        found = find_task_file(name_or_path)
        file, directory = str(found), found.parent
        config = read_task_file(found)
    else:
        raise ConfigError(f"name_or_path must be a preset's name, a path or a mapping, got {name_or_path!r}")
    from mbmf.tasks.paths import follow
    from mbmf.tasks.recipes import chosen

    config = chosen(config, recipe)
    config = follow(config, path, segment_rule, config.name)
    task = Task(config, directory, file=file, reward=reward, cost=cost)
    if reward is not None or cost is not None:
        warnings.warn(
            f"task {task.name}: a Python function for the reward or the cost is slower than terms, because "
            "every step or plan leaves the C++ core for it",
            stacklevel=2,
        )
    return task
