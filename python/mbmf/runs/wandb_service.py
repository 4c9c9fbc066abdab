"""Weights & Biases, which the environment sets up: WANDB_MODE, WANDB_PROJECT, WANDB_API_KEY and others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import wandb

from mbmf.runs.services import About

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class WandbService:
    """A run of W&B (`mbmf.runs.services.Service`). Without a network: WANDB_MODE=offline."""

    def __init__(self) -> None:
        if not hasattr(wandb, "init"):  # a folder of that name, where W&B wrote
            raise ModuleNotFoundError("no package wandb", name="wandb")
        self._run: Any = None

    def open(self, about: About, known: str | None) -> tuple[str, str]:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mbmf"),
            name=about.name,
            id=known,
            resume="allow",
            config=dict(about.config),
            allow_val_change=True,
            dir=about.folder,
            reinit="create_new",
            # the terminal is ours
            settings=wandb.Settings(console="off", silent=True),
        )
        return self._run.id, self._run.settings.sync_dir if self._run.offline else self._run.url

    def add_numbers(self, numbers: Mapping[str, float], iteration: int) -> None:
        self._run.log(dict(numbers), step=iteration, commit=True)

    def add_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        self._run.log({name: wandb.Image(figure) for name, figure in figures.items()}, step=iteration + 1)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)
