"""Episodes: what was seen, done and rewarded, in padded arrays."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf.arguments import a_task
from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.json_text import parse_json
from mbmf.names import PLAIN_NAME, is_plain_name
from mbmf.npz_file import open_npz
from mbmf.rollouts.path_record import KEYS as PATH_KEYS
from mbmf.rollouts.path_record import PathRecord, joined
from mbmf.tasks.identity import OVERRIDE, Identity, check_identity
from mbmf.words import counted, printed, show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

FloatArray = npt.NDArray[np.float64]

_FORMAT, _BEFORE = "mbmf-episodes-2", "mbmf-episodes-1"
_DTYPES: dict[str, Any] = {
    "states": np.float64,
    "actions": np.float32,
    "rewards": np.float64,
    "lengths": np.int32,
    "terminated": np.bool_,
    "diverged": np.bool_,
    "observations": np.float64,
    "poses": np.float64,
}
# that an episode may do without
_OPTIONAL = ("observations", "poses")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Episodes:
    """E episodes of at most T control steps. What lies past an episode's length is padding, as valid as the
    rest, that counts nowhere; it is zero in what mbmf collects.

    Attributes:
        states: the dynamics model's states, float64 (E, T + 1, nstate): one more than there are steps.
        actions: in [-1, 1], float32 (E, T, naction), without any noise that was added to executed ones.
        rewards: float64 (E, T).
        lengths: control steps of each episode, int32 (E,).
        terminated: the episode ended by leaving the task's healthy bounds, bool (E,).
        diverged: the episode ended because MuJoCo failed, or no candidate of a plan had a finite cost, bool
            (E,); that step is not part of it.
        observations: the policy's, float64 (E, T + 1, nobservation); None: the same as the states.
        task: the task's name.
        identity: what the task was; None for arrays of your own, of which nobody knows.
        poses: MuJoCo's qpos, mocap_pos and mocap_quat, float64 (E, T + 1, nq + 7 nmocap), for pictures; of
            rollouts whose states do not say where everything is, else None.
        path: what the episodes followed, or None.

    Raises DataError if dtypes or shapes do not fit, a length or an action is out of range, or a number is not
    finite.
    """

    states: FloatArray
    actions: npt.NDArray[np.float32]
    rewards: FloatArray
    lengths: npt.NDArray[np.int32]
    terminated: npt.NDArray[np.bool_]
    diverged: npt.NDArray[np.bool_]
    observations: FloatArray | None
    task: str
    path: PathRecord | None = None
    identity: Identity | None = None
    poses: FloatArray | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise DataError(problem)

    @property
    def returns(self) -> FloatArray:
        """The sum of each episode's rewards, float64 (E,)."""
        real = np.arange(self.rewards.shape[1]) < self.lengths[:, None]
        returns: FloatArray = np.where(real, self.rewards, 0.0).sum(axis=1)
        return returns

    @property
    def nsteps(self) -> int:
        """Control steps of all episodes together."""
        return int(self.lengths.sum())

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"<mbmf.Episodes {self.task}: {counted(len(self), 'episode')}, {counted(self.nsteps, 'step')}>"

    def transitions(self) -> tuple[FloatArray, npt.NDArray[np.float32], FloatArray]:
        """All steps in order: states (N, nstate), actions (N, naction), next states (N, nstate)."""
        real = np.arange(self.actions.shape[1]) < self.lengths[:, None]
        return self.states[:, :-1][real], self.actions[real], self.states[:, 1:][real]

    def select(self, which: npt.ArrayLike) -> Episodes:
        """The episodes of a mask (E,) or of whole numbers, in that order; there may be none."""
        index = np.asarray(which)
        if index.ndim != 1 or (index.size and index.dtype.kind not in "iub"):
            raise ValueError(f"which must be a mask or whole numbers, got {which!r}")
        if index.dtype == np.bool_ and index.shape != (len(self),):
            raise ValueError(f"which must be a mask of shape ({len(self)},), got {index.shape}")
        if index.dtype != np.bool_:
            if index.size and not (-len(self) <= int(index.min()) and int(index.max()) < len(self)):
                raise ValueError(f"which must be episodes of {len(self)}, got {which!r}")
            index = index.astype(np.int64)
        arrays: dict[str, Any] = {
            name: None if array is None else array[index] for name, array in self._arrays().items()
        }
        path = None if self.path is None else self.path.select(index)
        return dataclasses.replace(self, **arrays, path=path)

    @classmethod
    def concatenate(cls, batches: Sequence[Episodes], *, allow_other_task: bool = False) -> Episodes:
        """The episodes of several batches, padded to the longest. Raises DataError if tasks differ.

        What they followed is kept where it is the same path, identity and poses where all have them.
        allow_other_task: the robots, names and dt of one task may differ; the result is of no known identity.
        """
        batches = batches if isinstance(batches, Episodes) else list(batches)
        if isinstance(batches, Episodes) or not all(isinstance(each, Episodes) for each in batches):
            raise ValueError("batches must be a list of mbmf.Episodes, got another thing")
        if not batches:
            raise ValueError("batches must be one or more Episodes, got none")
        first = batches[0]
        for other in batches[1:]:
            if other._widths() != first._widths():
                raise DataError(
                    f"batches must be of one task and its sizes, got {first._widths()} and {other._widths()}"
                )
        known = [batch.identity for batch in batches if batch.identity is not None]
        for identity in known[1:]:
            difference = identity.differences(known[0])
            if difference and not allow_other_task:
                raise DataError(
                    f"batches must be of one robot, its names and dt, got {difference}; {OVERRIDE} takes "
                    "them all the same"
                )
            if difference:
                known.clear()
                break
        steps = max(batch.actions.shape[1] for batch in batches)
        arrays: dict[str, Any] = {}
        widths = {None if each.poses is None else each.poses.shape[2] for each in batches}
        for name, array in first._arrays().items():
            if array is None or (name == "poses" and len(widths) > 1):
                arrays[name] = None
                continue
            length = {"actions": steps, "rewards": steps}.get(name)
            if name in ("states", "observations", "poses"):
                length = steps + 1
            parts = [getattr(batch, name) for batch in batches]
            arrays[name] = np.concatenate(parts if length is None else [_pad(part, length) for part in parts])
        path = joined([batch.path for batch in batches], steps + 1)
        common = known[0] if len(known) == len(batches) else None
        return cls(**arrays, task=first.task, path=path, identity=common)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .npz file, without pickle; one that is there is replaced when the new one is whole.

        Raises:
            OSError: the file cannot be written.
        """
        arrays: dict[str, Any] = {name: x for name, x in self._arrays().items() if x is not None}
        if self.path is not None:
            arrays |= self.path.arrays()
        if self.identity is not None:
            text = json.dumps(self.identity.to_data())
            arrays["identity"] = np.frombuffer(text.encode(), np.uint8)
        with atomic_write(path) as file:
            np.savez(file, format=np.array(_FORMAT), task=np.array(self.task), **arrays)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], task: Task | None = None, *, allow_other_task: bool = False
    ) -> Episodes:
        """Reads a file of `save`, checked; with a task, that it is of that task as it is now.

        allow_other_task: take what is of another robot, other names or another dt for the task's, and read
            files of earlier releases, which do not say what they are of. Sizes must be the task's even so.

        Raises:
            DataError: naming the file, if it is not such a file, is damaged, holds NaN or is of another task.
            OSError: the file cannot be read.
        """
        name = os.fspath(path)
        if task is not None:
            a_task("task", task)
        try:
            episodes = cls(**_read(path, allow_other_task))
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        if task is None:
            return episodes
        if allow_other_task:
            episodes = dataclasses.replace(episodes, task=task.name, identity=task.identity)
        expected = (task.name, task.nstate, task.naction)
        found = (episodes.task, episodes.states.shape[2], episodes.actions.shape[2])
        for what, want, got in zip(("task", "nstate", "naction"), expected, found, strict=True):
            if want != got:
                hint = f"; {OVERRIDE} takes it all the same" if what == "task" else ""
                raise DataError(f"{name}: {what} must be {want}, got {got}{hint}")
        width = None if task.core.observes_state else task.nobservation
        if episodes._nobservation() != width:
            raise DataError(f"{name}: nobservation must be {width}, got {episodes._nobservation()}")
        pose = task.model.nq + 7 * task.model.nmocap
        if episodes.poses is not None and episodes.poses.shape[2] != pose:
            raise DataError(f"{name}: poses must be of {pose} numbers, got {episodes.poses.shape[2]}")
        episodes.check_task(task, f"{name}: episodes")
        return episodes

    def check_task(self, task: Task, name: str, *, observations: bool = True) -> None:
        """Raises DataError if the episodes, ``name`` in messages, are of another task, robot, names or dt.

        Of arrays of your own only the task's name is compared. observations: whether their names count.
        """
        if self.task != task.name:
            raise DataError(f"{name} must be of task {task.name}, got {self.task}")
        self.check_sizes(task, name)
        if self.identity is not None:
            check_identity(name, self.identity, task.identity, task.name, observations=observations)

    def check_sizes(self, task: Task, name: str) -> None:
        """Raises DataError unless the episodes, ``name`` in messages, have the task's states and actions."""
        found = self.states.shape[2], self.actions.shape[2]
        if found != (task.nstate, task.naction):
            raise DataError(
                f"{name} must have {task.nstate} states and {task.naction} actions, got {found[0]} and "
                f"{found[1]}"
            )

    def _arrays(self) -> dict[str, npt.NDArray[Any] | None]:
        return {name: getattr(self, name) for name in _DTYPES}

    def _nobservation(self) -> int | None:
        return None if self.observations is None else int(self.observations.shape[2])

    def _widths(self) -> tuple[str, int, int, int | None]:
        return self.task, self.states.shape[2], self.actions.shape[2], self._nobservation()


