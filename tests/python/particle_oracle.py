"""Probabilistic ensembles in plain float64 NumPy: what a model predicts, and how its particles go on.

Written from the definitions (Chua et al. 2018, section 5 and appendix A) and the documented random numbers,
and nothing of the package. M members, N starts, P particles, H steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from search_oracle import MASK, Words, normals, philox

Floats = npt.NDArray[np.float64]
PARTICLE = 6  # the stream of particles


@dataclass
class Ensemble:
    """What `_core.Dynamics` takes, in its words."""

    nstate: int
    weights: list[Floats]  # (M, rows, cols)
    biases: list[Floats]  # (M, rows)
    activation: str
    state_mean: Floats
    state_std: Floats
    action_mean: Floats
    action_std: Floats
    delta_mean: Floats
    delta_std: Floats
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    log_variance_min: Floats | None = None
    log_variance_max: Floats | None = None
    particles: int = 0
    propagate: str = "expectation"
    risk: float = 0.0

    @property
    def members(self) -> int:
        return len(self.weights[0])

    @property
    def count(self) -> int:
        """Particles of a candidate."""
        return self.particles or self.members

    def seen(self, states: Floats) -> Floats:
        columns = []
        for i in range(self.nstate):
            how = self.inputs[i] if self.inputs else "value"
            if how == "value":
                columns.append(states[..., i])
            elif how == "sine_cosine":
                columns += [np.sin(states[..., i]), np.cos(states[..., i])]
        return np.stack(columns, axis=-1)

    def predict(self, member: int, states: Floats, actions: Floats) -> tuple[Floats, Floats]:
        """The next states' mean and deviation, (..., nstate) both, by one member."""
        inputs = [
            (self.seen(states), self.state_mean, self.state_std),
            (actions, self.action_mean, self.action_std),
        ]
        x = np.concatenate(
            [np.where(std > 0, (v - mean) / np.where(std > 0, std, 1), 0) for v, mean, std in inputs], axis=-1
        )
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ w[member].T.astype(np.float64) + b[member]
            if layer + 1 < len(self.weights):
                x = activate(self.activation, x)
        mean = x[..., : self.nstate] * self.delta_std + self.delta_mean
        value = np.array([how == "value" for how in self.outputs] or [False] * self.nstate)
        deviation = np.zeros_like(mean)
        if self.log_variance_min is not None:
            assert self.log_variance_max is not None
            raw = x[..., self.nstate :]
            bounded = self.log_variance_max - softplus(self.log_variance_max - raw)
            bounded = self.log_variance_min + softplus(bounded - self.log_variance_min)
            deviation = np.exp(bounded / 2) * self.delta_std
        return np.where(value, mean, states + mean), deviation

    def mean(self, states: Floats, actions: Floats) -> Floats:
        return np.mean([self.predict(m, states, actions)[0] for m in range(self.members)], axis=0)

    def open_loop(self, states: Floats, actions: Floats) -> Floats:
        """(N, H + 1, nstate) by the mean over members at every step."""
        rows = [states]
        for t in range(actions.shape[1]):
            rows.append(self.mean(rows[-1], actions[:, t]))
        return np.stack(rows, axis=1)

    def sample(
        self, states: Floats, actions: Floats, seed: int, episode: int = 0, step: int = 0, first: int = 0
    ) -> Floats:
        """(N, P, H + 1, nstate) of the positions first, first + 1, ..."""
        key = particle_key(seed, episode, step)
        n, horizon = actions.shape[:2]
        member = self.schedule(key, horizon)
        noisy = self.log_variance_min is not None and self.propagate != "expectation"
        groups = (self.nstate + 3) // 4
        out = np.empty((n, self.count, horizon + 1, self.nstate))
        out[:, :, 0] = states[:, None]
        for p in range(self.count):
            for t in range(horizon):
                mean, deviation = self.predict(member[t, p], out[:, p, t], actions[:, t])
                counter = np.zeros((n, groups, 4), np.uint64)
                counter[:, :, 0] = t * groups + np.arange(groups)
                counter[:, :, 1] = (first + np.arange(n, dtype=np.uint64))[:, None] & np.uint64(MASK)
                counter[:, :, 2] = p
                noise = normals(philox(key, counter.reshape(-1, 4)).reshape(n, 4 * groups))[:, : self.nstate]
                out[:, p, t + 1] = mean + (deviation * noise if noisy else 0)
        return out

    def schedule(self, key: Words, horizon: int) -> npt.NDArray[np.int64]:
        """The member of each particle at each step, (H, P)."""
        rows = []
        for t in range(horizon):
            slots = list(range(self.count))
            if self.propagate == "ts1":
                counter = np.array([[b, 0, t, 1] for b in range((self.count + 3) // 4)], np.uint64)
                words = philox(key, counter).reshape(-1)
                for drawn, i in enumerate(range(self.count - 1, 0, -1)):
                    j = (int(words[drawn]) * (i + 1)) >> 32
                    slots[i], slots[j] = slots[j], slots[i]
            rows.append([slot % self.members for slot in slots])
        return np.array(rows)

    def reduce(self, costs: npt.NDArray[Any]) -> Floats:
        """Of costs (N, P): the mean over members of their particles' means, and the risk."""
        # a particle that changes members at every step is nobody's: the risk is of the particles then
        groups = self.count if self.propagate == "ts1" else self.members
        of_members = costs.reshape(len(costs), -1, groups).mean(axis=1)
        return np.asarray(of_members.mean(axis=1) + self.risk * of_members.std(axis=1))


def activate(name: str, x: Floats) -> Floats:
    if name == "relu":
        return np.maximum(x, 0)
    return np.tanh(x) if name == "tanh" else x / (1 + np.exp(-x))


def softplus(x: Floats) -> Floats:
    return np.logaddexp(0, x)


def particle_key(seed: int, episode: int, step: int) -> Words:
    head = np.array([[PARTICLE, episode & MASK, episode >> 32, 0x6D626D66]], np.uint64)
    key = philox(np.array([seed & MASK, seed >> 32], np.uint64), head)[0, :2]
    return philox(key, np.array([[0, 0, step & MASK, step >> 32]], np.uint64))[0, :2]
