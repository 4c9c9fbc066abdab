"""Noise on training data, and its normalisation to mean 0 and deviation 1 (paper, section IV-A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbmf.errors import DataError

Floats = NDArray[np.float64]

# A deviation below one of these parts of the mean is rounding, not motion: its inverse would turn rounding
# into signal. The core takes states in float64 and keeps them less a centre where they are large beside
# their deviation, so for them it is float64's rounding that counts (1e-16 of numbers of size 1); in random
# data of the paper's four agents deviations are exactly 0 or above 0.002. Actions, sines and cosines are
# float32, which rounds by up to 6e-8: below 2^-20 of the mean the rounding would be a tenth of the
# deviation or more.
NEGLIGIBLE_DEVIATION = 1e-10
NEGLIGIBLE_IN_FLOAT32 = 2.0**-20
# What sines, cosines and rotations are divided by at least. Of a robot that has hardly leaned the cosine's
# deviation is a thousandth, and once it lies on its back the network would see -600: what it says there is
# absurd.
LEAST_ANGLE_DEVIATION = 0.25
# columns that a state becomes, by what is seen of it
_COLUMNS = {"value": 1, "difference": 1, "sine_cosine": 2, "nothing": 0}
# states that go together, and the columns that they become
_GROUPS = {
    "rotation": (4, 6),
    "vertical": (4, 3),
    "body": (3, 3),
    "body_difference": (3, 3),
    "body_value": (3, 3),
}


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per dimension, (n,) float64; a deviation of 0 maps its dimension to 0."""

    mean: Floats
    std: Floats

    @classmethod
    def of(cls, values: NDArray[Any], float32: bool | NDArray[np.bool_] = False) -> Statistics:
        """The statistics of the rows of ``values`` (N, n); negligible deviations become 0.

        ``float32``, for all or (n): the core has them in float32.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # `check` says what is too large
            mean = np.asarray(np.mean(values, axis=0, dtype=np.float64))
            std = np.asarray(np.std(values, axis=0, dtype=np.float64))
        size = np.abs(mean)
        least = NEGLIGIBLE_DEVIATION * np.maximum(1.0, size)
        std[std <= np.where(float32, np.maximum(least, NEGLIGIBLE_IN_FLOAT32 * size), least)] = 0.0
        return cls(mean, std)

    def check(self, what: str, names: Sequence[str]) -> None:
        """Raises DataError, which names the first, where numbers are so large that their spread is none.

        what: they are of, which have ``names`` (n), or fewer where there are none to say.
        """
        wrong = np.flatnonzero(~(np.isfinite(self.mean) & np.isfinite(self.std)))
        if len(wrong):
            which = f" ({names[wrong[0]]})" if len(names) == len(self.std) else ""
            raise DataError(f"{what} must be below 1e150, for their spread to be finite, got more{which}")

    @property
    def inverse_std(self) -> Floats:
        """1 / std, and 0 where the deviation is 0."""
        moving = self.std > 0
        return np.where(moving, 1.0 / np.where(moving, self.std, 1.0), 0.0)

    def normalize(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """``values`` (..., n) to mean 0 and deviation 1, computed in float64."""
        return ((values - self.mean) * self.inverse_std).astype(np.float32)


@dataclass(frozen=True)
class Normalization:
    """Statistics of data (after noise).

    Attributes:
        state: of the states (nstate).
        action: of the actions (naction).
        delta: of what is predicted (nstate): differences, or next states.
        seen: of what the network sees of the states; the states', unless an input map changes them.
    """

    state: Statistics
    action: Statistics
    delta: Statistics
    seen: Statistics = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.seen is None:
            object.__setattr__(self, "seen", self.state)

    @classmethod
    def of(
        cls,
        states: NDArray[Any],
        actions: NDArray[Any],
        deltas: NDArray[Any],
        inputs: Sequence[str] | None = None,
    ) -> Normalization:
        """The statistics of the rows; ``inputs``: a word of the core's for each state, if not all are
        values."""
        seen = None if inputs is None else seen_statistics(what_is_seen(states, inputs), inputs)
        return cls(
            Statistics.of(states),
            Statistics.of(actions, float32=True),
            Statistics.of(deltas),
            seen,  # type: ignore[arg-type]
        )

    def inputs(self, seen: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float32]:
        """The network's inputs (N, nseen + naction)."""
        return np.concatenate([self.seen.normalize(seen), self.action.normalize(actions)], axis=1)


def what_is_seen(states: Floats, inputs: Sequence[str]) -> Floats:
    """What the network sees of states (N, nstate): each as it is, as sine and cosine, turned, or not at all.

    ``inputs`` is a word of the core's for each state.
    """
    if all(word == "value" for word in inputs):
        return states
    columns: list[Floats] = []
    each = columns_of_each(inputs)
    for i, (column, word) in enumerate(zip(states.T, inputs, strict=True)):
        if word in _GROUPS and each[i] == 0:
            continue
        if word == "rotation":
            columns += first_columns(states[:, i : i + 4])
        elif word == "vertical":
            columns += list(matrices(states[:, i : i + 4])[:, 2].T)
        elif word == "body":
            columns += list(in_body_frame(states, inputs, states[:, i : i + 3]).T)
        elif word == "sine_cosine":
            columns += [np.sin(column), np.cos(column)]
        elif word == "value":
            columns.append(column)
    return np.stack(columns, axis=1) if columns else np.zeros((len(states), 0))


