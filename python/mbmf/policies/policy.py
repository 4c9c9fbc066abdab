"""A Gaussian policy: trained in PyTorch, evaluated by the C++ core (paper, section V)."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mbmf import _core
from mbmf.arguments import MAX_SEED, MAX_THREADS, a_task, finite_numbers, numbers, whole_number
from mbmf.errors import ConfigError, DataError
from mbmf.nn.memory import check_network
from mbmf.nn.mlp_state import layer_sizes, xavier_normal
from mbmf.policies import file
from mbmf.words import show

if TYPE_CHECKING:
    import torch
    from gymnasium import Env
    from stable_baselines3.common.base_class import BaseAlgorithm

    from mbmf.policies.network import PolicyNetwork
    from mbmf.tasks.task import Task

Vector = NDArray[np.float32]
# a small last layer: the first actions are noise around 0, whatever the observation
_LAST_LAYER_SCALE = 0.01


class GaussianPolicy:
    """Actions ~ N(mean(observation), std), where the mean is a tanh MLP and the deviations are free numbers.

    The parameters are NumPy arrays until `network` is first used; from then on they are that PyTorch
    module's. Without it a policy needs no PyTorch: ``policy(observation)`` is an action, as Gymnasium's
    environments take it.

    Args:
        task: whose observations and actions these are.
        hidden: sizes of the hidden layers; none: a linear mean.
        seed: of the initial weights: Xavier-normal, the last layer's a hundredth of that, biases zero.
        std: initial standard deviation of every action.

    Attributes:
        task_name, observation_names: of the task.
        task_config: the task itself, as YAML, which files keep too; None: its reward or its cost is a
            function given to load_task, or it is from a file of an earlier version.
        identity: what the task was; None: from a file of an earlier version.
        nobservation, naction: sizes of observations and actions.
        hidden: sizes of the hidden layers.

    Raises:
        ValueError: an argument is out of range.
        DataError: so large a network does not fit into the memory that is free.
    """

    def __init__(
        self, task: Task, hidden: Sequence[int] | int = (64, 64), seed: int = 0, std: float = 1.0
    ) -> None:
        a_task("task", task)
        sizes = tuple(whole_number("hidden", size, 1, 65536) for size in layer_sizes(hidden))
        rng = np.random.default_rng(whole_number("seed", seed, 0, MAX_SEED))
        sizes = (task.nobservation, *sizes, task.naction)
        check_network("hidden", sizes)
        layers = xavier_normal(sizes, rng).layers
        weights = [np.ascontiguousarray(layer[:, :-1]) for layer in layers]
        weights[-1] *= np.float32(_LAST_LAYER_SCALE)
        biases = [np.ascontiguousarray(layer[:, -1]) for layer in layers]
        log_std = np.zeros(task.naction, np.float32)
        contents = file.Contents(
            task.name, task.observation_names, weights, biases, log_std, None, None, None
        )
        self._set(_of_task(contents, task))
        self.set_std(std)

    def _set(self, contents: file.Contents) -> None:
        self.task_name = contents.task
        self.task_config = contents.task_config
        self.identity = contents.identity
        self.observation_names = list(contents.observation_names)
        self._model_file = contents.model_file
        layers = zip(contents.weights, contents.biases, strict=True)
        self._arrays = [*(array for layer in layers for array in layer), contents.log_std]
        self._network: PolicyNetwork | None = None
        # the core's policy, and the parameters that it was made of
        self._core_policy: tuple[_core.GaussianPolicy, list[Vector]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: the parameters as they are now, which each copy has for its own."""
        arrays = [np.array(array) for array in self.arrays()]
        return {**self.__dict__, "_arrays": arrays, "_network": None, "_core_policy": None}

    @property
    def nobservation(self) -> int:
        return int(self._arrays[0].shape[1])

    @property
    def naction(self) -> int:
        return len(self._arrays[-1])

    @property
    def hidden(self) -> tuple[int, ...]:
        return tuple(len(bias) for bias in self._arrays[1:-3:2])

    @property
    def network(self) -> PolicyNetwork:
        """The PyTorch module that has the parameters; optimisers may change them. Imports PyTorch."""
        if self._network is None:
            from mbmf.policies.network import PolicyNetwork

            self._network = PolicyNetwork(self._arrays[:-1:2], self._arrays[1:-1:2], self._arrays[-1])
        return self._network

    def parameters(self) -> list[torch.nn.Parameter]:
        """The PyTorch parameters: weight and bias of each layer, then the logarithms of the deviations."""
        return self.network.ordered_parameters()

    def arrays(self) -> list[Vector]:
        """The current parameters: weight (rows, cols), bias (rows,) of each layer; last, log_std (naction,).

        All float32. They may share the policy's memory: do not write to them.
        """
        if self._network is None:
            return list(self._arrays)
        parameters = self._network.ordered_parameters()
        # of another type, were the network made one of float64
        return [np.asarray(parameter.detach().cpu().numpy(), np.float32) for parameter in parameters]

    def parameter_vector(self) -> Vector:
        """A copy of all parameters end to end, those of `arrays` by rows: float32 (nparameter,)."""
        return np.concatenate([array.ravel() for array in self.arrays()])

    def set_parameter_vector(self, vector: ArrayLike) -> None:
        """Sets all parameters from what `parameter_vector` gives. Raises ValueError on another shape."""
        values, arrays = numbers("vector", vector, np.float32), self.arrays()
        ends = np.cumsum([array.size for array in arrays])
        if values.shape != (ends[-1],):
            raise ValueError(f"vector must be of shape ({ends[-1]},), got {values.shape}")
        for i, part in enumerate(np.split(values, ends[:-1])):
            self._write(i, part.reshape(arrays[i].shape))

    @property
    def std(self) -> Vector:
        """Standard deviations of the actions, float32 (naction,)."""
        return np.exp(self.arrays()[-1])

    def set_std(self, std: ArrayLike) -> None:
        """Sets the standard deviations: one number, or one for each action. Raises ValueError."""
        values = numbers("std", std, np.float64)
        if values.shape not in ((), (self.naction,)):
            raise ValueError(f"std must be a number or of shape ({self.naction},), got {values.shape}")
        with np.errstate(divide="ignore", invalid="ignore"):
            log_std = np.log(values)
        if not (np.abs(log_std) <= file.MAX_LOG_STD).all():
            raise ValueError(f"std must be positive and finite, got {std!r}")
        self._write(-1, np.broadcast_to(log_std, (self.naction,)))

    def _write(self, index: int, values: NDArray[Any]) -> None:
        """Sets one of `arrays`."""
        if self._network is None:
            self._arrays[index][:] = values
        else:
            self._network.set_parameter(index, values)

    @property
    def core(self) -> _core.GaussianPolicy:
        """The current parameters as the C++ core's immutable policy; another object once they changed.

        Raises ValueError if a parameter is not finite.
        """
        arrays = self.arrays()
        if self._core_policy is not None:
            policy, before = self._core_policy
            if all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True)):
                return policy
        copies = [np.array(array, np.float32, order="C") for array in arrays]
        policy = _core.GaussianPolicy(copies[:-1:2], copies[1:-1:2], copies[-1])
        self._core_policy = policy, copies
        return policy

    def mean(self, observations: ArrayLike, nthread: int = 1) -> NDArray[np.float32]:
        """Mean actions, not clipped, by the C++ core: (N, nobservation) -> float32 (N, naction).

        The same bits as `mbmf.collect_policy` gives, at any number of threads. Raises ValueError on another
        shape.
        """
        array = finite_numbers("observations", observations, np.float32)
        return self.core.mean(array, whole_number("nthread", nthread, 0, MAX_THREADS))

    def act(self, observation: ArrayLike, rng: np.random.Generator | None = None) -> NDArray[np.float32]:
        """The action in [-1, 1] for an observation (nobservation,) or for several (N, nobservation).

        Args:
            observation: anything that NumPy makes numbers of.
            rng: draws the policy's noise; None: the mean action.

        Returns:
            float32 (naction,) or (N, naction).

        Raises:
            ValueError: another shape, or numbers that are not finite.
        """
        array = numbers("observation", observation, np.float32)
        if array.ndim not in (1, 2) or array.shape[-1] != self.nobservation:
            raise ValueError(
                f"observation must be of shape ({self.nobservation},) or (N, {self.nobservation}), "
                f"got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError("observation must be finite, got NaN or infinity")
        actions = self.core.mean(np.atleast_2d(array), 1)
        if rng is not None:
            actions += self.std * rng.standard_normal(actions.shape, np.float32)
        np.clip(actions, -1.0, 1.0, out=actions)
        return actions.reshape(*array.shape[:-1], self.naction)

    def __call__(self, observation: ArrayLike) -> NDArray[np.float32]:
        """The mean action, clipped to [-1, 1]: see `act`."""
        return self.act(observation)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the parameters and what they belong to, whole or not at all (safetensors).

        Raises:
            ValueError: a parameter is not finite.
            OSError: the file cannot be written.
        """
        _ = self.core  # checks the parameters: nothing is written that cannot be used
        *layers, log_std = self.arrays()
        contents = file.Contents(
            self.task_name,
            self.observation_names,
            layers[::2],
            layers[1::2],
            log_std,
            self.task_config,
            self._model_file,
            self.identity,
        )
        file.save(path, contents)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], task: Task | None = None, *, allow_other_task: bool = False
    ) -> GaussianPolicy:
        """The policy that `save` wrote; with a task, checked that it is of that task as it is now.

        allow_other_task: with a task, make one of another robot, other names or another dt the task's. Sizes
            must be the task's even so.

        Raises:
            DataError: naming the file, if it is not a whole policy file or of another task.
            OSError: it cannot be read.
        """
        contents = file.load(path, task, allow_other_task)
        if task is not None and allow_other_task:
            contents = _of_task(contents, task)
        policy = cls.__new__(cls)
        policy._set(contents)
        try:
            _ = policy.core
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        return policy

    def load_task(self) -> Task:
        """The task that the policy was made for, from the policy itself.

        Raises DataError if its file does not keep it, as the task's reward or cost is a function given to
        load_task or the file is of an earlier version, ConfigError if the task cannot be made here (its MJCF
        file is not there, say).
        """
        from mbmf.tasks.load import load_task
        from mbmf.tasks.record import with_model
        from mbmf.yaml_text import parse_yaml

        if self.task_config is None:
            raise DataError(
                f"policy of {self.task_name}: it must hold the task, got none, as it is from an early file, "
                "or the task has functions in Python that no file names: mbmf.load_task has it"
            )
        config = parse_yaml(self.task_config, f"policy of {self.task_name}: its task", error=DataError)
        if not isinstance(config, dict):
            raise DataError(f"policy of {self.task_name}: its task must be a mapping, got {show(config)}")
        try:
            return load_task(with_model(config, self._model_file))
        except ConfigError as error:
            raise ConfigError(f"policy of {self.task_name}: its {error}") from error

    def to_sb3(self, env: Env[Any, Any], algorithm: str = "PPO", **settings: Any) -> BaseAlgorithm:
        """A learner of Stable-Baselines3 whose actor is this policy, and which goes on learning from there.

        With PPO and TRPO the actor is the same: mean, deviations, and actions that are clipped. SAC's
        squashes its actions: it acts by tanh(mean), which is this policy's action as long as that is small,
        and is less bold where it is near the limits. The learner's value networks are new.

        Args:
            env: a Gymnasium environment of the policy's task: `gymnasium.make("mbmf/HalfCheetah-v0")`.
            algorithm: "PPO", "TRPO" (of sb3-contrib) or "SAC".
            settings: of the learner: ``seed``, ``learning_rate``, ...

        Raises ConfigError if the environment has other sizes, or is one of ours whose observations a wrapper
        changes; if the algorithm is another, a parameter is not finite, or a deviation is beyond what SAC
        knows (2e-9 to 7.39). Raises MbmfError without the extra ``mbmf[bench]``.
        """
        from mbmf.policies import sb3

        return sb3.to_sb3(self, env, algorithm, **settings)

    def save_onnx(self, path: str | os.PathLike[str]) -> None:
        """Writes the policy as an ONNX graph, whole or not at all: see `mbmf.policies.onnx`.

        Raises MbmfError without the package onnx, ValueError if a parameter is not finite, OSError.
        """
        from mbmf.policies import onnx

        onnx.save(path, self)

    def __repr__(self) -> str:
        sizes = "-".join(str(size) for size in (self.nobservation, *self.hidden, self.naction))
        return f"<mbmf.GaussianPolicy {self.task_name}: {sizes}>"


def _of_task(contents: file.Contents, task: Task) -> file.Contents:
    """The same parameters as a policy of ``task``."""
    return dataclasses.replace(
        contents,
        task=task.name,
        observation_names=list(task.observation_names),
        task_config=None if task.unnamed_functions else task.to_yaml(),
        model_file=task.config.model.own_file,
        identity=task.identity,
    )


def fingerprint(policy: GaussianPolicy) -> str:
    """Tells policies' means apart: the first 16 hexadecimal digits of the SHA-256 of its weights."""
    digest = hashlib.sha256()
    for array in policy.arrays()[:-1]:
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
