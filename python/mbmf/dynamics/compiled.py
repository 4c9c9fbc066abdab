"""From a trained model to the C++ core's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf import _core
from mbmf.dynamics.fitting import Trained
from mbmf.dynamics.settings import Settings
from mbmf.nn.mlp_state import Matrix

if TYPE_CHECKING:
    from mbmf.tasks.task import Task


def compiled(task: Task, settings: Settings, trained: Trained, particles: int | None) -> _core.Dynamics:
    """The members that plan as the C++ core's immutable model, with so many particles of a candidate."""
    normalization = trained.normalization
    layers = [members_of(layer, trained.elites) for layer in trained.mlp.layers]
    more: dict[str, Any] = {}
    if any(word != "value" for word in settings.inputs):
        more["inputs"] = list(settings.inputs)
    if any(word != "difference" for word in settings.outputs):
        more["outputs"] = list(settings.outputs)
    if trained.mlp.bounds is not None:
        upper, lower = trained.mlp.bounds
        more |= {"log_variance_max": upper, "log_variance_min": lower}
    if settings.members > 1 or settings.probabilistic:
        planning = len(trained.elites)
        # where members failed, as many particles as go evenly on the others
        count = planning * max(1, (particles or planning) // planning)
        risk = settings.risk if planning > 1 else 0.0
        more |= {"propagate": settings.propagate, "particles": count, "risk": risk}
    return _core.Dynamics(
        task.nstate,
        task.naction,
        [np.ascontiguousarray(layer[..., :-1]) for layer in layers],
        [np.ascontiguousarray(layer[..., -1]) for layer in layers],
        settings.activation,
        normalization.seen.mean,
        normalization.seen.std,
        normalization.action.mean,
        normalization.action.std,
        normalization.delta.mean,
        normalization.delta.std,
        **more,
    )


def members_of(layer: Matrix, elites: Sequence[int]) -> Matrix:
    """The layer of the members that plan."""
    if layer.ndim == 2 or len(elites) == len(layer):
        return layer
    return layer[list(elites)]
