"""Model-based reinforcement learning: learn the dynamics, control with them, learn from that (paper, section
IV).

Every number is a pure function of the task, the seed, the stage and the iteration, and every stage ends with
files, so a run that was interrupted continues to the same bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mbmf.algorithms import dynamics_stage, policy_stage, value_stage
from mbmf.algorithms.control_stage import Control, Learned
from mbmf.algorithms.iteration import make_record, part, validate, validate_on_control
from mbmf.algorithms.preconditions import (
    check_helps,
    check_memory,
    check_model,
    check_random_data,
    reused_model,
)
from mbmf.cluster.sampler import Here, Sampler
from mbmf.dynamics.model import HORIZONS, DynamicsModel
from mbmf.errors import ConfigError, DataError
from mbmf.rollouts import tracking
from mbmf.rollouts.episodes import Episodes
from mbmf.runs import parts
from mbmf.runs.configuration import task_entries
from mbmf.runs.manifest import digest_of
from mbmf.runs.path_runs import refuse_other_path, refuse_other_waypoints, results_path
from mbmf.runs.run import Record, Run, versions
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ModelBasedConfig
from mbmf.tasks.task import Task

# stages whose random numbers derive from the seed
_TRAIN, _VALIDATION, _MODEL, _FIT, _PLAN, _CONTROL, _VALUE, _POLICY = range(8)

# one thread makes a run's numbers independent of --nthread, and loses a fifth of the speed of training on two
TRAINING_THREADS = 1


@dataclass(frozen=True)
class Options:
    """What a run is, beside its task."""

    seed: int = 0
    nthread: int = 0
    num_rollouts_save_for_mf: int | None = None
    use_existing_training_data: bool = False
    use_existing_dynamics_model: bool = False


class Observer(Protocol):
    """Is told how a run goes on."""

    def stage(self, title: str, total: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """A stage of ``total`` units; the function takes the units done so far."""

    def iteration(self, record: Record, model: DynamicsModel, rollouts: Episodes) -> None:
        """An iteration is over, and on the disk."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


class Silent:
    """An observer that shows nothing."""

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Any:
        yield lambda done: None

    def iteration(self, record: Record, model: DynamicsModel, rollouts: Episodes) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def settings_of(task: Task) -> ModelBasedConfig:
    """The task's settings for this algorithm. Raises ConfigError if there are none or they do not fit."""
    settings = task.model_based
    if settings is None:
        raise ConfigError(
            f"task {task.name}: model_based must be given for model-based learning, got nothing"
        )
    if settings.random_validation is not None and settings.random_validation.steps <= max(HORIZONS):
        raise ConfigError(
            f"task {task.name}: model_based.random_validation.steps must be more than {max(HORIZONS)} for "
            f"the {max(HORIZONS)}-step validation error, got {settings.random_validation.steps}"
        )
    return settings


def open_run(
    path: Path,
    task: Task,
    options: Options,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_other_task: bool = False,
    other_iterations: bool = False,
) -> Run:
    """The run directory for these options; see `mbmf.runs.run.Run` for what is refused, and `path_runs` for
    where the results of another path than the run's go.

    allow_other_task: go on with, or use, what is of the task's robot as it was.
    other_iterations: a run that is resumed may have another number of iterations from now on.

    Raises DataError also where the task's networks do not fit into memory.
    """
    check_memory(task, settings_of(task), trains_model=not options.use_existing_dynamics_model)
    reuses = options.use_existing_training_data or options.use_existing_dynamics_model
    if overwrite and (reuses or resume):
        raise ConfigError(
            "overwrite must not be given together with resume, use_existing_training_data or "
            "use_existing_dynamics_model: it replaces the run, they go on with it"
        )
    config = {
        "algorithm": "model_based",
        **task_entries(task),
        "seed": options.seed,
        "num_rollouts_save_for_mf": options.num_rollouts_save_for_mf,
        "use_existing_training_data": options.use_existing_training_data,
        "use_existing_dynamics_model": options.use_existing_dynamics_model,
        "training_threads": TRAINING_THREADS,
        "nthread": options.nthread,
        "versions": versions(),
    }

    def resumed(where: Path) -> Run:
        return Run.resume(
            where,
            config,
            sections=("model_based", "planner", "dynamics", "value", "policy"),
            allow_other_task=allow_other_task,
            other_iterations=other_iterations,
        )

    def reused(where: Path, keep: tuple[str, ...]) -> Run:
        return Run.reuse(where, config, task=task.name, keep=keep, allow_other_task=allow_other_task)

    if not reuses:
        if not overwrite:
            refuse_other_path(path, task)
        return resumed(path) if resume else Run.create(path, config, overwrite=overwrite)
    results, kept = results_path(path, task), {"data": options.use_existing_training_data}
    kept["models"] = options.use_existing_dynamics_model
    refuse_other_waypoints(results, task)
    if not resume:
        existing = Run(path)
        existing.allow_other_task = allow_other_task
        existing.config()  # a run that is not there is said before its files are
        if options.use_existing_training_data:
            check_random_data(existing, task, settings_of(task))
        if options.use_existing_dynamics_model:
            check_model(reused_model(existing, task), existing, task)
            check_helps(existing, task)
    if results == path:
        keep = ("paths", *(folder for folder, wanted in kept.items() if wanted))
        return resumed(path) if resume else reused(path, keep)
    if options.use_existing_dynamics_model:
        config["driven_by"] = _driving_model(Run(path))
    if resume:
        _check_same_model(Run(results), config)
        run = resumed(results)
    elif Run(results).exists:
        run = reused(results, ())
    else:
        run = Run.create(results, config)
    run.allow_other_task = allow_other_task
    for folder, wanted in kept.items():
        if wanted:
            run.share(Run(path), folder)
    return run


