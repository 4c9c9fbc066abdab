"""The pose of a robot, found again from the states of its task.

A position is taken from its own state, or from its cosine and sine. Joints that the state leaves out are
solved for, so that the bodies, sites and centres of mass in the state are where they were. What even they do
not say follows from velocities, or stays where it starts; so that rollouts of such a task record poses
(`mbmf.Episodes.poses`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmf import _core
from mbmf.simulation.renderer import RenderError
from mbmf.tasks.build import build_spec

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

FloatArray = NDArray[np.float64]
Note = Callable[[str], None]

_known: WeakKeyDictionary[_core.Task, bool] = WeakKeyDictionary()

_PLACES = (_core.Source.BODY_POS, _core.Source.SITE_POS, _core.Source.SUBTREE_COM, _core.Source.BODY_ROTATION)
_MOST_STEPS = 30
# of a step, in metres and radians; and of a singular value beside the largest
_SMALL_STEP, _SMALL_VALUE = 1e-12, 1e-7


def recover_positions(task: Task, states: FloatArray) -> FloatArray:
    """The joint positions qpos (n, nq) that the task's states (n, nstate) were read from.

    Raises RenderError if the states do not say what they are.
    """
    poses = _Poses(task)
    positions = poses.find(states, None)
    if poses.unknown:
        raise RenderError(
            f"cannot render the task {task.name}: its state does not hold the pose of "
            f"{', '.join(poses.unknown)}"
        )
    return positions


def likely_positions(task: Task, states: FloatArray, seconds: float, note: Note | None = None) -> FloatArray:
    """`recover_positions` of consecutive states, ``seconds`` apart, with a guess where they do not say all.

    A joint whose velocity alone is known goes with it from its start; one of which nothing is known stays
    there. ``note`` is told which joints these are. Raises RenderError if the states say nothing of any pose.
    """
    poses = _Poses(task)
    positions = poses.find(states, seconds)
    if poses.unknown and note is not None:
        note(
            f"the state of {task.name} does not say where {', '.join(poses.unknown)} "
            f"{'is' if len(poses.unknown) == 1 else 'are'}: pictures guess it"
        )
    return positions


def pose_is_known(task: Task) -> bool:
    """Whether the states say where everything is, judged at the start; if not, rollouts record poses.

    What the task moves besides the robot, its mocap bodies, is in no state for certain.
    """
    if task.core not in _known:  # as long as collecting a short rollout
        _known[task.core] = _pose_is_known(task)
    return _known[task.core]


def _pose_is_known(task: Task) -> bool:
    if task.config.mocap:
        return False
    poses = _Poses(task)
    try:
        poses.find(_core.Simulator(task.core, 1, 1, 0).states, None)
    except RenderError:
        return False
    return not poses.unknown


def episode_poses(
    task: Task, episodes: Episodes, index: int, stride: int = 1, note: Note | None = None
) -> FloatArray:
    """The poses of an episode, every ``stride``-th: recorded ones, or else `likely_positions` of its states.

    (n, nq + 7 nmocap): qpos, then positions and quaternions of mocap bodies, for `set_pose`. Raises
    RenderError.
    """
    until = int(episodes.lengths[index]) + 1
    if episodes.poses is not None:
        return episodes.poses[index, :until:stride]
    positions = likely_positions(task, episodes.states[index, :until:stride], task.dt * stride, note)
    data = mujoco.MjData(task.model)
    still = np.concatenate([data.mocap_pos.ravel(), data.mocap_quat.ravel()])
    return np.hstack([positions, np.tile(still, (len(positions), 1))])


def set_pose(data: Any, pose: FloatArray) -> None:
    """Puts a simulation's robot and mocap bodies where a row of `episode_poses` has them."""
    nq, moved = len(data.qpos), data.mocap_pos.size
    data.qpos[:] = pose[:nq]
    data.mocap_pos[:] = pose[nq : nq + moved].reshape(-1, 3)
    data.mocap_quat[:] = pose[nq + moved :].reshape(-1, 4)


