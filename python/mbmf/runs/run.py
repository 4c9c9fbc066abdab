"""Run directories: what a run writes, where, and how it is found again after an interruption.

    runs/run_<N>/  config.yaml      the resolved configuration, seed and versions
                   metrics.jsonl    a line per finished iteration (JSON; infinite or missing numbers are null)
                   summary.json     of the finished run
                   tb/              the same numbers as TensorBoard events, rebuilt from metrics.jsonl
                   data/ models/ rollouts/ policy/ plots/ videos/
                   imitation/ mbmf_std<deviation>_<number>/    run directories of what starts from this run
                   paths/<path>/    run directories of other paths (mbmf.runs.path_runs)

Files are whole or absent, at any moment (`mbmf.files.atomic_write`). A run holds a lock on its directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import yaml

from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.tasks.record import comparable_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = dict[str, Any]

FOLDERS = ("data", "models", "rollouts", "plots", "videos")
_CONFIG, _METRICS, _SUMMARY, _BOARD, _LOCK = "config.yaml", "metrics.jsonl", "summary.json", "tb", ".lock"
# policies are those of the commands that start from a run's rollouts
_CONTENTS = (*FOLDERS, _METRICS, _SUMMARY, _BOARD, "policy", "paths", "imitation", "mbmf_std*")
# what may differ between a run and its continuation
_INCIDENTAL = ("nthread", "limits", "versions")


class Run:
    """An open run directory, locked until `close`. Make it with `create`, `resume`, `reuse` or `read`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[bytes] | None = None
        self._board: Any = None
        self._lines: list[str] | None = None  # of the metrics, once one was added
        self._shared: dict[str, Path] = {}  # folders that are another run's

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], config: Mapping[str, Any], *, overwrite: bool = False
    ) -> Run:
        """A new run at ``path``; with ``overwrite``, in place of one that is there.

        Raises DataError if there is a run and ``overwrite`` is not set, if ``path`` holds anything else, if
        the run is in use, or if the directory cannot be written.
        """
        run = cls(Path(path))
        if run.exists and not overwrite:
            raise DataError(
                f"{run.path}: run directory must be new, got an existing run: continue it with --resume, or "
                "replace it with --overwrite"
            )
        if not run.exists and run.path.exists() and (not run.path.is_dir() or run._foreign()):
            raise DataError(f"{run.path}: run directory must be new or a run of mbmf, got something else")
        with run._opening():
            run._remove_contents(keep=())
            run._write_config(config)
        return run

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], config: Mapping[str, Any], *, sections: tuple[str, ...] = ()
    ) -> Run:
        """The run at ``path``, to be continued with the same configuration.

        Of the task's learning sections only those in ``sections`` are compared: what the algorithm uses.

        Raises DataError if there is none, if its configuration differs (the message names the first key that
        does), if it is in use, or if the directory cannot be written.
        """
        run = cls(Path(path))
        found = run.config()
        difference = first_difference(_comparable(found, sections), _comparable(config, sections))
        if difference is not None:
            key, old, new = difference
            raise DataError(
                f"{run.path / _CONFIG}: {key} must be {new!r} to resume the run with this command, "
                f"got {old!r}"
            )
        with run._opening():
            pass
        return run

    @classmethod
    def reuse(
        cls, path: str | os.PathLike[str], config: Mapping[str, Any], *, task: str, keep: tuple[str, ...]
    ) -> Run:
        """A new run in place of one of the same ``task``, of which the folders ``keep`` stay.

        Raises DataError as `resume` does, and if the run is another task's.
        """
        run = cls(Path(path))
        found = run.config()
        name = found["task"].get("name") if isinstance(found.get("task"), Mapping) else None
        if name != task:
            raise DataError(f"{run.path / _CONFIG}: task must be {task} to use its files, got {name}")
        with run._opening():
            run._remove_contents(keep=keep)
            run._write_config(config)
        return run

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Run:
        """The run at ``path``, to take things from: nobody may change it meanwhile, others may read it too.

        Raises DataError if there is none, or if it is being written.
        """
        run = cls(Path(path))
        run.config()
        run._take_lock(fcntl.LOCK_SH)
        return run

    # where things are

    @property
    def exists(self) -> bool:
        """There is a run at the path."""
        return (self.path / _CONFIG).is_file()

    def share(self, other: Run, folder: str) -> None:
        """Takes ``folder`` ("data" or "models") of another run for its own, to read from."""
        self._shared[folder] = other.path / folder

    def data(self, name: str) -> Path:
        return self._shared.get("data", self.path / "data") / f"{name}.npz"

    def model(self, iteration: int) -> Path:
        return self._shared.get("models", self.path / "models") / f"iteration_{iteration}.safetensors"

    def rollouts(self, name: str | int) -> Path:
        return self.path / "rollouts" / (f"{name}.npz" if isinstance(name, str) else f"iteration_{name}.npz")

    def plot(self, name: str) -> Path:
        return self.path / "plots" / f"{name}.png"

    def video(self, name: str) -> Path:
        return self.path / "videos" / f"{name}.mp4"

    def policy(self, name: str) -> Path:
        return self.path / "policy" / f"{name}.safetensors"

    def latest_model(self) -> Path | None:
        """The model of the last iteration that has one."""
        found = [
            int(path.stem.removeprefix("iteration_"))
            for path in self.model(0).parent.glob("iteration_*.safetensors")
            if path.stem.removeprefix("iteration_").isdecimal()
        ]
        return self.model(max(found)) if found else None

    # what it says

    def config(self) -> dict[str, Any]:
        """The configuration as it was written. Raises DataError if there is none or it is damaged."""
        path = self.path / _CONFIG
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path}: run must exist, got none{_others(self.path)}") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise DataError(f"{path}: configuration must be readable YAML, got: {error}") from error
        if not isinstance(config, dict):
            raise DataError(f"{path}: configuration must be a mapping, got {type(config).__name__}")
        return config

    def metrics(self) -> list[Record]:
        """The records of the finished iterations, 1, 2, ...

        A last line that is cut off is left out. Raises DataError on other damage.
        """
        path = self.path / _METRICS
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        records = []
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                if number == len(lines) and not text.endswith("\n"):
                    break
                record = None
            if not isinstance(record, dict) or record.get("iteration") != number:
                raise DataError(
                    f"{path}:{number}: line must be the JSON record of iteration {number}, got {line!r}"
                )
            records.append(record)
        return records

    def append_metrics(self, record: Record) -> None:
        """Adds the record of a finished iteration, on the disk when this returns."""
        if self._lines is None:
            self._lines = [_line(each) for each in self.metrics()]
        lines = [*self._lines, _line(record)]
        self._write(_METRICS, "".join(lines))
        self._lines = lines
        self._log(record)

    def summary(self) -> Record | None:
        """The summary of a finished run, None before."""
        try:
            summary: Record = json.loads((self.path / _SUMMARY).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path / _SUMMARY}: summary must be readable JSON, got: {error}") from error
        return summary

    def write_summary(self, summary: Record) -> None:
        """Marks the run as finished."""
        self._write(_SUMMARY, json.dumps(_finite(summary), indent=2, allow_nan=False) + "\n")

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Turns a failure of the disk while ``path`` is written into a DataError that names it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(
                f"{path}: file must be writable, got: {reason}; nothing was half written"
            ) from error

    def close(self) -> None:
        """Flushes TensorBoard's events and frees the lock."""
        if self._board is not None:
            self._board.close()
            self._board = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        """Takes the lock, and clears away what a killed run left half written."""
        try:
            self._take_lock(fcntl.LOCK_EX)
            for unfinished in self.path.glob("**/.*.tmp"):
                unfinished.unlink(missing_ok=True)
            with self.writing(self.path):
                yield
                for folder in FOLDERS:
                    (self.path / folder).mkdir(exist_ok=True)
        except BaseException:
            self.close()
            raise

    def _take_lock(self, kind: int) -> None:
        with self.writing(self.path / _LOCK) as path:
            lock = open(path, "ab")  # noqa: SIM115 - kept for the run's life
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
            except OSError as error:
                lock.close()
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                raise DataError(f"{self.path}: run must not be in use, got one of another process") from None
        self._lock = lock

    def _foreign(self) -> bool:
        """The directory holds more than a run that was killed at once may have left."""
        return any(
            entry.name != _LOCK and not (entry.name.startswith(".") and entry.suffix == ".tmp")
            for entry in self.path.iterdir()
        )

    def _remove_contents(self, keep: tuple[str, ...]) -> None:
        """Removes what a run wrote, and nothing else."""
        for entry in [entry for name in _CONTENTS for entry in self.path.glob(name)]:
            if entry.name in keep:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _write_config(self, config: Mapping[str, Any]) -> None:
        text = yaml.safe_dump(dict(config), sort_keys=False, default_flow_style=None, width=100)
        self._write(_CONFIG, text)

    def _write(self, name: str, text: str) -> None:
        with self.writing(self.path / name) as path, atomic_write(path) as file:
            file.write(text.encode())

    def log_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        """Adds figures, by name, to TensorBoard's events."""
        self._open_board()
        for name, figure in figures.items():
            self._board.add_figure(name, figure, iteration)
        self._board.flush()

    def _log(self, record: Record) -> None:
        """Adds a record to TensorBoard's events."""
        if self._board is None:
            self._open_board()
        else:
            self._add_scalars(record)
        self._board.flush()

    def _open_board(self) -> None:
        """Begins TensorBoard's events, which start anew from metrics.jsonl in every process."""
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            shutil.rmtree(self.path / _BOARD, ignore_errors=True)
            self._board = SummaryWriter(str(self.path / _BOARD))
            for record in self.metrics():
                self._add_scalars(record)

    def _add_scalars(self, record: Record) -> None:
        for name, value in _scalars(record):
            self._board.add_scalar(name, value, record["iteration"])


def versions() -> dict[str, str]:
    """Of this package and of those that its numbers depend on."""
    found = {}
    for name in ("mbmf", "torch", "mujoco", "numpy", "gymnasium"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _comparable(config: Mapping[str, Any], sections: tuple[str, ...]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in _INCIDENTAL}
    if isinstance(kept.get("task"), Mapping):
        kept["task"] = comparable_task(kept["task"], sections)
    return kept


def first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key at which two configurations differ, and both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{key}.{name}" if key else str(name)
            found = first_difference(old.get(name), new.get(name), inner)
            if found is not None:
                return found
        return None
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        differences = (first_difference(a, b, f"{key}[{i}]") for i, (a, b) in pairs)
        return next((found for found in differences if found is not None), None)
    return None if old == new else (key, old, new)


def _line(record: Record) -> str:
    return json.dumps(_finite(record), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key != "iteration":
            yield prefix + key, float(value)


def _others(path: Path) -> str:
    """The runs beside one that is not there, in words."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    names = sorted((each.parent.name for each in path.parent.glob(f"*/{_CONFIG}")), key=lambda n: (len(n), n))
    return f"; in {path.parent} there are {', '.join(names) or 'no runs'}"
