"""What imitation shows in the terminal: progress with the time that is left, and a line per iteration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mbmf.cli.console import ConsoleObserver
from mbmf.runs.run import Record

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes

AfterIteration = Callable[[Record, "Episodes", "Episodes | None"], None]


class ImitationConsole:
    """An observer of `mbmf.algorithms.imitation`.

    Args:
        iterations: how many there will be.
        minimal: a line per iteration, nothing else.
        after_iteration: called when an iteration is over.
    """

    def __init__(
        self,
        iterations: int,
        *,
        minimal: bool = False,
        after_iteration: AfterIteration | None = None,
        console: Console | None = None,
    ) -> None:
        self._iterations, self._after_iteration = iterations, after_iteration
        self._stages = ConsoleObserver(iterations, minimal=minimal, console=console)
        self.console = self._stages.console

    def stage(self, title: str, total: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        return self._stages.stage(title, total)

    def iteration(self, record: Record, tests: Episodes, labelled: Episodes | None) -> None:
        line = iteration_line(record, self._iterations)
        self.console.print(line, soft_wrap=True, markup=False)
        if self._after_iteration is not None:
            self._after_iteration(record, tests, labelled)

    def note(self, text: str) -> None:
        self._stages.note(text)

    def conclude(self, summary: Record, path: Path) -> None:
        """Says how imitation ended."""
        reward = summary["reward_mean"]
        text = "The imitation policy's test rollouts all diverged"
        if reward is not None:
            text = f"The imitation policy earns {reward:.2f} ± {summary['reward_std']:.2f}"
        text += f"; the MPC rollouts that it learned from {summary['mpc_reward_mean']:.2f}. "
        self.console.print(f"{text}Its files are in {path}", soft_wrap=True, markup=False)


def iteration_line(record: Record, iterations: int) -> str:
    """The numbers of an iteration, in one line of fixed columns."""
    reward = "all diverged"
    if record["reward_mean"] is not None:
        reward = f"{record['reward_mean']:8.2f} ± {record['reward_std']:6.2f}"
    seconds = sum(record[f"seconds_{what}"] for what in ("training", "tests", "labelling"))
    return "  ".join(
        [
            f"imitation {record['iteration']} of {iterations}",
            f"points {record['points']:7,d}",
            f"loss {record['loss_train']:.4f}, held out {record['loss_validation']:.4f}",
            f"reward {reward}",
            f"length {record['episode_length_mean']:4.0f}",
            f"{seconds:.1f} s",
        ]
    )
