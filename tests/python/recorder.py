"""An observer of a run, for tests: remembers what it is told, and may interrupt the run at any event."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


class Recorder:
    """Remembers stages, iterations and notes; raises KeyboardInterrupt at event ``interrupt_at``.

    Events are the beginning and the end of each stage, and each iteration.
    """

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.stages: list[str] = []
        self.iterations: list[tuple[Any, ...]] = []
        self.notes: list[str] = []
        self.events = 0
        self._interrupt_at = interrupt_at

    def _event(self) -> None:
        if self.events == self._interrupt_at:
            raise KeyboardInterrupt
        self.events += 1

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        self.stages.append(title)
        self._event()
        yield lambda done: None
        self._event()

    def iteration(self, *told: Any) -> None:
        self.iterations.append(told)
        self._event()

    def note(self, text: str) -> None:
        self.notes.append(text)
