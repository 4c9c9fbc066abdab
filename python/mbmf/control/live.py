"""A controller driving a simulation: in real time, or the same plans without a clock."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf import _core
from mbmf.arguments import MAX_SEED, whole_number
from mbmf.rollouts.episodes import Episodes

if TYPE_CHECKING:
    from mbmf.control.controller import Controller
    from mbmf.planning.planner import Planner
    from mbmf.tasks.task import Task

# time to start both threads before their first tick
_HEAD_START = 50_000_000
_POLL = 0.05


@dataclasses.dataclass(frozen=True)
class Drive:
    """What a controller did with a simulated robot.

    Attributes:
      episodes: what happened; an episode ends by its length, outside the healthy bounds, or with the drive.
      whole: of each episode, whether it ended by itself and not with the drive, nor since it diverged, bool
        (E,).
      statistics: of the controller (`mbmf.Controller.statistics`); None without a clock.
      records: of the controller (`mbmf.Controller.records`); None without a clock.
      notes: what the system refused.
      overruns: control steps that the simulation itself did not compute in time.
      memory: bytes that the process grew by between its first second and its end.
    """

    episodes: Episodes
    whole: npt.NDArray[np.bool_]
    statistics: dict[str, Any] | None
    records: dict[str, npt.NDArray[Any]] | None
    notes: list[str]
    overruns: int
    memory: int

    @property
    def returns(self) -> npt.NDArray[np.float64]:
        """Of the whole episodes, or of all where none is whole."""
        returns = self.episodes.returns
        return returns[self.whole] if self.whole.any() else returns


def drive_in_real_time(
    controller: Controller,
    steps: int,
    *,
    seed: int = 0,
    episode_steps: int | None = None,
    watch: Callable[[int, npt.NDArray[np.float64]], None] | None = None,
) -> Drive:
    """Runs the controller against a simulation that steps in real time, in C++ threads.

    Args:
      controller: not running.
      steps: control steps of the task.
      seed: of the start states, which are those of `mbmf.collect_mpc`.
      episode_steps: of one episode at most; the task's if not given.
      watch: called now and then with the steps done and the simulation's state row (`Simulator.set_state`).
    """
    task = controller.task
    length = task.episode_steps if episode_steps is None else whole_number("episode_steps", episode_steps)
    simulation = _core.RealtimeSimulation(
        task.core, whole_number("steps", steps), length, whole_number("seed", seed, 0, MAX_SEED)
    )
    first = time.monotonic_ns() + _HEAD_START
    controller.core.start(first)
    early: int | None = None
    try:
        simulation.start(controller.core, first)
        while not simulation.finished:
            time.sleep(_POLL)
            if early is None and time.monotonic_ns() - first > 1_000_000_000:
                early = _resident_bytes()
            if watch is not None:
                watch(simulation.done, simulation.latest())
    finally:
        simulation.stop()
        controller.stop()
    memory = _resident_bytes() - early if early is not None else 0
    record = simulation.record()
    episodes, whole = _episodes(task, record, length)
    return Drive(
        episodes,
        whole,
        controller.statistics(),
        controller.records(),
        list(controller.notes),
        simulation.overruns,
        memory,
    )


def drive_without_clock(
    planner: Planner,
    steps: int,
    *,
    seed: int = 0,
    episode_steps: int | None = None,
    watch: Callable[[int, npt.NDArray[np.float64]], None] | None = None,
) -> Drive:
    """The same start states and plans with all candidates, each step waiting for its plan: what there is to
    reach in real time. Arguments as of `drive_in_real_time`."""
    from mbmf.simulation.simulator import Simulator

    task = planner.task
    length = task.episode_steps if episode_steps is None else whole_number("episode_steps", episode_steps)
    simulator = Simulator(task, nsim=1, nthread=1, seed=seed)
    names = (
        "states",
        "next_states",
        "observations",
        "next_observations",
        "actions",
        "rewards",
        "terminated",
        "diverged",
        "first",
    )
    rows: dict[str, list[Any]] = {name: [] for name in names}
    episode = in_episode = 0
    for step in range(whole_number("steps", steps)):
        if in_episode == 0:
            simulator.start_episodes([episode], "control")
            planner.reset(episode)
        rows["first"].append(in_episode == 0)
        rows["states"].append(simulator.states[0].copy())
        rows["observations"].append(simulator.observations[0].copy())
        action = planner.act(simulator.states[0])
        simulator.step(action[None].astype(np.float64))
        rows["diverged"].append(bool(simulator.diverged[0]))
        rows["actions"].append(action)
        rows["rewards"].append(simulator.rewards[0])
        rows["next_states"].append(simulator.states[0].copy())
        rows["next_observations"].append(simulator.observations[0].copy())
        rows["terminated"].append(simulator.terminated[0])
        in_episode += 1
        if simulator.terminated[0] or simulator.diverged[0] or in_episode == length:
            episode, in_episode = episode + 1, 0
        if watch is not None:
            watch(step + 1, simulator.get_state()[0])
    episodes, whole = _episodes(task, {name: np.array(values) for name, values in rows.items()}, length)
    return Drive(episodes, whole, None, None, [], 0, 0)


def _episodes(
    task: Task, record: dict[str, npt.NDArray[Any]], length: int
) -> tuple[Episodes, npt.NDArray[np.bool_]]:
    """Rows, one per step, cut into episodes; and which of them ended by themselves."""
    begins = np.flatnonzero(record["first"])
    lengths = np.diff(np.append(begins, len(record["first"]))).astype(np.int32)
    longest = int(lengths.max()) if len(lengths) else 0
    count = len(begins)
    states = np.zeros((count, longest + 1, task.nstate))
    actions = np.zeros((count, longest, task.naction), np.float32)
    rewards = np.zeros((count, longest))
    terminated = np.zeros(count, np.bool_)
    # the step in which MuJoCo fails is not part of its episode, as in those that are collected
    diverged = record["diverged"].astype(np.bool_)[begins + lengths - 1]
    lengths -= diverged
    both = {"states": states}
    observations = None
    if not task.core.observes_state:
        both["observations"] = observations = np.zeros((count, longest + 1, task.nobservation))
    for e, (begin, n) in enumerate(zip(begins, lengths, strict=True)):
        for name, array in both.items():
            array[e, :n] = record[name][begin : begin + n]
            array[e, n] = record[name][begin + n] if diverged[e] else record[f"next_{name}"][begin + n - 1]
        actions[e, :n] = record["actions"][begin : begin + n]
        rewards[e, :n] = record["rewards"][begin : begin + n]
        terminated[e] = record["terminated"][begin + n - 1] if not diverged[e] else False
    episodes = Episodes(
        states,
        actions,
        rewards,
        lengths,
        terminated,
        diverged,
        observations,
        task.name,
        identity=task.identity,
    )
    return episodes, (terminated | (lengths == length)) & ~diverged


def _resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0
