"""Run directories: what a run writes, and how it is found again after an interruption.

`mbmf.runs.layout` says where its files are. They are whole or absent, at any moment
(`mbmf.files.atomic_write`), and recorded with their digests (`mbmf.runs.manifest`). A run holds a lock on its
directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mbmf.arguments import MAX_SEED
from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.json_text import parse_json
from mbmf.runs import layout, replace
from mbmf.runs.board import Board
from mbmf.runs.configuration import (
    check_config,
    check_recorded_identity,
    check_recorded_keyframe,
    comparable,
    read_config,
    with_model_file,
)
from mbmf.runs.configuration import first_difference as first_difference
from mbmf.runs.configuration import versions as versions
from mbmf.runs.iterations import check_other, iterations_of, with_iterations
from mbmf.runs.layout import CONFIG, FOLDERS, METRICS, SUMMARY, Layout
from mbmf.runs.lock import Lock
from mbmf.runs.manifest import Manifest
from mbmf.runs.records import Entry, finite, line_of, read_lines, read_record
from mbmf.runs.records import Record as Record
from mbmf.runs.services import Sender
from mbmf.runs.whole import check_files, listed
from mbmf.tasks.identity import Identity
from mbmf.words import show
from mbmf.yaml_text import read_text, write_yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# bytes of metrics: those of a million iterations, as many as a task may have, and some returns each
_MAX_METRICS = 4 << 30


class OtherConfigError(DataError):
    """A run is to be continued with another configuration than its own.

    Attributes:
        key, old, new: the first that differs, what the run has there, and what was asked for.
    """

    def __init__(self, file: Path, key: str, old: Any, new: Any) -> None:
        super().__init__(
            f"{file}: {key} must be {show(new)} to resume the run with this command, got {show(old)}"
        )
        self.key, self.old, self.new = key, old, new


class Run(Layout):
    """An open run directory, locked until `close`. Make it with `create`, `resume`, `reuse` or `read`.

    `Run(path)` alone is for a look at a run, which another process may be writing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.allow_other_task = False  # whether its files may be of the task as it was
        self._lock: Lock | None = None
        self._manifest: Manifest | None = None  # of a run that is written
        self._board = Board(path / layout.BOARD, self.metrics)
        self._senders: list[Sender] = []
        self._lines: list[str] | None = None  # of the metrics, once one was added

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], config: Mapping[str, Any], *, overwrite: bool = False
    ) -> Run:
        """A new run at ``path``; with ``overwrite``, in place of one that is there.

        Raises DataError if there is a run and ``overwrite`` is not set, if ``path`` holds anything else, if
        the run is in use, or if the directory cannot be written; ConfigError if no run can have ``config``.
        """
        check_config(config)
        run = cls(Path(path))
        run.check_new(overwrite)
        with run._opening(make=True):
            run.check_new(overwrite)  # another process may have been faster
            run._begin(config, keep=())
        return run

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        sections: tuple[str, ...] = (),
        allow_other_task: bool = False,
        other_iterations: bool = False,
    ) -> Run:
        """The run at ``path``, to be continued with the same configuration.

        Of the task's learning sections only those in ``sections`` are compared: what the algorithm uses.

        allow_other_task: go on with the robot as it is by now, whatever it was.
        other_iterations: a run of mbmf mb has the iterations of ``config`` from now on, were it finished with
            fewer; nothing may have been made of it yet.

        Raises DataError, before anything is changed, if there is none, if its configuration differs (the
        message names the first key that does) or its robot, if it has more iterations already, if a file is
        missing, changed or not the run's, if it is in use, or if the directory cannot be written.
        """
        check_config(config)
        run = cls(Path(path))
        run.allow_other_task = allow_other_task
        if not run.exists:
            run.config()  # says what there is
        with run._opening():
            found = run.config()
            before, iterations = iterations_of(found), iterations_of(config)
            goes_on = found
            if other_iterations and before is not None and iterations is not None:
                goes_on = Entry(with_iterations(found, iterations), str(run.path / CONFIG))
            difference = first_difference(comparable(goes_on, sections), comparable(config, sections))
            if difference is not None:
                raise OtherConfigError(run.path / CONFIG, *difference)
            if "identity" in config and not allow_other_task:
                wanted = Identity.from_data(config["identity"], "config")
                check_recorded_identity(found, run.path, wanted, config["task"]["name"])
                check_recorded_keyframe(found, run.path, config.get("keyframe"))
            run.check_files()
            done = len(run.metrics())
            if iterations is not None and iterations != before:
                check_other(run.path, before, iterations, done)
            replace.clear(run.path)
            run._manifest = Manifest(run.path)
            run._adopt()
            if iterations is not None and iterations != before:
                run._clear_saving()  # it was of another model
                run._write(CONFIG, write_yaml(dict(goes_on)))
            if iterations is not None and iterations > done:
                run.remove(run.path / SUMMARY)  # it is not over any more
        return run

    @classmethod
    def reuse(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        task: str,
        keep: tuple[str, ...],
        allow_other_task: bool = False,
    ) -> Run:
        """A new run in place of one of the same ``task``, of which the folders ``keep`` stay.

        allow_other_task: what stays may be of the task's robot as it was.

        Raises DataError as `resume` does, and if the run is another task's.
        """
        check_config(config)
        run = cls(Path(path))
        run.allow_other_task = allow_other_task
        if not run.exists:
            run.config()
        with run._opening():
            found = run.config()
            name = found["task"].get("name") if isinstance(found.get("task"), Mapping) else None
            if name != task:
                raise DataError(f"{run.path / CONFIG}: task must be {task} to use its files, got {name}")
            manifest = listed(run.path, found)
            if manifest is not None:
                manifest.check_folders(keep)
            run._begin(config, keep=keep)
        return run

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Run:
        """The run at ``path``, to take things from: nobody may change it meanwhile, others may read it too.

        Raises DataError if there is none, or if it is being written.
        """
        run = cls(Path(path))
        run.config()
        with run.writing(run.path / layout.LOCK):
            run._lock = Lock(run.path, write=False)
        return run

    @property
    def exists(self) -> bool:
        """There is a run at the path, be it one whose replacement was interrupted."""
        return (self.path / CONFIG).is_file() or replace.is_interrupted(self.path)

    def share(self, other: Run, folder: str) -> None:
        """Takes ``folder`` ("data" or "models") of another run for its own, to read from.

        Nobody may change the other run until this one is closed.
        """
        with self.writing(other.path / layout.LOCK):
            if self._lock is not None:
                self._lock.add_reader(other.path)
        manifest = listed(other.path, other.config())
        if manifest is not None:
            manifest.check_folders((folder,))
        self._shared[folder] = other.path / folder

    # what it says

    def config(self) -> Entry:
        """The configuration as it was written. Raises DataError if there is none or it is damaged."""
        try:
            return read_config(self.path)
        except FileNotFoundError:
            pass
        if replace.is_interrupted(self.path):
            raise DataError(
                f"{self.path}: run must be whole, got one whose replacement was interrupted: give that "
                "command again, or go on with the run that was there with --resume"
            )
        raise DataError(f"{self.path / CONFIG}: run must exist, got none{layout.others(self.path)}")

    def seed(self) -> int:
        """The seed that it was made with. Raises DataError if it has none."""
        seed = self.config().get("seed")
        if type(seed) is not int or not 0 <= seed <= MAX_SEED:
            raise DataError(f"{self.path / CONFIG}: seed must be a whole number, got {show(seed)}")
        return seed

    def metrics(self) -> list[Record]:
        """The records of the finished iterations, 1, 2, ...

        A last line that is cut off is left out. Raises DataError on other damage.
        """
        path = self.path / METRICS
        try:
            text = read_text(path, DataError, limit=_MAX_METRICS)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"{path}: metrics must be readable, got: {error.strerror or error}") from error
        return read_lines(text, str(path))

    def append_metrics(self, record: Record) -> None:
        """Adds the record of a finished iteration, on the disk when this returns."""
        if self._lines is None:
            self._lines = [line_of(each) for each in self.metrics()]
        lines = [*self._lines, line_of(record)]
        self._write(METRICS, "".join(lines))
        self._lines = lines
        self._board.add_record(record)
        for sender in self._senders:
            sender.send(record)

    def agree(self, checkpoint: Path, record: Record) -> None:
        """Adds the record of a checkpoint's iteration to the metrics, if a killed run did not come to that.

        Raises DataError if they are of other iterations.
        """
        done = len(self.metrics())
        if done not in (record["iteration"], record["iteration"] - 1):
            raise DataError(
                f"{self.path / METRICS}: metrics must be of {record['iteration']} iterations, "
                f"as {checkpoint} is, got {done}"
            )
        if done < record["iteration"]:
            self.append_metrics(record)

    def summary(self) -> Record | None:
        """The summary of a finished run, None before, and of one that went on when it had been finished."""
        path = self.path / SUMMARY
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{path}: summary must be readable JSON, got: {error}") from error
        summary = read_record(parse_json(data, f"{path}: summary"), str(path))
        iterations = summary.get("iterations")
        if isinstance(iterations, int) and iterations < len(self.metrics()):
            return None
        return summary

    def write_summary(self, summary: Record) -> None:
        """Marks the run as finished."""
        # a kill may have left what was kept of a stage (mbmf.runs.parts) after the stage was over
        shutil.rmtree(self.path / layout.UNFINISHED, ignore_errors=True)
        self._write(SUMMARY, json.dumps(finite(summary), indent=2, allow_nan=False) + "\n")

    def latest_iteration(self) -> int | None:
        """The last iteration that has a model. Raises DataError if the run had a later one."""
        folder = self.model(0).parent
        found = layout.iterations(folder, ".safetensors")
        for iteration in Manifest(folder.parent).models if found else ():
            if iteration > found[-1]:
                self.check(self.model(iteration))
        return max(found) if found else None

    def driving_model(self, iteration: int) -> Path:
        """The model that drove an iteration: its own, or the one that the run took over. Raises DataError."""
        reused = self.latest_model() if self.config().get("use_existing_dynamics_model") else None
        return self.model(iteration) if reused is None else reused

    def latest_model(self) -> Path | None:
        """The model of `latest_iteration`, with the same errors."""
        iteration = self.latest_iteration()
        return None if iteration is None else self.model(iteration)

    def check(self, path: Path) -> None:
        """Raises DataError if ``path``, a file of the run, is not there as the run wrote it."""
        root = next((each.parent for each in self._shared.values() if path.parent == each), self.path)
        try:
            self._check(root, path)
        except DataError:
            self._check(root, path)  # unless its process has just written another one

    @staticmethod
    def _check(root: Path, path: Path) -> None:
        manifest = Manifest(root)
        if not manifest.exists and (root / CONFIG).is_file():
            listed(root, read_config(root))
        manifest.check(path)

    def check_files(self) -> None:
        """Raises DataError if a file of the run is missing, changed, or not its own."""
        check_files(self.path, self.config(), self.metrics(), self.summary())

    # what it writes

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """What is written to the file that this gives takes the place of ``path`` when the block ends.

        A failure of the disk is a DataError that names ``path``, which is then as it was; so is a run
        directory that is not there any more.
        """
        try:
            self._check_place()
            if path.parent != self.path and path.parent.parent == self.path:
                path.parent.mkdir(exist_ok=True)
            if self._manifest is None or not Manifest.covers(self.path, path):
                yield path
                return
            new = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
            try:
                yield new
                self._check_place()
                self._manifest.replace(path, new)
            finally:
                with contextlib.suppress(OSError):
                    new.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(
                f"{path}: file must be writable, got: {reason}; nothing was half written"
            ) from error

    def remove(self, path: Path) -> None:
        """Removes a file of the run, if it is there."""
        with self.writing(path.parent):
            if path.exists():
                path.unlink()
            if self._manifest is not None:
                self._manifest.forget(path)
                self._manifest.settle()

    def log_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        """Adds figures, by name, to TensorBoard's events, and where else the records go."""
        self._board.add_figures(figures, iteration)
        for sender in self._senders:
            sender.add_figures(figures, iteration)

    def send_to(self, name: str, note: Callable[[str], None]) -> None:
        """Sends what is recorded, and will be, to a service (`mbmf.runs.services.NAMES`) too.

        note: is told where it is, or that the service failed, which ends nothing.

        Raises ConfigError where the service's package is missing.
        """
        sender = Sender(name, self.path, self.metrics, note)
        sender.open(self.config(), self.path / CONFIG)
        self._senders.append(sender)

    def close(self) -> None:
        """Flushes TensorBoard's events, takes leave of services, and frees the lock."""
        self._board.close()
        for sender in self._senders:
            sender.close(self._is_over())
        self._senders.clear()
        if self._lock is not None:
            if self._manifest is not None:
                with contextlib.suppress(OSError, DataError):
                    self._check_place()
                    self._manifest.settle()
            self._lock.close()
            self._lock = None

    def _is_over(self) -> bool:
        try:
            return self.summary() is not None
        except DataError:
            return False

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._check_place()
        finally:
            self.close()

    # how it begins

    def check_new(self, overwrite: bool) -> None:
        """Raises DataError if no new run may begin at the path."""
        if self.exists:
            if not overwrite:
                raise DataError(
                    f"{self.path}: run directory must be new, got an existing run: continue it with "
                    "--resume, or replace it with --overwrite"
                )
        elif self.path.exists() and (
            not self.path.is_dir()
            or any(each.name != layout.LOCK and not replace.is_leftover(each) for each in self.path.iterdir())
        ):
            raise DataError(f"{self.path}: run directory must be new or a run of mbmf, got something else")

    @contextlib.contextmanager
    def _opening(self, *, make: bool = False) -> Iterator[None]:
        """Takes the lock; puts a run back whose replacement was interrupted; makes the folders."""
        try:
            with self.writing(self.path):
                if make:
                    self.path.mkdir(parents=True, exist_ok=True)
                self._lock = Lock(self.path, write=True)
                replace.recover(self.path)
                yield
                for folder in FOLDERS:
                    (self.path / folder).mkdir(exist_ok=True)
        except BaseException:
            self.close()
            raise

    def _begin(self, config: Mapping[str, Any], keep: tuple[str, ...]) -> None:
        """A new run, in place of what there is but for ``keep``."""
        replace.clear(self.path)
        old = replace.Replacement(self.path, keep)
        try:
            with atomic_write(self.path / CONFIG) as file:
                file.write(write_yaml(with_model_file(config, self.path)).encode())
        except BaseException:
            old.undo()
            raise
        self._manifest = Manifest(self.path, read=False)
        self._manifest.keep(keep)
        self._manifest.record(self.path / CONFIG)
        self._manifest.save()
        old.commit()

    def _adopt(self) -> None:
        """Records the files of a run of an earlier release, and clears away what a finished one left."""
        assert self._manifest is not None
        self._manifest.trim()
        if not self._manifest.exists:
            self._manifest.keep(layout.KEPT)
            for name in (CONFIG, METRICS, SUMMARY):
                if (self.path / name).exists():
                    self._manifest.record(self.path / name)
        if (self.path / SUMMARY).exists():
            self._clear_saving()
        self._manifest.settle()

    def _clear_saving(self) -> None:
        """Clears away what was on the way to the rollouts for imitation."""
        for spare in (self.path / "rollouts").glob("saving_*.npz"):
            self.remove(spare)
        for unfinished in (self.path / layout.UNFINISHED).glob("saving_*"):
            shutil.rmtree(unfinished)

    def _check_place(self) -> None:
        if self._lock is not None:
            self._lock.check_place()

    def _write(self, name: str, text: str) -> None:
        with self.writing(self.path / name) as path, atomic_write(path) as file:
            file.write(text.encode())
