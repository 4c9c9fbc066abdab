"""A learned value: the discounted rewards that are to come from a state, where a plan ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mbmf import _core
from mbmf.arguments import MAX_COUNT, MAX_SEED, MAX_THREADS, a_task, count, number, numbers, whole_number
from mbmf.dynamics.fitting import generator
from mbmf.dynamics.normalization import Statistics, number_seen, seen_statistics, what_is_seen
from mbmf.errors import DataError
from mbmf.nn.memory import check_network
from mbmf.nn.mlp_state import ACTIVATIONS, MlpState, layer_sizes, truncated_normal
from mbmf.rollouts.episodes import Episodes
from mbmf.tasks.ensembles import INPUTS, check_frame, state_map, value_inputs
from mbmf.values import file
from mbmf.values.returns import Floats, traced_returns
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

_WEIGHTS, _BATCHES = range(2)
_MAX_LAYER = 1 << 20


@dataclass(frozen=True)
class ValueFit:
    """What a fit did."""

    explained: float
    """The share of the returns' variance that the network explains, at most 1."""
    points: int
    """States that it was fitted to."""
    seconds: float


@dataclass(frozen=True)
class ValueState:
    """What a fit leaves: the network, what its inputs and its output are normalised with, and the returns'
    range, which values are clipped to."""

    mlp: MlpState
    seen: Statistics
    mean: float
    std: float
    low: float
    high: float


