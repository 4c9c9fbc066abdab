"""A run's numbers and figures as TensorBoard events."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbmf.runs.records import Record, scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Board:
    """Events in ``folder``, which start anew in every process from the records that ``before`` gives."""

    def __init__(self, folder: Path, before: Callable[[], Sequence[Record]]) -> None:
        self._folder, self._before = folder, before
        self._writer: Any = None

    def add_record(self, record: Record) -> None:
        """Adds the record of an iteration that `before` has by now."""
        if self._writer is None:
            self._open()
        else:
            self._add_scalars(record)
        self._writer.flush()

    def add_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        """Adds figures, by name."""
        self._open()
        for name, figure in figures.items():
            self._writer.add_figure(name, figure, iteration)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            shutil.rmtree(self._folder, ignore_errors=True)
            self._writer = SummaryWriter(str(self._folder))
            for record in self._before():
                self._add_scalars(record)

    def _add_scalars(self, record: Record) -> None:
        for name, value in scalars(record):
            self._writer.add_scalar(name, value, record["iteration"])
