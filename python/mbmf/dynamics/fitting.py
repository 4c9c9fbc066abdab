"""Fits of a dynamics model: from episodes to normalised data, training, and which members plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mbmf.dynamics.normalization import (
    Normalization,
    Statistics,
    add_noise,
    columns_of_each,
    make_predicted,
    number_seen,
    what_is_seen,
)
from mbmf.dynamics.options import FitOptions
from mbmf.dynamics.settings import Settings
from mbmf.errors import DataError
from mbmf.nn.memory import check_training
from mbmf.nn.mlp_state import MlpState, truncated_normal, xavier_normal
from mbmf.tasks.ensembles import given_states

if TYPE_CHECKING:
    import torch

    from mbmf.nn.training import History, Trainer
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

# streams of random numbers that derive from a seed
_WEIGHTS, _NOISE, _BATCHES, _BOOTSTRAP, _HELD_OUT = range(5)
# a log variance so near a bound is at it, and so many points say whether it is so everywhere
_AT_BOUND, _BOUND_POINTS = 0.05, 4096


@dataclass(frozen=True)
class FitResult:
    """What a fit did. Losses are mean squared errors of what is predicted, normalised, over all dimensions
    and averaged over members.
    """

    losses: tuple[float, ...]
    """Mean loss of each epoch's batches."""
    loss_old: float
    """Loss on all of ``data`` after the fit."""
    loss_new: float | None
    """Loss on all of ``new_data`` after the fit; None if there was none."""
    points_old: int
    points_new: int
    seconds: float
    likelihoods: tuple[float, ...] | None = None
    """Of a probabilistic model: the mean of each epoch's batches' negative log likelihoods (without their
    constant and halves: (mean - y)^2 / variance + log variance), which it is trained with."""
    member_losses: tuple[float, ...] = ()
    """What each member is judged by: its loss (a probabilistic one's likelihood) on what is held out, or
    without that on all data; NaN for one that failed."""
    held_out_loss: float | None = None
    """The mean of the members' losses on what is held out; None without."""
    epochs: int = 0
    """Epochs that were run."""
    best_epoch: int = 0
    """The epoch, from 1, whose weights were kept."""
    elites: tuple[int, ...] = (0,)
    """The members that plan."""
    failed: tuple[int, ...] = ()
    """Members whose loss was not finite, which keep their weights from before; see ``drop_failed``."""
    warnings: tuple[str, ...] = ()
    """What a user should know of this fit: states left out, variances at their bounds, members that
    failed."""

    @property
    def loss(self) -> float:
        """The training loss: that of the last epoch."""
        return self.losses[-1]


@dataclass(frozen=True)
class Trained:
    """What a fit leaves: parameters, statistics, the members that plan, how many points there were."""

    mlp: MlpState
    normalization: Normalization
    elites: tuple[int, ...]
    points: int | None = None  # None: read from an early file


def layer_sizes_of(settings: Settings, task: Task) -> tuple[int, ...]:
    """Of the network: inputs, hidden layers, outputs (with the log variances of a probabilistic one)."""
    outputs = task.nstate * (2 if settings.probabilistic else 1)
    return (number_seen(settings.inputs) + task.naction, *settings.hidden, outputs)


