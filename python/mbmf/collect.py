"""Collecting whole episodes: random actions, and model-predictive control."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf import _core
from mbmf.arguments import MAX_SEED, MAX_THREADS, number, whole_number
from mbmf.episodes import Episodes

if TYPE_CHECKING:
    from mbmf.planner import RandomShooting
    from mbmf.task import Task

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
    function of (seed, first_episode + e), at any number of threads.

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
    arrays = _core.collect_random(
        task.core,
        whole_number("episodes", episodes),
        whole_number("steps", steps),
        whole_number("seed", seed, 0, MAX_SEED),
        whole_number("first_episode", first_episode, 0, MAX_SEED),
        whole_number("nthread", nthread, 0, MAX_THREADS),
        progress,
    )
    return _finish(task, arrays)


def collect_mpc(
    task: Task,
    planner: RandomShooting,
    episodes: int,
    steps: int,
    seed: int = 0,
    first_episode: int = 0,
    action_noise: float = 0.0,
    progress: Progress | None = None,
) -> Episodes:
    """Episodes of the planner's actions, from the task's "control" reset (paper, section IV-C).

    They end after ``steps``, by the task's healthy bounds, or where MuJoCo fails. Episode e is a pure
    function of (planner, seed, first_episode + e).

    Args:
        task: the planner's.
        planner: which plans for all episodes; its own count of episodes and steps is left as it is.
        episodes, steps: how many, and of how many control steps at most, both at least 1.
        seed: of start states and noise, 0 to 2^64 - 1.
        first_episode: the number of the first episode.
        action_noise: standard deviation of the noise that is added to executed actions, and not stored.
        progress: called about ten times a second with the control steps done so far.

    Raises:
        ValueError: an argument is out of range, or the planner is of another task.
        mbmf.CoreError: no candidate of a plan has a finite cost.
        KeyboardInterrupt: on Ctrl-C; what ``progress`` raises comes out too.
    """
    if planner.task is not task and planner.task != task:
        raise ValueError(f"planner must be one of task {task.name}, got one of {planner.task.name}")
    count, steps = whole_number("episodes", episodes), whole_number("steps", steps)
    seed = whole_number("seed", seed, 0, MAX_SEED)
    first_episode = whole_number("first_episode", first_episode, 0, MAX_SEED)
    noise = number("action_noise", action_noise, 0, 1e6)
    if task.cost_function is not None:
        arrays = _collect_with(planner, count, steps, seed, first_episode, noise, progress)
    else:
        arrays = _core.collect_mpc(planner.core, count, steps, seed, first_episode, noise, progress)
    return _finish(task, arrays)


def _finish(task: Task, arrays: dict[str, Any]) -> Episodes:
    """The episodes, with the rewards of a Python reward function where the task has one."""
    episodes = Episodes(**arrays, task=task.name)
    if task.reward_function is None or not episodes.nsteps:
        return episodes
    _, actions, states = episodes.transitions()
    rewards = np.zeros_like(episodes.rewards)
    real = np.arange(rewards.shape[1]) < episodes.lengths[:, None]
    rewards[real] = task.reward_function(states, actions.astype(np.float64))
    return dataclasses.replace(episodes, rewards=rewards)


def _collect_with(
    planner: RandomShooting,
    count: int,
    steps: int,
    seed: int,
    first_episode: int,
    noise: float,
    progress: Progress | None,
) -> dict[str, Any]:
    """What the core's collect_mpc does, for a planner whose cost is a Python function."""
    task = planner.task
    simulator = _core.Simulator(task.core, count, planner.nthread, seed)
    numbers = np.arange(count, dtype=np.uint64) + np.uint64(first_episode)
    simulator.start(None, _core.ResetKind.CONTROL, numbers)
    states = np.zeros((count, steps + 1, task.nstate))
    observations = None if task.core.observes_state else np.zeros((count, steps + 1, task.nobservation))
    actions = np.zeros((count, steps, task.naction), np.float32)
    rewards = np.zeros((count, steps))
    lengths = np.zeros(count, np.int32)
    terminated, diverged = np.zeros(count, np.bool_), np.zeros(count, np.bool_)

    def record(ids: Any, step: int) -> None:
        states[ids, step] = simulator.states[ids]
        if observations is not None:
            observations[ids, step] = simulator.observations[ids]

    live = np.arange(count, dtype=np.int32)
    record(live, 0)
    for step in range(steps):
        if not len(live):
            break
        # plan for every live episode; execute with noise, store without
        planned, _ = planner.plan_batch(
            simulator.states[live], numbers[live], np.full(len(live), step, np.uint64)
        )
        executed = planned.astype(np.float64)
        if noise > 0:
            executed += noise * np.stack(
                [_core.action_noise(seed, int(n), step, task.naction) for n in numbers[live]]
            )
        simulator.step(live, executed)

        # the failing step of a diverged simulation is not part of its episode
        diverged[live] = simulator.diverged[live]
        good = ~diverged[live]
        live, planned = live[good], planned[good]
        record(live, step + 1)
        actions[live, step] = planned
        rewards[live, step] = simulator.rewards[live]
        lengths[live] = step + 1
        terminated[live] = simulator.terminated[live]
        live = live[~terminated[live]]
        if progress is not None:
            progress(int(lengths.sum()))
    return {
        "states": states,
        "actions": actions,
        "rewards": rewards,
        "lengths": lengths,
        "terminated": terminated,
        "diverged": diverged,
        "observations": observations,
    }