class ValueFunction:
    """A network that says what a state is worth: the discounted sum of the rewards that follow it.

    A planner that is given one takes its value of a candidate's last state off the candidate's cost, so that
    a plan does not buy a gain within its horizon with a fall after it. The rewards have to be in the units of
    the planning cost for that: a cost of the negative reward is. Not thread-safe while it is fitted.

    Args:
        task: whose states are valued.
        hidden: sizes of the hidden layers.
        activation: "relu", "tanh" or "silu".
        seed: of the initial weights.
        discount: of a control step, 0 to below 1. 0.99 at 20 Hz looks five seconds ahead.
        trace: lambda of the returns that it is fitted to (`mbmf.values.returns`), 0 to 1.
        inputs: what it sees of a state, by its name, as :class:`mbmf.DynamicsModel` takes it; but goals and
            references are seen where nothing is said of them.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> value = mbmf.ValueFunction(task)
        >>> value.fit(episodes)
        >>> planner = mbmf.ICEM(task, model, horizon=15, value=value)
    """

    def __init__(
        self,
        task: Task,
        hidden: Sequence[int] | int = (128, 128),
        activation: str = "silu",
        seed: int = 0,
        *,
        discount: float = 0.99,
        trace: float = 0.95,
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        a_task("task", task)
        self.task = task
        try:
            self.hidden = tuple(whole_number("hidden", size, 1, _MAX_LAYER) for size in layer_sizes(hidden))
        except ValueError:
            self.hidden = ()
        if not self.hidden:
            raise ValueError(f"hidden must be one or more positive integers, got {hidden!r}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.activation = activation
        self.seed = count("seed", seed, 0, MAX_SEED)
        self.discount = number("discount", discount, 0, 1)
        if self.discount == 1:
            raise ValueError("discount must be below 1, got 1")
        self.trace = number("trace", trace, 0, 1)
        self.inputs = state_map("inputs", inputs, INPUTS, task.state_names, value_inputs(task.state_names))
        check_frame(self.inputs)
        if not number_seen(self.inputs):
            raise ValueError("inputs must leave something to see of the state, got nothing of all states")
        self._state: ValueState | None = None
        self._core: _core.Value | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: the compiled network is made anew of the weights, to the same bits."""
        return {**self.__dict__, "_core": None}

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        state = "not fitted" if self._state is None else "fitted"
        return f"<mbmf.ValueFunction {self.task.name}: {sizes}, discount {self.discount:g}, {state}>"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer sizes: what is seen of the state, hidden layers, 1."""
        return (number_seen(self.inputs), *self.hidden, 1)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest return that it was fitted to, which values are clipped to."""
        return self._fitted().low, self._fitted().high

    @property
    def core(self) -> _core.Value:
        """The C++ core's immutable network; another object after each fit.

        Raises DataError if it was neither fitted nor loaded.
        """
        if self._core is None:
            self._core = _core.Value(**self.core_arguments())
        return self._core

    def core_arguments(self) -> dict[str, Any]:
        """The arguments of `_core.Value` by name. Raises DataError as `core`."""
        state = self._fitted()
        return {
            "nstate": self.task.nstate,
            "weights": [np.ascontiguousarray(layer[:, :-1]) for layer in state.mlp.layers],
            "biases": [np.ascontiguousarray(layer[:, -1]) for layer in state.mlp.layers],
            "activation": self.activation,
            "state_mean": state.seen.mean,
            "state_std": state.seen.std,
            "inputs": list(self.inputs),
            "mean": state.mean,
            "std": state.std,
            "low": state.low,
            "high": state.high,
        }

    def fit(
        self,
        episodes: Episodes,
        *,
        rounds: int = 25,
        epochs: int = 3,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        seed: int = 0,
        nthread: int = 1,
        progress: Callable[[int], None] | None = None,
        allow_other_task: bool = False,
    ) -> ValueFit:
        """Fits anew to episodes of whoever acts as the planner will: nothing is kept of a fit before.

        Each round takes the returns as they are by the values so far, and fits the network to them for some
        epochs (mean squared error, Adam). An episode that ended in a terminal state is worth nothing from
        there on; one that was cut is worth what the network says. Episodes that MuJoCo failed in do not
        count.

        Args:
            rounds, epochs: of each round, at least 1.
            batch_size: states of a batch.
            learning_rate: of Adam.
            seed: of the batches.
            nthread: of PyTorch; as in :meth:`mbmf.DynamicsModel.fit`.
            progress: called with the rounds done.
            allow_other_task: take episodes of another robot, other names or another dt, of the task's sizes.

        Raises:
            ValueError: an argument is out of range.
            DataError: the episodes are another task's, not finite or too few, so large a network does not fit
                into the memory that is free, or the fit diverged; the values are then what they were.
        """
        start = time.perf_counter()
        rounds, epochs = count("rounds", rounds, 1, MAX_COUNT), count("epochs", epochs, 1, MAX_COUNT)
        batch_size = count("batch_size", batch_size, 1, MAX_COUNT)
        rate = number("learning_rate", learning_rate, 0, 1)
        if rate == 0:
            raise ValueError("learning_rate must be above 0, got 0")
        nthread = count("nthread", nthread, 1, MAX_THREADS)
        seed = count("seed", seed, 0, MAX_SEED)
        if not isinstance(episodes, Episodes):
            raise ValueError(f"episodes must be mbmf.Episodes, got {show(episodes)}")
        if allow_other_task:
            episodes.check_sizes(self.task, "episodes")
        else:
            episodes.check_task(self.task, "episodes", observations=False)
        check_network("hidden", self.sizes)
        data = _Data.of(episodes, self.inputs)
        state, explained = self._train(data, rounds, epochs, batch_size, rate, seed, nthread, progress)
        # an interrupted or failed fit has changed nothing until here
        self._state, self._core = state, None
        return ValueFit(explained, data.nsteps, time.perf_counter() - start)

    def predict(self, states: ArrayLike) -> Floats:
        """What states (N, nstate) are worth: float64 (N,), by the C++ core; the least of its range
        where a state is not finite.

        Raises ValueError on another shape, DataError if it was neither fitted nor loaded.
        """
        return self.core.evaluate(numbers("states", states, np.float64))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network and what it belongs to, whole or not at all (safetensors).

        Raises OSError if that is not possible, DataError if it was neither fitted nor loaded.
        """
        file.save(path, self, self._fitted())

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], task: Task, *, allow_other_task: bool = False
    ) -> ValueFunction:
        """The values that `save` wrote.

        allow_other_task: take those of another robot, other names or another dt, of the task's sizes.

        Raises DataError, which names the file, if it is not a whole file of ``task``; OSError if it cannot be
        read.
        """
        arguments, inputs, state = file.load(path, task, allow_other_task=allow_other_task)
        try:
            value = cls(task, **arguments)
            value.inputs, value._state = inputs, state
            _ = value.core  # finite numbers may still overflow where they are folded together
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        return value

    def _fitted(self) -> ValueState:
        if self._state is None:
            raise DataError("the value function has no weights yet: fit it or load it first")
        return self._state

    def _train(
        self,
        data: _Data,
        rounds: int,
        epochs: int,
        batch_size: int,
        rate: float,
        seed: int,
        nthread: int,
        progress: Callable[[int], None] | None,
    ) -> tuple[ValueState, float]:
        from mbmf.nn import training

        seen = seen_statistics(data.seen, self.inputs)
        seen.check("episodes.states", self.task.state_names)
        before, after = (seen.normalize(data.seen[rows]) for rows in (data.before, data.after))
        # what the rewards' mean is worth for ever: where a value begins
        mean = float(data.rewards.mean()) / (1 - self.discount)
        values = np.where(data.ends, 0.0, mean)
        std, returns = 0.0, values
        mlp = truncated_normal(self.sizes, 1, generator(self.seed, _WEIGHTS), probabilistic=False)
        batches = generator(seed, _BATCHES)
        with training.torch_threads(nthread):
            for done in range(rounds):
                returns = data.returns(values, self.discount, self.trace)
                if not std:
                    # where all returns are equal there is nothing to learn but their mean
                    with np.errstate(over="ignore", invalid="ignore"):
                        std = float(returns.std()) or 1.0
                    if not np.isfinite(std):
                        raise DataError(
                            "episodes.rewards must be below 1e150, for their spread to be finite, "
                            f"got returns from {returns.min():g} to {returns.max():g}"
                        )
                targets = ((returns - mean) / std).astype(np.float32)[:, None]
                rows = training.pack(before, targets)
                trainer = training.Trainer(mlp, self.activation)
                trainer.train(
                    rows,
                    len(rows),
                    epochs=epochs,
                    batch_size=min(batch_size, len(rows)),
                    fraction_use_new=0.0,
                    learning_rate=rate,
                    rng=batches,
                )
                mlp = trainer.state()
                outputs = trainer.outputs(training.pack(after, np.zeros((len(after), 1), np.float32)))
                values = mean + std * outputs[:, 0].astype(np.float64)
                # a network that errs upwards would go on to learn from that
                values = np.where(data.ends, 0.0, values.clip(returns.min(), returns.max()))
                if not (np.isfinite(values).all() and np.isfinite(mlp.layers[0]).all()):
                    raise DataError(
                        f"the fit of the values diverged in round {done + 1} of {rounds}: learning_rate must "
                        f"be smaller, got {rate}"
                    )
                if progress is not None:
                    progress(done + 1)
            fitted = trainer.outputs(rows)[:, 0]
        spread = float(targets.var())
        explained = 1 - float(np.mean((fitted - targets[:, 0]) ** 2)) / spread if spread else 1.0
        low, high = float(returns.min()), float(returns.max())
        return ValueState(mlp, seen, mean, std, low, high), explained


