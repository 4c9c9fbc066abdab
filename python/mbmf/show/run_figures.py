"""Figures of runs of ``mbmf mb`` on the disk: they read what a run has, and say what it has not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mbmf.dynamics import DynamicsModel
from mbmf.episodes import Episodes
from mbmf.errors import DataError
from mbmf.run import Record, Run
from mbmf.show.losses import RunLosses, plot_losses, validation_loss
from mbmf.show.plots import plot_forward_simulation, plot_learning_curve
from mbmf.task import Task, load_task

Note = Callable[[str], None]


def open_model_based(path: Path) -> tuple[Run, Task, list[Record]]:
    """A run of ``mbmf mb``, for reading: its task as it was then, and the records of its iterations.

    Raises DataError if there is none, it is another command's or damaged, or no iteration is finished.
    """
    run = Run(path)
    config = run.config()
    if config.get("algorithm") != "model_based" or not isinstance(config.get("task"), dict):
        raise DataError(f"{path}: run must be one of mbmf mb, got one of {config.get('algorithm')}")
    records = run.metrics()
    if not records:
        raise DataError(f"{path}: run must have a finished iteration, got none yet")
    return run, load_task(config["task"]), records


def loss_figure(paths: Sequence[Path], *, note: Note = warnings.warn) -> Figure:
    """`mbmf.show.losses.plot_losses` of runs; ``note`` is told what a run has not. Raises DataError."""
    losses = []
    for path in paths:
        run, task, records = open_model_based(path)
        if run.summary() is None:
            note(f"{path}: the run is not finished, {len(records)} iterations are shown")
        values: list[float | None] = []
        if run.data("validation").is_file():
            validation = Episodes.load(run.data("validation"), task=task)
            validation = validation.select(~validation.diverged)
            for record in records:
                model = run.model(record["iteration"])
                values.append(
                    validation_loss(DynamicsModel.load(model, task), validation) if model.is_file() else None
                )
        if not values or None in values:
            note(f"{path}: validation data or models are missing: not every iteration has its loss on them")
        losses.append(RunLosses(f"{path.name} ({task.name})", records, values))
    return plot_losses(losses)


def forward_simulation_figure(
    paths: Sequence[Path],
    *,
    iteration: int | None = None,
    index: int = 0,
    start: int = 0,
    steps: int = 100,
) -> Figure:
    """`mbmf.show.plots.plot_forward_simulation` of the runs' models on an episode of the first run.

    Args:
        paths: runs of one task.
        iteration: whose models (default: each run's latest). The episode is one of the first run's rollouts
            of the same iteration, which its model has not been trained on.
        index, start, steps: as there.

    Raises DataError if a model or the rollouts are missing, or tasks differ; ValueError as the plot does.
    """
    models: dict[str, DynamicsModel] = {}
    episodes: Episodes | None = None
    first: Task | None = None
    for path in paths:
        run, task, records = open_model_based(path)
        if first is not None and task.name != first.name:
            raise DataError(f"{path}: task must be {first.name}, as of the first run, got {task.name}")
        wanted = records[-1]["iteration"] if iteration is None else iteration
        if not run.model(wanted).is_file():
            have = sorted(int(each.stem.split("_")[1]) for each in (path / "models").glob("iteration_*"))
            raise DataError(
                f"{run.model(wanted)}: the model of iteration {wanted} must exist, "
                f"got {', '.join(map(str, have)) or 'none'}"
            )
        models[f"{path.name}, iteration {wanted}"] = DynamicsModel.load(run.model(wanted), task)
        if first is None:
            if not run.rollouts(wanted).is_file():
                raise DataError(
                    f"{run.rollouts(wanted)}: rollouts of iteration {wanted} must exist, got none"
                )
            first, episodes = task, Episodes.load(run.rollouts(wanted), task=task)
    if first is None or episodes is None:
        raise ValueError("paths must be one or more runs, got none")
    return plot_forward_simulation(first, models, episodes, index=index, start=start, steps=steps)


def reward_figure(path: Path) -> Figure:
    """`mbmf.show.plots.plot_learning_curve` of a run, beside its random actions. Raises DataError."""
    run, task, records = open_model_based(path)
    random = run.data("train")
    return plot_learning_curve(
        [record["returns"] for record in records],
        Episodes.load(random, task=task).returns.tolist() if random.is_file() else (),
        task_name=f"{path.name} ({task.name})",
        points=[record["steps_total"] for record in records],
    )
