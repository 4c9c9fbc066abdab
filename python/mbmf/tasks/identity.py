"""What a file is of: the robot, what its numbers are called, and how long a step is.

Whatever is kept for later (runs, episodes, models, policies, exports) keeps the `Identity` of its task, so
that it is not taken for another robot's, which its shapes alone would not tell.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf.errors import DataError
from mbmf.words import printed, show

if TYPE_CHECKING:
    import mujoco

    from mbmf.tasks.sources import Entry

# what a robot is made of, and the prefixes of the arrays of mujoco.MjModel that say so
_PARTS = {
    "bodies": ("body_", "tree_"),
    "joints": ("jnt_", "dof_", "qpos0", "qpos_spring"),
    "geoms": ("geom_", "pair_", "exclude_", "mesh_", "hfield_"),
    "flexes": ("flex_", "flexedge_"),
    "sites": ("site_",),
    "tendons": ("tendon_", "wrap_"),
    "equalities": ("eq_",),
    "actuators": ("actuator_",),
    "sensors": ("sensor_",),
    "plugins": ("plugin",),
}
# neither where its files are nor how it looks is what a robot is, unless it sees itself
_PLACES = ("pathadr",)
_LOOKS = ("rgba", "matid", "user", "facetexcoord", "texcoord", "texcoordadr", "texcoordnum")
_SIGHT = {"sight": ("cam_", "mat_")}
# numbers nearer to 0 are what is left of sums that are 0: they differ between processors
_ZERO = 1e-12
_DIGITS = 16
_MAX_NAMES = 100_000

OVERRIDE = "allow_other_task=True (at the command line --allow_other_task)"


@dataclass(frozen=True)
class Identity:
    """What states, observations, actions and steps are of.

    Attributes:
        robot: digests (hexadecimal) of the parts of the compiled robot: bodies, joints, ..., options.
        states, observations, actions: what the numbers are called, in order; with the bounds of clipped ones.
        dt: seconds of a control step.
        model: the MJCF's file name, for messages.
        mujoco: the MuJoCo release that compiled it, for messages.
    """

    robot: dict[str, str]
    states: tuple[str, ...]
    observations: tuple[str, ...]
    actions: tuple[str, ...]
    dt: float
    model: str
    mujoco: str

    @property
    def digest(self) -> str:
        """One digest of the whole robot, hexadecimal."""
        return _digest(json.dumps(self.robot, sort_keys=True).encode())

    def differences(self, other: Identity, *, observations: bool = True) -> str:
        """How this one, of something kept, differs from the ``other``, of a task; "" if it does not.

        observations: whether they count.
        """
        found = []
        for name in ("states", "observations", "actions"):
            mine, wanted = getattr(self, name), getattr(other, name)
            if mine != wanted and (observations or name != "observations"):
                found.append(f"{name} {_names(mine, wanted)} in place of {_names(wanted, mine)}")
        if not math.isclose(self.dt, other.dt, rel_tol=1e-9):
            found.append(f"dt {self.dt:.9g} s in place of {other.dt:.9g} s")
        parts = [
            part for part in sorted(self.robot | other.robot) if self.robot.get(part) != other.robot.get(part)
        ]
        if parts:
            line = (
                f"robot {self._named} in place of {other._named}, whose {', '.join(parts)} "
                f"{'is' if len(parts) == 1 and not parts[0].endswith('s') else 'are'} other ones"
            )
            if self.mujoco != other.mujoco:
                line += (
                    f" (compiled by MuJoCo {self.mujoco} in place of {other.mujoco}, "
                    "which alone may be the reason)"
                )
            found.append(line)
        return "; ".join(found)

    @property
    def _named(self) -> str:
        return f"{printed(self.model)} ({self.digest})"

    def to_data(self) -> dict[str, Any]:
        """As mappings, lists, texts and a number, for files."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_data(cls, data: Any, where: str) -> Identity:
        """What `to_data` gave. Raises DataError, whose message begins with ``where``."""
        what = f"{where}: identity must be"
        if not isinstance(data, Mapping) or set(data) != set(cls.__dataclass_fields__):
            raise DataError(f"{what} a mapping of {', '.join(cls.__dataclass_fields__)}, got {show(data)}")
        for key in ("states", "observations", "actions"):
            names = data[key]
            if not isinstance(names, list) or len(names) > _MAX_NAMES or not _texts(names):
                raise DataError(f"{what} one whose {key} are names, got {show(names)}")
        robot, dt = data["robot"], data["dt"]
        if not isinstance(robot, dict) or len(robot) > 100 or not _texts([*robot, *robot.values()]):
            raise DataError(f"{what} one whose robot is digests by part, got {show(robot)}")
        if isinstance(dt, bool) or not isinstance(dt, int | float) or not 0 < dt <= sys.float_info.max:
            raise DataError(f"{what} one whose dt is positive, got {show(dt)}")
        if not _texts([data["model"], data["mujoco"]]):
            raise DataError(f"{what} one whose model and mujoco are texts, got {show(data['model'])}")
        names = {key: tuple(data[key]) for key in ("states", "observations", "actions")}
        return cls(dict(robot), dt=float(dt), model=data["model"], mujoco=data["mujoco"], **names)


