"""Behaviour cloning: the mean of a Gaussian policy, fitted to recorded actions (paper, section V-A).

The network sees observations as they are, as in the paper's code. Tried, and worse: observations at mean 0
and deviation 1, folded into the first layer afterwards. The same loss on held-out points, but policies that
often do not get going from rest: half cheetah, 40 rollouts of reward 855 to learn from, three seeds: 30, 938
and 318 instead of 425, 478 and 604; swimmer, 60 of reward 36: 42 and 38 instead of 40, 42 and 44. A learning
rate that falls to 0 made no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mbmf.errors import DataError
from mbmf.nn import training
from mbmf.nn.mlp_state import MlpState
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """What was seen, float32 (n, nobservation), and what to do then, float32 (n, naction)."""

    observations: Floats32
    actions: Floats32

    def __post_init__(self) -> None:
        if len(self.observations) != len(self.actions):
            raise DataError(
                f"observations and actions must be of one length, got {len(self.observations)} and "
                f"{len(self.actions)}"
            )

    def __len__(self) -> int:
        return len(self.actions)

    def split(self, count: int, rng: np.random.Generator) -> tuple[Examples, Examples]:
        """Without ``count`` examples drawn at random, and these."""
        order = rng.permutation(len(self))
        return self._rows(np.sort(order[count:])), self._rows(np.sort(order[:count]))

    def and_then(self, other: Examples) -> Examples:
        """These, followed by others."""
        return Examples(
            np.concatenate([self.observations, other.observations]),
            np.concatenate([self.actions, other.actions]),
        )

    def _rows(self, index: NDArray[np.int64]) -> Examples:
        return Examples(self.observations[index], self.actions[index])


def examples_of(episodes: Episodes) -> Examples:
    """What the policy would have seen in each step, and the recorded action."""
    real = np.arange(episodes.actions.shape[1]) < episodes.lengths[:, None]
    seen = episodes.states if episodes.observations is None else episodes.observations
    return Examples(seen[:, :-1][real].astype(np.float32), episodes.actions[real])


@dataclass(frozen=True)
class Cloning:
    """A policy's mean in training: its network, with Adam's moments."""

    mlp: MlpState

    @classmethod
    def start(cls, policy: GaussianPolicy) -> Cloning:
        """From the policy's weights."""
        arrays = policy.arrays()[:-1]
        layers = [
            np.concatenate([weight, bias[:, None]], axis=1)
            for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)
        ]
        return cls(MlpState(layers))

    def fit(
        self,
        examples: Examples,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        rng: np.random.Generator,
        held_out: Examples | None = None,
        patience: int | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> tuple[Cloning, training.History]:
        """Goes on with the training; the result, and its losses, the mean squared error during each epoch.

        An epoch is one pass over the examples in random order. With ``patience`` the training ends after so
        many without a lower loss on ``held_out``, and the result is that of the lowest. Raises DataError if
        it diverged. Use within `torch_threads`; one thread makes the result independent of their number.
        """
        trainer = training.Trainer(self.mlp, "tanh")
        history = trainer.train(
            _pack(examples),
            len(examples),
            epochs=epochs,
            batch_size=batch_size,
            fraction_use_new=0.0,
            learning_rate=learning_rate,
            rng=rng,
            held_out=None if patience is None or held_out is None else _pack(held_out),
            patience=patience,
            progress=progress,
        )
        losses = history.losses
        if not np.isfinite(losses).all():
            raise DataError(
                f"training of the policy diverged (loss {losses[-1]} in the last of {epochs} epochs): "
                f"learning_rate must be smaller, got {learning_rate}"
            )
        return Cloning(trainer.state()), history

    def loss(self, examples: Examples) -> float:
        """The mean squared error over the examples and the actions' dimensions."""
        return training.Trainer(self.mlp, "tanh").loss(_pack(examples))

    def write_to(self, policy: GaussianPolicy) -> None:
        """Sets the policy's mean to what was learned; its deviations stay."""
        parts = [part.ravel() for layer in self.mlp.layers for part in (layer[:, :-1], layer[:, -1])]
        policy.set_parameter_vector(np.concatenate([*parts, policy.arrays()[-1]]))


def _pack(examples: Examples) -> torch.Tensor:
    return training.pack(examples.observations, examples.actions)