def seen_statistics(seen: NDArray[Any], inputs: Sequence[str]) -> Statistics:
    """The statistics of what is seen (N, seen) of states."""
    columns = zip(inputs, columns_of_each(inputs), strict=True)
    words = [word for word, count in columns for _ in range(count)]
    of_angle = np.isin(words, ("sine_cosine", "rotation", "vertical"))
    found = Statistics.of(seen, of_angle)
    small = of_angle & (found.std > 0)
    found.std[small] = np.maximum(found.std[small], LEAST_ANGLE_DEVIATION)
    # the core turns vectors in float32, which rounds by parts of their lengths
    for first in [i for i, word in enumerate(words) if word == "body"][::3]:
        vector = slice(first, first + 3)
        length = np.sqrt(np.mean(np.square(seen[:, vector]).sum(axis=1)))
        found.std[vector][found.std[vector] <= NEGLIGIBLE_IN_FLOAT32 * length] = 0.0
    return found


def number_seen(inputs: Sequence[str]) -> int:
    """How many of the network's inputs come from states."""
    return sum(columns_of_each(inputs))


def columns_of_each(inputs: Sequence[str]) -> list[int]:
    """How many of the network's inputs come from each state; a quaternion's or a vector's come from its
    first."""
    counts: list[int] = []
    while len(counts) < len(inputs):
        word = inputs[len(counts)]
        states, columns = _GROUPS[word] if word in _GROUPS else (1, _COLUMNS[word])
        counts += [columns] + [0] * (states - 1)
    return counts


def quaternions(inputs: Sequence[str], outputs: Sequence[str]) -> list[int]:
    """The first states of quaternions, by the words of what is seen and predicted of each state."""
    found = set()
    for words in (inputs, outputs):
        for i, (word, count) in enumerate(zip(words, columns_of_each(words), strict=True)):
            if word in ("rotation", "vertical") and count > 0:
                found.add(i)
    return sorted(found)


def first_columns(quaternions: Floats) -> list[Floats]:
    """The first two columns of the rotation matrices of quaternions (N, 4), w first: six of (N,)."""
    return list(matrices(quaternions)[:, :, :2].transpose(2, 1, 0).reshape(6, -1))


def matrices(quaternions: Floats) -> Floats:
    """The rotation matrices (N, 3, 3) of quaternions (N, 4), w first, of any length."""
    w, x, y, z = quaternions.T / np.linalg.norm(quaternions, axis=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def in_body_frame(states: Floats, inputs: Sequence[str], vectors: Floats) -> Floats:
    """Vectors (N, 3) in the frame of the one quaternion of the states (N, nstate) that the network sees."""
    first = next(i for i, word in enumerate(inputs) if word in ("rotation", "vertical"))
    return np.asarray(np.einsum("nij,ni->nj", matrices(states[:, first : first + 4]), vectors))


def make_predicted(states: Floats, deltas: Floats, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Makes the differences of states (N, nstate) what a network predicts of them, in place."""
    value = np.array([word == "value" for word in outputs])
    if value.any():
        deltas[:, value] += states[:, value]  # the next states themselves
    for i, (word, count) in enumerate(zip(outputs, columns_of_each(outputs), strict=True)):
        if word == "rotation" and count > 0:
            before = states[:, i : i + 4]
            deltas[:, i + 1 : i + 4] = rotation_vectors(before, before + deltas[:, i : i + 4])
            deltas[:, i] = 0.0
        if word in ("body_difference", "body_value") and count > 0:
            moved = deltas[:, i : i + 3] + (states[:, i : i + 3] if word == "body_value" else 0)
            deltas[:, i : i + 3] = in_body_frame(states, inputs, moved)


def rotation_vectors(before: Floats, after: Floats) -> Floats:
    """What turns quaternions ``before`` (N, 4), in their own frames, to ``after``: rotation vectors (N, 3),
    rad, of at most pi."""
    (aw, ax, ay, az), (bw, bx, by, bz) = before.T, after.T
    w = aw * bw + ax * bx + ay * by + az * bz
    vector = np.stack(
        [
            aw * bx - ax * bw - ay * bz + az * by,
            aw * by + ax * bz - ay * bw - az * bx,
            aw * bz - ax * by + ay * bx - az * bw,
        ],
        axis=1,
    )
    # q and -q are one rotation
    vector *= np.where(w < 0, -1.0, 1.0)[:, None]
    length = np.linalg.norm(vector, axis=1)
    angle = 2 * np.arctan2(length, np.abs(w))
    small = length < 1e-9
    return np.asarray(vector * np.where(small, 2.0, angle / np.where(small, 1.0, length))[:, None])


def add_noise(values: Floats, scale: float, rng: np.random.Generator) -> None:
    """Adds N(0, scale * mean) to each column of ``values`` (N, n) whose mean is positive, in place."""
    std = scale * np.maximum(values.mean(axis=0), 0.0)
    values += std * rng.standard_normal(values.shape)
