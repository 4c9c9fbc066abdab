"""Copies of tasks for other processes: by what they are made of, the configuration and the compiled robot.

A copy does not read the MJCF again: it has the robot that the task has, whatever became of the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mbmf.tasks.file import check_task
from mbmf.tasks.model import load_model
from mbmf.tasks.task import CheckedFunction, Task

Functions = tuple[CheckedFunction | None, CheckedFunction | None]


def task_of(config: dict[str, Any], mjb: bytes, functions: Functions) -> Task:
    """The task that `Task.__reduce__` took apart: its configuration, robot, and reward and cost functions."""
    reward, cost = (None if function is None else function.function for function in functions)
    checked = check_task(config, "task")
    return Task(checked, Path.cwd(), reward=reward, cost=cost, model=load_model(mjb))