def identity_of(
    model: mujoco.MjModel,
    robot: dict[str, str],
    model_file: str,
    dt: float,
    states: Sequence[Entry],
    observations: Sequence[Entry],
    moves: Sequence[str] = (),
) -> Identity:
    """The identity of a task with this compiled robot, whose digests are given.

    moves: the actions that come after those of the actuators.
    """
    import mujoco

    from mbmf.tasks.sources import control_names

    return Identity(
        robot,
        tuple(entry.described for entry in states),
        tuple(entry.described for entry in observations),
        (*control_names(model), *moves),
        dt,
        Path(model_file).name,
        mujoco.__version__,
    )


def robot_digests(model: mujoco.MjModel) -> dict[str, str]:
    """A digest of each part of a compiled robot: of its numbers as float32, so that the last bits, in which
    processors differ, do not count. The same on every machine and in every folder.
    """
    import mujoco

    # a range finder passes through what is transparent
    seers = (mujoco.mjtSensor.mjSENS_RANGEFINDER, mujoco.mjtSensor.mjSENS_CAMPROJECTION)
    sees = any(kind in seers for kind in model.sensor_type)
    skipped = _PLACES if sees else _PLACES + _LOOKS
    known = [name for name in dir(type(model)) if name.rpartition("_")[2] not in skipped]
    found = {}
    for part, prefixes in (_PARTS | (_SIGHT if sees else {})).items():
        values = {name: getattr(model, name) for name in known if name.startswith(prefixes)}
        arrays = {name: x for name, x in values.items() if isinstance(x, np.ndarray) and x.size}
        if arrays:
            found[part] = digest_of(arrays)
    options = {
        name: np.asarray(value)
        for name in dir(model.opt)
        if not name.startswith("_")
        and isinstance(value := getattr(model.opt, name), int | float | np.ndarray)
    }
    return found | {"options": digest_of(options)}


def check_identity(
    what: str, found: Identity | None, wanted: Identity, name: str, *, observations: bool = True
) -> None:
    """Raises DataError if ``what``, kept for later, is not known to be of the task ``name`` as it is now.

    found: its identity; None where an earlier release did not keep one.
    wanted: the task's.
    observations: whether they count.
    """
    begin = f"{what} must be of task {name} as it is now, got"
    if found is None:
        raise DataError(
            f"{begin} what an earlier release made, which did not keep robot, names and dt: make it again, "
            f"or {OVERRIDE} takes it all the same"
        )
    difference = found.differences(wanted, observations=observations)
    if difference:
        raise DataError(f"{begin} what is of another: {difference}; {OVERRIDE} takes it all the same")


def read_identity(header: Mapping[str, Any], path: str | os.PathLike[str]) -> Identity | None:
    """The identity in the header of a file of `mbmf.tensor_file`; None in early files. Raises DataError."""
    data = header.get("identity")
    return None if data is None else Identity.from_data(data, os.fspath(path))


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _names(names: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Names in a message: all of a few; of many how many there are, and the first that differs."""
    if len(names) <= 6:
        return f"[{', '.join(map(printed, names))}]"
    at = next((i for i, (a, b) in enumerate(zip(names, others, strict=False)) if a != b), None)
    return f"{len(names)}" + (f" with {printed(names[at])} at {at}" if at is not None else "")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def keyframe_digest(model: mujoco.MjModel, keyframe: int) -> str:
    """A digest of one of a robot's keyframes, by its number, as those of `robot_digests`."""
    names = ("key_time", "key_qpos", "key_qvel", "key_act", "key_mpos", "key_mquat", "key_ctrl")
    return digest_of({name: np.asarray(getattr(model, name)[keyframe]) for name in names})


def digest_of(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """A digest of numbers, as those of `robot_digests`."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                # + 0.0: there is one zero
                array = np.where(np.abs(array) < _ZERO, 0, array).astype("<f4") + np.float32(0)
        else:
            array = array.astype("<i8")
        digest.update(f"{name}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:_DIGITS]
