"""A fit of the dynamics model to what a run has, as the task's section ``dynamics`` says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from mbmf.dynamics.model import DynamicsModel, FitResult
from mbmf.rollouts.episodes import Episodes
from mbmf.tasks.dynamics_section import DynamicsSettings


def fit(
    model: DynamicsModel,
    settings: DynamicsSettings,
    train: Episodes,
    new: Sequence[Episodes],
    *,
    first: bool,
    seed: int,
    nthread: int,
    stage: Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]],
    title: str,
) -> FitResult:
    """Goes on with the model's training, in place.

    Args:
        train: random data.
        new: sets of on-policy data, in order of their age; empty ones count for nothing.
        first: whether it is the model's first fit, which has passes of its own.
        seed: of the batches.
        nthread: of PyTorch.
        stage: an observer's function (`mbmf.algorithms.model_based.Observer`), told of ``title``.

    Raises as `mbmf.DynamicsModel.fit`.
    """
    epochs = _epochs(settings, first, train.nsteps, sum(batch.nsteps for batch in new))
    with stage(title, epochs) as progress:
        return model.fit(
            train,
            [batch for batch in new if batch.nsteps],
            epochs=epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            final_learning_rate=settings.final_learning_rate,
            fraction_use_new=settings.fraction_use_new,
            noise=settings.noise,
            validation_share=settings.validation_share,
            patience=settings.patience,
            seed=seed,
            nthread=nthread,
            progress=lambda epochs, loss: progress(epochs),
        )


def _epochs(settings: DynamicsSettings, first: bool, old: int, new: int) -> int:
    """Passes over the data in a fit."""
    from mbmf.nn.training import batches_of_epoch

    epochs = settings.epochs
    if first and settings.first_epochs is not None:
        epochs = settings.first_epochs
    assert epochs is not None
    if settings.max_updates is None:
        return epochs
    fraction = settings.fraction_use_new
    if fraction is None:  # one pool
        old, new = old + new, 0
    return max(
        1, min(epochs, settings.max_updates // batches_of_epoch(old, new, settings.batch_size, fraction or 0))
    )
