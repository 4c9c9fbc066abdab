"""How well episodes followed their path: a pure function of the episodes and the task."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf.errors import DataError

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

FloatArray = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Tracking:
    """The figures of one rollout.

    Attributes:
        distance_mean, distance_max: over its states, from the nearest point of the whole path, metres.
        progress: metres along the path at the end: to the current segment's start, and the share of the
            segment that the robot's projection has done.
        progress_share: of the length up to the end of the path's last segment that counts, at most 1.
        final_segment: the segment at the end, counted from 0.
        steps_to_end: control steps until it was past the last segment that counts; None: never.
        steps, seconds: control steps of the rollout, and how long they take.
        heading_error: mean absolute angle, rad, between the current segment's direction and what `heading_of`
            names; NaN if nothing moved.
        heading_of: "heading" where the task's path names one, else "velocity": the direction from a state's
            position to the next one's.
        end, low, high: the last position, and the least and the greatest x and y, relative to the path's
            origin, metres.
    """

    distance_mean: float
    distance_max: float
    progress: float
    progress_share: float
    final_segment: int
    steps_to_end: int | None
    steps: int
    seconds: float
    heading_error: float
    heading_of: str
    end: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]

    @property
    def completed(self) -> bool:
        """The rollout got past the last segment that counts."""
        return self.steps_to_end is not None


def track(task: Task, episodes: Episodes) -> list[Tracking]:
    """The figures of every episode.

    Args:
        task: of the episodes; says which states are position and heading, and which segment is the last.
        episodes: with a path (`Episodes.path`).

    Raises:
        DataError: the task or the episodes have no path.
    """
    spec = task.core.spec.path
    if task.path is None or spec is None or episodes.path is None:
        raise DataError("episodes must be ones that followed a path, got none")
    record = episodes.path
    figures = []
    for episode, length in enumerate(episodes.lengths):
        states = episodes.states[episode, : length + 1]
        segments = record.segments[episode, : length + 1]
        heading = states[:, spec.heading] if spec.heading >= 0 else None
        figures.append(
            track_one(
                record.waypoints,
                states[:, [spec.x, spec.y]] - record.origins[episode],
                segments,
                task.path.last_segment,
                task.dt,
                heading,
            )
        )
    return figures


def track_one(
    waypoints: FloatArray,
    places: FloatArray,
    segments: npt.NDArray[np.integer[Any]],
    last_segment: int,
    dt: float,
    heading: FloatArray | None = None,
) -> Tracking:
    """The figures of one rollout.

    Args:
        waypoints: (P, 2), metres.
        places: the robot's positions, (T + 1, 2), beside the waypoints.
        segments: the current segment at each of them, (T + 1,).
        last_segment: the last that counts.
        dt: seconds per control step.
        heading: of the robot, rad (T + 1,), or None.
    """
    edges = np.diff(waypoints, axis=0)
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    real = np.minimum(segments, len(edges) - 1)

    nearest = distances(waypoints, places)
    arrived = np.flatnonzero(segments > last_segment)

    # along the path, at the end
    here = int(real[-1])
    share = float((places[-1] - waypoints[here]) @ edges[here]) / lengths[here] ** 2
    progress = float(lengths[:here].sum() + np.clip(share, 0, 1) * lengths[here])
    counted = float(lengths[: last_segment + 1].sum())

    # where it points, beside where the path does
    directions = np.arctan2(edges[:, 1], edges[:, 0])[real]
    if heading is None:
        steps = np.diff(places, axis=0)
        moving = np.hypot(steps[:, 0], steps[:, 1]) > 1e-9
        turn = (np.arctan2(steps[:, 1], steps[:, 0]) - directions[:-1])[moving]
    else:
        turn = heading - directions
    turn = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)

    def point(xy: FloatArray) -> tuple[float, float]:
        return float(xy[0]), float(xy[1])

    return Tracking(
        distance_mean=float(nearest.mean()),
        distance_max=float(nearest.max()),
        progress=progress,
        progress_share=min(progress / counted, 1.0),
        final_segment=int(segments[-1]),
        steps_to_end=int(arrived[0]) if len(arrived) else None,
        steps=len(places) - 1,
        seconds=(len(places) - 1) * dt,
        heading_error=float(turn.mean()) if len(turn) else math.nan,
        heading_of="velocity" if heading is None else "heading",
        end=point(places[-1]),
        low=point(places.min(axis=0)),
        high=point(places.max(axis=0)),
    )


def distances(waypoints: FloatArray, places: FloatArray) -> FloatArray:
    """From each place (T, 2) to the nearest point of the path (P, 2), float64 (T,)."""
    nearest = np.full(len(places), np.inf)
    for start, end in itertools.pairwise(waypoints):
        edge = end - start
        along = np.clip((places - start) @ edge / (edge @ edge), 0, 1)
        apart = places - (start + along[:, None] * edge)
        nearest = np.minimum(nearest, np.hypot(apart[:, 0], apart[:, 1]))
    return nearest


def record(task: Task, rollouts: Sequence[Tracking]) -> dict[str, Any]:
    """What a run's metrics say of an iteration's rollouts: means, and each one's figures.

    ``steps_to_end`` is the mean where all got to the end, else None.
    """
    assert task.path is not None
    ends = [each.steps_to_end for each in rollouts]
    means = ("distance_mean", "distance_max", "progress", "progress_share", "seconds", "heading_error")
    return {
        "path": task.path.name,
        "segment_rule": task.path.segment_rule,
        "last_segment": task.path.last_segment,
        "completed": sum(each.completed for each in rollouts),
        **{name: float(np.mean([getattr(each, name) for each in rollouts])) for name in means},
        "heading_of": rollouts[0].heading_of,
        "steps_to_end": float(np.mean([end for end in ends if end is not None]))
        if all(end is not None for end in ends)
        else None,
        "rollouts": [dataclasses.asdict(each) for each in rollouts],
    }
