"""A learned dynamics model: next state = state + f(state, action), f an MLP (paper, section IV)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mbmf import _core
from mbmf.arguments import MAX_COUNT, MAX_SEED, MAX_THREADS, count, number, numbers, whole_number
from mbmf.dynamics import file
from mbmf.dynamics.normalization import Normalization, add_noise
from mbmf.errors import DataError
from mbmf.nn.mlp_state import ACTIVATIONS, MlpState, layer_sizes, xavier_normal

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

HORIZONS = (1, 5, 10, 50, 100)

# streams of random numbers that derive from a seed
_WEIGHTS, _NOISE, _BATCHES = range(3)
_OPEN_LOOP_BYTES = 32 << 20
MAX_LAYER = 1 << 20


@dataclass(frozen=True)
class FitResult:
    """What a fit did. Losses are mean squared errors of normalised state differences, over all dimensions."""

    losses: tuple[float, ...]
    """Mean loss of each epoch's batches."""
    loss_old: float
    """Loss on all of ``data`` after the fit."""
    loss_new: float | None
    """Loss on all of ``new_data`` after the fit; None if there was none."""
    points_old: int
    points_new: int
    seconds: float

    @property
    def loss(self) -> float:
        """The training loss: that of the last epoch."""
        return self.losses[-1]


