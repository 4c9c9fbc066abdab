"""Recipes of a task: learning sections that take the place of its own (docs/recipes.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbmf.errors import ConfigError
from mbmf.tasks.dynamics_section import make_way
from mbmf.tasks.file import check_task
from mbmf.tasks.load import load_task
from mbmf.tasks.schema import PAPER, TaskConfig
from mbmf.tasks.task import Task
from mbmf.words import one_of, show


def with_recipe(task: Task, name: str | None) -> Task:
    """The task with the sections of one of its recipes; as it is for None.

    ``paper`` is every task's own sections. What a recipe does not mention stays, and the task remembers its
    recipe, so that a run of it goes on with it.

    Raises ConfigError if the task has no such recipe, or another one already.
    """
    config = chosen(task.config, name)
    return task if config is task.config else load_task(config.model_dump(exclude_none=True))


def chosen(config: TaskConfig, name: str | None) -> TaskConfig:
    """A task file's contents with one of its recipes: see `with_recipe`."""
    if name is None or name == (config.recipe or PAPER):
        return config
    if config.recipe is not None:
        made = f"{config.recipe}, with which {config.name} was taken up, or left out"
        raise ConfigError(f"recipe must be {made}, got {show(name)}")
    recipes = config.recipes or {}
    if name not in recipes:
        choices = one_of(name, [PAPER, *sorted(recipes)], "a recipe")
        raise ConfigError(f"recipe must be {choices} of {config.name}, got {show(name)}")
    data = config.model_dump(exclude_none=True)
    sections = data.pop("recipes")[name]
    data = {**data, **sections, "recipe": name}
    make_way(data, config.dynamics)
    return check_task(data, config.name)


def with_recipe_of(recorded: Mapping[str, Any], task: Task, name: str | None, run: Path) -> Task:
    """The task, of a preset or a file, with the recipe of the run that was made with the task ``recorded``.

    Raises ConfigError if ``name``, what the user asked for, is another one.
    """
    check_recipe_of(recorded, name, run)
    return with_recipe(task, recorded.get("recipe") or PAPER)


def check_recipe_of(recorded: Mapping[str, Any], name: str | None, run: Path) -> None:
    """Raises ConfigError if ``name`` is not the recipe of the run, which was made with ``recorded``."""
    theirs = recorded.get("recipe") or PAPER
    if name not in (None, theirs):
        made = f"{theirs}, with which {run} was made, or left out"
        raise ConfigError(f"--recipe must be {made}, got {show(name)}")


def named_with_recipe(name: str, task: Task) -> str:
    """A name for files of a task's runs, with the recipe if it is not the paper's."""
    return name if task.config.recipe is None else f"{name}_{task.config.recipe}"
