"""A policy's episodes in a learned model, where no robot moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf import _core
from mbmf.arguments import MAX_SEED, MAX_THREADS, finite_numbers, whole_number
from mbmf.planning.learned import model_core
from mbmf.policies.batch import PolicyBatch
from mbmf.tasks.identity import check_identity

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.tasks.task import Task


def imagine_policy(
    task: Task,
    model: DynamicsModel,
    policy: GaussianPolicy,
    starts: npt.ArrayLike,
    steps: int = 100,
    seed: int = 0,
    nthread: int = 0,
    first_episode: int = 0,
    *,
    keep_hidden: bool = False,
    progress: Callable[[int], Any] | None = None,
    allow_other_task: bool = False,
) -> PolicyBatch:
    """Episodes of a policy's actions through the mean prediction of a learned model, one from each start.

    They end where they leave the task's ``alive`` bounds or ``healthy`` ones of states (terminated), after
    ``steps`` (truncated), or where a prediction is not finite (diverged). Their rewards are the task's, of
    predicted states. Episode e is a pure function of (policy, model, its start, seed, first_episode + e); the
    batch is the same bits at any number of threads. Policy optimisation on such batches costs no control
    steps (Kurutach et al., "Model-ensemble trust-region policy optimization", 2018).

    Args:
        task: whose rewards and bounds count.
        model: of the task, trained or loaded.
        policy: of the task.
        starts: states to start from, (E, nstate), in the states' units.
        steps: control steps of an episode at most.
        seed: of the actions, 0 to 2^64 - 1.
        nthread: threads, 0 to 1024; 0: one for every CPU.
        first_episode: the number of the first episode; `PolicyBatch.next_episode` continues a batch.
        keep_hidden: keep what the policy's hidden layers gave.
        progress: called about ten times a second with the control steps done so far.
        allow_other_task: take a policy of another robot, other names or another dt, of the task's sizes.

    Raises:
        ValueError: an argument is out of range; the policy is of another task; the task's rewards or
            observations are not of its states alone, which are all that a model predicts.
        DataError: the policy is of the task with another robot, other names or another dt, or the model was
            neither trained nor loaded.
        KeyboardInterrupt: on Ctrl-C; what ``progress`` raises comes out too.
    """
    if not allow_other_task:
        if policy.task_name != task.name:
            raise ValueError(f"policy must be one of task {task.name}, got one of {policy.task_name}")
        check_identity("policy", policy.identity, task.identity, task.name)
    if task.reward_function is not None:
        raise ValueError(
            f"reward must be of terms to be imagined, got reward_function of task {task.name}: it is asked "
            "about simulations only"
        )
    first_episode = whole_number("first_episode", first_episode, 0, MAX_SEED)
    arrays = _core.imagine_policy(
        task.core,
        model_core(model, task, alone=True),
        policy.core,
        finite_numbers("starts", starts, np.float64),
        whole_number("steps", steps),
        whole_number("seed", seed, 0, MAX_SEED),
        first_episode,
        whole_number("nthread", nthread, 0, MAX_THREADS),
        keep_hidden,
        progress,
    )
    return PolicyBatch(**arrays, first_episode=first_episode, task=task.name, identity=task.identity)
