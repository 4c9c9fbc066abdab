"""Figures of runs of ``mbmf mb`` on the disk: they read what a run has, and say what it has not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mbmf.arguments import MAX_SEED
from mbmf.dynamics.model import DynamicsModel
from mbmf.errors import DataError
from mbmf.rollouts.baseline import collect_baseline
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.configuration import recorded_task
from mbmf.runs.layout import CONFIG, METRICS, iterations
from mbmf.runs.run import Record, Run
from mbmf.show.losses import RunLosses, plot_losses
from mbmf.show.overlays import is_upright
from mbmf.show.paths import Followed, plot_paths
from mbmf.show.plots import plot_forward_simulation, plot_learning_curve
from mbmf.show.run_curves import not_finished
from mbmf.tasks.task import Task
from mbmf.words import printed

Note = Callable[[str], None]


def open_model_based(path: Path, *, allow_other_task: bool = True) -> tuple[Run, Task, list[Record]]:
    """A run of ``mbmf mb``, for reading: its task as it was then, and the records of its iterations.

    allow_other_task: the robot may be another by now, which changes nothing of the recorded numbers.

    Raises DataError if there is none, it is another command's or damaged, or no iteration is finished.
    """
    run = Run(path)
    config = run.config()
    if config.get("algorithm") != "model_based" or not isinstance(config.get("task"), dict):
        raise DataError(
            f"{path}: run must be one of mbmf mb, got one of {printed(str(config.get('algorithm')))}"
        )
    records = run.metrics()
    if not records:
        raise DataError(f"{path}: run must have a finished iteration, got none yet")
    for name in (CONFIG, METRICS):
        run.check(path / name)
    return run, recorded_task(config, path, allow_other_task=allow_other_task), records


def _episodes(run: Run, path: Path, task: Task) -> Episodes:
    """Episodes of a run, as it wrote them."""
    episodes = Episodes.load(path, task=task, allow_other_task=True)
    run.check(path)
    return episodes


def _model(run: Run, path: Path, task: Task) -> DynamicsModel:
    """A model of a run, as it wrote it."""
    model = DynamicsModel.load(path, task, allow_other_task=True)
    run.check(path)
    return model


def loss_figure(paths: Sequence[Path], *, note: Note = warnings.warn) -> Figure:
    """`mbmf.show.losses.plot_losses` of runs; ``note`` is told what a run has not. Raises DataError."""
    losses = []
    for path in paths:
        run, task, records = open_model_based(path)
        if run.summary() is None:
            note(not_finished(path, len(records)))
        values: list[float | None] = []
        wanted = task.model_based is not None and task.model_based.random_validation is not None
        if run.data("validation").is_file():
            validation = _episodes(run, run.data("validation"), task)
            validation = validation.select(~validation.diverged)
            for record in records:
                model = run.driving_model(record["iteration"])
                found = _model(run, model, task) if model.is_file() else None
                values.append(None if found is None else found.loss(validation, allow_other_task=True))
        if wanted and (not values or None in values):
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
        if first is not None and (difference := task.identity.differences(first.identity)):
            raise DataError(f"{path}: robot, names and dt must be those of the first run, got {difference}")
        wanted = records[-1]["iteration"] if iteration is None else iteration
        model = run.driving_model(wanted)
        if not model.is_file():
            have = iterations(path / "models", ".safetensors")
            raise DataError(
                f"{model}: the model of iteration {wanted} must exist, "
                f"got {', '.join(map(str, have)) or 'none'}"
            )
        models[f"{path.name}, {model.stem.replace('_', ' ')}"] = _model(run, model, task)
        if first is None:
            if not run.rollouts(wanted).is_file():
                raise DataError(
                    f"{run.rollouts(wanted)}: rollouts of iteration {wanted} must exist, got none"
                )
            first, episodes = task, _episodes(run, run.rollouts(wanted), task)
    if first is None or episodes is None:
        raise ValueError("paths must be one or more runs, got none")
    return plot_forward_simulation(first, models, episodes, index=index, start=start, steps=steps)


def path_figure(paths: Sequence[Path], *, note: Note = warnings.warn) -> Figure:
    """`mbmf.show.paths.plot_paths` of runs: a panel of each iteration on each path that a run followed.

    A run's other paths, in its folder paths/, are drawn too; ``note`` is told what is missing.

    Raises DataError if no run followed a path, or a file is damaged.
    """
    panels: list[Followed] = []
    for path in paths:
        for folder in (path, *sorted((path / "paths").glob("*"))):
            if Run(folder).exists or folder == path:
                panels += _panels(folder, path.name, note)
            elif folder.is_dir():
                note(f"{folder / CONFIG}: configuration is missing")
    if not panels:
        names = ", ".join(str(path) for path in paths)
        raise DataError(f"runs must have rollouts that followed a path, got {names or 'none'}")
    return plot_paths(panels)


def _panels(folder: Path, name: str, note: Note) -> list[Followed]:
    """A panel of each iteration of one run on one path."""
    run, task, records = open_model_based(folder)
    if task.path is None or task.path_indices is None:
        note(f"{folder}: the task {task.name} follows no path")
        return []
    if run.summary() is None:
        note(not_finished(folder, len(records)))
    panels = []
    for record in records:
        path = run.rollouts(record["iteration"])
        if not path.is_file():
            note(f"{path}: rollouts are missing")
            continue
        episodes = _episodes(run, path, task)
        if episodes.path is None:
            note(f"{path}: the rollouts followed no path")
            continue
        origins, ends = episodes.path.origins, episodes.lengths + 1
        panels.append(
            Followed(
                f"{name}: {task.path.label}, iteration {record['iteration']}",
                episodes.path.waypoints,
                [
                    episodes.states[i, :end][:, list(task.path_indices)] - origins[i]
                    for i, end in enumerate(ends)
                ],
                [episodes.path.segments[i, :end] for i, end in enumerate(ends)],
                task.path.last_segment,
                task.dt,
                upright=is_upright(task),
                text=_tracking(record["tracking"]) if "tracking" in record else "",
            )
        )
    return panels


def _tracking(figures: Record) -> str:
    """The figures of an iteration's rollouts, in a line."""
    done = f"{figures['completed']} of {len(figures['rollouts'])}"
    most = max(rollout["distance_max"] for rollout in figures["rollouts"])
    apart = f"{figures['distance_mean']:.2f} m off the path, at most {most:.2f} m"
    return f"{done} past segment {figures['last_segment']}; {apart}"


def baseline(run: Run, task: Task) -> Episodes:
    """Random actions in episodes as long as the run's, which end as they do."""
    seed, settings = run.config().get("seed"), task.model_based
    assert settings is not None
    seed = seed if type(seed) is int and 0 <= seed <= MAX_SEED else 0
    return collect_baseline(task, settings.rollouts_per_iteration, settings.steps_per_rollout, seed=seed)


def reward_figure(path: Path, *, note: Note = warnings.warn) -> Figure:
    """`mbmf.show.plots.plot_learning_curve` of a run, beside random actions from the same starts.

    ``note`` is told why there are none. Raises DataError.
    """
    run, task, records = open_model_based(path)
    random: list[float] = []
    try:
        open_model_based(path, allow_other_task=False)
        random = baseline(run, task).returns.tolist()
    except DataError as error:  # the robot is another by now: what it does at random is no baseline
        note(f"{path}: no random actions are shown: {error}")
    return plot_learning_curve(
        [record["returns"] for record in records],
        random,
        task_name=f"{path.name} ({task.name})",
        points=[record["steps_total"] for record in records],
    )
