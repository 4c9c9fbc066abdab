"""The path that episodes followed: its waypoints, where it began, and how far along it they were."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from mbmf.errors import DataError
from mbmf.names import PLAIN_NAME, is_plain_name
from mbmf.words import show

FloatArray = npt.NDArray[np.float64]

_DTYPES: dict[str, Any] = {"waypoints": np.float64, "origins": np.float64, "segments": np.int32}
PREFIX = "path_"
KEYS = ("path_name", *(PREFIX + name for name in _DTYPES))


@dataclasses.dataclass(frozen=True, eq=False)
class PathRecord:
    """What E episodes of at most T control steps followed.

    Attributes:
        name: the path's.
        waypoints: x and y, metres, as the task has them, float64 (P, 2).
        origins: what is added to the waypoints of each episode, float64 (E, 2).
        segments: the segment from which each state was planned, and in the end the last one, int32
            (E, T + 1); zero past an episode's length.

    Raises DataError if dtypes or shapes do not fit or a number is not finite.
    """

    name: str
    waypoints: FloatArray
    origins: FloatArray
    segments: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        if not is_plain_name(self.name):
            raise DataError(f"path.name must be {PLAIN_NAME}, got {show(self.name)}")
        count = len(self.segments) if getattr(self.segments, "ndim", 0) == 2 else -1
        wanted = {"waypoints": (None, 2), "origins": (count, 2), "segments": (count, None)}
        for key, dtype in _DTYPES.items():
            array = getattr(self, key)
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                got = getattr(array, "dtype", type(array).__name__)
                raise DataError(f"path.{key} must be {np.dtype(dtype)}, got {got}")
            shape = wanted[key]
            if array.ndim != 2 or any(
                w is not None and w != n for w, n in zip(shape, array.shape, strict=True)
            ):
                raise DataError(f"path.{key} must be of shape {shape}, got {array.shape}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DataError(f"path.{key} must be finite, got {array[~np.isfinite(array)][0]}")
        if len(self.waypoints) < 2:
            raise DataError(f"path.waypoints must be two or more, got {len(self.waypoints)}")
        if self.segments.size and self.segments.min() < 0:
            raise DataError(f"path.segments must not be negative, got {self.segments.min()}")

    def points(self, episode: int) -> FloatArray:
        """The waypoints of an episode in the world, metres, float64 (P, 2)."""
        points: FloatArray = self.waypoints + self.origins[episode]
        return points

    def select(self, index: npt.NDArray[Any]) -> PathRecord:
        """Of some of the episodes."""
        return dataclasses.replace(self, origins=self.origins[index], segments=self.segments[index])

    def padded(self, length: int) -> npt.NDArray[np.int32]:
        """The segments with zeros up to ``length`` states."""
        return np.pad(self.segments, [(0, 0), (0, length - self.segments.shape[1])])

    def same_path(self, other: PathRecord | None) -> bool:
        """The other episodes followed the same waypoints."""
        return other is not None and np.array_equal(self.waypoints, other.waypoints)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For a file: `KEYS` to arrays."""
        return {"path_name": np.array(self.name), **{PREFIX + key: getattr(self, key) for key in _DTYPES}}

    @classmethod
    def from_arrays(cls, name: str, arrays: dict[str, npt.NDArray[Any]]) -> PathRecord:
        """From a file's name and arrays, by `KEYS`. Raises DataError as the constructor."""
        return cls(name=name, **{key: arrays[PREFIX + key] for key in _DTYPES})


def joined(records: list[PathRecord | None], length: int) -> PathRecord | None:
    """The record of batches that are put together: None unless all followed the same waypoints."""
    first = records[0]
    if first is None or not all(first.same_path(other) for other in records):
        return None
    return dataclasses.replace(
        first,
        origins=np.concatenate([each.origins for each in records if each is not None]),
        segments=np.concatenate([each.padded(length) for each in records if each is not None]),
    )