def _driving_model(run: Run) -> str:
    """Which model drives the paths of a run: its iteration, and a digest of its file."""
    file = run.latest_model()
    return "none" if file is None else f"{file.stem} ({digest_of(file)[:16]})"


def _check_same_model(results: Run, config: Mapping[str, Any]) -> None:
    """Raises DataError if the results of a path, which are to go on, are those of another model."""
    begun = results.config().get("driven_by") if results.exists else None
    if begun is not None and begun != config.get("driven_by"):
        raise DataError(
            f"{results.path}: model must be the one that the path was begun with, {begun}, to go on with it, "
            f"got {config.get('driven_by')}: give the command without --resume to begin the path anew"
        )


def model_based(
    task: Task,
    run: Run,
    options: Options,
    observer: Observer | None = None,
    sampler: Sampler | None = None,
) -> Record:
    """Runs, or goes on with, model-based learning of ``task`` in ``run``; returns the run's summary.

    sampler: makes the episodes and validates; None: this process, with ``options.nthread`` threads.

    Raises DataError if the run's files are damaged or cannot be written, CoreError if no plan or simulation
    is possible any more. KeyboardInterrupt passes; what was finished is on the disk.
    """
    settings, observer = settings_of(task), observer or Silent()
    sampler = sampler or Here(options.nthread)
    finished = run.summary()
    if finished is not None:
        return finished

    # random data, for training and for validation
    train = _random_data(task, run, options, observer, sampler, "train", _TRAIN)
    validation = None
    if settings.random_validation is not None:
        validation = _random_data(task, run, options, observer, sampler, "validation", _VALIDATION)

    # aggregation: train, validate, control, and learn from the control
    done = len(run.metrics())
    rollouts = [
        Episodes.load(run.rollouts(i), task=task, allow_other_task=run.allow_other_task)
        for i in range(1, done + 1)
    ]
    model = _model(task, run, options, done)
    control = Control(
        task=task,
        run=run,
        settings=settings,
        plan_seed=_seed(options, _PLAN),
        seed=_seed(options, _CONTROL),
        sampler=sampler,
        stage=observer.stage,
        note=observer.note,
    )
    noted: set[str] = set()
    for iteration in range(done + 1, settings.iterations + 1):
        new = [part(batch, 0, settings.rollouts_for_training) for batch in rollouts]
        held_out = [part(batch, settings.rollouts_for_training, len(batch)) for batch in rollouts]

        fit = None
        if not options.use_existing_dynamics_model:
            fit = dynamics_stage.fit(
                model,
                task.dynamics,
                train,
                new,
                first=iteration == 1,
                seed=_seed(options, _FIT, iteration),
                nthread=TRAINING_THREADS,
                stage=observer.stage,
                title=f"iteration {iteration}: train",
            )
            for warning in fit.warnings:
                if warning not in noted:
                    observer.note(f"iteration {iteration}: dynamics model: {warning}")
            noted.update(fit.warnings)
            with run.writing(run.model(iteration)) as path:
                model.save(path)
        validated: Record = {}
        if validation is not None:
            with observer.stage(f"iteration {iteration}: validate", 1) as progress:
                episodes = Episodes.concatenate([validation, *(batch for batch in held_out if len(batch))])
                validated = {"validated_on": "random and held-out episodes"}
                validated |= sampler.call(validate, model, (episodes, HORIZONS))
                progress(1)

        learned, helped = _helps(task, run, model, options, iteration, rollouts, observer)

        start = time.perf_counter()
        count = settings.rollouts_per_iteration
        first = (iteration - 1) * count
        planned = dataclasses.replace(control, task=task.at_iteration(_planned_as(run, options, iteration)))
        batch = planned.episodes(learned, count, first, f"iteration {iteration}: control")
        seconds_control = time.perf_counter() - start
        with run.writing(run.rollouts(iteration)) as path:
            batch.save(path)
        control.forget(first)
        rollouts.append(batch)
        if validation is None:
            with observer.stage(f"iteration {iteration}: validate", 1) as progress:
                validated = sampler.call(validate_on_control, model, batch)
                progress(1)

        record = make_record(iteration, train, model, fit, validated, batch, seconds_control) | helped
        if task.path is not None:
            record["tracking"] = tracking.record(task, tracking.track(task, batch))
        run.append_metrics(record)
        observer.iteration(record, model, batch)

    # rollouts for imitation
    latest = Learned(model, value_stage.existing(task, run), policy_stage.existing(task, run))
    wanted = settings.rollouts_to_save
    if options.num_rollouts_save_for_mf is not None:
        wanted = options.num_rollouts_save_for_mf
    last = _planned_as(run, options, settings.iterations)
    planned = dataclasses.replace(control, task=task.at_iteration(last))
    return planned.save(latest, wanted)


