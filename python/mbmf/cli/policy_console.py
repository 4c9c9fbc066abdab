"""What policy optimisation shows in the terminal: a line per iteration, and progress with the time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mbmf.runs.run import Record
from mbmf.words import counted

if TYPE_CHECKING:
    from mbmf.algorithms.model_free import Limits

# of the lines: at most 80 letters with the spaces between them; the header is repeated after so many
_COLUMNS = ("iteration", "steps", "reward", "±", "length", "KL", "std", "expl.", "s", "left")
_WIDTHS = (9, 10, 8, 7, 6, 6, 5, 5, 6, 8)
_HEADER_EVERY = 20
# iterations whose mean duration the estimate of the time left is made of
_RECENT = 20


class PolicyConsole:
    """An observer of `mbmf.algorithms.model_free`; a context manager.

    Args:
        limits: when the run stops.
        batch_size: control steps of an iteration.
        done: the records of the iterations that are over already.
        minimal: a line per iteration, nothing else.
    """

    def __init__(
        self,
        limits: Limits,
        batch_size: int,
        *,
        done: Sequence[Record] = (),
        minimal: bool = False,
        console: Console | None = None,
    ) -> None:
        self.console = console or Console(highlight=False)
        self._limits, self._batch_size = limits, batch_size
        self._last = done[-1] if done else None
        self._recent: deque[float] = deque(
            (each["seconds_sampling"] + each["seconds_update"] for each in done[-_RECENT:]), _RECENT
        )
        self._begin = time.perf_counter()
        self._lines = 0
        self._progress: Progress | None = None
        if self.console.is_terminal and not minimal:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._bar = self._progress.add_task("", total=self._expected())
            self._show(0)

    def sampling(self, steps: int) -> None:
        self._show(steps)

    def iteration(self, record: Record) -> None:
        now = time.perf_counter()
        self._recent.append(now - self._begin)
        self._begin, self._last = now, record
        if self._lines % _HEADER_EVERY == 0:
            self.console.print(header_line(), soft_wrap=True, markup=False, style="bold")
        self._lines += 1
        line = iteration_line(record, self._limits.iterations, self.time_left())
        self.console.print(line, soft_wrap=True, markup=False)
        self._show(0)

    def note(self, text: str) -> None:
        self.console.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)

    def conclude(self, summary: Record, path: Path) -> None:
        """Says how the run ended."""
        done = summary["iterations"]
        text = f"Stopped after {counted(done, 'iteration')}" if done else "There was no iteration to do"
        text += f": {summary['stopped']}."
        if summary["best_reward_mean"] is not None:
            text += f" Reward {summary['reward_mean']:.2f}, best {summary['best_reward_mean']:.2f}"
            text += f" (iteration {summary['best_iteration']})."
        if summary["skipped"]:
            text += f" {counted(summary['skipped'], 'update was', 'updates were')} skipped."
        self.console.print(text, markup=False)
        self.console.print(f"Everything is in {path}", soft_wrap=True, markup=False)

    def time_left(self) -> float | None:
        """Seconds until a limit of iterations or steps is reached, as the last iterations went."""
        if not self._recent:
            return None
        done = self._last["iteration"] if self._last else 0
        return (self._expected() - done) * sum(self._recent) / len(self._recent)

    def __enter__(self) -> PolicyConsole:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _expected(self) -> float:
        """How many iterations there will be, unless the reward is reached before."""
        expected = float(self._limits.iterations)
        if self._limits.max_steps is not None:
            done, steps = (self._last["iteration"], self._last["steps_total"]) if self._last else (0, 0)
            left = max(0, self._limits.max_steps - steps)
            expected = min(expected, done + -(-left // self._batch_size))
        return expected

    def _show(self, steps: int) -> None:
        if self._progress is None:
            return
        done = self._last["iteration"] if self._last else 0
        total = self._expected()
        words = [f"iteration {done + 1} of {total:.0f}"]
        if self._last is not None and self._last["reward_mean"] is not None:
            words.append(f"reward {self._last['reward_mean']:.2f}")
        left = self.time_left()
        if left is not None:
            words.append(f"{duration(left)} left")
        share = min(1.0, steps / self._batch_size)
        self._progress.update(self._bar, description="  ".join(words), completed=done + share, total=total)


def header_line() -> str:
    """The names of the columns of `iteration_line`."""
    return " ".join(f"{name:>{width}}" for name, width in zip(_COLUMNS, _WIDTHS, strict=True))


def iteration_line(record: Record, iterations: int, left: float | None) -> str:
    """The numbers of an iteration, in one line of fixed columns."""

    def number(name: str, digits: int) -> str:
        value = record[name]
        return "–" if value is None else f"{value:.{digits}f}"

    words = [
        f"{record['iteration']}/{iterations}",
        f"{record['steps_total']:,d}",
        number("reward_mean", 2),
        number("reward_std", 2),
        f"{record['episode_length_mean']:.0f}",
        number("kl", 4),
        f"{record['policy_std']:.3f}",
        number("explained_variance", 2),
        f"{record['seconds_sampling'] + record['seconds_update']:.1f}",
        "" if left is None else duration(left),
    ]
    return " ".join(f"{word:>{width}}" for word, width in zip(words, _WIDTHS, strict=True)).rstrip()


def duration(seconds: float) -> str:
    """Whole hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