@dataclass(frozen=True)
class _Data:
    """Steps of episodes one after the other.

    Attributes:
        seen: what is seen of all states (N, seen), float64.
        before, after: which of these are the state that a step began in, and ended in (T,).
        rewards: (T,).
        ends: whether a step ended in a terminal state (T,).
        lengths: of the episodes, in steps.
    """

    seen: Floats
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    rewards: Floats
    ends: NDArray[np.bool_]
    lengths: NDArray[np.int64]

    @property
    def nsteps(self) -> int:
        return len(self.rewards)

    @classmethod
    def of(cls, episodes: Episodes, inputs: Sequence[str]) -> _Data:
        chosen = [i for i in range(len(episodes)) if episodes.lengths[i] > 0 and not episodes.diverged[i]]
        if not chosen:
            raise DataError("episodes must have a step without divergence to fit values to, got none")
        states, before, rewards, ends = [], [], [], []
        first = 0
        for i in chosen:
            steps = int(episodes.lengths[i])
            states.append(np.asarray(episodes.states[i][: steps + 1], np.float64))
            rewards.append(np.asarray(episodes.rewards[i][:steps], np.float64))
            before.append(first + np.arange(steps))
            ended = np.zeros(steps, bool)
            ended[-1] = episodes.terminated[i]
            ends.append(ended)
            first += steps + 1
        all_states, all_rewards = np.concatenate(states), np.concatenate(rewards)
        if not (np.isfinite(all_states).all() and np.isfinite(all_rewards).all()):
            raise DataError("episodes.states and episodes.rewards must be finite, got NaN or infinity")
        rows = np.concatenate(before)
        lengths = np.array([len(part) for part in rewards])
        return cls(
            what_is_seen(all_states, inputs), rows, rows + 1, all_rewards, np.concatenate(ends), lengths
        )

    def returns(self, after: Floats, discount: float, trace: float) -> Floats:
        """Of each step, by what the states after them are worth (T,)."""
        bounds = np.cumsum(self.lengths)[:-1]
        parts = zip(np.split(self.rewards, bounds), np.split(after, bounds), strict=True)
        return np.concatenate([traced_returns(each, then, discount, trace) for each, then in parts])
