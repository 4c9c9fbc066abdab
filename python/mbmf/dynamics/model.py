"""A learned dynamics model: next state = state + f(state, action), f an MLP (paper, section IV), or an
ensemble of them, probabilistic or not (PETS)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mbmf.arguments import MAX_SEED, MAX_THREADS, a_task, count, numbers, whole_number
from mbmf.dynamics import file, fitting, validation
from mbmf.dynamics.compiled import compiled, core_arguments, members_of
from mbmf.dynamics.fitting import FitResult as FitResult
from mbmf.dynamics.fitting import Trained
from mbmf.dynamics.normalization import Normalization, columns_of_each, make_predicted, quaternions
from mbmf.dynamics.options import FitOptions
from mbmf.dynamics.settings import Settings
from mbmf.dynamics.validation import CALIBRATION_HORIZONS, LEVELS
from mbmf.dynamics.validation import HORIZONS as HORIZONS
from mbmf.dynamics.validation import validation_starts as validation_starts
from mbmf.errors import DataError
from mbmf.rollouts.episodes import Episodes
from mbmf.tasks.ensembles import given_states
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf import _core
    from mbmf.tasks.task import Task

# particles of a calibration, where a model has fewer: intervals of five are too narrow
_CALIBRATION_PARTICLES = 20


class DynamicsModel:
    """A model of a task's dynamics: trained in PyTorch, evaluated by the C++ core.

    By default one network that predicts means, the paper's. With members and variances it is an ensemble as
    in PETS (docs/ensembles.md). The model keeps Adam's moments, and, unless ``statistics`` says otherwise,
    the normalisation of the first data that it is fitted to, so that fits continue each other. Not
    thread-safe while it is fitted or loaded.

    Args:
        task: what is modelled.
        hidden: sizes of the hidden layers, of each member.
        activation: "relu", "tanh" or "silu".
        seed: of the initial weights and of the noise on the training data. One network that predicts means
            starts Xavier-normal, others normal with deviation 1 / (2 sqrt(fan in)), truncated at two; biases
            are zero.
        members: networks, which differ in their initial weights and in the order of their data.
        probabilistic: each member predicts a variance too, between learned bounds.
        elites: the members that plan are so many, those with the least held-out loss (without
            held-out data: loss on all); None: all.
        particles: of a candidate in planning, a multiple of the members that plan; None: one for each.
        propagate: how particles meet members. "expectation": each member goes on from its mean; "tsinf": a
            particle keeps its member; "ts1": it changes it at every step. The last two draw from the
            predicted variance. None: tsinf where the model is probabilistic, else expectation.
        risk: k: a candidate's cost is its mean plus k deviations over members.
        inputs: what the network sees of a state, by its name: "as it is" (the others), "sine and cosine" of
            an angle, "nothing"; of a quaternion's qw "rotation" or "vertical"; of a vector's x "in the
            body's frame" of that quaternion.
        outputs: what it predicts of a state, by its name: "difference" to the next one (the others), or the
            next "value"; of a quaternion's qw "rotation"; of a vector's x "difference in the body's frame" or
            "value in the body's frame".
        weight_decay: lambda: half of it times the squared weights is added to the loss; one number, or one
            for each layer.
        statistics: "kept", of the first fit's old data, or "refitted", of all data in each fit.
        bootstrap: each fit draws data for each member, as many as there are, with replacement.
        beta: of a probabilistic model's loss, 0 to 1: what is uncertain is learned as eagerly as what is
            certain with 1, and by its likelihood with 0 (Seitzer et al. 2022).

    Raises:
        ValueError: an argument is out of range, or two do not fit together.
    """

    def __init__(
        self,
        task: Task,
        hidden: Sequence[int] | int = (500,),
        activation: str = "relu",
        seed: int = 0,
        *,
        members: int = 1,
        probabilistic: bool = False,
        elites: int | None = None,
        particles: int | None = None,
        propagate: str | None = None,
        risk: float = 0.0,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        weight_decay: float | Sequence[float] = 0.0,
        statistics: str = "kept",
        bootstrap: bool = False,
        beta: float = 0.0,
    ) -> None:
        a_task("task", task)
        self.task = task
        self.settings = Settings.of(
            task,
            hidden,
            activation,
            seed,
            members=members,
            probabilistic=probabilistic,
            elites=elites,
            particles=particles,
            propagate=propagate,
            risk=risk,
            inputs=inputs,
            outputs=outputs,
            weight_decay=weight_decay,
            statistics=statistics,
            bootstrap=bootstrap,
            beta=beta,
        )
        self._trained: Trained | None = None
        self._core_model: _core.Dynamics | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: the compiled model is made anew of the weights, to the same bits."""
        return {**self.__dict__, "_core_model": None}

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        members = f", {self.members} members" if self.members > 1 else ""
        state = "not trained" if self._trained is None else "trained"
        return f"<mbmf.DynamicsModel {self.task.name}: {sizes}{members}, {state}>"

    @property
    def hidden(self) -> tuple[int, ...]:
        return self.settings.hidden

    @property
    def activation(self) -> str:
        return self.settings.activation

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def members(self) -> int:
        return self.settings.members

    @property
    def probabilistic(self) -> bool:
        return self.settings.probabilistic

    @property
    def elites(self) -> tuple[int, ...]:
        """The members that plan. Raises DataError if the model was neither trained nor loaded."""
        return self._state().elites

    @property
    def points(self) -> int | None:
        """Transitions in the data of the last fit; None before the first, or where an early file has none."""
        return None if self._trained is None else self._trained.points

    @property
    def normalization(self) -> Normalization | None:
        """The statistics that data are normalised with; None before the first fit."""
        return None if self._trained is None else self._trained.normalization

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer sizes: input (what is seen of the state, and action), hidden layers, output (what is
        predicted of the state, and with variances as many log variances)."""
        return fitting.layer_sizes_of(self.settings, self.task)

    @property
    def core(self) -> _core.Dynamics:
        """The current weights of the members that plan as the C++ core's immutable model; another object
        after each fit.

        Raises DataError if the model was neither trained nor loaded.
        """
        if self._core_model is None:
            self._core_model = compiled(self.task, self.settings, self._state(), self.settings.particles)
        return self._core_model

    def fit(
        self,
        data: Episodes,
        new_data: Episodes | Sequence[Episodes] | None = None,
        *,
        epochs: int,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        final_learning_rate: float | None = None,
        fraction_use_new: float | None = 0.9,
        noise: float = 0.01,
        seed: int = 0,
        nthread: int = 1,
        validation_share: float = 0.0,
        patience: int | None = None,
        drop_failed: bool = False,
        progress: Callable[[int, float], None] | None = None,
        allow_other_task: bool = False,
    ) -> FitResult:
        """Trains on ``data`` (old) and ``new_data``, continuing from the current weights.

        Noise N(0, noise * mean) is added to each dimension of s and of what is predicted whose mean over its
        data set is positive; each of several new data sets has its own means. Then all is normalised. Members
        draw their batches for themselves. `training.py` has the rules for batches and epochs.

        Args:
            data: old data, whose statistics normalise all data of this and later fits.
            new_data: on-policy data, one set or several in order of their age.
            epochs: passes over the old data (over the new data, where the batches have no old share).
            batch_size: points of a batch, of each member.
            final_learning_rate: of the last epoch, to which the rate falls by the same factor from epoch to
                epoch. None: the rate stays.
            noise: relative to those means, 0 to 1e6.
            fraction_use_new: share of a batch that is drawn from the new data, 0 to 1. None: all data are one
                pool, and an epoch is a pass over it.
            seed: of the batches, of bootstraps and of what is held out. The noise derives from the model's
                seed, so that a point keeps its noise.
            nthread: of PyTorch. The result is the same, bit for bit, for the same arguments and thread count;
                1 makes it independent of the number of CPUs. Layers of this size gain little from more: a
                fifth to a third less time on 2 cores.
            validation_share: share of the points that are held out, 0 to below 1: they are not trained on,
                and choose the elites.
            patience: stop after so many epochs without a lower held-out loss (the mean over members), and
                keep the weights and Adam's moments of the best epoch. Needs a validation_share.
            drop_failed: members whose loss is not finite go back to what they were before this fit and do not
                plan, and the result says so; otherwise they are an error.
            progress: called with the epochs done and the last one's loss.
            allow_other_task: take data of another robot, other names or another dt, of the task's sizes.

        Raises:
            ValueError: an argument is out of range.
            DataError: the data are another task's, not finite, or too few; the training would not fit into
                memory; or it diverged.
        """
        options = FitOptions.of(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            final_learning_rate=final_learning_rate,
            fraction_use_new=fraction_use_new,
            noise=noise,
            seed=seed,
            nthread=nthread,
            validation_share=validation_share,
            patience=patience,
            drop_failed=drop_failed,
            progress=progress,
        )
        later = [new_data] if not isinstance(new_data, Sequence | None) else list(new_data or ())
        chunks = [("data", data), *((f"new_data[{i}]", episodes) for i, episodes in enumerate(later))]
        for name, episodes in chunks:
            self._check(episodes, allow_other_task, name)
        trained, result = fitting.fit(self.task, self.settings, self._trained, chunks, options)
        # an interrupted or failed fit has changed nothing until here
        self._trained, self._core_model = trained, None
        return result

    def predict(self, states: ArrayLike, actions: ArrayLike, nthread: int = 0) -> NDArray[np.float32]:
        """Next states (N, nstate) float32, from states (N, nstate) and actions (N, naction), by the C++ core:
        of an ensemble the mean over the members that plan. Actions beyond [-1, 1] are taken as they are; a
        simulation clips them.

        Raises ValueError on other shapes, DataError if the model was neither trained nor loaded.
        """
        return self.core.predict(*_checked(states, actions, nthread))

    def predict_members(
        self, states: ArrayLike, actions: ArrayLike, nthread: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Next states of each member that plans, and their predicted deviations (0 where the model is not
        probabilistic): float32 (members, N, nstate) each, in the states' units.

        Arguments and errors as in `predict`.
        """
        means, deviations = self.core.predict_members(*_checked(states, actions, nthread))
        return means, deviations

    def open_loop(self, states: ArrayLike, actions: ArrayLike, nthread: int = 0) -> NDArray[np.float32]:
        """States (N, H + 1, nstate) float32, the first being the start, from states (N, nstate) and actions
        (N, H, naction); of an ensemble the mean over members at every step. Errors as in `predict`."""
        return self.core.open_loop(*_checked(states, actions, nthread))

    def sample(
        self, states: ArrayLike, actions: ArrayLike, seed: int = 0, nthread: int = 0
    ) -> NDArray[np.float32]:
        """Particles (N, particles, H + 1, nstate) float32, propagated as the planner does; arguments as in
        `open_loop`, and the seed of the noise."""
        states64, actions32, threads = _checked(states, actions, nthread)
        return self.core.sample(states64, actions32, count("seed", seed, 0, MAX_SEED), threads)

    def loss(self, episodes: Episodes, *, allow_other_task: bool = False) -> float:
        """`FitResult.loss_old` of other episodes: the mean over members of the squared errors of what is
        predicted one step ahead, normalised, over all dimensions, without noise.

        allow_other_task: as in `validation_error`.

        Raises DataError if there is no step, the episodes are another task's or not finite, or the model was
        neither trained nor loaded.
        """
        self._check(episodes, allow_other_task)
        return fitting.loss(self.task, self.settings, self._state(), episodes)

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
        episode that is longer than that; averaged over start states and dimensions. Of an ensemble it is the
        mean over members, at every step, that errs. Infinite where a prediction overflows.

        allow_other_task: take episodes of another robot, other names or another dt, of the task's sizes.

        Raises DataError if no episode is long enough, or they are another task's.
        """
        self._check(episodes, allow_other_task)
        nthread = whole_number("nthread", nthread, 0, MAX_THREADS)
        inverse = self._state().normalization.state.inverse_std
        turned = quaternions(self.settings.inputs, self.settings.outputs)
        return validation.validation_error(self.core, inverse, turned, episodes, horizons, nthread)

    def calibration(
        self,
        episodes: Episodes,
        horizons: Sequence[int] = CALIBRATION_HORIZONS,
        levels: Sequence[float] = LEVELS,
        seed: int = 0,
        nthread: int = 0,
        *,
        allow_other_task: bool = False,
    ) -> dict[int, dict[float, float]]:
        """How often the truth lies within the predicted intervals: {horizon: {level: share}}.

        An interval is the mean and so many deviations as hold ``level`` of a normal distribution; a share
        equal to its level is perfect. One step: mean and deviation of the mixture of the members'
        predictions. Further: mean and deviation of particles propagated as in planning, 20 or more where
        they are drawn. Start states are those of `validation_error`. States that never varied do not count,
        nor those that nothing is learned of: goals, references, and what never changed within an episode.

        allow_other_task: as in `validation_error`.

        Raises DataError if no episode is long enough, they are another task's, or the model predicts no
        deviation: one member that is not probabilistic.
        """
        self._check(episodes, allow_other_task)
        trained = self._state()
        if len(trained.elites) == 1 and not self.probabilistic:
            raise DataError(
                "calibration must be of a model with variances or several members that plan, got one without "
                "either"
            )
        nthread = whole_number("nthread", nthread, 0, MAX_THREADS)
        particles = planning = len(trained.elites)
        if self.settings.propagate != "expectation":
            particles = planning * max(
                -(-_CALIBRATION_PARTICLES // planning), (self.settings.particles or 0) // planning
            )
        return validation.calibration(
            compiled(self.task, self.settings, trained, particles),
            self._predicted(),
            quaternions(self.settings.inputs, self.settings.outputs),
            episodes,
            horizons,
            levels,
            particles,
            count("seed", seed, 0, MAX_SEED),
            nthread,
        )

    def deviation_over_members(
        self, episodes: Episodes, nthread: int = 0, *, allow_other_task: bool = False
    ) -> float:
        """How far the members' predictions of one step are apart on all steps of episodes of two or more: the
        deviation of their means, in deviations of what is predicted, averaged over steps and the dimensions
        that vary.

        allow_other_task: as in `validation_error`. Raises DataError if the episodes are another task's.
        """
        self._check(episodes, allow_other_task)
        nthread = whole_number("nthread", nthread, 0, MAX_THREADS)
        predicted = partial(make_predicted, inputs=self.settings.inputs, outputs=self.settings.outputs)
        inverse = self._state().normalization.delta.inverse_std
        return validation.deviation_over_members(self.core, inverse, predicted, episodes, nthread)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, normalisation, optimiser and what they belong to, whole or not at all (safetensors)

        Raises OSError if that is not possible, DataError if the model was neither trained nor loaded.
        """
        file.save(path, self.task, self.settings, self._state())

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], task: Task, *, allow_other_task: bool = False
    ) -> DynamicsModel:
        """The model that `save` wrote; further fits continue as if there had been no file in between.

        allow_other_task: take a model of another robot, other names or another dt, of the task's sizes.

        Raises DataError, which names the file, if it is not a whole model of ``task``; OSError if it cannot
        be read.
        """
        settings, trained = file.load(path, task, allow_other_task=allow_other_task)
        model = cls(task)
        model.settings, model._trained = settings, trained
        try:
            _ = model.core  # finite numbers may still overflow where they are folded together
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        return model

    def _check(self, episodes: Episodes, allow_other_task: bool, name: str = "episodes") -> None:
        """Raises DataError if episodes are another task's, TypeError if they are something else."""
        if not isinstance(episodes, Episodes):
            raise TypeError(
                f"{name} must be mbmf.Episodes, as mbmf.collect_random gives them, or made of arrays by "
                f"mbmf.Episodes(...), got {show(episodes)}"
            )
        if not allow_other_task:
            episodes.check_task(self.task, name, observations=False)

    def _predicted(self) -> NDArray[np.bool_]:
        """Which states vary in the data and are predicted, (nstate)."""
        normalization, outputs = self._state().normalization, self.settings.outputs
        learned = normalization.delta.std > 0
        for i, (word, columns) in enumerate(zip(outputs, columns_of_each(outputs), strict=True)):
            if word == "rotation" and columns > 0:
                # three numbers of a turn are four of a quaternion
                learned[i : i + 4] = learned[i : i + 4].any()
        learned[given_states(self.task.state_names)] = False
        return learned & (normalization.state.std > 0)

    def core_arguments(self) -> dict[str, Any]:
        """What the C++ core's model is made of: the arguments of `_core.Dynamics` by name.

        Raises DataError if the model was neither trained nor loaded.
        """
        return core_arguments(self.task, self.settings, self._state(), self.settings.particles)

    def exported(self) -> tuple[list[NDArray[np.float32]], Normalization]:
        """The layers (rows, cols + 1), or of the members that plan (members, rows, cols + 1), the biases
        last, in normalised space, and the normalisation.

        Raises DataError if the model was neither trained nor loaded.
        """
        trained = self._state()
        layers = [members_of(layer, trained.elites) for layer in trained.mlp.layers]
        return layers, trained.normalization

    def _state(self) -> Trained:
        if self._trained is None:
            raise DataError("the dynamics model has no weights yet: fit it or load it first")
        return self._trained


def _checked(
    states: ArrayLike, actions: ArrayLike, nthread: int
) -> tuple[NDArray[np.float64], NDArray[np.float32], int]:
    """As the core takes them. Raises ValueError."""
    return (
        numbers("states", states, np.float64),
        numbers("actions", actions, np.float32),
        whole_number("nthread", nthread, 0, MAX_THREADS),
    )
