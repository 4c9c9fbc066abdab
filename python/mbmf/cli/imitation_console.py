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

# of the lines: at most 80 letters with the spaces between them
_COLUMNS = ("imitation", "points", "loss", "held out", "reward", "±", "length", "s")
_WIDTHS = (9, 10, 8, 8, 9, 8, 6, 7)

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
        self._headed = False

    def stage(self, title: str, total: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        return self._stages.stage(title, total)

    def iteration(self, record: Record, tests: Episodes, labelled: Episodes | None) -> None:
        if not self._headed:
            self._headed = True
            self.console.print(header_line(), soft_wrap=True, markup=False, style="bold")
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
        text += f"; the MPC rollouts that it learned from {summary['mpc_reward_mean']:.2f}."
        self.console.print(text, markup=False)
        self.console.print(f"Its files are in {path}", soft_wrap=True, markup=False)


def header_line() -> str:
    """The names of the columns of `iteration_line`."""
    return " ".join(f"{name:>{width}}" for name, width in zip(_COLUMNS, _WIDTHS, strict=True))


def iteration_line(record: Record, iterations: int) -> str:
    """The numbers of an iteration, in one line of fixed columns."""
    reward = ("–", "–")  # all diverged
    if record["reward_mean"] is not None:
        reward = (f"{record['reward_mean']:.2f}", f"{record['reward_std']:.2f}")
    words = [
        f"{record['iteration']}/{iterations}",
        f"{record['points']:,d}",
        f"{record['loss_train']:.4f}",
        f"{record['loss_validation']:.4f}",
        *reward,
        f"{record['episode_length_mean']:.0f}",
        f"{sum(record[f'seconds_{what}'] for what in ('training', 'tests', 'labelling')):.1f}",
    ]
    return " ".join(f"{word:>{width}}" for word, width in zip(words, _WIDTHS, strict=True))