def fit(
    task: Task,
    settings: Settings,
    before: Trained | None,
    chunks: Sequence[tuple[str, Episodes]],
    options: FitOptions,
) -> tuple[Trained, FitResult]:
    """Trains on named data sets, the first of which is the old data; see `DynamicsModel.fit`."""
    from mbmf.nn import training

    start = time.perf_counter()
    sizes = layer_sizes_of(settings, task)
    points = [episodes.nsteps for _, episodes in chunks]
    check_training(
        sizes,
        settings.members,
        options.batch_size,
        sum(points),
        keeps_best=options.patience is not None,
    )
    rows, normalization = _rows(task, settings, before, chunks, options)
    points_old, points_new = points[0], sum(points[1:])
    held_out = _held_out(sum(points), options)
    with training.torch_threads(options.nthread):
        trainer = training.Trainer(
            _start(settings, before, sizes),
            settings.activation,
            settings.weight_decay,
            settings.beta,
            _judged(task, normalization),
        )
        history = _train(trainer, rows, points_old, held_out, settings, options)
        old = trainer.evaluate(rows[:points_old])
        new = trainer.evaluate(rows[points_old:]) if points_new else None
        mlp = trainer.state()
        if held_out is None:
            both = old.loss * points_old + (new.loss * points_new if new is not None else 0.0)
            judged = both / (points_old + points_new)
        else:
            judged = history.held_out[history.best]
        whole = np.isfinite([*history.likelihoods, old.loss, judged]).all(axis=0) & _finite_members(mlp)
        failed = tuple(int(member) for member in np.flatnonzero(~whole))
        _raise_for_failed(failed, settings, options, history)
        warnings = [f"member {member} failed: its loss was not finite" for member in failed]
        if failed:
            kept = before.mlp if before is not None else _start(settings, None, sizes)
            mlp = mlp.with_members_of(kept, failed)
            if not mlp.has_finite_bounds():
                mlp = mlp.with_bounds_of(kept)
        elites = _elites(judged, whole, settings.elites)
        warnings += _left_out(task, normalization, settings)
        warnings += _variances(task, trainer, mlp, rows, elites, normalization.delta)
    judged = np.where(whole, judged, np.nan)
    result = FitResult(
        losses=tuple(history.losses),
        loss_old=training.finite_mean(old.squares),
        loss_new=None if new is None else training.finite_mean(new.squares),
        points_old=points_old,
        points_new=points_new,
        seconds=time.perf_counter() - start,
        likelihoods=tuple(map(training.finite_mean, history.likelihoods)) if settings.probabilistic else None,
        member_losses=tuple(map(float, judged)),
        held_out_loss=None if held_out is None else training.finite_mean(judged),
        epochs=len(history.losses),
        best_epoch=history.best + 1,
        elites=elites,
        failed=failed,
        warnings=tuple(warnings),
    )
    return Trained(mlp, normalization, elites, sum(points)), result


def loss(task: Task, settings: Settings, trained: Trained, episodes: Episodes) -> float:
    """What `FitResult.loss_old` is of the fit's data, of other episodes; see `DynamicsModel.loss`."""
    from mbmf.nn import training

    states, actions, targets = transitions(task, episodes, "episodes")
    _set_targets(task, settings, states, targets)
    trainer = training.Trainer(trained.mlp, settings.activation, settings.weight_decay, settings.beta)
    rows = _packed(settings, trained.normalization, states, actions, targets)
    with training.torch_threads(1):
        return training.finite_mean(trainer.evaluate(rows).squares)


# --- data


def _rows(
    task: Task,
    settings: Settings,
    before: Trained | None,
    chunks: Sequence[tuple[str, Episodes]],
    options: FitOptions,
) -> tuple[torch.Tensor, Normalization]:
    """All points, normalised and packed, and the statistics."""
    from mbmf.nn import training

    normalization = before.normalization if before is not None and settings.statistics == "kept" else None
    parts = []
    for i, (name, episodes) in enumerate(chunks):
        states, actions, deltas = transitions(task, episodes, name)
        _set_targets(task, settings, states, deltas)
        rng = generator(settings.seed, _NOISE, i)
        add_noise(states, options.noise, rng)
        add_noise(deltas, options.noise, rng)
        if normalization is None and settings.statistics == "kept":
            normalization = _statistics(task, settings, states, actions, deltas)
        parts.append((states, actions, deltas))
    if normalization is None:
        normalization = _statistics(
            task, settings, *(np.concatenate(columns) for columns in zip(*parts, strict=True))
        )
    packed = []
    while parts:
        states, actions, deltas = parts.pop(0)
        packed.append(_packed(settings, normalization, states, actions, deltas))
    return training.concatenate(packed), normalization


