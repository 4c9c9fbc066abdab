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

# of log variances in the core: e^80 is still a float32
_BOUND = 80.0


def compiled(task: Task, settings: Settings, trained: Trained, particles: int | None) -> _core.Dynamics:
    """The members that plan as the C++ core's immutable model, with so many particles of a candidate."""
    return _core.Dynamics(**core_arguments(task, settings, trained, particles))


def core_arguments(task: Task, settings: Settings, trained: Trained, particles: int | None) -> dict[str, Any]:
    """What `_core.Dynamics` takes, by its names; weights and biases have a first dimension of members."""
    normalization = trained.normalization
    layers = [members_of(layer, trained.elites) for layer in trained.mlp.layers]
    layers = [layer if layer.ndim == 3 else layer[None] for layer in layers]
    arguments: dict[str, Any] = {
        "nstate": task.nstate,
        "naction": task.naction,
        "weights": [np.ascontiguousarray(layer[..., :-1]) for layer in layers],
        "biases": [np.ascontiguousarray(layer[..., -1]) for layer in layers],
        "activation": settings.activation,
        "inputs": list(settings.inputs),
        "outputs": list(settings.outputs),
        "propagate": settings.propagate,
        "particles": 0,
        "risk": 0.0,
    }
    for name, statistics in (
        ("state", normalization.seen),
        ("action", normalization.action),
        ("delta", normalization.delta),
    ):
        arguments |= {f"{name}_mean": statistics.mean, f"{name}_std": statistics.std}
    if "nothing" in settings.inputs:
        whole = normalization.state
        arguments |= {"whole_mean": whole.mean, "whole_std": whole.std}
    if task.core.known_states:
        arguments["task"] = task.core
    if trained.mlp.bounds is not None:
        upper, lower = trained.mlp.bounds
        # of a state that never changes nothing holds them
        arguments["log_variance_max"] = upper.astype(np.float64).clip(-_BOUND, _BOUND)
        arguments["log_variance_min"] = lower.astype(np.float64).clip(-_BOUND, _BOUND)
    planning = len(trained.elites)
    if settings.members > 1 or settings.probabilistic:
        # where members failed, as many particles as go evenly on the others
        arguments["particles"] = planning * max(1, (particles or planning) // planning)
    if planning > 1:
        arguments["risk"] = settings.risk
    elif not settings.probabilistic:
        # one network without variances is left, which goes on from its mean
        arguments["propagate"] = "expectation"
        arguments["particles"] = min(arguments["particles"], 1)
    return arguments


def members_of(layer: Matrix, elites: Sequence[int]) -> Matrix:
    """The layer of the members that plan."""
    if layer.ndim == 2 or len(elites) == len(layer):
        return layer
    return layer[list(elites)]