def _pad(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    return np.pad(array, [(0, 0), (0, length - array.shape[1])] + [(0, 0)] * (array.ndim - 2))


def _problem(episodes: Episodes) -> str:
    """What is wrong with the arrays, or nothing."""
    if not is_plain_name(episodes.task):
        return f"task must be {PLAIN_NAME}, got {show(episodes.task)}"
    arrays = episodes._arrays()
    for name, array in arrays.items():
        if array is None and name in _OPTIONAL:
            continue
        if not isinstance(array, np.ndarray) or array.dtype != _DTYPES[name]:
            got = getattr(array, "dtype", type(array).__name__)
            return f"{name} must be {np.dtype(_DTYPES[name])}, got {got}"
    states, actions = episodes.states, episodes.actions
    if states.ndim != 3 or states.shape[1] < 1:
        return f"states must be of shape (E, T + 1, nstate), got {states.shape}"
    count, steps = states.shape[0], states.shape[1] - 1
    shapes: dict[str, tuple[int, ...]] = {
        "actions": (count, steps, actions.shape[-1] if actions.ndim else 0),
        "rewards": (count, steps),
        "lengths": (count,),
        "terminated": (count,),
        "diverged": (count,),
    }
    for name in _OPTIONAL:
        array = arrays[name]
        if array is not None:
            shapes[name] = (count, steps + 1, array.shape[-1] if array.ndim else 0)
    for name, shape in shapes.items():
        if getattr(episodes, name).shape != shape:
            return f"{name} must be of shape {shape}, got {getattr(episodes, name).shape}"
    if count and not (episodes.lengths.min() >= 0 and episodes.lengths.max() <= steps):
        return f"lengths must be from 0 to {steps}, got {episodes.lengths.min()} to {episodes.lengths.max()}"
    if episodes.path is not None and episodes.path.segments.shape != (count, steps + 1):
        return f"path.segments must be of shape {(count, steps + 1)}, got {episodes.path.segments.shape}"
    for name, array in arrays.items():
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            return f"{name} must be finite, got {array[where]} at {list(where)}"
    if (beyond := np.abs(actions) > 1).any():
        where = tuple(int(i) for i in np.argwhere(beyond)[0])
        return f"actions must be in [-1, 1], got {actions[where]} at {list(where)}"
    return ""


def _read(path: str | os.PathLike[str], any_format: bool) -> dict[str, Any]:
    """The constructor's arguments from a file; with ``any_format`` also from one of an earlier release."""
    wanted = {*_DTYPES, "format", "task"}
    with open_npz(path, "a file of Episodes.save") as file:
        names = file.names
        if missing := sorted(wanted - names - set(_OPTIONAL)):
            raise DataError(f"must hold {', '.join(missing)}, got {_list(names) or 'nothing'}")
        path_keys = names.intersection(PATH_KEYS)
        if path_keys and (missing := sorted(set(PATH_KEYS) - names)):
            raise DataError(f"must hold {', '.join(missing)} too, got {_list(names)}")
        if unknown := names - wanted - path_keys - {"identity"}:
            raise DataError(f"must hold nothing but episodes, got {_list(unknown)} too")
        found = file.text("format")
        if found == _BEFORE and not any_format:
            raise DataError(
                f"format must be {_FORMAT}, got {_BEFORE} of an earlier release, which did not keep robot, "
                f"names and dt: collect the episodes again, or {OVERRIDE} takes them all the same"
            )
        if found not in (_FORMAT, _BEFORE):
            raise DataError(f"format must be {_FORMAT}, got {printed(found)}")
        contents: dict[str, Any] = {name: file.read(name) for name in _DTYPES if name in names}
        contents |= {name: None for name in _OPTIONAL if name not in names}
        if "identity" in names:
            contents["identity"] = _identity(file.read("identity"))
        if path_keys:
            name, *arrays = PATH_KEYS
            contents["path"] = PathRecord.from_arrays(
                file.text(name), {key: file.read(key) for key in arrays}
            )
        return {**contents, "task": file.text("task")}


def _identity(data: npt.NDArray[Any]) -> Identity:
    if data.dtype != np.uint8 or data.ndim != 1:
        raise DataError(f"identity must be JSON as uint8, got {data.dtype} {data.shape}")
    return Identity.from_data(parse_json(data.tobytes(), "identity"), "episodes")


def _list(names: set[str]) -> str:
    """Names of arrays, which a file may choose."""
    return ", ".join(map(printed, sorted(names)))
