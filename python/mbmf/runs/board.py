"""A run's numbers and figures as TensorBoard events."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbmf.errors import DataError
from mbmf.runs.records import Record, scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Board:
    """Events in ``folder``, which start anew in every process from the records that ``before`` gives.

    Raises DataError that names the folder where events cannot be written. The records are elsewhere.
    """

    def __init__(self, folder: Path, before: Callable[[], Sequence[Record]]) -> None:
        self._folder, self._before = folder, before
        self._events: _Events | None = None

    def add_record(self, record: Record) -> None:
        """Adds the record of an iteration that `before` has by now."""
        with self._writing():
            if self._events is None:
                self._open()
            else:
                self._events.add_scalars(record)

    def add_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        """Adds figures, by name."""
        with self._writing():
            for name, figure in figures.items():
                self._open().add_figure(name, figure, iteration)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def _open(self) -> _Events:
        if self._events is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._events = _Events(self._folder)
            for record in self._before():
                self._events.add_scalars(record)
        return self._events

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()  # the next ones start anew
            raise DataError(
                f"{self._folder}: TensorBoard's events must be writable, got: {error.strerror or error}; "
                "they start anew with the run's next ones"
            ) from error


class _Events:
    """A file of events, each on the disk at once.

    Not by torch.utils.tensorboard.SummaryWriter: its thread prints a traceback where the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        path = folder / f"events.out.tfevents.{int(time.time())}.{os.getpid()}"
        self._file = path.open("wb")
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")

    def add_scalars(self, record: Record) -> None:
        for name, value in scalars(record):
            self._add(record["iteration"], tag=name, simple_value=value)

    def add_figure(self, name: str, figure: Figure, iteration: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        png = io.BytesIO()
        figure.savefig(png, format="png")
        width, height = figure.canvas.get_width_height()
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png.getvalue())
        self._add(iteration, tag=name, image=image)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what is still unwritten had its error
            self._file.close()

    def _add(self, iteration: int, **value: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(step=iteration, summary=Summary(value=[Summary.Value(**value)]))

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **content).SerializeToString())
        self._file.flush()
