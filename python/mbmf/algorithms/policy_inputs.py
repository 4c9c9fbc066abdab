"""What a policy's network sees of the observations, and at which scale.

Both are in the weights of its first layer, so that files, exports and the C++ core know nothing of them: an
input that is not seen has weights of 0, and one that is normalised has them divided by its deviation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mbmf.policies.policy import GaussianPolicy
from mbmf.tasks.task import Task

Floats32 = NDArray[np.float32]

# an input that hardly varies in what there is may do so later: its weights grow no more than 20 times
_LEAST_DEVIATION = 0.05


def seen(task: Task) -> NDArray[np.bool_]:
    """Which observations the task's policies see, (nobservation): not those whose input is nothing."""
    inputs = {} if task.model_free is None else task.model_free.inputs
    return np.array([inputs.get(name) != "nothing" for name in task.observation_names])


def unseen(task: Task) -> list[str]:
    """The names of those that they do not see."""
    return [name for name, sees in zip(task.observation_names, seen(task), strict=True) if not sees]


def hide(observations: Floats32, seen: NDArray[np.bool_]) -> Floats32:
    """The observations (n, nobservation) with 0 for what is not seen: no gradient reaches its weights."""
    return observations if seen.all() else np.where(seen, observations, np.float32(0))


def blind(policy: GaussianPolicy, seen: NDArray[np.bool_]) -> None:
    """Sets the weights of what is not seen to 0."""
    first, *others = policy.arrays()
    _set(policy, [np.where(seen, first, np.float32(0)), *others])


def normalize(policy: GaussianPolicy, observations: Floats32) -> None:
    """Changes the first layer so that the network takes its inputs at mean 0 and deviation 1.

    observations (n, nobservation), n > 0: their means and deviations are taken, these at least 0.05. Natural
    gradients are as if the inputs themselves were normalised: they depend on no choice of coordinates.
    """
    first, bias, *others = policy.arrays()
    rows = observations.astype(np.float64)
    weights = first / np.maximum(rows.std(axis=0), _LEAST_DEVIATION)
    _set(policy, [weights, bias - weights @ rows.mean(axis=0), *others])


def _set(policy: GaussianPolicy, arrays: list[NDArray[np.floating]]) -> None:
    policy.set_parameter_vector(np.concatenate([array.ravel() for array in arrays]).astype(np.float32))
