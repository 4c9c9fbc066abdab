"""A policy that goes on learning in the model of its robot, before it acts again.

Policy optimisation as in reality, on episodes that a learned model predicts (Kurutach et al., "Model-ensemble
trust-region policy optimization", 2018). A policy that has learned nothing learns what the model gets wrong;
one that imitates the planner, in states where the planner and it have been, learns what imitation missed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mbmf.algorithms import checkpoint
from mbmf.algorithms.baseline import Baseline
from mbmf.algorithms.checkpoint import Counters
from mbmf.algorithms.policy_inputs import blind, seen
from mbmf.cluster.sampler import Here
from mbmf.dynamics.model import DynamicsModel
from mbmf.policies.batch import PolicyBatch
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.imagine import imagine_policy
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ImaginedConfig, ModelFreeConfig
from mbmf.tasks.task import Task

# stages whose random numbers derive from the seed
_STARTS, _UPDATES = 30, 31
# of an episode of control that is about to begin, as against one in the middle
_SHARE_OF_BEGINNINGS = 0.5
# seconds of work that an interruption may lose
_KEPT_AFTER = 5.0


class Imagined(NamedTuple):
    """What updates in a model did.

    Attributes:
        rewards: mean reward of a step in each update's episodes, without those that diverged; None: all did.
        diverged: episodes whose predictions were not finite, in all; they are left out.
        skipped: updates that were not finite, and left the policy as it was.
    """

    rewards: list[float | None]
    diverged: int
    skipped: int


class _Imagination(Here):
    """A sampler whose policies' episodes are imagined."""

    def __init__(
        self,
        model: DynamicsModel,
        beginnings: npt.NDArray[np.float64],
        states: npt.NDArray[np.float64],
        rollouts: int,
        seed: int,
        nthread: int,
        allow_other_task: bool,
    ) -> None:
        super().__init__(nthread)
        self._model, self._seed, self._rollouts = model, seed, rollouts
        self._beginnings, self._states, self._allow = beginnings, states, allow_other_task
        self.reward: float | None = None  # mean of a step in the latest batch
        self.diverged = 0

    def policy(self, task: Task, policy: GaussianPolicy, **options: Any) -> PolicyBatch:
        first = options["first_episode"]
        rng = np.random.default_rng(derive_seed(self._seed, _STARTS, first))
        count = self._rollouts
        begins = rng.random(count) < _SHARE_OF_BEGINNINGS
        starts = np.where(
            begins[:, None],
            self._beginnings[rng.integers(len(self._beginnings), size=count)],
            self._states[rng.integers(len(self._states), size=count)],
        )
        batch = imagine_policy(
            task,
            self._model,
            policy,
            starts,
            options["max_episode_steps"],
            options["seed"],
            self.threads,
            first,
            keep_hidden=options["keep_hidden"],
            progress=options["progress"],
            allow_other_task=self._allow,
        )
        good = np.repeat(~batch.diverged, batch.lengths)
        self.reward = float(batch.rewards[good].mean()) if good.any() else None
        self.diverged += int(batch.diverged.sum())
        return batch


def improve_in_model(
    task: Task,
    policy: GaussianPolicy,
    model: DynamicsModel,
    beginnings: npt.NDArray[np.float64],
    states: npt.NDArray[np.float64],
    settings: ImaginedConfig,
    *,
    seed: int,
    nthread: int = 0,
    progress: Callable[[int], Any] | None = None,
    allow_other_task: bool = False,
    begun: Path | None = None,
    keep: Callable[[Callable[[Path], None]], Any] | None = None,
) -> Imagined:
    """Improves ``policy`` in place, by TRPO on imagined episodes, and leaves it the last update's deviations.

    Args:
        task: the policy's and the model's; its model_free says how policies are updated.
        policy: that imitates a planner.
        model: what predicts.
        beginnings: states that episodes began in, (n, nstate); half of the imagined episodes begin so.
        states: that the robot has been in, (m, nstate); the others begin in these.
        settings: how many updates, of how many episodes, how long, with which deviation.
        seed: of starts and actions.
        nthread: threads, 0: one for every CPU; the policy does not depend on it.
        progress: called with the updates done so far.
        allow_other_task: take a policy of the robot as it was.
        begun: a file that ``keep`` was given to write, to go on from.
        keep: called every few seconds, and in the end, with a function that writes a file of what is done.

    Raises ValueError where the task's rewards or observations are not of states. KeyboardInterrupt passes.
    """
    from mbmf.algorithms.policy_iteration import Iteration
    from mbmf.nn.training import torch_threads
    from mbmf.nn.workers import Workers

    of_policies = task.model_free
    assert of_policies is not None
    updates = ModelFreeConfig.model_validate(
        {
            **of_policies.model_dump(),
            "initial_std": settings.std,
            "batch_size": settings.rollouts * settings.steps,
            "steps_per_rollout": settings.steps,
            "bootstrap_truncated": True,
        }
    )
    sampler = _Imagination(model, beginnings, states, settings.rollouts, seed, nthread, allow_other_task)
    baseline, counters, rewards = Baseline.zero(task.nobservation), Counters(), []
    if begun is None:
        policy.set_std(settings.std)
        blind(policy, seen(task))
    else:
        baseline, counters, record = checkpoint.load(begun, policy)
        rewards, sampler.diverged = record["rewards"], record["diverged"]

    def write(path: Path) -> None:
        record = {"iteration": counters.iterations, "rewards": rewards, "diverged": sampler.diverged}
        checkpoint.save(path, policy, baseline, counters, record)

    last = time.perf_counter()
    # the bits of PyTorch's products depend on its number of threads
    with torch_threads(1), Workers(sampler.threads or len(os.sched_getaffinity(0))) as workers:
        while counters.iterations < settings.iterations:
            iteration = Iteration(task, policy, baseline, counters, updates, derive_seed(seed, _UPDATES))
            iteration.sample(sampler, lambda steps: None)
            iteration.improve(workers)
            baseline, counters = iteration.baseline, iteration.counters
            rewards.append(sampler.reward)
            now, done = time.perf_counter(), counters.iterations == settings.iterations
            if keep is not None and (done or now - last > _KEPT_AFTER):
                keep(write)
                last = now
            if progress is not None:
                progress(counters.iterations)
    return Imagined(rewards, sampler.diverged, counters.skipped)
