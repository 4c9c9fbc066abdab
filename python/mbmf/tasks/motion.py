"""Resolves what moves without the robot for the core: goals, references, mocap bodies, resets by joint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np

from mbmf.tasks.fields import Key
from mbmf.tasks.file import one_of
from mbmf.tasks.identity import digest_of
from mbmf.tasks.motion_section import (
    POSITION,
    QUATERNION,
    JointReset,
    MocapReset,
    MoveConfig,
    NoiseConfig,
)
from mbmf.tasks.schema import ResetConfig, TaskConfig
from mbmf.tasks.sources import Entry, element_names

if TYPE_CHECKING:
    from mbmf import _core

Problem = Callable[[str, str, Any], None]
_TURNS = {"rx": 0, "ry": 1, "rz": 2}


def goal_entries(config: TaskConfig) -> dict[str, list[Entry]]:
    """The numbers of the task's goals, by goal."""
    found: dict[str, list[Entry]] = {}
    address = 0
    for name, goal in (config.goals or {}).items():
        parts = QUATERNION if isinstance(goal, Mapping) else ("",)
        found[name] = _numbers("goal", name, parts, address)
        address += len(parts)
    return found


def reference_entries(config: TaskConfig) -> dict[str, list[Entry]]:
    """The columns of the task's references, by reference."""
    found: dict[str, list[Entry]] = {}
    address = 0
    for name, reference in (config.references or {}).items():
        assert reference.columns is not None
        found[name] = _numbers("reference", name, tuple(reference.columns), address)
        address += len(reference.columns)
    return found


def _numbers(source: str, name: str, parts: tuple[str, ...], address: int) -> list[Entry]:
    return [
        Entry(
            f"{source}.{name}.{part}" if part else f"{source}.{name}",
            "1" if part in QUATERNION else "",
            address + i,
            name,
            part,
        )
        for i, part in enumerate(parts)
    ]


def mocap_names(model: mujoco.MjModel) -> dict[str, int]:
    """The model's mocap bodies: names to MuJoCo's numbers of mocap bodies."""
    names = element_names(model, mujoco.mjtObj.mjOBJ_BODY)
    return {names[body]: int(number) for body, number in enumerate(model.body_mocapid) if number >= 0}


def move_names(config: TaskConfig) -> list[str]:
    """What the actions are called that move mocap bodies, with what they mean."""
    return [
        f"mocap.{name}.{axis}{_meaning(move)}"
        for name, mocap in (config.mocap or {}).items()
        for axis, move in (mocap.move or {}).items()
    ]