# --- data


def _random_data(
    task: Task, run: Run, options: Options, observer: Observer, sampler: Sampler, name: str, stage: int
) -> Episodes:
    """The random episodes of a stage: those on the disk, or new ones. Diverged ones are left out."""
    settings = settings_of(task)
    wanted = settings.random_train if stage == _TRAIN else settings.random_validation
    assert wanted is not None
    path = run.data(name)
    if path.exists():
        episodes = Episodes.load(path, task=task, allow_other_task=run.allow_other_task)
    else:
        with observer.stage(f"random data for {name}", wanted.episodes * wanted.steps) as progress:
            episodes = parts.collect_in_parts(
                run,
                name,
                task,
                wanted.episodes,
                lambda first, count, before: sampler.random(
                    task,
                    count,
                    wanted.steps,
                    seed=_seed(options, stage),
                    first_episode=first,
                    progress=lambda steps: progress(before + steps),
                ),
                at_once=sampler.in_pieces,
            )
        with run.writing(path) as new:
            episodes.save(new)
        parts.forget(run, name)
    return _healthy(episodes, f"{path}", observer)


def _healthy(episodes: Episodes, name: str, observer: Observer) -> Episodes:
    """Without the episodes that diverged: MuJoCo's states are large long before it gives up."""
    count = int(episodes.diverged.sum())
    if count == len(episodes):
        raise DataError(f"{name}: episodes must not diverge, got all {count} diverged")
    if count:
        observer.note(f"{name}: {count} of {len(episodes)} episodes diverged and are left out")
        return episodes.select(~episodes.diverged)
    return episodes


# --- model


def _model(task: Task, run: Run, options: Options, done: int) -> DynamicsModel:
    """The model as the last finished iteration left it, or a new one."""
    if options.use_existing_dynamics_model:
        return reused_model(run, task)
    if done:
        return DynamicsModel.load(run.model(done), task, allow_other_task=run.allow_other_task)
    return DynamicsModel(task, seed=_seed(options, _MODEL), **task.dynamics.model)


# --- what helps the planner


def _helps(
    task: Task,
    run: Run,
    model: DynamicsModel,
    options: Options,
    iteration: int,
    rollouts: list[Episodes],
    observer: Observer,
) -> tuple[Learned, Record]:
    """What an iteration plans with, as far as the task says so, and what the metrics say of it."""
    if options.use_existing_dynamics_model:
        return Learned(model, value_stage.existing(task, run), policy_stage.existing(task, run)), {}
    found: dict[str, Any] = {"value": None, "policy": None}
    record: Record = {}
    for name, stage, purpose in (("value", value_stage, _VALUE), ("policy", policy_stage, _POLICY)):
        if stage.begins(task, iteration, rollouts):
            found[name], learned = stage.learn(
                task,
                run,
                iteration,
                rollouts,
                seed=_seed(options, purpose),
                fit_seed=_seed(options, purpose, iteration),
                nthread=TRAINING_THREADS,
                stage=observer.stage,
                note=observer.note,
            )
            record |= learned
    return Learned(model, **found), record


def _planned_as(run: Run, options: Options, iteration: int) -> int:
    """The iteration whose model is planned with: this one, or that of the model which the run took over."""
    reused = run.latest_iteration() if options.use_existing_dynamics_model else None
    return iteration if reused is None else reused


# --- bookkeeping


def _seed(options: Options, stage: int, iteration: int = 0) -> int:
    return derive_seed(options.seed, stage, iteration)
