"""Costs of path following, in plain NumPy, written from the method's description and nothing of the package.

A table says what each robot pays; `path_cost` walks all candidates along the waypoints point by point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Robot:
    """Which states are position, heading and what is penalised."""

    x: int
    y: int
    heading: int | None = None
    z: int | None = None  # too high, too low
    joints: tuple[int, ...] = ()  # bent too far
    leg: tuple[tuple[int, float], ...] = ()  # at or above


ROBOTS = {
    "swimmer": Robot(x=10, y=11, heading=2, joints=(3, 4)),
    "cheetah": Robot(x=18, y=20, leg=((6, 0.2), (7, 0.0), (8, 0.0))),
    "ant": Robot(x=29, y=30, z=31),
}

STRAIGHT = [(0.7 * i, 0.0) for i in range(58)]


@dataclass(frozen=True)
class Case:
    """An agent on a path: factors P, F and B, and waypoints."""

    agent: str
    path: str
    P: float
    F: float
    B: float
    points: list[tuple[float, float]] = field(repr=False)


CASES = [
    Case("ant", "straight", 3.5, 85, 100, STRAIGHT),
    Case(
        *("ant", "left_turn", 4, 85, 100),
        [(0, 0), (2, 0), (4, 0), (6, 0), (6, 2), (6, 3), (6, 4), (6, 5), (6, 6), (6, 7)],
    ),
    Case(
        *("ant", "right_turn", 3, 50, 100),
        [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (2, 4), (3, 4), (4, 4), (6, 4), (7, 4)],
    ),
    Case(*("ant", "u_turn", 3, 50, 100), [(0, 0), (2, 0), (4, 0), (4, 1), (4, 2), (2, 2), (1, 2), (0, 2)]),
    Case("swimmer", "straight", 4, 500, 2, STRAIGHT),
    Case(
        *("swimmer", "left_turn", 0.7, 200, 0.9),
        [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (4, 2), (4, 3), (4, 4)],
    ),
    Case(
        *("swimmer", "right_turn", 0.1, 250, 0.9),
        [(0, 0), (0, 1), (0, 2), (2, 3), (3, 3), (4, 3), (5, 3), (6, 3), (7, 3), (8, 3)],
    ),
    Case("cheetah", "straight", 0, 40, 10, STRAIGHT),
    Case("cheetah", "backward", 0, 20, 10, [(-0.5 * i, 0.0) for i in range(80)]),
    Case(
        *("cheetah", "forward_backward", 0, 20, 10),
        [(0, 0), (1, 0), (2, 0), (3, 0), (2, 0), (1, 0), (0, 0), (-1, 0), (-2, 0)],
    ),
]


def project(points: Floats, segment: npt.NDArray[Any], at: Floats) -> tuple[Floats, Floats]:
    """Distance of ``at`` (K, 2) to the closest point of each one's segment, and position along it."""
    last = len(points) - 1
    start, end = points[np.minimum(segment, last)], points[np.minimum(segment + 1, last)]
    edge = end - start
    square = (edge**2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        along = np.where(square > 0, ((at - start) * edge).sum(axis=1) / square, 0.0)
    closest = start + np.clip(along, 0, 1)[:, None] * edge
    closest[along >= 1] = end[along >= 1]
    return np.sqrt(((at - closest) ** 2).sum(axis=1)), along


def path_cost(case: Case, states: npt.NDArray[Any], segment: int, origin: Floats | None = None) -> Floats:
    """states (K, H + 1, nstate) -> (K,)."""
    states = states.astype(np.float64)
    robot, count = ROBOTS[case.agent], len(states)
    points = np.array(case.points, np.float64) + (0 if origin is None else origin)
    at = np.full(count, segment)
    moved, previous, cost = np.zeros(count, bool), np.zeros(count), np.zeros(count)
    for s in states.transpose(1, 0, 2):
        place = s[:, [robot.x, robot.y]]
        d, f = project(points, at, place)
        next_d, next_f = project(points, at + 1, place)
        on = next_d <= d
        at, moved = at + on, moved | on
        d, f = np.where(on, next_d, d), np.where(on, next_f, f)
        far = 10 if case.agent == "ant" else 1
        cost += np.where(d >= 1, far, 1) * d * case.P
        cost -= case.F * np.where(moved, f, f - previous)
        previous = f
        if robot.z is not None:
            cost += 40 * case.B * ((s[:, robot.z] > 0.67).astype(float) + (s[:, robot.z] < 0.3))
        for joint in robot.joints:
            cost += 2 * (np.abs(s[:, joint]) > np.pi / 3)
        for joint, limit in robot.leg:
            cost += case.B * (s[:, joint] >= limit)
        if robot.heading is not None:
            real = np.minimum(at, len(points) - 2)
            edge = points[real + 1] - points[real]
            turn = np.abs(s[:, robot.heading] - np.arctan2(edge[:, 1], edge[:, 0])) % (2 * np.pi)
            turn = np.minimum(turn, 2 * np.pi - turn)
            cost += np.where(turn < np.pi / 3, case.B * turn, 20)
    return cost
