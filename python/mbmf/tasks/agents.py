"""The robots that commands know by a number or a name: those that presets have in their ``agent`` section."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbmf.errors import ConfigError
from mbmf.tasks.file import PRESETS, one_of, preset_names, read_task_file, show
from mbmf.tasks.load import load_task
from mbmf.tasks.task import Task


@dataclass(frozen=True)
class Agent:
    """A robot of a preset: its number in the paper's code, and its names, the first of which is the usual."""

    preset: str
    number: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number} {' or '.join(self.names)}"


def agents() -> list[Agent]:
    """All of them, by number."""
    found = []
    for preset in preset_names():
        agent = read_task_file(PRESETS / f"{preset}.yaml").agent
        if agent is not None:
            found.append(Agent(preset, agent.number, agent.names))
    return sorted(found, key=lambda agent: agent.number)


def load_agent(which: str, argument: str = "--which_agent") -> tuple[str, Task]:
    """The name, for files, and the task of an agent: by number, by name, by preset, or by the path of a task.

    A task of a file is named as it names itself, unless it is a preset as it stands: what it leaves is never
    taken for an agent's.

    Raises ConfigError, which names the ``argument`` and lists the agents.
    """
    agent = find_agent(which)
    if agent is not None:
        return agent.names[0], load_task(agent.preset)
    if which not in preset_names() and Path(which).suffix not in (".yaml", ".yml"):
        known = agents()
        names = [name for agent in known for name in agent.names]
        hint = one_of(which, names, "").partition("; nearest: ")[2].rstrip(")")
        choices = ", ".join(map(str, known)) + (f"; nearest: {hint}" if hint else "")
        raise ConfigError(
            f"{argument} must be an agent's number or name ({choices}), a preset, or a path ending in "
            f".yaml, got {show(which)}"
        )
    task = load_task(which)
    return name_of(task), task


def find_agent(which: str) -> Agent | None:
    """The agent of a number or a name, or None."""
    word = which.lower().replace("-", "_")
    return next((agent for agent in agents() if word in (str(agent.number), *agent.names)), None)


def name_of(task: Task) -> str:
    """What files of a task's runs are called: an agent's first name for its preset, else the task's own."""
    if task.config.agent is None or task.name not in preset_names():
        return task.name
    same = read_task_file(PRESETS / f"{task.name}.yaml") == task.config
    return agent_name(task) if same else task.name


def agent_name(task: Task) -> str:
    """The first name of the agent that a task is of, or the task's own name."""
    return task.config.agent.names[0] if task.config.agent is not None else task.name


def agent_of_run(which: str | None, recorded: Mapping[str, Any], note: Callable[[str], None]) -> Task:
    """The task with which to go on from a run that was made with the task ``recorded``.

    That is the run's own, if ``which`` is None, the task's name, or an agent or preset that it is of: a copy
    of a preset with other settings goes on with these. A run without settings for policies takes the
    preset's, and ``note`` is told. A path, or another agent, is that task.

    Raises ConfigError.
    """
    if which is None or which == recorded.get("name"):
        return load_task(recorded)
    if Path(which).suffix in (".yaml", ".yml"):
        return load_task(which)
    _, named = load_agent(which)
    agent = named.config.agent
    of_agent = agent is not None and (recorded.get("agent") or {}).get("number") == agent.number
    if not of_agent and recorded.get("name") != named.name:
        return named
    sections = ("model_free", "imitation", "fine_tune")
    if not any(section in recorded for section in sections):
        note(f"the run has no settings for policies: those of {named.name} are used")
        theirs = named.to_data()
        return load_task({**recorded, **{name: theirs[name] for name in sections if name in theirs}})
    return load_task(recorded)
