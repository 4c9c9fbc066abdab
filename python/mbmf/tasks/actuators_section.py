"""What a task file may say of actuators beside the MJCF's: its section `actuators` (docs/tasks.md).

The words are MJCF's. Only what can be checked without the robot is checked here; actuators.py adds them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from mbmf.tasks.fields import Interval, Names, Text, list_of, number

TARGETS = ("joint", "joints", "tendon", "site")
_MOST = 1e12


def _gear(value: Any) -> tuple[float, ...]:
    requirement = "a finite number or a list of at most 6"
    numbers = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(numbers) <= 6:
        raise ValueError(requirement)
    for item in numbers:
        if isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) <= _MOST:
            raise ValueError(requirement)
    return tuple(float(item) for item in numbers)


Gain = Annotated[float, number(0, _MOST)]
Positive = Annotated[float, number(0, _MOST, low_open=True)]


class _Added(BaseModel):
    """What all kinds have: what they drive, a name, gear and ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text | None = None
    joint: Names | None = None
    joints: Names | None = None
    tendon: Names | None = None
    site: Names | None = None
    gear: Annotated[tuple[float, ...] | None, PlainValidator(_gear)] = None
    ctrlrange: Interval | None = None
    forcerange: Interval | None = None

    @property
    def targets(self) -> tuple[str, tuple[str, ...]]:
        """The key that names what is driven, and the names."""
        key = next(key for key in TARGETS if getattr(self, key) is not None)
        return key, getattr(self, key)

    @model_validator(mode="after")
    def _one(self) -> _Added:
        given = [key for key in TARGETS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError("a mapping with one of joint, joints, tendon and site")
        if self.name is not None and len(self.targets[1]) > 1:
            raise ValueError("a mapping with a name only where it drives one joint, tendon or site")
        return self


class PositionServo(_Added):
    """force = kp * (control - length) - kv * velocity"""

    kind: Literal["position"]
    kp: Positive
    kv: Gain | None = None
    dampratio: Positive | None = None
    timeconst: Positive | None = None
    inheritrange: Positive | None = None

    @model_validator(mode="after")
    def _fits(self) -> PositionServo:
        if self.site is not None:
            raise ValueError("a mapping where a position has a joint or a tendon: a site has no length")
        if self.kv is not None and self.dampratio is not None:
            raise ValueError("a mapping with at most one of kv and dampratio")
        if self.ctrlrange is not None and self.inheritrange is not None:
            raise ValueError("a mapping with at most one of ctrlrange and inheritrange")
        return self


class VelocityServo(_Added):
    """force = kv * (control - velocity)"""

    kind: Literal["velocity"]
    kv: Positive

    @model_validator(mode="after")
    def _fits(self) -> VelocityServo:
        if self.site is not None:
            raise ValueError("a mapping where a velocity has a joint or a tendon: a site has no length")
        return self


class Motor(_Added):
    """force = control"""

    kind: Literal["motor"]


ActuatorConfig = Annotated[PositionServo | VelocityServo | Motor, Field(discriminator="kind")]
Actuators = Annotated[tuple[ActuatorConfig, ...], list_of(1, 10_000)]