class DynamicsModel:
    """A model of a task's dynamics: trained in PyTorch, evaluated by the C++ core.

    The model keeps the normalisation of the first data that it is fitted to, and Adam's moments, so that fits
    continue each other. Not thread-safe while it is fitted or loaded.

    Args:
        task: what is modelled.
        hidden: sizes of the hidden layers.
        activation: "relu" or "tanh".
        seed: of the initial weights (Xavier-normal, biases zero) and of the noise on the training data.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, task: Task, hidden: Sequence[int] | int = (500,), activation: str = "relu", seed: int = 0
    ) -> None:
        try:
            sizes = tuple(whole_number("hidden", size, 1, MAX_LAYER) for size in layer_sizes(hidden))
        except ValueError:
            sizes = ()
        if not sizes:
            raise ValueError(f"hidden must be one or more positive integers, got {hidden!r}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.task = task
        self.hidden = sizes
        self.activation = activation
        self.seed = count("seed", seed, 0, MAX_SEED)
        self.normalization: Normalization | None = None
        self._mlp: MlpState | None = None
        self._core_model: _core.Dynamics | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: the compiled model is made anew of the weights, to the same bits."""
        return {**self.__dict__, "_core_model": None}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer sizes: input (state and action), hidden layers, output (state difference)."""
        return (self.task.nstate + self.task.naction, *self.hidden, self.task.nstate)

    @property
    def core(self) -> _core.Dynamics:
        """The current weights as the C++ core's immutable model; another object after each fit.

        Raises DataError if the model was neither trained nor loaded.
        """
        if self._core_model is None:
            mlp, normalization = self._trained()
            self._core_model = _core.Dynamics(
                self.task.nstate,
                self.task.naction,
                [np.ascontiguousarray(layer[:, :-1]) for layer in mlp.layers],
                [np.ascontiguousarray(layer[:, -1]) for layer in mlp.layers],
                self.activation,
                normalization.state.mean,
                normalization.state.std,
                normalization.action.mean,
                normalization.action.std,
                normalization.delta.mean,
                normalization.delta.std,
            )
        return self._core_model

    def fit(
        self,
        data: Episodes,
        new_data: Episodes | Sequence[Episodes] | None = None,
        *,
        epochs: int,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        fraction_use_new: float = 0.9,
        noise: float = 0.01,
        seed: int = 0,
        nthread: int = 1,
        progress: Callable[[int, float], None] | None = None,
        allow_other_task: bool = False,
    ) -> FitResult:
        """Trains on ``data`` (old) and ``new_data``, continuing from the current weights.

        Noise N(0, noise * mean) is added to each dimension of s and of s' - s whose mean over its data set is
        positive; each of several new data sets has its own means. Then all is normalised. `training.py`
        has the rules for batches and epochs.

        Args:
            data: old data, whose statistics normalise all data of this and later fits.
            new_data: on-policy data, one set or several in order of their age.
            epochs: passes over the old data (over the new data, where the batches have no old share).
            fraction_use_new: share of a batch that is drawn from the new data, 0 to 1.
            seed: of the batches. The noise derives from the model's seed, so that a point keeps its noise.
            nthread: of PyTorch. The result is the same, bit for bit, for the same arguments and thread count;
                1 makes it independent of the number of CPUs. Layers of this size gain little from more: a
                fifth to a third less time on 2 cores.
            progress: called with the epochs done and the last one's loss.
            allow_other_task: take data of another robot, other names or another dt, of the task's sizes.

        Raises:
            ValueError: an argument is out of range.
            DataError: the data are another task's, not finite, or empty; or the training diverged.
        """
        from mbmf.nn import training

        epochs, batch_size = (
            count("epochs", epochs, 1, MAX_COUNT),
            count("batch_size", batch_size, 1, MAX_COUNT),
        )
        learning_rate = _positive("learning_rate", learning_rate)
        fraction_use_new = number("fraction_use_new", fraction_use_new, 0, 1)
        noise = number("noise", noise, 0, np.inf) if noise == 0 else _positive("noise", noise, "non-negative")
        seed, nthread = count("seed", seed, 0, MAX_SEED), count("nthread", nthread, 1, MAX_THREADS)
        start = time.perf_counter()
        chunks = (
            [] if new_data is None else [new_data] if not isinstance(new_data, Sequence) else list(new_data)
        )
        normalization = self.normalization
        parts = []
        for i, episodes in enumerate([data, *chunks]):
            name = "data" if i == 0 else f"new_data[{i - 1}]"
            if not allow_other_task:
                episodes.check_task(self.task, name, observations=False)
            states, actions, deltas = self._transitions(episodes, name)
            rng = _generator(self.seed, _NOISE, i)
            add_noise(states, noise, rng)
            add_noise(deltas, noise, rng)
            normalization = normalization or Normalization.of(states, actions, deltas)
            inputs = normalization.inputs(states, actions)
            parts.append(training.pack(inputs, normalization.delta.normalize(deltas)))
        assert normalization is not None
        points_old, points_new = len(parts[0]), sum(len(part) for part in parts[1:])

        with training.torch_threads(nthread):
            rows = training.concatenate(parts)
            mlp = self._mlp or xavier_normal(self.sizes, _generator(self.seed, _WEIGHTS))
            trainer = training.Trainer(mlp, self.activation)
            losses = trainer.train(
                rows,
                points_old,
                epochs=epochs,
                batch_size=batch_size,
                fraction_use_new=fraction_use_new,
                learning_rate=learning_rate,
                rng=_generator(seed, _BATCHES),
                progress=progress,
            )
            loss_old = trainer.loss(rows[:points_old])
            loss_new = trainer.loss(rows[points_old:]) if points_new else None
        if not np.isfinite([*losses, loss_old, loss_new or 0.0]).all():
            raise DataError(
                f"training of the dynamics model diverged (loss {losses[-1]} in the last of {epochs} "
                f"epochs): learning_rate must be smaller, got {learning_rate}"
            )
        # an interrupted or failed fit has changed nothing until here
        self.normalization, self._mlp, self._core_model = normalization, trainer.state(), None
        return FitResult(
            tuple(losses), loss_old, loss_new, points_old, points_new, time.perf_counter() - start
        )

    def predict(self, states: ArrayLike, actions: ArrayLike, nthread: int = 0) -> NDArray[np.float32]:
        """Next states (N, nstate) float32, from states (N, nstate) and actions (N, naction), by the C++ core.

        Raises ValueError on other shapes, DataError if the model was neither trained nor loaded.
        """
        states32, actions32 = numbers("states", states, np.float32), numbers("actions", actions, np.float32)
        return self.core.predict(states32, actions32, whole_number("nthread", nthread, 0, MAX_THREADS))

    def validation_error(
        self,
        episodes: Episodes,
        horizons: Sequence[int] = HORIZONS,
        nthread: int = 0,
        *,
        allow_other_task: bool = False,
    ) -> dict[int, float]:
        """Multi-step error: mean squared difference of normalised states after each of ``horizons`` steps.

        Open loop with the recorded actions, from every state that has max(horizons) steps after it in every
        episode that is longer than that; averaged over start states and dimensions. Infinite where a
        prediction overflows.

        allow_other_task: take episodes of another robot, other names or another dt, of the task's sizes.

        Raises DataError if no episode is long enough, or they are another task's.
        """
        horizons = [whole_number("horizons", horizon) for horizon in horizons]
        if not horizons:
            raise ValueError("horizons must be one or more, got none")
        nthread = whole_number("nthread", nthread, 0, MAX_THREADS)
        if not allow_other_task:
            episodes.check_task(self.task, "episodes", observations=False)
        longest = max(horizons)
        starts = validation_starts(episodes, longest)
        if len(starts) == 0:
            raise DataError(
                f"validation episodes must be longer than {longest} steps for the {longest}-step error, "
                f"got lengths up to {max(episodes.lengths, default=0)}"
            )
        normalization = self._trained()[1]
        total = np.zeros(len(horizons))
        ahead = np.asarray(horizons)
        chunk = max(1, _OPEN_LOOP_BYTES // (4 * (longest + 1) * self.task.nstate))
        for first in range(0, len(starts), chunk):
            episode, step = starts[first : first + chunk].T
            actions = episodes.actions[episode[:, None], step[:, None] + np.arange(longest)]
            states = episodes.states[episode, step].astype(np.float32)
            predicted = self.core.open_loop(states, np.ascontiguousarray(actions, np.float32), nthread)
            truth = episodes.states[episode[:, None], step[:, None] + ahead]
            with np.errstate(over="ignore", invalid="ignore"):
                error = (predicted[:, ahead] - truth) * normalization.state.inverse_std
                total += np.square(error).sum(axis=(0, 2))
        mean = total / (len(starts) * self.task.nstate)
        return {h: float(e) if np.isfinite(e) else float("inf") for h, e in zip(horizons, mean, strict=True)}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, normalisation, optimiser and what they belong to, whole or not at all (safetensors)

        Raises OSError if that is not possible, DataError if the model was neither trained nor loaded.
        """
        file.save(path, self.task, file.Contents(self.hidden, self.activation, self.seed, *self._trained()))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], task: Task, *, allow_other_task: bool = False
    ) -> DynamicsModel:
        """The model that `save` wrote; further fits continue as if there had been no file in between.

        allow_other_task: take a model of another robot, other names or another dt, of the task's sizes.

        Raises DataError, which names the file, if it is not a whole model of ``task``; OSError if it cannot
        be read.
        """
        contents = file.load(path, task, allow_other_task)
        model = cls(task, contents.hidden, contents.activation, contents.seed)
        model._mlp, model.normalization = contents.mlp, contents.normalization
        try:
            _ = model.core  # finite numbers may still overflow where they are folded together
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        return model

    def exported(self) -> tuple[list[NDArray[np.float32]], Normalization]:
        """The layers (rows, cols + 1), the biases last, in normalised space, and the normalisation.

        Raises DataError if the model was neither trained nor loaded.
        """
        mlp, normalization = self._trained()
        return mlp.layers, normalization

    def _trained(self) -> tuple[MlpState, Normalization]:
        if self._mlp is None or self.normalization is None:
            raise DataError("the dynamics model has no weights yet: fit it or load it first")
        return self._mlp, self.normalization

    def _transitions(
        self, episodes: Episodes, name: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
        """Copies of s, a and s' - s of all steps, checked."""
        states, actions, next_states = episodes.transitions()
        if len(states) == 0:
            raise DataError(f"{name} must have at least one step, got none in {len(episodes)} episodes")
        for values, size in ((states, self.task.nstate), (actions, self.task.naction)):
            if values.shape[1] != size:
                raise DataError(
                    f"{name} must have {self.task.nstate} states and {self.task.naction} actions, "
                    f"got {states.shape[1]} and {actions.shape[1]}"
                )
        for what, values in (("states", states), ("actions", actions), ("states", next_states)):
            if not np.isfinite(values).all():
                raise DataError(f"{name}.{what} must be finite, got NaN or infinity")
        return np.array(states), actions, next_states - states


def validation_starts(episodes: Episodes, longest: int) -> NDArray[np.int64]:
    """(n, 2): episode and step of every state with ``longest`` steps after it, in longer episodes."""
    counts = np.where(episodes.lengths > longest, episodes.lengths - longest + 1, 0)
    episode = np.repeat(np.arange(len(counts)), counts)
    step = np.concatenate([np.arange(n) for n in counts]) if len(counts) else episode
    return np.stack([episode, step], axis=1).astype(np.int64)


def _generator(seed: int, stream: int, index: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, stream, index))))


def _positive(name: str, value: Any, requirement: str = "positive") -> float:
    """A finite number above 0. Raises ValueError."""
    checked = number(name, value, -np.inf, np.inf)
    if not 0 < checked < np.inf:
        raise ValueError(f"{name} must be {requirement}, got {value}")
    return checked
