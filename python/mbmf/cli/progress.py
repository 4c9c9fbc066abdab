"""Progress of one piece of work on a terminal, gone when it is over."""

from __future__ import annotations

import sys


class Bar:
    """A bar beside the output, on a terminal; a context manager."""

    def __init__(self, title: str = "", total: int | None = None) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(
            transient=True, console=Console(stderr=True), disable=not sys.stderr.isatty()
        )
        self._task = self._progress.add_task(title, total=total)

    def update(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much."""
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
