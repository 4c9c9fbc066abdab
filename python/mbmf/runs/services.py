"""Services that get what a run records, beside TensorBoard: what they have in common.

`wandb_service` and `mlflow_service` are one each. A run keeps in services/<name>.json which of a service's
runs is its own, and how many iterations that has by now: a resume goes on in it, and sends what is missing.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mbmf.errors import ConfigError, DataError
from mbmf.files import atomic_write
from mbmf.json_text import parse_json
from mbmf.runs.layout import SERVICES, enclosing
from mbmf.runs.records import Record, scalars
from mbmf.words import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: what `service` knows
NAMES = ("wandb", "mlflow")


class Service(Protocol):
    """One run of a service. What fails raises."""

    def open(self, about: About, known: str | None) -> tuple[str, str]:
        """Begins, or goes on with the run ``known``; returns its name there, and where it can be seen."""

    def add_numbers(self, numbers: Mapping[str, float], iteration: int) -> None:
        """Adds numbers, by name."""

    def add_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        """Adds figures, by name."""

    def close(self, finished: bool) -> None:
        """Ends the connection; ``finished``: the run is over, not interrupted."""


@dataclass(frozen=True)
class About:
    """What a service is told of a run: its name, its configuration, and the file that has it.

    folder: for what the service itself writes.
    """

    name: str
    config: Mapping[str, Any]
    file: Path
    folder: Path


def service(name: str) -> Service:
    """The service of one of `NAMES`. Raises ConfigError where its package is missing."""
    try:
        if name == "wandb":
            from mbmf.runs.wandb_service import WandbService

            return WandbService()
        from mbmf.runs.mlflow_service import MlflowService

        return MlflowService()
    except ImportError as error:
        raise ConfigError(
            f"--{name} needs the package {error.name or name}, which is not installed: "
            f'pip install "mbmf[{name}]"'
        ) from None


class Sender:
    """Sends a run's records to a service. What fails there is said once, and ends nothing.

    Args:
        path: of the run.
        records: what the run has recorded by now.
        note: is told where the run can be seen, or what failed.
    """

    def __init__(
        self, name: str, path: Path, records: Callable[[], Sequence[Record]], note: Callable[[str], None]
    ) -> None:
        self._name, self._path, self._records, self._note = name, path, records, note
        self._file = path / SERVICES / f"{name}.json"
        self._service: Service | None = None
        self._known: str | None = None
        self._sent = 0

    def open(self, config: Mapping[str, Any], config_file: Path) -> None:
        """Begins, or goes on, and sends what is missing. Raises ConfigError without the package."""
        found = service(self._name)

        def begin() -> None:
            self._read()
            self._file.parent.mkdir(exist_ok=True)
            about = About(_name(self._path), config, config_file, self._file.parent)
            self._known, where = found.open(about, self._known)
            self._service = found
            self._write()
            self._note(f"{self._name}: {where}")

        self._try(begin)
        self.send()

    def send(self, record: Record | None = None) -> None:
        """Sends the records that it does not have yet; ``record`` is the last of them."""

        def send(to: Service) -> None:
            next_one = record is not None and record["iteration"] == self._sent + 1
            missing = [record] if record and next_one else self._records()[self._sent :]
            for each in missing:
                to.add_numbers(dict(scalars(each)), each["iteration"])
                self._sent = each["iteration"]
                self._write()

        self._with_service(send)

    def add_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        self._with_service(lambda to: to.add_figures(figures, iteration))

    def close(self, finished: bool) -> None:
        self._with_service(lambda to: to.close(finished))
        self._service = None

    def _with_service(self, act: Callable[[Service], None]) -> None:
        to = self._service
        if to is not None:
            self._try(lambda: act(to))

    def _try(self, act: Callable[[], None]) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                act()
        except Exception as error:
            self._service = None
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._note(
                f"{self._name} failed and gets nothing more of this run for now: {reason}; what is "
                f"missing is sent when the run is resumed with --{self._name}"
            )

    def _read(self) -> None:
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return
        found = parse_json(text, str(self._file))
        if (
            not isinstance(found, dict)
            or not isinstance(found.get("run"), str)
            or not isinstance(found.get("iterations"), int)
        ):
            raise DataError(f"{self._file}: file must have a run and its iterations, got {show(found)}")
        self._known, self._sent = found["run"], found["iterations"]

    def _write(self) -> None:
        with atomic_write(self._file) as file:
            file.write(json.dumps({"run": self._known, "iterations": self._sent}).encode() + b"\n")


def _name(path: Path) -> str:
    """What a service calls a run: its folder, behind the name of the folder of runs unless that is the usual.

    The runs of a sweep, and those of several recipes, are called alike in folders of their own.
    """
    parent = enclosing(path)
    name = path.name if parent is None else f"{parent.name}/{path.name}"
    folder = (path if parent is None else parent).absolute().parent.name
    return name if folder in ("", "runs") else f"{folder}/{name}"