def following_digest(config: TaskConfig) -> dict[str, str]:
    """A digest of what mocap bodies follow, as a part of what the robot is; nothing where none follows."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, mocap in (config.mocap or {}).items():
        if mocap.reference is None or mocap.reference not in (config.references or {}):
            continue
        reference = (config.references or {})[mocap.reference]
        arrays[f"{name}.time"] = np.array(reference.time)
        arrays[f"{name}.loop"] = np.array([reference.loop], np.int64)
        for column, values in (reference.columns or {}).items():
            arrays[f"{name}.{column}"] = np.array(values)
    return {"references": digest_of(arrays)} if arrays else {}


def _meaning(move: MoveConfig) -> str:
    low = "-inf" if move.low is None else f"{move.low:.9g}"
    high = "inf" if move.high is None else f"{move.high:.9g}"
    speed = "" if move.speed is None else f" at {move.speed:.9g}"
    bounds = f" in [{low}, {high}]" if move.low is not None or move.high is not None else ""
    return f"{speed}{bounds}"


class Motion:
    """Puts what moves into a specification; what is wrong is noted with `problem`."""

    def __init__(self, config: TaskConfig, model: mujoco.MjModel, problem: Problem) -> None:
        from mbmf import _core

        self.core, self.config, self.model, self.problem = _core, config, model, problem
        self.bodies = mocap_names(model)

    def put(self, spec: _core.TaskSpec) -> None:
        """Goals, references, and how mocap bodies start and move."""
        core = self.core
        spec.goals = [
            core.Goal(True, 0.0, goal["rotation"]) if isinstance(goal, Mapping) else core.Goal(False, *goal)
            for goal in (self.config.goals or {}).values()
        ]
        spec.references = [self._reference(name) for name in self.config.references or {}]
        self._mocap(spec)

    def _reference(self, name: str) -> _core.Reference:
        config = (self.config.references or {})[name]
        assert config.time is not None
        assert config.columns is not None
        reference = self.core.Reference()
        reference.time, reference.columns = list(config.time), len(config.columns)
        reference.value = [x for row in zip(*config.columns.values(), strict=True) for x in row]
        reference.loop = config.loop
        names = list(config.columns)
        reference.quaternion = [names.index("qw")] if "qw" in names else []
        return reference

    def _body(self, name: str, key: str) -> int | None:
        if name in self.bodies:
            return self.bodies[name]
        what = one_of(name, self.bodies, "one of the model's mocap bodies") if self.bodies else "left out"
        self.problem(key, what if self.bodies else "left out: the model has no mocap bodies", name)
        return None

    def _mocap(self, spec: _core.TaskSpec) -> None:
        core, model, follows, moves = self.core, self.model, [], []
        key_frame = spec.keyframe
        starts = [
            [*_place(model, number, key_frame), *_turn(model, number, key_frame)]
            for number in range(model.nmocap)
        ]
        references = list(self.config.references or {})
        for name, mocap in (self.config.mocap or {}).items():
            key = f"mocap.{name}"
            number = self._body(name, key)
            if number is None:
                continue
            if mocap.pos is not None:
                starts[number][:3] = mocap.pos
            if mocap.quat is not None:
                starts[number][3:] = mocap.quat
            if mocap.reference is not None:
                if mocap.reference not in references:
                    what = one_of(mocap.reference, references, "one of references")
                    self.problem(f"{key}.reference", what, mocap.reference)
                    continue
                columns = list((self.config.references or {})[mocap.reference].columns or {})
                position = _together(columns, POSITION)
                turn = _together(columns, QUATERNION)
                if position is None and turn is None:
                    what = "one with columns x, y, z together, or qw, qx, qy, qz"
                    self.problem(f"{key}.reference", what, columns)
                    continue
                follows.append(
                    core.MocapFollow(
                        number,
                        references.index(mocap.reference),
                        -1 if position is None else position,
                        -1 if turn is None else turn,
                    )
                )
            for axis, move in (mocap.move or {}).items():
                kind = core.MocapMoveKind
                low = -math.inf if move.low is None else move.low
                high = math.inf if move.high is None else move.high
                if axis in _TURNS:
                    moves.append(
                        core.MocapMove(
                            kind.TURN, number, _TURNS[axis], -math.inf, math.inf, move.speed or 0.0
                        )
                    )
                else:
                    which = kind.POSITION if move.speed is None else kind.VELOCITY
                    place = POSITION.index(axis)
                    moves.append(core.MocapMove(which, number, place, low, high, move.speed or 0.0))
        spec.follows, spec.moves = follows, moves
        if any(each.pos is not None or each.quat is not None for each in (self.config.mocap or {}).values()):
            spec.start_mocap = [x for start in starts for x in start]

    # --- resets

    def reset(self, config: ResetConfig, key: str, reset: _core.Reset) -> None:
        """What is for single joints and mocap bodies, and the time."""
        for name, joint in config.joints.items():
            self._joint(name, joint, f"{key}.joints.{name}", reset)
        for name, mocap in config.mocap.items():
            self._mocap_reset(name, mocap, f"{key}.mocap.{name}", reset)
        if config.time is not None:
            reset.set_time = [self.core.ResetSet(0, *config.time)]

    def _joint(self, name: Key, config: JointReset, key: str, reset: _core.Reset) -> None:
        model = self.model
        names = element_names(model, mujoco.mjtObj.mjOBJ_JOINT)
        if name not in names:
            self.problem(key, one_of(name, names, "one of the model's joints"), name)
            return
        joint = names.index(name)
        first, dof, kind = (
            int(model.jnt_qposadr[joint]),
            int(model.jnt_dofadr[joint]),
            int(model.jnt_type[joint]),
        )
        places, turn, dofs = {0: (3, 3, 6), 1: (0, 0, 3)}.get(kind, (1, None, 1))
        if config.rotation is not None and turn is None:
            self.problem(f"{key}.rotation", "left out: only free and ball joints have one", "one")
        if config.qpos is not None and places == 0:
            self.problem(f"{key}.qpos", "left out of ball joints, which have a rotation", "one")
        owns, turns, velocities = list(reset.own_qpos), list(reset.turns), list(reset.own_qvel)
        if config.qpos is not None:
            noise = self.noise(config.qpos)
            owns += [self.core.ResetOwn(first + i, noise) for i in range(places)]
        if config.rotation is not None and turn is not None:
            none = self.core.Noise()
            owns += [self.core.ResetOwn(first + turn + i, none) for i in range(4)]
            turns.append(self.core.ResetOwn(first + turn, self.noise(config.rotation)))
        if config.qvel is not None:
            noise = self.noise(config.qvel)
            velocities += [self.core.ResetOwn(dof + i, noise) for i in range(dofs)]
        reset.own_qpos, reset.turns, reset.own_qvel = owns, turns, velocities

    def _mocap_reset(self, name: Key, config: MocapReset, key: str, reset: _core.Reset) -> None:
        number = self._body(name, key)
        if number is None:
            return
        mocap = (self.config.mocap or {}).get(name)
        if mocap is not None and mocap.reference is not None:
            self.problem(key, "left out of a mocap body that follows a reference", mocap.reference)
        ranges = (config.x, config.y, config.z)
        reset.set_mocap = list(reset.set_mocap) + [
            self.core.ResetSet(3 * number + i, *range_)
            for i, range_ in enumerate(ranges)
            if range_ is not None
        ]
        if config.rotation is not None:
            turn = self.core.ResetOwn(number, self.noise(config.rotation))
            reset.mocap_turns = [*reset.mocap_turns, turn]

    def noise(self, config: NoiseConfig | None) -> _core.Noise:
        """A noise for the core."""
        kinds = self.core.NoiseKind
        if config is None:
            return self.core.Noise(kinds.NONE, 0.0)
        if config.normal is not None:
            return self.core.Noise(kinds.NORMAL, config.normal)
        return self.core.Noise(kinds.UNIFORM, config.uniform or 0.0)


def _together(columns: list[str], names: tuple[str, ...]) -> int | None:
    """Where these columns begin, one after the other; None where they are not."""
    at = columns.index(names[0]) if names[0] in columns else -1
    return at if at >= 0 and tuple(columns[at : at + len(names)]) == names else None


def _place(model: mujoco.MjModel, number: int, keyframe: int) -> list[float]:
    if keyframe >= 0:
        return [float(x) for x in model.key_mpos[keyframe].reshape(-1, 3)[number]]
    return [float(x) for x in model.body_pos[_owner(model, number)]]


def _turn(model: mujoco.MjModel, number: int, keyframe: int) -> list[float]:
    if keyframe >= 0:
        return [float(x) for x in model.key_mquat[keyframe].reshape(-1, 4)[number]]
    return [float(x) for x in model.body_quat[_owner(model, number)]]


def _owner(model: mujoco.MjModel, number: int) -> int:
    return next(body for body, mocap in enumerate(model.body_mocapid) if mocap == number)
