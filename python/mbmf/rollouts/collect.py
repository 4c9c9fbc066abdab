"""Collecting whole episodes: random actions, model-predictive control, and Gaussian policies."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf import _core
from mbmf.arguments import MAX_SEED, MAX_THREADS, a_task, number, of_class, whole_number
from mbmf.policies.batch import PolicyBatch
from mbmf.rollouts.episodes import Episodes
from mbmf.rollouts.path_record import PathRecord
from mbmf.simulation.poses import pose_is_known
from mbmf.simulation.simulator import ResetName, Simulator, reset_kind
from mbmf.tasks.identity import check_identity

if TYPE_CHECKING:
    from mbmf.planning.planner import Planner
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.tasks.task import Task

Progress = Callable[[int], Any]


def collect_random(
    task: Task,
    episodes: int,
    steps: int,
    seed: int = 0,
    nthread: int = 0,
    first_episode: int = 0,
    progress: Progress | None = None,
) -> Episodes:
    """Episodes of uniform actions in [-1, 1), from the task's "random" reset (paper, section IV-B).

    They end after ``steps`` or where MuJoCo fails, never by the task's healthy bounds. Episode e is a pure
    function of (seed, first_episode + e), at any number of threads. Where all diverge at once, a warning says
    why.

    Args:
        task: what is simulated.
        episodes, steps: how many, and of how many control steps, both at least 1.
        seed: 0 to 2^64 - 1.
        nthread: threads, 0 to 1024; 0: one for every CPU.
        first_episode: the number of the first episode.
        progress: called about ten times a second with the control steps done so far.

    Raises:
        ValueError: an argument is out of range.
        KeyboardInterrupt: on Ctrl-C, within a control step; what ``progress`` raises comes out too.
    """
    a_task("task", task)
    arrays = _core.collect_random(
        task.core,
        whole_number("episodes", episodes),
        whole_number("steps", steps),
        whole_number("seed", seed, 0, MAX_SEED),
        whole_number("first_episode", first_episode, 0, MAX_SEED),
        whole_number("nthread", nthread, 0, MAX_THREADS),
        progress,
    )
    found = _finish(task, arrays)
    if found.diverged.all() and found.nsteps == 0:
        warnings.warn(
            f"task {task.name} should have a robot that can be simulated: all {len(found)} episodes diverged "
            f"in their first step{_reason(task, seed, first_episode)}",
            stacklevel=2,
        )
    return found


def _reason(task: Task, seed: int, episode: int) -> str:
    """Why an episode of full actions diverges at once, in MuJoCo's words."""
    simulator = Simulator(task, 1, 1, seed)
    simulator.start_episodes([episode], "random")
    for action in (1.0, -1.0):
        simulator.step(np.full((1, task.naction), action))
        if simulator.diverged[0]:
            return f" ({simulator.error(0)})"
    return ""


def collect_mpc(
    task: Task,
    planner: Planner,
    episodes: int,
    steps: int,
    seed: int = 0,
    first_episode: int = 0,
    action_noise: float = 0.0,
    progress: Progress | None = None,
) -> Episodes:
    """Episodes of the planner's actions, from the task's "control" reset (paper, section IV-C).

    They end after ``steps``, by the task's healthy bounds, or where MuJoCo fails; on a path, also once they
    are past its last segment. Where no candidate has a finite cost an episode ends before that step: it keeps
    what it has, counts as diverged, and the others go on; where all end like this at once, a warning says so.
    Episode e is a pure function of (planner, seed, first_episode + e). Poses are recorded where the states do
    not say them.

    Args:
        task: the planner's, whatever the path: the planner's path is followed.
        planner: which plans for all episodes; its own count of episodes and steps is left as it is.
        episodes, steps: how many, and of how many control steps at most, both at least 1.
        seed: of start states and noise, 0 to 2^64 - 1.
        first_episode: the number of the first episode.
        action_noise: standard deviation of the noise that is added to executed actions, and not stored.
        progress: called about ten times a second with the control steps done so far.

    Raises:
        ValueError: an argument is out of range, or the planner is of another task.
        KeyboardInterrupt: on Ctrl-C; what ``progress`` raises comes out too.
    """
    from mbmf.planning.planner import Planner

    a_task("task", task)
    of_class("planner", planner, Planner, "mbmf.make_planner")
    if not planner.task.same_robot(task):
        raise ValueError(f"planner must be one of task {task.name}, got one of {planner.task.name}")
    task = planner.task
    count, steps = whole_number("episodes", episodes), whole_number("steps", steps)
    seed = whole_number("seed", seed, 0, MAX_SEED)
    first_episode = whole_number("first_episode", first_episode, 0, MAX_SEED)
    noise = number("action_noise", action_noise, 0, 1e6)
    arrays = _core.collect_mpc(
        planner.core, count, steps, seed, first_episode, noise, not pose_is_known(task), progress
    )
    found = _finish(task, arrays, seed, first_episode, noise)
    if found.diverged.all() and found.nsteps == 0:
        warnings.warn(
            f"planner should have a model of task {task.name} that predicts finite costs, and a robot that "
            f"can be simulated: all {len(found)} episodes ended in their first step",
            stacklevel=2,
        )
    return found


