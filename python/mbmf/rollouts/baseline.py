"""What random actions earn in episodes like those of a controller: what its rewards are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mbmf.arguments import whole_number
from mbmf.rollouts.episodes import Episodes
from mbmf.seeds import derive_seed
from mbmf.simulation.simulator import Simulator

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

_ACTIONS = 30  # the stage whose random numbers are the actions


def collect_baseline(
    task: Task, episodes: int = 10, steps: int | None = None, seed: int = 0, nthread: int = 0
) -> Episodes:
    """Episodes of uniform actions in [-1, 1) that start and end as those of `mbmf.collect_mpc` do.

    They are from the task's "control" reset, and end by its healthy bounds. (`mbmf.collect_random` is for
    data to learn from: it starts elsewhere, and goes on after a fall.)

    Args:
        task: what is simulated.
        episodes: how many, at least 1.
        steps: control steps of an episode at most; None: the task's.
        seed: of start states and actions, 0 to 2^64 - 1.
        nthread: threads, 0: one for every CPU. The numbers do not depend on it.

    Raises ValueError for an argument out of range.
    """
    episodes = whole_number("episodes", episodes)
    steps = whole_number("steps", task.episode_steps if steps is None else steps)
    rng = np.random.default_rng(derive_seed(seed, _ACTIONS))
    actions = rng.uniform(-1, 1, (steps, episodes, task.naction)).astype(np.float32)
    return collect_actions(task, actions, seed, nthread)


def collect_actions(task: Task, given: npt.NDArray[np.float32], seed: int = 0, nthread: int = 0) -> Episodes:
    """The same with given actions in [-1, 1], float32 (steps, episodes, naction). Raises ValueError."""
    steps, episodes, _ = given.shape
    simulator = Simulator(task, nsim=episodes, nthread=nthread, seed=seed)
    simulator.start_episodes(np.arange(episodes), "control")
    states = np.zeros((episodes, steps + 1, task.nstate))
    actions = np.zeros((episodes, steps, task.naction), np.float32)
    rewards, lengths = np.zeros((episodes, steps)), np.zeros(episodes, np.int32)
    terminated, diverged = np.zeros(episodes, np.bool_), np.zeros(episodes, np.bool_)
    observations = None
    if not task.core.observes_state:
        observations = np.zeros((episodes, steps + 1, task.nobservation))
        observations[:, 0] = simulator.observations
    states[:, 0] = simulator.states
    running = np.arange(episodes)
    for step in range(steps):
        simulator.step(given[step, running], ids=running)
        failed = simulator.diverged[running]
        diverged[running[failed]] = True
        done = running[~failed]
        actions[done, step], rewards[done, step] = given[step, done], simulator.rewards[done]
        states[done, step + 1] = simulator.states[done]
        if observations is not None:
            observations[done, step + 1] = simulator.observations[done]
        lengths[done] += 1
        terminated[done] = simulator.terminated[done]
        running = done[~terminated[done]]
        if not len(running):
            break
    return Episodes(
        states=states,
        actions=actions,
        rewards=rewards,
        lengths=lengths,
        terminated=terminated,
        diverged=diverged,
        observations=observations,
        task=task.name,
    )
