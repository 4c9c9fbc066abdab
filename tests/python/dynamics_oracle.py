"""An ensemble in NumPy, float64, with the calls of the core's model: what the core is compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mbmf
from mbmf import _core
from mbmf.dynamics.normalization import columns_of_each

Floats = NDArray[np.float64]


def _softplus(x: Floats) -> Floats:
    return np.logaddexp(0, x)


class NumpyDynamics:
    """The members that plan of a trained model."""

    def __init__(self, model: mbmf.DynamicsModel, particles: int | None = None) -> None:
        layers, self.normalization = model.exported()
        self.layers = [np.asarray(layer, np.float64) for layer in layers]
        self.layers = [layer if layer.ndim == 3 else layer[None] for layer in self.layers]
        self.settings, self.members = model.settings, len(self.layers[0])
        self.particles = particles or model.settings.particles or self.members
        self.bounds = None if model._state().mlp.bounds is None else model._state().mlp.bounds.astype(float)

    def _seen(self, states: Floats) -> Floats:
        columns = []
        for i, word in enumerate(self.settings.inputs):
            if word == "value":
                columns.append(states[..., i])
            elif word == "sine_cosine":
                columns += [np.sin(states[..., i]), np.cos(states[..., i])]
        return np.stack(columns, -1)

    def member(self, m: int, states: Floats, actions: Floats) -> tuple[Floats, Floats]:
        """Mean and deviation of one member's next states (..., nstate)."""
        normal = self.normalization
        x = np.concatenate(
            [
                (self._seen(states) - normal.seen.mean) * normal.seen.inverse_std,
                (actions - normal.action.mean) * normal.action.inverse_std,
            ],
            axis=-1,
        )
        for i, layer in enumerate(self.layers):
            x = x @ layer[m, :, :-1].T + layer[m, :, -1]
            if i < len(self.layers) - 1:
                if self.settings.activation == "silu":
                    x = x / (1 + np.exp(-x))
                else:
                    x = np.tanh(x) if self.settings.activation == "tanh" else np.maximum(x, 0)
        n = states.shape[-1]
        mean = x[..., :n] * normal.delta.std + normal.delta.mean
        difference = np.array([word == "difference" for word in self.settings.outputs])
        mean = mean + np.where(difference, states, 0)
        if self.bounds is None:
            return mean, np.zeros_like(mean)
        upper, lower = self.bounds
        log_variance = upper - _softplus(upper - x[..., n:])
        log_variance = lower + _softplus(log_variance - lower)
        return mean, np.exp(log_variance / 2) * normal.delta.std

    def predict_members(self, states: Floats, actions: Floats, nthread: int = 0) -> tuple[Floats, Floats]:
        states, actions = np.asarray(states, float), np.asarray(actions, float)
        both = [self.member(m, states, actions) for m in range(self.members)]
        return np.stack([mean for mean, _ in both]), np.stack([deviation for _, deviation in both])

    def predict(self, states: Floats, actions: Floats, nthread: int = 0) -> Floats:
        return self.predict_members(states, actions)[0].mean(0)

    def open_loop(self, states: Floats, actions: Floats, nthread: int = 0) -> Floats:
        points = [np.asarray(states, float)]
        for h in range(actions.shape[1]):
            points.append(self.predict(points[-1], actions[:, h]))
        return np.stack(points, 1)

    def sample(self, states: Floats, actions: Floats, seed: int, nthread: int = 0) -> Floats:
        """TS-infinity, or every member's mean; the noise is NumPy's, not the core's."""
        rng = np.random.default_rng(seed)
        particles = []
        for p in range(self.particles):
            points = [np.asarray(states, float)]
            for h in range(actions.shape[1]):
                mean, deviation = self.member(p % self.members, points[-1], np.asarray(actions[:, h], float))
                if self.settings.propagate != "expectation":
                    mean = mean + deviation * rng.standard_normal(mean.shape)
                points.append(mean)
            particles.append(np.stack(points, 1))
        return np.stack(particles, 1)


def random_dynamics(
    task: mbmf.Task,
    inputs: Sequence[str],
    outputs: Sequence[str],
    delta_mean: Floats,
    delta_std: Floats,
    members: int = 1,
    head: bool = False,
) -> tuple[_core.Dynamics, Callable[[Any, Any, int], Any]]:
    """The core's model of a tanh layer with random weights, of words for each state; and what its
    networks predict in NumPy: (what is seen, actions, member) -> (N, nstate), means of a variance head."""
    rng = np.random.default_rng(members)
    nseen = sum(columns_of_each(inputs))
    sizes = [nseen + task.naction, 24, task.nstate * (2 if head else 1)]
    weights = [
        (rng.normal(size=(members, rows, cols)) / np.sqrt(cols)).astype(np.float32)
        for cols, rows in itertools.pairwise(sizes)
    ]
    biases = [rng.normal(scale=0.1, size=(members, rows)).astype(np.float32) for rows in sizes[1:]]
    mean, std = rng.normal(scale=0.1, size=nseen), rng.uniform(0.5, 2, nseen)
    zeros, ones = np.zeros(task.nstate), np.ones(task.naction)
    bounds = {} if not head else {"log_variance_min": zeros - 4, "log_variance_max": zeros}
    more: dict[str, Any] = {"particles": 2 * members, "propagate": "tsinf"} if head else {}
    core = _core.Dynamics(
        task.nstate,
        task.naction,
        weights if members > 1 else [w[0] for w in weights],
        biases if members > 1 else [b[0] for b in biases],
        "tanh",
        mean,
        std,
        np.zeros(task.naction),
        ones,
        delta_mean,
        delta_std,
        inputs=inputs,
        outputs=outputs,
        **bounds,
        **more,
    )

    def network(seen: Any, actions: Any, member: int) -> Any:
        x = np.concatenate([(seen - mean) / std, actions], axis=1)
        hidden = np.tanh(x @ weights[0][member].T.astype(float) + biases[0][member])
        out = (hidden @ weights[1][member].T.astype(float) + biases[1][member])[:, : task.nstate]
        return out * delta_std + delta_mean

    return core, network
