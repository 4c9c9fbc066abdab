"""The robots that commands know by a number or a name: those that presets have in their ``agent`` section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mbmf.errors import ConfigError
from mbmf.tasks.file import PRESETS, one_of, preset_names, read_task_file, show
from mbmf.tasks.task import Task, load_task


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


def load_agent(which: str) -> tuple[str, Task]:
    """The name, for files, and the task of an agent: by number, by name, by preset, or by the path of a task.

    Raises ConfigError, which lists the agents.
    """
    known = agents()
    for agent in known:
        if which.lower().replace("-", "_") in (str(agent.number), *agent.names):
            return agent.names[0], load_task(agent.preset)
    if which not in preset_names() and Path(which).suffix not in (".yaml", ".yml"):
        names = [name for agent in known for name in agent.names]
        hint = one_of(which, names, "").partition("; nearest: ")[2].rstrip(")")
        choices = ", ".join(map(str, known)) + (f"; nearest: {hint}" if hint else "")
        raise ConfigError(
            f"--which_agent must be an agent's number or name ({choices}), a preset, or a path ending in "
            f".yaml, got {show(which)}"
        )
    task = load_task(which)
    return task.config.agent.names[0] if task.config.agent else task.name, task
