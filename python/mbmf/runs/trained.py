"""What a run of ``mbmf mb`` learned: its task and one of its dynamics models."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from mbmf.dynamics.model import DynamicsModel
from mbmf.errors import DataError
from mbmf.runs.run import Run
from mbmf.tasks.task import Task, load_task


@dataclasses.dataclass(frozen=True)
class Trained:
    """A learned model, where it is from, and the run's seed.

    Attributes:
      task, model: of the run.
      seed: of the run.
      iteration: whose model it is.
      path: the model's file.
    """

    task: Task
    model: DynamicsModel
    seed: int
    iteration: int
    path: Path


def load_trained(run_path: str | os.PathLike[str], iteration: int | None = None) -> Trained:
    """The task and the model of a run's directory (``runs/run_1``); that of its last iteration by default.

    Raises DataError, which names the file, if there is no such run or model.
    """
    run = Run(Path(run_path))
    config = run.config()
    where = run.path / "config.yaml"
    if config.get("algorithm") != "model_based" or not isinstance(config.get("task"), dict):
        raise DataError(f"{where}: run must be one of mbmf mb, got one of {config.get('algorithm')}")
    path = run.latest_model() if iteration is None else run.model(iteration)
    if path is None or not path.is_file():
        which = "a dynamics model" if iteration is None else f"the model of iteration {iteration}"
        raise DataError(f"{run.path / 'models'}: {which} must exist, got none")
    task = load_task(config["task"])
    seed = config.get("seed")
    if not isinstance(seed, int) or seed < 0:
        raise DataError(f"{where}: seed must be a whole number, got {seed!r}")
    return Trained(
        task, DynamicsModel.load(path, task), seed, int(path.stem.removeprefix("iteration_")), path
    )
