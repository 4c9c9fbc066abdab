"""Adds the actuators of a task file to its robot, before that is compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco

from mbmf.errors import ConfigError
from mbmf.tasks.actuators_section import ActuatorConfig, PositionServo, VelocityServo
from mbmf.words import one_of, show

_KINDS = {
    "joint": ("joints", mujoco.mjtTrn.mjTRN_JOINT),
    "joints": ("joints", mujoco.mjtTrn.mjTRN_JOINT),
    "tendon": ("tendons", mujoco.mjtTrn.mjTRN_TENDON),
    "site": ("sites", mujoco.mjtTrn.mjTRN_SITE),
}


def add_actuators(spec: mujoco.MjSpec, actuators: Sequence[ActuatorConfig], file: str) -> None:
    """Adds them after the MJCF's own; its defaults for actuators hold for them. Raises ConfigError."""
    problems: list[str] = []
    taken = {actuator.name for actuator in spec.actuators}
    for number, config in enumerate(actuators):
        key, names = config.targets
        elements, transmission = _KINDS[key]
        known = {element.name for element in getattr(spec, elements) if element.name}
        for target in names:
            where = f"{file}: actuators[{number}]"
            name = config.name or target
            if target not in known:
                what = one_of(target, sorted(known), f"one of the model's {elements} that have a name")
                problems.append(f"{where}.{key} must be {what}, got {show(target)}")
            elif name in taken:
                problems.append(
                    f"{where}.name must be another than those of the actuators before it, got {show(name)}"
                )
            else:
                added = spec.add_actuator()
                added.name, added.target, added.trntype = name, target, transmission
                _set(added, config)
            taken.add(name)
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _set(added: Any, config: ActuatorConfig) -> None:
    # as in MJCF, a short gear leaves the rest
    for place, value in enumerate(config.gear or ()):
        added.gear[place] = value
    if config.ctrlrange is not None:
        added.ctrlrange[:], added.ctrllimited = config.ctrlrange, mujoco.mjtLimited.mjLIMITED_TRUE
    if config.forcerange is not None:
        added.forcerange[:], added.forcelimited = config.forcerange, mujoco.mjtLimited.mjLIMITED_TRUE
    if isinstance(config, PositionServo):
        optional = {key: getattr(config, key) for key in ("kv", "dampratio", "timeconst")}
        given = {key: value for key, value in optional.items() if value is not None}
        inherited = added.inheritrange if config.inheritrange is None else config.inheritrange
        added.set_to_position(config.kp, **(_defaults(added, given) | given))
        added.inheritrange = inherited
    elif isinstance(config, VelocityServo):
        added.set_to_velocity(config.kv)
    else:
        added.set_to_motor()


def _defaults(added: Any, given: Mapping[str, float]) -> dict[str, float]:
    """A position servo's damping and filter by the MJCF's defaults, which `set_to_position` resets."""
    found: dict[str, float] = {}
    damping = float(added.biasprm[2])  # of a ratio above 0
    if damping and not {"kv", "dampratio"} & set(given):
        found["dampratio" if damping > 0 else "kv"] = abs(damping)
    if added.dyntype in (mujoco.mjtDyn.mjDYN_FILTER, mujoco.mjtDyn.mjDYN_FILTEREXACT):
        found["timeconst"] = float(added.dynprm[0])
    return found
