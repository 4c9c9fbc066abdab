"""The options of commands whose records services outside may get."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.terminal import note

if TYPE_CHECKING:
    from mbmf.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """Fields that commands share."""

    wandb: bool = False
    """Send the records to Weights & Biases too (docs/howto/services.md). Needs mbmf[wandb]."""

    mlflow: bool = False
    """Send the records to MLflow too (docs/howto/services.md). Needs mbmf[mlflow]."""

    @property
    def services(self) -> list[str]:
        return [name for name in ("wandb", "mlflow") if getattr(self, name)]

    def check_services(self) -> None:
        """Raises ConfigError where a package is missing."""
        if self.services:
            from mbmf.runs.services import service

            for name in self.services:
                service(name)

    def send(self, run: Run, say: Callable[[str], None] = note) -> None:
        """Sends what ``run`` has recorded, and what it will."""
        for name in self.services:
            run.send_to(name, say)

    def send_all(self, paths: Iterable[Path]) -> None:
        """Sends what the runs at ``paths`` have recorded; those that are not there are left out."""
        if self.services:
            from mbmf.runs.run import Run

            for path in paths:
                if Run(path).exists:
                    with Run.read(path) as run:
                        self.send(run)