class _Poses:
    """What the states of a task say of its pose."""

    def __init__(self, task: Task) -> None:
        self._task, self._model = task, task.model
        spec = build_spec(task.config, task.model, task.name).spec
        self._start = np.asarray(spec.start_qpos, dtype=np.float64)
        self._where = {
            (channel.source, channel.transform, channel.address): column
            for column, channel in enumerate(spec.state)
            if math.isinf(channel.low) and math.isinf(channel.high)
        }
        model, identity = self._model, _core.Transform.IDENTITY
        missing = [address for address in range(model.nq) if self._known(address) is None]
        self._dofs = sorted({dof for address in missing for dof in _dofs_of(model, address)})
        # those that a picture has at hand: (source, column of the state, address), and velocities by dof
        self._places = [
            (source, column, address)
            for (source, transform, address), column in self._where.items()
            if source in _PLACES and transform == identity
        ]
        self._speeds = {
            dof: self._where[_core.Source.QVEL, identity, dof]
            for dof in self._dofs
            if (_core.Source.QVEL, identity, dof) in self._where
        }
        self._nothing = len(missing) == model.nq and not self._places
        self.unknown: list[str] = []

    def find(self, states: FloatArray, seconds: float | None) -> FloatArray:
        """The positions; those that are not known are guessed, where the time between states is given.

        Sets `unknown`.
        """
        model, dofs = self._model, self._dofs
        positions = np.tile(self._start, (len(states), 1))
        for address in range(model.nq):
            known = self._known(address)
            if known is not None:
                positions[:, address] = known(states)
        if not dofs or not len(states):
            return positions
        if self._nothing:
            self.unknown = self._names(dofs)
            raise RenderError(
                f"cannot render the task {self._task.name}: its state does not hold the pose of "
                f"{', '.join(self.unknown)}"
            )
        data = mujoco.MjData(model)
        own = [address for address in range(model.nq) if self._known(address) is None]
        for i, (row, state) in enumerate(zip(positions, states, strict=True)):
            if i > 0:
                row[own] = positions[i - 1, own]
                if seconds is not None and self._speeds:
                    step = np.zeros(model.nv)
                    for dof, column in self._speeds.items():
                        step[dof] = state[column]
                    mujoco.mj_integratePos(model, row, step, seconds)
            data.qpos[:] = row
            free = self._solve(data, state)
            row[own] = data.qpos[own]
            if i == 0:
                self.unknown = self._names([dof for dof, is_free in zip(dofs, free, strict=True) if is_free])
        return positions

    def _known(self, address: int) -> Callable[[FloatArray], FloatArray] | None:
        """How to read a position from states, or None."""
        plain, cosine, sine = (
            self._where.get((_core.Source.QPOS, transform, address))
            for transform in (_core.Transform.IDENTITY, _core.Transform.COS, _core.Transform.SIN)
        )
        if plain is not None:
            return lambda states: states[:, plain]
        if cosine is not None and sine is not None:
            return lambda states: np.arctan2(states[:, sine], states[:, cosine])
        return None

    def _solve(self, data: Any, state: FloatArray) -> NDArray[np.bool_]:
        """Moves the missing joints until everything is where the state has it (Gauss-Newton).

        Returns which of them nothing holds, bool (missing dofs,).
        """
        model, dofs = self._model, self._dofs
        free = np.ones(len(dofs), np.bool_)
        if not self._places:
            return free
        for _ in range(_MOST_STEPS):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            gradient, error = self._linearized(data, state)
            left, values, right = np.linalg.svd(gradient, full_matrices=False)
            held = values > _SMALL_VALUE * max(values[0], 1e-300)
            free = (right[held] ** 2).sum(axis=0) < 0.5
            step = right[held].T @ ((left.T @ error)[held] / values[held])
            change = np.zeros(model.nv)
            change[dofs] = step
            mujoco.mj_integratePos(model, data.qpos, change, 1.0)
            if np.abs(step).max(initial=0.0) < _SMALL_STEP:
                break
        return free

    def _linearized(self, data: Any, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How each place changes with the missing dofs, and how far it is from where the state has it."""
        model = self._model
        moves, turns = np.empty((3, model.nv)), np.empty((3, model.nv))
        rows, error = [], []
        for source, column, address in self._places:
            if source == _core.Source.BODY_ROTATION:
                body, entry = divmod(address, 9)
                mujoco.mj_jacBody(model, data, None, turns, body)
                axis = data.xmat[body].reshape(3, 3)[:, entry % 3]
                # the column turns with the body: d axis = w x axis
                rows.append(np.cross(turns.T, axis)[:, entry // 3][self._dofs])
                error.append(state[column] - data.xmat[body][entry])
                continue
            number, axis_number = divmod(address, 3)
            if source == _core.Source.BODY_POS:
                mujoco.mj_jacBody(model, data, moves, None, number)
                place = data.xpos[number]
            elif source == _core.Source.SITE_POS:
                mujoco.mj_jacSite(model, data, moves, None, number)
                place = data.site_xpos[number]
            else:
                mujoco.mj_jacSubtreeCom(model, data, moves, number)
                place = data.subtree_com[number]
            rows.append(moves[axis_number, self._dofs])
            error.append(state[column] - place[axis_number])
        return np.array(rows), np.array(error)

    def _names(self, dofs: list[int]) -> list[str]:
        joints = sorted({int(self._model.dof_jntid[dof]) for dof in dofs})
        return [self._model.joint(joint).name or f"joint {joint}" for joint in joints]


def _dofs_of(model: Any, address: int) -> list[int]:
    """The degrees of freedom that move the position qpos[address]."""
    joint = int(np.searchsorted(model.jnt_qposadr, address, side="right")) - 1
    place, first = address - int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
    if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
        return [first + place] if place < 3 else [first + 3, first + 4, first + 5]
    if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL:
        return [first, first + 1, first + 2]
    return [first]