def collect_policy(
    task: Task,
    policy: GaussianPolicy,
    steps: int | None = None,
    seed: int = 0,
    nthread: int = 0,
    first_episode: int = 0,
    max_episode_steps: int | None = None,
    *,
    episodes: int | None = None,
    std: float | None = None,
    kind: ResetName = "default",
    keep_hidden: bool = False,
    keep_states: bool = False,
    progress: Progress | None = None,
    allow_other_task: bool = False,
) -> PolicyBatch:
    """Whole episodes of a policy's actions, for policy optimisation (paper, section V).

    They end by the task's healthy bounds, after ``max_episode_steps``, or where MuJoCo fails. Episode e is a
    pure function of (policy, seed, first_episode + e); the batch is the same bits at any number of threads.

    Args:
        task: what is simulated.
        policy: of the task's observations and actions; as it is when the call begins.
        steps: the batch is the fewest episodes, in order of their numbers, with so many steps in all; or
        episodes: it is so many episodes. Give one of the two.
        seed: of start states and actions, 0 to 2^64 - 1.
        nthread: threads, 0 to 1024; 0: one for every CPU.
        first_episode: the number of the first episode; `PolicyBatch.next_episode` continues a batch.
        max_episode_steps: the longest an episode may be; None: the task's.
        std: standard deviation of every action in place of the policy's; 0: the mean actions, no noise.
        kind: which of the task's resets they start from: "default", "random" or "control".
        keep_hidden: keep what the policy's hidden layers gave.
        keep_states: keep the task's states, and poses where these do not say them.
        progress: called about ten times a second with the control steps done so far.
        allow_other_task: take a policy of another robot, other names or another dt, of the task's sizes.

    Raises:
        ValueError: an argument is out of range, or the policy is of another task.
        DataError: the policy is of the task with another robot, other names or another dt, or the task's
            reward function returns something else than a finite number for each step.
        mbmf.CoreError: a hundred episodes in a row diverge in their first step.
        KeyboardInterrupt: on Ctrl-C, within a control step; what ``progress`` raises comes out too.
    """
    from mbmf.policies.policy import GaussianPolicy

    a_task("task", task)
    of_class("policy", policy, GaussianPolicy, "mbmf.GaussianPolicy(task)")
    if not allow_other_task:
        if policy.task_name != task.name:
            raise ValueError(f"policy must be one of task {task.name}, got one of {policy.task_name}")
        check_identity("policy", policy.identity, task.identity, task.name)
    if (steps is None) == (episodes is None):
        raise ValueError(f"either steps or episodes must be given, got {steps} and {episodes}")
    first_episode = whole_number("first_episode", first_episode, 0, MAX_SEED)
    arrays = _core.collect_policy(
        task.core,
        policy.core,
        0 if steps is None else whole_number("steps", steps),
        0 if episodes is None else whole_number("episodes", episodes),
        whole_number(
            "max_episode_steps", task.episode_steps if max_episode_steps is None else max_episode_steps
        ),
        whole_number("seed", seed, 0, MAX_SEED),
        first_episode,
        whole_number("nthread", nthread, 0, MAX_THREADS),
        reset_kind(kind),
        None if std is None else number("std", std, 0, 1e6),
        keep_hidden,
        keep_states or task.reward_function is not None,
        keep_states and not pose_is_known(task),
        progress,
    )
    batch = PolicyBatch(**arrays, first_episode=first_episode, task=task.name, identity=task.identity)
    if task.reward_function is not None:
        batch = _with_rewards(task, batch)
        if not keep_states:
            batch = dataclasses.replace(batch, states=None, final_states=None)
    return batch


def _with_rewards(task: Task, batch: PolicyBatch) -> PolicyBatch:
    """The batch with the rewards of the task's Python function, of the states after each step."""
    assert task.reward_function is not None
    assert batch.states is not None
    assert batch.final_states is not None
    after = np.empty_like(batch.states)
    after[:-1] = batch.states[1:]
    moved = batch.lengths > 0
    after[batch.starts[moved] + batch.lengths[moved] - 1] = batch.final_states[moved]
    executed = np.clip(batch.actions.astype(np.float64), -1.0, 1.0)
    return dataclasses.replace(batch, rewards=batch.rewards + task.reward_function(after, executed))


def _finish(
    task: Task, arrays: dict[str, Any], seed: int = 0, first_episode: int = 0, action_noise: float = 0.0
) -> Episodes:
    """The episodes, with the rewards of a Python reward function where the task has one, and the path.

    The function is asked about the actions that were executed: those of the episodes and the noise.
    """
    record = None
    if "segments" in arrays:
        assert task.path is not None
        segments, origins = arrays.pop("segments"), arrays.pop("origins")
        record = PathRecord(task.path.name, task.path.waypoints, origins, segments)
    episodes = Episodes(**arrays, task=task.name, path=record, identity=task.identity)
    if task.reward_function is None or not episodes.nsteps:
        return episodes
    _, actions, states = episodes.transitions()
    rewards = np.array(episodes.rewards)
    real = np.arange(rewards.shape[1]) < episodes.lengths[:, None]
    executed = actions.astype(np.float64)
    if action_noise > 0:
        drawn = [
            _core.action_noise(seed, first_episode + int(episode), int(step), task.naction)
            for episode, step in zip(*np.nonzero(real), strict=True)
        ]
        executed = np.clip(executed + action_noise * np.array(drawn), -1.0, 1.0)
    rewards[real] += task.reward_function(states, executed)
    return dataclasses.replace(episodes, rewards=rewards)