def _packed(
    settings: Settings,
    normalization: Normalization,
    states: NDArray[np.float64],
    actions: NDArray[np.float32],
    targets: NDArray[np.float64],
) -> torch.Tensor:
    from mbmf.nn import training

    inputs = normalization.inputs(what_is_seen(states, settings.inputs), actions)
    return training.pack(inputs, normalization.delta.normalize(targets))


def _set_targets(
    task: Task, settings: Settings, states: NDArray[np.float64], deltas: NDArray[np.float64]
) -> None:
    """Makes the differences of states what the networks learn to predict, in place."""
    make_predicted(states, deltas, settings.inputs, settings.outputs)
    # nothing is to be learned of what is given
    deltas[:, given_states(task.state_names)] = 0.0


def _statistics(
    task: Task,
    settings: Settings,
    states: NDArray[np.float64],
    actions: NDArray[np.float32],
    deltas: NDArray[np.float64],
) -> Normalization:
    mapped = any(word != "value" for word in settings.inputs)
    found = Normalization.of(states, actions, deltas, settings.inputs if mapped else None)
    for what, statistics in (("states", found.state), ("changes of states", found.delta)):
        statistics.check(f"training data: {what}", task.state_names)
    return found


def transitions(
    task: Task, episodes: Episodes, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
    """Copies of s, a and s' - s of all steps, checked."""
    states, actions, next_states = episodes.transitions()
    if len(states) == 0:
        raise DataError(f"{name} must have at least one step, got none in {len(episodes)} episodes")
    for values, size in ((states, task.nstate), (actions, task.naction)):
        if values.shape[1] != size:
            raise DataError(
                f"{name} must have {task.nstate} states and {task.naction} actions, "
                f"got {states.shape[1]} and {actions.shape[1]}"
            )
    for what, values in (("states", states), ("actions", actions), ("states", next_states)):
        if not np.isfinite(values).all():
            raise DataError(f"{name}.{what} must be finite, got NaN or infinity")
    return np.array(states), actions, next_states - states


def _judged(task: Task, normalization: Normalization) -> NDArray[np.bool_]:
    """The states by whose predictions members and epochs are judged: not those that never change, nor those
    that are given, whose outputs no prediction reads."""
    judged: NDArray[np.bool_] = (normalization.delta.std > 0) & ~np.array(given_states(task.state_names))
    return judged


def _held_out(points: int, options: FitOptions) -> NDArray[np.bool_] | None:
    """Which points are held out, drawn from the seed; None if none are."""
    if options.validation_share == 0:
        return None
    count = round(options.validation_share * points)
    if not 0 < count < points:
        raise DataError(
            f"validation_share must hold out at least one point and leave one, got "
            f"{options.validation_share:g} of {points}"
        )
    chosen = np.zeros(points, bool)
    chosen[generator(options.seed, _HELD_OUT).permutation(points)[:count]] = True
    return chosen


# --- training


def _start(settings: Settings, before: Trained | None, sizes: tuple[int, ...]) -> MlpState:
    if before is not None:
        return before.mlp
    rng = generator(settings.seed, _WEIGHTS)
    if settings.members == 1 and not settings.probabilistic:
        return xavier_normal(sizes, rng)
    return truncated_normal(sizes, settings.members, rng, probabilistic=settings.probabilistic)


def _train(
    trainer: Trainer,
    rows: torch.Tensor,
    old: int,
    held_out: NDArray[np.bool_] | None,
    settings: Settings,
    options: FitOptions,
) -> History:
    import torch

    apart = None
    if held_out is not None:
        old -= int(held_out[:old].sum())
        if old == 0 and options.fraction_use_new is not None:
            raise DataError(
                f"validation_share must leave an old point to train on where fraction_use_new = "
                f"{options.fraction_use_new:g} is of new ones, got {options.validation_share:g}, which holds "
                "out all of them"
            )
        apart, rows = rows[torch.from_numpy(held_out)], rows[torch.from_numpy(~held_out)]
    pool = options.fraction_use_new is None
    return trainer.train(
        rows,
        len(rows) if pool else old,
        epochs=options.epochs,
        batch_size=options.batch_size,
        fraction_use_new=options.fraction_use_new or 0.0,
        learning_rate=options.learning_rate,
        final_learning_rate=options.final_learning_rate,
        rng=generator(options.seed, _BATCHES),
        progress=options.progress,
        bootstrap=generator(options.seed, _BOOTSTRAP) if settings.bootstrap else None,
        held_out=apart,
        patience=options.patience,
    )


def _finite_members(mlp: MlpState) -> NDArray[np.bool_]:
    """Which members have finite parameters and moments, if the bounds that they share are."""
    finite = np.ones(mlp.members, bool)
    for array in (*mlp.layers, *mlp.first, *mlp.second):
        finite &= np.isfinite(array.reshape(mlp.members, -1)).all(axis=1)
    if mlp.bounds is not None and not np.isfinite(mlp.bounds).all():
        finite[:] = False
    return finite


def _raise_for_failed(
    failed: tuple[int, ...], settings: Settings, options: FitOptions, history: History
) -> None:
    if not failed or (options.drop_failed and len(failed) < settings.members):
        return
    which = ""
    if settings.members > 1:
        which = f" in {'member' if len(failed) == 1 else 'members'} {', '.join(map(str, failed))}"
    loss = history.likelihoods[-1][failed[0]]
    raise DataError(
        f"training of the dynamics model diverged{which} (loss {loss} in the last of {len(history.losses)} "
        f"epochs): learning_rate must be smaller, got {options.learning_rate}"
    )


def _elites(judged: NDArray[np.float64], whole: NDArray[np.bool_], elites: int | None) -> tuple[int, ...]:
    """The members that plan: all that are whole, or so many of them with the least loss, in their order."""
    order = np.argsort(np.where(whole, judged, np.inf), kind="stable")
    count = int(whole.sum())
    chosen = order[: count if elites is None else min(elites, count)]
    return tuple(sorted(int(member) for member in chosen))


# --- what a user should know


def _left_out(task: Task, normalization: Normalization, settings: Settings) -> list[str]:
    """Names the states that the data cannot say anything of."""
    counts = columns_of_each(settings.inputs)
    ends = np.cumsum(counts)
    # what holds for a quaternion or a vector is said of its first state
    still = [
        name
        for name, count, end in zip(task.state_names, counts, ends, strict=True)
        if count > 0 and not normalization.seen.std[end - count : end].any()
    ]
    if not still:
        return []
    return [f"left out of what the model sees, as constant in the data of its statistics: {', '.join(still)}"]


def _variances(
    task: Task,
    trainer: Trainer,
    mlp: MlpState,
    rows: torch.Tensor,
    elites: tuple[int, ...],
    predicted: Statistics,
) -> list[str]:
    """Names the states whose predicted variance collapsed or exploded."""
    if mlp.bounds is None:
        return []
    upper, lower = mlp.bounds
    log_variances = trainer.log_variances(rows[:_BOUND_POINTS])[list(elites)]
    moves = predicted.std > 0
    cases = (
        (upper <= lower, "the bounds of the log variance have crossed"),
        (
            (log_variances - lower < _AT_BOUND).all(axis=(0, 1)) & (upper > lower),
            "the variance has collapsed: it is at its lower bound everywhere",
        ),
        (
            (upper - log_variances < _AT_BOUND).all(axis=(0, 1)) & (upper > lower),
            "the variance has exploded: it is at its upper bound everywhere",
        ),
    )
    found = []
    for chosen, text in cases:
        names = [task.state_names[i] for i in np.flatnonzero(chosen & moves)]
        if names:
            found.append(f"{text}, for {', '.join(names)}")
    return found


def generator(seed: int, stream: int, index: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, stream, index))))
