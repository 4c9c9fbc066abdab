"""What a task file may say of what moves without the robot: goals, references over time, mocap bodies.

Only what can be checked without the robot is checked here; motion.py resolves names.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, PlainValidator, model_validator

from mbmf.errors import ConfigError
from mbmf.tasks.fields import Flag, Key, Text, list_of, number
from mbmf.words import show
from mbmf.yaml_text import read_text

MAX_ROWS, MAX_COLUMNS = 100_000, 100
# of all references of a task: a run's configuration, where they are kept, is read up to a million values
MAX_NUMBERS = 900_000
QUATERNION = ("qw", "qx", "qy", "qz")
POSITION = ("x", "y", "z")
_SMALLEST = 1e-3  # length of a quaternion


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _range(value: Any) -> tuple[float, float] | dict[str, float]:
    requirement = f"a number, [low, high], or {{rotation: angle}} with an angle from 0 to {math.pi:.4f}"
    if isinstance(value, dict):
        angle = value.get("rotation")
        if set(value) != {"rotation"} or isinstance(angle, bool) or not isinstance(angle, int | float):
            raise ValueError(requirement)
        if not 0 <= angle <= math.pi:
            raise ValueError(requirement)
        return {"rotation": float(angle)}
    pair = value if isinstance(value, list | tuple) else [value, value]
    fine = len(pair) == 2 and all(isinstance(x, int | float) and not isinstance(x, bool) for x in pair)
    if not fine or not all(abs(x) < 1e300 for x in pair) or pair[0] > pair[1]:
        raise ValueError(requirement)
    return float(pair[0]), float(pair[1])


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or "." in value:
        raise ValueError("a name without a dot")
    return value


Name = Annotated[str, PlainValidator(_name)]
Goals = dict[Name, Annotated[tuple[float, float] | dict[str, float], PlainValidator(_range)]]


class ReferenceConfig(_Part):
    """Numbers over time: a CSV file with a header, or times and columns; linear between rows."""

    file: Text | None = None
    time: Annotated[tuple[Annotated[float, number()], ...] | None, list_of(1, MAX_ROWS)] = None
    columns: dict[Name, Annotated[tuple[Annotated[float, number()], ...], list_of(1, MAX_ROWS)]] | None = None
    loop: Flag = False

    @model_validator(mode="after")
    def _whole(self) -> ReferenceConfig:
        if self.file is not None:
            if self.time is not None or self.columns is not None:
                raise ValueError("a mapping with a file, or with time and columns")
            return self
        if self.time is None or not self.columns:
            raise ValueError("a mapping with a file, or with time and one or more columns")
        rows = len(self.time)
        for name, values in self.columns.items():
            if len(values) != rows:
                raise ValueError(f"a mapping with as many numbers in {name} as in time ({rows})")
        problem = _problem(self.time, self.columns)
        if problem:
            raise ValueError(f"a mapping with {problem}")
        if self.loop and rows == 1:
            raise ValueError("a mapping with two or more rows where it loops")
        return self


class MoveConfig(_Part):
    """An action that moves a mocap body: to a place from low to high, or at a speed, m/s or rad/s."""

    low: Annotated[float | None, number()] = None
    high: Annotated[float | None, number()] = None
    speed: Annotated[float | None, number(0, low_open=True)] = None

    @model_validator(mode="after")
    def _whole(self) -> MoveConfig:
        if self.speed is None and (self.low is None or self.high is None):
            raise ValueError("a mapping with low and high, or with a speed")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError("a mapping with low below high")
        return self


class MocapConfig(_Part):
    """A mocap body: where it starts, and what moves it."""

    pos: Annotated[tuple[Annotated[float, number()], ...] | None, list_of(3, 3)] = None
    quat: Annotated[tuple[Annotated[float, number()], ...] | None, list_of(4, 4)] = None
    reference: Text | None = None
    move: dict[Literal["x", "y", "z", "rx", "ry", "rz"], MoveConfig] | None = None

    @model_validator(mode="after")
    def _whole(self) -> MocapConfig:
        if self.quat is not None and math.hypot(*self.quat) < _SMALLEST:
            raise ValueError("a mapping with a quat of a length above 0")
        if self.reference is not None and (self.move or self.pos is not None):
            raise ValueError("a mapping with a reference, or with pos and move")
        for axis, move in (self.move or {}).items():
            if axis.startswith("r") and (move.speed is None or move.low is not None or move.high is not None):
                raise ValueError(f"a mapping where {axis} has a speed alone")
        return self


class NoiseConfig(_Part):
    """Noise on a start vector: normal (standard deviation) or uniform (half the width)."""

    normal: Annotated[float | None, number(0)] = None
    uniform: Annotated[float | None, number(0)] = None

    @model_validator(mode="after")
    def _one(self) -> NoiseConfig:
        if (self.normal is None) == (self.uniform is None):
            raise ValueError("a mapping with either normal or uniform")
        return self


class TurnConfig(NoiseConfig):
    """A rotation in place of noise: by a normal rotation vector, or uniform up to an angle, rad."""

    uniform: Annotated[float | None, number(0, math.pi)] = None


class JointReset(_Part):
    """Noise of one joint in place of that of all: on its position, its rotation and its velocities."""

    qpos: NoiseConfig | None = None
    rotation: TurnConfig | None = None
    qvel: NoiseConfig | None = None


def _one_range(value: Any) -> tuple[float, float]:
    requirement = "a finite number or [low, high], low at most high"
    try:
        found = _range(value)
    except ValueError:
        raise ValueError(requirement) from None
    if not isinstance(found, tuple):
        raise ValueError(requirement)
    return found


Range = Annotated[tuple[float, float], PlainValidator(_one_range)]


class MocapReset(_Part):
    """Where a mocap body starts: its position drawn within ranges, turned."""

    x: Range | None = None
    y: Range | None = None
    z: Range | None = None
    rotation: TurnConfig | None = None


JointResets = dict[Key, JointReset]
MocapResets = dict[Key, MocapReset]
Mocaps = dict[Key, MocapConfig]
References = dict[Name, ReferenceConfig]


def with_tables(references: References, directory: Path, file: str) -> References:
    """The references with the rows of their files in place of the names. Raises ConfigError."""
    found = {name: _read(ref, directory, f"{file}: references.{name}") for name, ref in references.items()}
    count = sum(len(ref.time or ()) * (1 + len(ref.columns or ())) for ref in found.values())
    if count > MAX_NUMBERS:
        raise ConfigError(
            f"{file}: references must hold at most {MAX_NUMBERS} numbers in all, their times among them, "
            f"which a run can keep, got {count}"
        )
    return found


def _read(reference: ReferenceConfig, directory: Path, where: str) -> ReferenceConfig:
    if reference.file is None:
        return reference
    path = directory / reference.file
    try:
        text = read_text(path).removeprefix("\ufeff")
    except OSError as error:
        got = f"got {show(reference.file)}: {error.strerror or error}"
        raise ConfigError(f"{where}.file must be a file that can be read, {got}") from error
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    names = [cell.strip() for cell in lines[0][1].split(",")] if lines else []
    if len(names) < 2 or names[0] != "time" or len(set(names)) < len(names) or not all(names):
        got = show(lines[0][1]) if lines else "nothing"
        raise ConfigError(f"{where}.file must begin with a header time,<name>,..., got {got} in {path}")
    rows = [_row(line, len(names), f"{where}.file must hold numbers", path, at) for at, line in lines[1:]]
    if not 1 <= len(rows) <= MAX_ROWS or len(names) > MAX_COLUMNS:
        raise ConfigError(
            f"{where}.file must hold 1 to {MAX_ROWS} rows and at most {MAX_COLUMNS} columns, got {len(rows)} "
            f"and {len(names)} in {path}"
        )
    table = np.array(rows)
    columns = {name: tuple(map(float, table[:, i])) for i, name in enumerate(names) if i > 0}
    times = tuple(map(float, table[:, 0]))
    problem = _problem(times, columns) or ("two or more rows" if reference.loop and len(rows) == 1 else None)
    if problem or any("." in name for name in columns):
        raise ConfigError(f"{where}.file must be one with {problem or 'names without dots'}, got {path}")
    return ReferenceConfig(time=times, columns=columns, loop=reference.loop)


def _row(line: str, size: int, requirement: str, path: Path, at: int) -> list[float]:
    try:
        row = [float(cell) for cell in line.split(",")]
    except ValueError:
        row = []
    if len(row) != size or not np.isfinite(row).all():
        raise ConfigError(f"{requirement}, {size} finite ones a row, got {show(line)} in line {at} of {path}")
    return row


def _problem(times: tuple[float, ...], columns: dict[str, tuple[float, ...]]) -> str | None:
    """The requirement that rows fail, or None."""
    if times[0] != 0 or any(not after > before for before, after in itertools.pairwise(times)):
        return "times that begin with 0 and increase"
    named = [name for name in QUATERNION if name in columns]
    if named and list(columns)[list(columns).index(named[0]) :][:4] != list(QUATERNION):
        return "the four columns qw, qx, qy, qz together, in this order"
    if named:
        lengths = np.linalg.norm([columns[name] for name in QUATERNION], axis=0)
        if not (lengths > _SMALLEST).all():
            return "quaternions of a length above 0"
    return None
