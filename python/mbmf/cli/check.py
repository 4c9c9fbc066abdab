"""``mbmf check``: a task tried with no action and with random ones, and what looks wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

import tyro

from mbmf.cli.planner_options import SET


@dataclass(frozen=True)
class Options:
    """Try a task with no and with random actions, and say what looks wrong."""

    task: tyro.conf.Positional[str]
    """A preset's name, or the path of a YAML file (docs/tasks.md)."""

    episodes: int = 20
    """Episodes of each kind."""

    steps: int | None = None
    """Control steps of an episode at most (default: the task's, 500 at most)."""

    seed: int = 0
    """Seed of starts and actions."""

    set: tuple[str, ...] = field(default=(), metadata=SET)
    """Settings in place of the task's, as in its file: physics_steps=5 reward[0].weight=2."""

    nthread: int = 0
    """Threads, 0: one per CPU."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mbmf.cli.evaluate import score_table
    from mbmf.tasks.load import load_task
    from mbmf.tasks.settings import changed_task
    from mbmf.tasks.trial import try_task

    task = changed_task(load_task(options.task), options.set)
    steps = options.steps or min(task.episode_steps, 500)
    tried = try_task(task, options.episodes, steps, options.seed, options.nthread)
    console = Console(highlight=False)
    console.print(
        f"{task.name}: {task.nstate} states, {task.nobservation} observed by policies, "
        f"{task.naction} actions, control steps of {task.dt:g} s; "
        f"{tried.steps_per_second:,.0f} steps a second",
        markup=False,
    )
    console.print(score_table("rewards", {"no action": tried.still, "random actions": tried.random}))
    table = Table(title="states, with random actions", title_justify="left")
    for heading in ("state", "unit", "lowest", "highest", "deviation"):
        table.add_column(
            heading, justify="left" if heading in ("state", "unit") else "right", overflow="fold"
        )
    for name, unit, low, high, deviation in zip(
        task.state_names, task.state_units, tried.low, tried.high, tried.deviation, strict=True
    ):
        table.add_row(escape(name), escape(unit), f"{low:.4g}", f"{high:.4g}", f"{deviation:.3g}")
    console.print(table)
    for text in tried.odd:
        console.print(f"[yellow]odd:[/] {escape(text)}")
    if not tried.odd:
        console.print("nothing looks odd")
