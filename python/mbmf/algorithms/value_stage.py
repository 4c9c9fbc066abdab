"""Model-based learning's value: what ends the horizon of an iteration's plans."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from mbmf.algorithms.iteration import latest_episodes
from mbmf.errors import DataError
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.run import Record, Run
from mbmf.runs.trained import load_value
from mbmf.tasks.task import Task
from mbmf.values.value import ValueFunction


def existing(task: Task, run: Run) -> ValueFunction | None:
    """What belongs to the run's latest model, or None; also where the task is another one, without value."""
    iteration = run.latest_iteration()
    if iteration is None or task.config.value is None:
        return None
    return load_value(run, task, iteration, allow_other_task=run.allow_other_task)


def begins(task: Task, iteration: int, rollouts: list[Episodes]) -> bool:
    """Whether this iteration learns a value from the rollouts before it."""
    settings = task.config.value
    return settings is not None and iteration >= settings.first_iteration and bool(rollouts)


def learn(
    task: Task,
    run: Run,
    iteration: int,
    rollouts: list[Episodes],
    *,
    seed: int,
    fit_seed: int,
    nthread: int,
    stage: Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]],
    note: Callable[[str], None],
) -> tuple[ValueFunction | None, Record]:
    """The value for this iteration's plans, and what the metrics say of it.

    It is fitted anew to the latest episodes of control, so that a run that was interrupted has the same.
    Where the fit fails the horizon ends without a value, and ``note`` is told.

    stage, note: an observer's functions (`mbmf.algorithms.model_based.Observer`).
    """
    settings = task.config.value
    assert settings is not None
    value = ValueFunction(
        task,
        settings.hidden,
        settings.activation,
        seed,
        discount=settings.discount,
        trace=settings.trace,
        inputs=task.dynamics.model["inputs"],
    )
    with stage(f"iteration {iteration}: value", settings.rounds) as progress:
        try:
            fit = value.fit(
                latest_episodes(rollouts, settings.episodes),
                rounds=settings.rounds,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                seed=fit_seed,
                nthread=nthread,
                progress=progress,
                allow_other_task=run.allow_other_task,
            )
        except DataError as error:
            note(f"iteration {iteration}: plans end without a value: {error}")
            return None, {"value_explained": None}
    if fit.explained < 0:
        note(
            f"iteration {iteration}: the value knows less of the returns than their mean does "
            f"(value_explained {fit.explained:.3g}): value.learning_rate may be too large, or rounds too few"
        )
    with run.writing(run.value(iteration)) as path:
        value.save(path)
    return value, {"value_explained": fit.explained, "seconds_value": fit.seconds}
