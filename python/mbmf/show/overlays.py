"""What is drawn into the scene of a video beside the robot: the plans that the controller chose among."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmf.renderer import Line
from mbmf.show.video import recover_positions

if TYPE_CHECKING:
    from mbmf.dynamics import DynamicsModel
    from mbmf.episodes import Episodes
    from mbmf.planner import RandomShooting
    from mbmf.task import Task

_BEST = (0.10, 0.85, 0.30, 1.0)
_OTHERS = (0.25, 0.55, 1.00, 0.6)
_BEST_RADIUS, _RADIUS = 0.02, 0.008  # metres
_CHUNK_BYTES = 64 << 20


class Plans:
    """The planned ways of the robot's centre of mass: the best candidate's (green), the next best's (blue).

    They are planned again from the recorded states. Candidates are a pure function of the planner's seed, the
    episode and the step: for the planner that drove, they are the very ones that it chose among.

    Args:
        planner: whose candidates.
        model: that it plans with.
        episodes, index: the episode that is drawn.
        count: candidates to draw, at least 1.
        number: the number of the episode, as it was planned.
    """

    def __init__(
        self,
        planner: RandomShooting,
        model: DynamicsModel,
        episodes: Episodes,
        index: int,
        count: int = 10,
        number: int = 0,
    ) -> None:
        if not 1 <= count <= planner.candidates:
            raise ValueError(
                f"count must be from 1 to the planner's {planner.candidates} candidates, got {count}"
            )
        self._planner, self._model, self._count, self._number = planner, model, count, number
        self._episodes, self._index = episodes, index
        self._data = mujoco.MjData(planner.task.model)

    def __call__(self, step: int) -> list[Line]:
        """What is drawn over the state after ``step`` control steps."""
        state = self._episodes.states[self._index, step]
        plans = best_candidates(self._planner, self._model, state, self._count, self._number, step)
        ways = centres_of_mass(self._planner.task, plans, self._data)
        others = [Line(way, _OTHERS, _RADIUS) for way in ways[1:]]
        return [*others, Line(ways[0], _BEST, _BEST_RADIUS)]


def best_candidates(
    planner: RandomShooting,
    model: DynamicsModel,
    state: NDArray[np.float64],
    count: int,
    episode: int = 0,
    step: int = 0,
) -> NDArray[np.float32]:
    """The predicted states of the cheapest candidates of a plan, best first: float32 (count, H + 1, nstate).

    Evaluates all K candidates with their states kept, a part at a time: slower than a plan.
    """
    task, horizon = planner.task, planner.horizon
    start = np.ascontiguousarray(state, np.float32)
    part = max(1, _CHUNK_BYTES // (4 * (horizon + 1) * task.nstate))
    costs = np.empty(planner.candidates)
    for first in range(0, planner.candidates, part):
        rows = slice(first, min(first + part, planner.candidates))
        actions = planner.core.sample(episode, step, rows.start, rows.stop - rows.start)
        predicted = model.core.open_loop(
            np.repeat(start[None], len(actions), axis=0), actions, planner.nthread
        )
        costs[rows] = task.cost(predicted, actions)
    costs[~np.isfinite(costs)] = np.inf
    best = np.argsort(costs, kind="stable")[:count]
    actions = np.concatenate([planner.core.sample(episode, step, int(k), 1) for k in best])
    return model.core.open_loop(np.repeat(start[None], count, axis=0), actions, planner.nthread)


def centres_of_mass(
    task: Task, states: NDArray[np.floating], data: mujoco.MjData
) -> list[NDArray[np.float64]]:
    """Where the robot's centre of mass is in each row of states (k, n, nstate): k times metres (up to n, 3).

    States after one of a row that is not finite are left out.
    """
    finite = np.isfinite(states).all(axis=2)
    lengths = [len(row) if row.all() else int(np.argmin(row)) for row in finite]
    rows = np.concatenate([row[:length] for row, length in zip(states, lengths, strict=True)])
    points = np.empty((len(rows), 3))
    for point, position in zip(points, recover_positions(task, rows.astype(np.float64)), strict=True):
        data.qpos[:] = position
        mujoco.mj_kinematics(task.model, data)
        mujoco.mj_comPos(task.model, data)
        point[:] = data.subtree_com[1]
    return np.split(points, np.cumsum(lengths)[:-1])
