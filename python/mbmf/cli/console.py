"""What a run shows in the terminal: progress with the time that is left, and a table per iteration."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mbmf.runs.run import Record

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.rollouts.episodes import Episodes

AfterIteration = Callable[[Record, "DynamicsModel", "Episodes"], None]


class ConsoleObserver:
    """Shows a run in the terminal (an observer of `mbmf.algorithms.model_based`).

    Args:
        iterations: how many there will be.
        minimal: a line per iteration, nothing else.
        previous: the record of the last finished iteration, to compare with.
        after_iteration: called when an iteration is over.
    """

    def __init__(
        self,
        iterations: int,
        *,
        minimal: bool = False,
        previous: Record | None = None,
        after_iteration: AfterIteration | None = None,
        console: Console | None = None,
    ) -> None:
        self._iterations = iterations
        self._minimal = minimal
        self._previous = previous
        self._after_iteration = after_iteration
        self.console = console or Console(highlight=False)

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        if self._minimal or not self.console.is_terminal:
            if not self._minimal:
                self.console.print(title, markup=False)
            yield lambda done: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(escape(title), total=total)
            yield lambda done: bar.update(task, completed=done)

    def iteration(self, record: Record, model: DynamicsModel, rollouts: Episodes) -> None:
        if self._minimal:
            self.console.print(
                f"iteration {record['iteration']} of {self._iterations}: "
                f"reward {record['reward_mean']:.2f} ± {record['reward_std']:.2f}"
            )
        else:
            self.console.print(iteration_table(record, self._iterations, self._previous))
        self._previous = record
        if self._after_iteration is not None:
            self._after_iteration(record, model, rollouts)

    def note(self, text: str) -> None:
        self.console.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)


def iteration_table(record: Record, iterations: int, previous: Record | None = None) -> Table:
    """The numbers of an iteration, beside those of the one before."""
    table = Table(title=f"iteration {record['iteration']} of {iterations}", title_justify="left")
    table.add_column("")
    for each in (previous, record):
        if each is not None:
            table.add_column(f"iteration {each['iteration']}", justify="right")
    records = [each for each in (previous, record) if each is not None]

    def row(title: str, cell: Callable[[Record], str], end_section: bool = False) -> None:
        table.add_row(title, *(cell(each) for each in records), end_section=end_section)

    row("data points: random", lambda r: f"{r['points_old']:,}")
    row("data points: on-policy", lambda r: f"{r['points_new']:,}", end_section=True)
    row("loss: training", lambda r: _number(r["loss_train"]))
    row("loss: random data", lambda r: _number(r["loss_old"]))
    row("loss: on-policy data", lambda r: _number(r["loss_new"]), end_section=True)
    horizons = list(record["validation_error"])
    for horizon in horizons:
        title = f"validation error: {horizon} step{'s' * (horizon != '1')}"
        row(title, lambda r, h=horizon: _number(r["validation_error"].get(h)), horizon == horizons[-1])  # type: ignore[misc]
    for key, title in (
        ("loss_held_out", "loss: held-out data"),
        ("deviation_over_members", "deviation over members"),
    ):
        if any(key in each for each in records):
            row(title, lambda r, key=key: _number(r.get(key)))  # type: ignore[misc]
    if any("calibration" in each for each in records):
        row("truth within 90 % intervals, 1 step", lambda r: _share(r.get("calibration", {})), True)
    row("reward: mean", lambda r: f"{r['reward_mean']:.2f}")
    row("reward: deviation", lambda r: f"{r['reward_std']:.2f}")
    row("episode length: mean", lambda r: f"{r['episode_length_mean']:.0f}")
    if any(each["diverged"] for each in records):
        row("episodes diverged", lambda r: str(r["diverged"]))
    row("seconds: training", lambda r: f"{r['seconds_training']:.1f}")
    row("seconds: control", lambda r: f"{r['seconds_control']:.1f}")
    return table


def _share(calibration: Mapping[str, Mapping[str, float]]) -> str:
    share = calibration.get("1", {}).get("0.9")
    return "–" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def resume_command(name: str, options: Any, defaults: Any) -> str:
    """The command line of these options, with --resume; what equals ``defaults`` is left out."""
    words = ["mbmf", name]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in ("resume", "overwrite") or value == getattr(defaults, field.name):
            continue
        if isinstance(value, tuple):
            words += [f"--{field.name}", *(shlex.quote(str(each)) for each in value)]
        else:
            words.append(f"--{field.name}" if value is True else f"--{field.name}={shlex.quote(str(value))}")
    return " ".join([*words, "--resume"])
