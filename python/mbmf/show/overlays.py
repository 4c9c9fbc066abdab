"""What is drawn into the scene of a video beside the robot: the plans that the controller chose among."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmf import _core
from mbmf.simulation.poses import recover_positions
from mbmf.simulation.renderer import Line, RenderError

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.plan import PlanMemory
    from mbmf.planning.planner import Planner
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

_BEST = (0.10, 0.85, 0.30, 1.0)
_OTHERS = (0.25, 0.55, 1.00, 0.6)
_TRAIL = (0.05, 0.05, 0.05, 1.0)
_PATH = (0.55, 0.25, 0.9, 1.0)
_SEGMENT = (1.0, 0.1, 0.45, 1.0)
_BEST_RADIUS, _RADIUS = 0.02, 0.008  # metres

PathStart = tuple[int, tuple[float, float]]


class Plans:
    """The planned ways of the robot's centre of mass: the plan's (green), the best other candidates' (blue).

    They are planned again from the recorded states. A plan is a pure function of the planner's seed, the
    episode, the step and what the search remembers of the steps before: for the planner that drove, they are
    the very ones that it chose among.

    Args:
        planner: whose candidates.
        model: that it plans with.
        episodes, index: the episode that is drawn.
        count: plans to draw, at least 1.
        number: the number of the episode, as it was planned.
    """

    def __init__(
        self,
        planner: Planner,
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
        self._memory, self._next = planner.make_memory(), 0  # before that step

    def __call__(self, step: int) -> list[Line]:
        """What is drawn over the state after ``step`` control steps."""
        if step < self._next:
            self._memory, self._next = self._planner.make_memory(), 0
        while self._next < step and self._planner.search != "random_shooting":
            at = self._at(self._next)
            state = self._episodes.states[self._index, self._next]
            self._planner.plan(
                state,
                self._number,
                self._next,
                predict=False,
                segment=at[0],
                origin=at[1],
                memory=self._memory,
            )
            self._next += 1
        self._next = step
        state = self._episodes.states[self._index, step]
        plans = best_candidates(
            self._planner,
            self._model,
            state,
            self._count,
            self._number,
            step,
            self._at(step),
            copy.copy(self._memory),
        )
        ways = centres_of_mass(self._planner.task, plans, self._data)
        others = [Line(way, _OTHERS, _RADIUS) for way in ways[1:]]
        return [*others, Line(ways[0], _BEST, _BEST_RADIUS)]

    def _at(self, step: int) -> PathStart:
        record = self._episodes.path
        if record is None:
            return 0, (0.0, 0.0)
        x, y = record.origins[self._index].tolist()
        return int(record.segments[self._index, step]), (x, y)


def best_candidates(
    planner: Planner,
    model: DynamicsModel,
    state: NDArray[np.float64],
    count: int,
    episode: int = 0,
    step: int = 0,
    at: PathStart = (0, (0.0, 0.0)),
    memory: PlanMemory | None = None,
) -> NDArray[np.float32]:
    """The predicted states of a plan and of the cheapest other candidates of its last round, best first.

    ``at``: on a path, the segment where the robot is, and the path's origin. Returns float32 (count, H + 1,
    nstate), or fewer where the round had fewer candidates.
    """
    segment, origin = at
    plan, rounds = planner.trace(state, episode, step, segment=segment, origin=origin, memory=memory)
    last = rounds[-1]
    costs = np.where(np.isfinite(last.costs), last.costs, np.inf)
    others = [k for k in np.argsort(costs, kind="stable").tolist() if k != plan.candidate][: count - 1]
    actions = np.concatenate([plan.actions[None], last.sequences[others]])
    start = np.repeat(np.ascontiguousarray(state, np.float32)[None], len(actions), axis=0)
    return model.core.open_loop(start, np.ascontiguousarray(actions), planner.nthread)


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


def why_no_plans(task: Task) -> str | None:
    """Why plans cannot be drawn: a model predicts states, which need not say where the robot is."""
    state = _core.Simulator(task.core, 1, 1, 0).states
    try:
        recover_positions(task, state)
    except RenderError as error:
        return str(error)
    return None


class Trail:
    """The way of the robot's centre of mass in an episode (black): where it really went."""

    def __init__(self, task: Task, episodes: Episodes, index: int, steps: int) -> None:
        states = episodes.states[index : index + 1, : min(steps, int(episodes.lengths[index])) + 1]
        (self._points,) = centres_of_mass(task, states, mujoco.MjData(task.model))

    def __call__(self, step: int) -> list[Line]:
        return [Line(self._points, _TRAIL, _RADIUS), Line(self._points[: step + 1], _TRAIL, _BEST_RADIUS)]


class Path:
    """The path that an episode follows (purple), and the segment that it is on (red).

    Args:
        task: which follows paths.
        episodes, index: the episode, with its path.

    Raises ValueError if the episode followed none.
    """

    def __init__(self, task: Task, episodes: Episodes, index: int) -> None:
        if task.path is None or task.path_indices is None or episodes.path is None:
            raise ValueError("episodes must be ones that followed a path, got none")
        points = episodes.path.points(index)
        self._segments = episodes.path.segments[index]
        furthest = max(task.path.last_segment, int(self._segments.max()))
        self._points = _in_the_world(task, points[: furthest + 2], episodes.states[index, 0])

    def __call__(self, step: int) -> list[Line]:
        now = min(int(self._segments[step]), len(self._points) - 2)
        return [
            Line(self._points, _PATH, 2 * _RADIUS),
            Line(self._points[now : now + 2], _SEGMENT, _BEST_RADIUS),
        ]


def _in_the_world(task: Task, points: NDArray[np.float64], state: NDArray[np.float64]) -> NDArray[np.float64]:
    """Waypoints (P, 2) as points (P, 3): on the ground, or as high as they say where their y is a height."""
    assert task.path_indices is not None
    model = task.model
    axes = [_axis(task, index) for index in task.path_indices]
    data = mujoco.MjData(model)
    (start,) = centres_of_mass(task, state[None, None], data)
    floors = [
        model.geom_pos[geom, 2]
        for geom in range(model.ngeom)
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE and model.geom_bodyid[geom] == 0
    ]
    world = np.tile(start[0], (len(points), 1))
    if 2 not in axes:
        world[:, 2] = max(floors, default=0.0) + 2 * _BEST_RADIUS
    world[:, axes] = points
    return world


def _axis(task: Task, index: int) -> int:
    """Which axis of the world a state that is a position lies along: 0, 1 or 2."""
    channel = task.core.spec.state[index]
    if channel.source != _core.Source.QPOS:
        return int(channel.address % 3)
    joint = int(np.searchsorted(task.model.jnt_qposadr, channel.address, side="right")) - 1
    if task.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
        return int(channel.address - task.model.jnt_qposadr[joint])
    return int(np.argmax(np.abs(task.model.jnt_axis[joint])))


def is_upright(task: Task) -> bool:
    """Whether the y of the task's path is a height: the robot moves in a vertical plane."""
    return task.path_indices is not None and _axis(task, task.path_indices[1]) == 2
