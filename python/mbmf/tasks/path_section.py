"""What a task file may say of paths to follow: its section `path` (docs/tasks.md); and of intervals."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from mbmf.tasks.fields import FileName, Number, States, Text, Waypoints, integer, list_of, number


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BoundsConfig(_Part):
    """An interval: min and max belong to it, above and below do not."""

    min: Annotated[float | None, number()] = None
    max: Annotated[float | None, number()] = None
    above: Annotated[float | None, number()] = None
    below: Annotated[float | None, number()] = None

    @model_validator(mode="after")
    def _interval(self) -> BoundsConfig:
        if self.min is not None and self.above is not None:
            raise ValueError("a mapping with at most one of min and above")
        if self.max is not None and self.below is not None:
            raise ValueError("a mapping with at most one of max and below")
        low = self.above if self.min is None else self.min
        high = self.below if self.max is None else self.max
        if low is None and high is None:
            raise ValueError("a mapping with a bound: min, max, above or below")
        if low is not None and high is not None and not low < high:
            raise ValueError("a mapping whose lower bound is below its upper bound")
        return self


class PathPenalty(BoundsConfig):
    """weight * heading_penalty_factor * the number of states that are out of bounds"""

    state: States
    weight: Number = 1.0


FACTORS = ("horiz_penalty_factor", "forward_encouragement_factor", "heading_penalty_factor")


class PathShape(_Part):
    """One path: its factors (those of the path straight where absent) and its waypoints."""

    horiz_penalty_factor: Annotated[float | None, number()] = None
    forward_encouragement_factor: Annotated[float | None, number()] = None
    heading_penalty_factor: Annotated[float | None, number()] = None
    waypoints: Waypoints | None = None
    absolute: bool = False
    start_heading: Number = 0.0
    last_segment: Annotated[int | None, integer(0, 1_000_000)] = None
    candidates: Annotated[int | None, integer(1, 100_000_000)] = None


class PathConfig(_Part):
    """How the robot follows paths: where it is in its state, the paths that it has factors for, and which."""

    follow: FileName = "straight"
    segment_rule: Literal["predicted", "reached"] = "predicted"
    last_segment: Annotated[int, integer(0, 1_000_000)] = 5
    x: States
    y: States
    heading: States | None = None
    heading_limit: Annotated[float, number(0, low_open=True)] = math.pi / 3
    heading_beyond: Number = 20.0
    start_joint: Text | None = None
    far_distance: Annotated[float | None, number(0, low_open=True)] = None
    far_factor: Number = 10.0
    penalties: Annotated[tuple[PathPenalty, ...], list_of()] = ()
    paths: dict[FileName, PathShape]

    @model_validator(mode="after")
    def _straight(self) -> PathConfig:
        shape = self.paths.get("straight")
        if shape is None or any(getattr(shape, factor) is None for factor in FACTORS):
            raise ValueError("a mapping whose paths have straight, with all three factors")
        return self
