"""Hands a policy over to Stable-Baselines3, where PPO, TRPO or SAC goes on learning with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf.errors import ConfigError, MbmfError
from mbmf.tasks.task import Task
from mbmf.words import one_of, show

if TYPE_CHECKING:
    from gymnasium import Env
    from stable_baselines3.common.base_class import BaseAlgorithm

    from mbmf.policies.policy import GaussianPolicy

ALGORITHMS = ("PPO", "TRPO", "SAC")
_LOG_STD = (-20, 2)  # bounds within SAC's actor


def to_sb3(
    policy: GaussianPolicy, env: Env[Any, Any], algorithm: str = "PPO", **settings: Any
) -> BaseAlgorithm:
    """A learner of Stable-Baselines3 whose actor is the policy: see `GaussianPolicy.to_sb3`."""
    learner = _class(algorithm)
    if hasattr(env, "num_envs") and hasattr(env, "single_observation_space"):
        raise ConfigError(
            "env must be one environment, or Stable-Baselines3's make_vec_env of several, got a vector "
            "environment of Gymnasium"
        )
    if not hasattr(env, "observation_space"):
        raise ConfigError(f"env must be an environment, as gymnasium.make gives it, got {show(env)}")
    for what, have, want in (
        ("observation", env.observation_space.shape, (policy.nobservation,)),
        ("action", env.action_space.shape, (policy.naction,)),
    ):
        if have != want:
            raise ConfigError(f"env must have {what}s of shape {want}, as the policy has, got {have}")
    space: Any = env.action_space
    if not (np.all(space.low == -1) and np.all(space.high == 1)):
        raise ConfigError(
            "env must take actions in [-1, 1], as the policy gives them, got a space from "
            f"{np.min(space.low):g} to {np.max(space.high):g}"
        )
    for task in _tasks(env):
        difference = "" if policy.identity is None else policy.identity.differences(task.identity)
        if difference:
            raise ConfigError(f"env must be of the policy's robot, got task {task.name}: {difference}")
    if settings.get("use_sde"):
        raise ConfigError(
            "use_sde must not be given: the policy's deviations are of the action, not of features"
        )
    if settings.get("_init_setup_model", True) is not True:
        raise ConfigError("_init_setup_model must not be given: the policy goes into the learner's networks")
    kwargs = settings.get("policy_kwargs")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise ConfigError(f"policy_kwargs must be a dictionary, got {show(kwargs)}")
    taken = {"net_arch", "activation_fn", "log_std_init"} & set(kwargs or {})
    if taken:
        raise ConfigError(f"policy_kwargs must be without {' and '.join(sorted(taken))}: the policy has them")
    arrays = policy.arrays()
    if not all(np.isfinite(array).all() for array in arrays):
        raise ConfigError("policy must have finite parameters only, got others")
    if algorithm == "SAC" and not (np.all(arrays[-1] >= _LOG_STD[0]) and np.all(arrays[-1] <= _LOG_STD[1])):
        low, high = np.exp(_LOG_STD)
        raise ConfigError(
            f"policy must have deviations of {low:.2g} to {high:.3g} for SAC, which knows no others, got "
            f"{np.min(policy.std):.3g} to {np.max(policy.std):.3g}"
        )

    import torch

    of_value = "qf" if algorithm == "SAC" else "vf"
    shape = {
        "net_arch": {"pi": list(policy.hidden), of_value: list(policy.hidden)},
        "activation_fn": torch.nn.Tanh,
    }
    settings["policy_kwargs"] = {**(kwargs or {}), **shape}
    model: BaseAlgorithm = learner("MlpPolicy", env, **settings)
    actor: Any = model.policy.actor if algorithm == "SAC" else model.policy
    if algorithm == "SAC":
        layers = [*actor.latent_pi, actor.mu]
    else:
        layers = [*actor.mlp_extractor.policy_net, actor.action_net]
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for layer, weight, bias in zip(linear, arrays[:-1:2], arrays[1:-1:2], strict=True):
            layer.weight.copy_(torch.from_numpy(np.array(weight)))
            layer.bias.copy_(torch.from_numpy(np.array(bias)))
        log_std = torch.from_numpy(np.array(arrays[-1]))
        if algorithm == "SAC":
            # a deviation that depends on the observation, to begin with on none
            actor.log_std.weight.zero_()
            actor.log_std.bias.copy_(log_std)
        else:
            actor.log_std.copy_(log_std)
    return model


def _tasks(env: Any) -> list[Task]:
    """What an environment of ours is of; also behind a vector environment of Stable-Baselines3.

    Raises ConfigError where observations are normalised on their way, and where those of an environment of
    ours are changed at all: the policy has seen them as they are. Another environment's may have to be put
    in our order.
    """
    from gymnasium import ObservationWrapper, Wrapper
    from gymnasium.wrappers import NormalizeObservation

    inner, wrappers = env, []
    while isinstance(inner, Wrapper):
        wrappers.append(inner)
        inner = inner.env
    while hasattr(inner, "venv"):  # Stable-Baselines3's wrappers
        if type(inner).__name__ == "VecNormalize" and inner.norm_obs:
            raise ConfigError(
                "env must give observations as they are, got VecNormalize (norm_obs=False does)"
            )
        inner = inner.venv
    several = hasattr(inner, "get_attr") and hasattr(inner, "num_envs")
    if several:
        found = inner.get_attr("task") if inner.has_attr("task") else []
    else:
        found = [getattr(inner, "task", None)]
    tasks = [task for task in found if isinstance(task, Task)]
    for kind in (NormalizeObservation, ObservationWrapper) if tasks else (NormalizeObservation,):
        names = [type(each).__name__ for each in wrappers if isinstance(each, kind)]
        if several and any(inner.env_is_wrapped(kind)):
            names = [kind.__name__]
        if names:
            raise ConfigError(f"env must give observations as they are, got {names[0]}")
    return tasks


def _class(algorithm: str) -> Any:
    if algorithm not in ALGORITHMS:
        raise ConfigError(
            f"algorithm must be {one_of(algorithm, ALGORITHMS, 'an algorithm')}, got {algorithm!r}"
        )
    try:
        if algorithm == "TRPO":
            import sb3_contrib

            return sb3_contrib.TRPO
        import stable_baselines3

        return getattr(stable_baselines3, algorithm)
    except ImportError as error:
        raise MbmfError(
            f'{algorithm} needs the package {error.name}, which is not installed: pip install "mbmf[bench]"'
        ) from error
