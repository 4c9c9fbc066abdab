"""What an iteration of model-based learning is judged by, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mbmf.dynamics.model import HORIZONS, DynamicsModel, FitResult
from mbmf.dynamics.validation import CALIBRATION_HORIZONS
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.run import Record


def part(batch: Episodes, first: int, last: int) -> Episodes:
    """Episodes [first, last) of a batch, without those that diverged."""
    index = np.arange(len(batch))
    return batch.select((first <= index) & (index < last) & ~batch.diverged)


def latest_episodes(rollouts: Sequence[Episodes], count: int) -> Episodes:
    """The last batches, whole, that have ``count`` episodes or more in all; as many as there are.

    Raises ValueError if there is no batch.
    """
    latest: list[Episodes] = []
    for batch in reversed(rollouts):
        if sum(map(len, latest)) >= count:
            break
        latest.insert(0, batch)
    return Episodes.concatenate(latest)


def validate(model: DynamicsModel, on: tuple[Episodes, Sequence[int]], nthread: int) -> Record:
    """Open-loop errors on episodes, at horizons, and of an ensemble how sure it is, and whether rightly."""
    episodes, horizons = on
    errors = model.validation_error(episodes, horizons, nthread=nthread)
    record: Record = {"validation_error": {str(horizon): error for horizon, error in errors.items()}}
    if len(model.elites) > 1 or model.probabilistic:
        ahead = [h for h in CALIBRATION_HORIZONS if h <= max(horizons)]
        if len(model.elites) == 1 and model.settings.propagate == "expectation":
            ahead = [1]
        shares = model.calibration(episodes, ahead, nthread=nthread)
        record["calibration"] = {
            str(h): {f"{level:g}": share for level, share in row.items()} for h, row in shares.items()
        }
    if len(model.elites) > 1:
        record["deviation_over_members"] = model.deviation_over_members(episodes, nthread=nthread)
    return record


def validate_on_control(model: DynamicsModel, rollouts: Episodes, nthread: int) -> Record:
    """On an iteration's own rollouts, which no model has learned from, as far ahead as they are long."""
    record: Record = {"validated_on": "the iteration's own rollouts"}
    episodes = part(rollouts, 0, len(rollouts))
    horizons = [h for h in HORIZONS if max(episodes.lengths, default=0) > h]
    if not horizons:
        return record | {"validation_error": {}}
    return record | validate(model, (episodes, horizons), nthread)


def make_record(
    iteration: int,
    train: Episodes,
    model: DynamicsModel,
    fit: FitResult | None,
    validated: Record,
    rollouts: Episodes,
    seconds_control: float,
) -> Record:
    """The record of an iteration, but for its path; ``fit`` is None where the model was there already."""
    # a model that was there learned from its own data, whatever this run has
    points_old = fit.points_old if fit else model.points or train.nsteps
    points_new = fit.points_new if fit else 0
    returns = rollouts.returns
    record = {
        "iteration": iteration,
        "points_old": points_old,
        "points_new": points_new,
        "steps_total": points_old + points_new,
        "loss_train": fit.loss if fit else None,
        "loss_old": fit.loss_old if fit else None,
        "loss_new": fit.loss_new if fit else None,
        **validated,
        "reward_mean": float(returns.mean()),
        "reward_std": float(returns.std()),
        "returns": [float(value) for value in returns],
        "episode_length_mean": float(rollouts.lengths.mean()),
        "diverged": int(rollouts.diverged.sum()),
        "seconds_training": fit.seconds if fit else 0.0,
        "seconds_control": seconds_control,
    }
    if fit is not None and fit.held_out_loss is not None:
        record |= {"loss_held_out": fit.held_out_loss, "epochs": fit.epochs, "best_epoch": fit.best_epoch}
    if fit is not None and len(fit.member_losses) > 1:
        record |= {"member_losses": list(fit.member_losses), "elites": list(fit.elites)}
    return record
