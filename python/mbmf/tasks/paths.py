"""Paths to follow: the named ones, those of files and arrays, and what a task's file says of them.

Waypoints are x and y in metres, relative to where a rollout starts, except the circle's.
"""

from __future__ import annotations

import csv
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from mbmf.arguments import numbers
from mbmf.errors import ConfigError
from mbmf.names import plain_name
from mbmf.tasks.path_section import FACTORS, PathConfig, PathShape
from mbmf.tasks.schema import TaskConfig
from mbmf.words import one_of, show
from mbmf.yaml_text import read_text

FloatArray = npt.NDArray[np.float64]
Points = tuple[tuple[float, float], ...]

DEFAULT = "straight"
MAX_POINTS = 100_000
MAX_FILE_BYTES = 16 << 20
_MAX_ROW = 10_000

# the paper's code; the turns are the ant's
SHAPES: Mapping[str, Points] = {
    "straight": tuple((0.7 * i, 0.0) for i in range(58)),
    "backward": tuple((-0.5 * i, 0.0) for i in range(80)),
    "forward_backward": tuple((float(x), 0.0) for x in (0, 1, 2, 3, 2, 1, 0, -1, -2)),
    "left_turn": ((0, 0), (2, 0), (4, 0), (6, 0), (6, 2), (6, 3), (6, 4), (6, 5), (6, 6), (6, 7)),
    "right_turn": ((0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (2, 4), (3, 4), (4, 4), (6, 4), (7, 4)),
    "u_turn": ((0, 0), (2, 0), (4, 0), (4, 1), (4, 2), (2, 2), (1, 2), (0, 2)),
    "circle": tuple(
        (2 * (math.cos(-math.pi * i / 8) - 1), 2 * math.sin(-math.pi * i / 8)) for i in range(10)
    ),
}
_ABSOLUTE = ("circle",)


@dataclass(frozen=True, eq=False)
class TaskPath:
    """The path that a task follows, resolved.

    Attributes:
        name: what it is called, in files too.
        waypoints: x and y, metres, float64 (P, 2).
        relative: the waypoints begin where the rollout does; else they are in the world.
        last_segment: a rollout ends once it is past this segment, counted from 0.
        segment_rule: "predicted": a segment is over when the best candidate predicts to leave it (the
            paper's); "reached": when it has been passed.
        distance, forward, heading: the factors P, F and B.
        start_heading: rad, of the robot at the start of control rollouts, where it has one.
        candidates: K for this path, or None: the task's.
        borrowed: factors are the straight path's, because the task has none for this one.
    """

    name: str
    waypoints: FloatArray
    relative: bool
    last_segment: int
    segment_rule: str
    distance: float
    forward: float
    heading: float
    start_heading: float
    candidates: int | None
    borrowed: bool

    @property
    def label(self) -> str:
        """For folders: the name, and the rule where it is not the paper's."""
        return self.name if self.segment_rule == "predicted" else f"{self.name}_{self.segment_rule}"


def resolve(config: PathConfig) -> TaskPath:
    """The path that a task's file says to follow. Raises ConfigError if it names none that is known."""
    name = _known_name(config, config.follow)
    straight, shape = config.paths[DEFAULT], config.paths.get(name, PathShape())
    own = shape.waypoints is not None
    points = np.array(shape.waypoints if own else SHAPES[name], np.float64)
    last = config.last_segment if shape.last_segment is None else shape.last_segment

    def factor(key: str) -> float:
        value = getattr(shape, key)
        return float(getattr(straight, key) if value is None else value)

    return TaskPath(
        name=name,
        waypoints=points,
        relative=not (shape.absolute if own else name in _ABSOLUTE),
        last_segment=min(last, len(points) - 2),
        segment_rule=config.segment_rule,
        distance=factor("horiz_penalty_factor"),
        forward=factor("forward_encouragement_factor"),
        heading=factor("heading_penalty_factor"),
        start_heading=shape.start_heading,
        candidates=shape.candidates,
        borrowed=bool(_borrowed(shape)),
    )


def _borrowed(shape: PathShape) -> list[str]:
    """The factors that a path takes from the straight one."""
    return [name for name in FACTORS if getattr(shape, name) is None]


def follow(config: TaskConfig, path: object, segment_rule: str | None, file: str) -> TaskConfig:
    """The task with another path to follow: a known name, a CSV file, or an array of waypoints (P, 2).

    Raises ConfigError.
    """
    if path is None and segment_rule is None:
        return config
    if config.path is None:
        argument, value = ("segment_rule", segment_rule) if path is None else ("path", path)
        raise ConfigError(
            f"{file}: {argument} must be None for a robot that does not say its x and y (the task's file has "
            f"no section path), got {show(value)}; presets that follow paths: {', '.join(followers())}"
        )
    section = config.path
    if segment_rule is not None:
        if segment_rule not in ("predicted", "reached"):
            raise ConfigError(f"segment_rule must be predicted or reached, got {show(segment_rule)}")
        section = section.model_copy(update={"segment_rule": segment_rule})
    if isinstance(path, str) and Path(path).suffix.lower() not in (".csv", ".txt"):
        name = _known_name(section, path)
        section = section.model_copy(update={"follow": name})
        borrowed = _borrowed(section.paths.get(name, PathShape()))
        if borrowed:
            which = "factors" if len(borrowed) == len(FACTORS) else " and ".join(borrowed)
            warnings.warn(
                f"{config.name} has no {which} of its own for the path {name}: {DEFAULT}'s is taken in place "
                "of each",
                stacklevel=3,
            )
    elif isinstance(path, str | os.PathLike):
        # its results are in a folder of this name
        name = plain_name("path's file without its ending", Path(path).stem.replace(" ", "_"))
        if _same_word(name, [*section.paths, *SHAPES]) is not None:
            name += "_file"
        section = _with_own(section, name, read_waypoints(path))
    elif path is not None:
        section = _with_own(section, "waypoints", check_waypoints(path, "path"))
    return config.model_copy(update={"path": section})


def followers() -> list[str]:
    """The presets that follow paths."""
    from mbmf.tasks.file import PRESETS, preset_names, read_task_file

    return [name for name in preset_names() if read_task_file(PRESETS / f"{name}.yaml").path is not None]


def known_names(config: PathConfig) -> list[str]:
    """The names of the paths that a task can follow."""
    return list(dict.fromkeys([*config.paths, *SHAPES]))


def check_waypoints(points: object, name: str) -> FloatArray:
    """Waypoints as float64 (P, 2). Raises ConfigError unless there are two or more finite ones, none of them
    the same as the one before."""
    try:
        array = numbers(name, cast("npt.ArrayLike", points), np.float64).copy()
    except ValueError:
        raise ConfigError(
            f"{name} must be a path's name, a CSV file or waypoints (P, 2), got {show(points)}"
        ) from None
    if array.ndim != 2 or array.shape[1] != 2:
        raise ConfigError(f"{name} must be waypoints of shape (P, 2), got shape {array.shape}")
    for row, point in enumerate(array):
        if not np.isfinite(point).all():
            raise ConfigError(f"{name} must be finite, got {point.tolist()} in row {row}")
    _check_sequence(array, name, [f"row {row}" for row in range(len(array))])
    return array


def read_waypoints(path: str | os.PathLike[str]) -> FloatArray:
    """The waypoints of a CSV file, float64 (P, 2): a row is x,y in metres.

    The first row may be a header, of words; empty lines and those that begin with # are passed over. Raises
    ConfigError, which names the file and the line.
    """
    name = os.fspath(path)
    try:
        text = read_text(Path(path), limit=MAX_FILE_BYTES).removeprefix("\ufeff")
    except OSError as error:
        raise ConfigError(f"path must be a file that can be read, got {name}: {error.strerror}") from error
    points: list[list[float]] = []
    places: list[str] = []
    for line, row in enumerate(text.splitlines(), start=1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        if len(points) == MAX_POINTS:
            raise ConfigError(f"{name} must be 2 to {MAX_POINTS} waypoints, got more, in row {line}")
        try:
            cells = next(csv.reader([row], skipinitialspace=True), []) if len(row) <= _MAX_ROW else []
        except csv.Error:
            cells = []
        numbers = [_number(cell) for cell in cells]
        if not places and len(cells) == 2 and all(cell.strip() for cell in cells) and numbers == [None, None]:
            if [cell.strip().lower() for cell in cells] == ["y", "x"]:
                raise ConfigError(
                    f"{name}: row {line} must be x,y, as the columns are, got {show(row.strip())}"
                )
            places.append("header")
            continue
        if len(cells) != 2 or any(number is None or not math.isfinite(number) for number in numbers):
            raise ConfigError(f"{name}: row {line} must be two finite numbers x,y, got {show(row.strip())}")
        points.append([number for number in numbers if number is not None])
        places.append(f"row {line}")
    array = np.array(points, np.float64).reshape(-1, 2)
    _check_sequence(array, name, [place for place in places if place != "header"])
    return array


def _check_sequence(points: FloatArray, name: str, places: list[str]) -> None:
    if not 2 <= len(points) <= MAX_POINTS:
        raise ConfigError(f"{name} must be 2 to {MAX_POINTS} waypoints, got {len(points)}")
    same = np.flatnonzero((points[1:] == points[:-1]).all(axis=1))
    if len(same):
        row = int(same[0]) + 1
        raise ConfigError(
            f"{name} must be waypoints that differ from the one before, got {points[row].tolist()} twice, in "
            f"{places[row - 1]} and {places[row]}"
        )


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _with_own(config: PathConfig, name: str, points: FloatArray) -> PathConfig:
    """With a user's own waypoints: all of them, from the direction of the first segment on."""
    direction = math.atan2(*reversed((points[1] - points[0]).tolist()))
    shape = PathShape(
        waypoints=tuple((float(x), float(y)) for x, y in points),
        start_heading=direction,
        last_segment=len(points) - 2,
    )
    return config.model_copy(update={"paths": {**config.paths, name: shape}, "follow": name})


def _known_name(config: PathConfig, name: str) -> str:
    """The name as it is known, whatever its case and dashes. Raises ConfigError, which lists the known."""
    names = known_names(config)
    found = _same_word(name, names)
    if found is None:
        raise ConfigError(
            f"path must be {one_of(name, names, 'a known path')}, a CSV file of x,y rows, or waypoints "
            f"(P, 2), got {show(name)}"
        )
    return found


def _same_word(name: str, known: list[str]) -> str | None:
    """The known name that a name means: itself, or the first that is the same but for case and dashes."""

    def plain(text: str) -> str:
        return text.lower().replace("-", "").replace("_", "").replace(" ", "")

    if name in known:
        return name
    return next((other for other in known if plain(other) == plain(name)), None)
