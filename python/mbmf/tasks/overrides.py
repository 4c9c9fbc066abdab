"""Sets what a task file overrides of its robot before that is compiled: options, flags, attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from mbmf.errors import ConfigError
from mbmf.tasks.schema import KINDS, Overrides
from mbmf.words import one_of, show

# the options that take a keyword, and the prefix of their names in MuJoCo's enumerations
_KEYWORDS = {
    "integrator": (mujoco.mjtIntegrator, "mjINT_"),
    "cone": (mujoco.mjtCone, "mjCONE_"),
    "jacobian": (mujoco.mjtJacobian, "mjJAC_"),
    "solver": (mujoco.mjtSolver, "mjSOL_"),
}
# what MuJoCo takes from a body only where the MJCF says its inertia
_INERTIA = ("mass", "inertia", "ipos", "iquat", "fullinertia")
# other ways in which the MJCF may have given an orientation
_ORIENTATIONS = {"quat": "alt", "iquat": "ialt"}
# vectors, of which no part makes sense alone
_WHOLE = ("gravity", "wind", "magnetic", "pos", "quat", "axis", "ipos", "iquat")
# what identifies an element is not a parameter of it
_FIXED = ("id", "signature")
# where MuJoCo keeps its flags: the option, the prefix of their names, and whether a bit switches off
_FLAGS = (("disableflags", "mjDSBL_", True), ("enableflags", "mjENBL_", False))


def apply_overrides(spec: mujoco.MjSpec, overrides: Overrides, file: str) -> None:
    """Sets what a task overrides, before the robot is compiled. Raises ConfigError."""
    problems: list[str] = []
    done: list[tuple[Any, str, str, Any]] = []

    def put(element: Any, key: str, attribute: str, value: Any, keywords: bool = False) -> None:
        problem = _set_keyword(element, attribute, value) if keywords else _set(element, attribute, value)
        if problem:
            problems.append(f"{file}: {key} must be {problem}, got {show(value)}")
        else:
            done.append((element, key, attribute, value))

    for name, value in overrides.option.items():
        put(spec.option, f"overrides.option.{name}", name, value, keywords=name in _KEYWORDS)
    for name, on in overrides.flags.items():
        problem = _set_flag(spec.option, name, on)
        if problem:
            problems.append(f"{file}: overrides.flags must be {problem}, got {show(name)}")
    kinds = {kind: getattr(spec, kind) for kind in KINDS}
    # what is for all goes before what is for a class, and that before what is for one
    for kind, elements in kinds.items():
        for name, value in getattr(overrides, kind).items():
            if not isinstance(value, Mapping):
                for element in filter(_takes_all, elements):
                    put(element, f"overrides.{kind}.{name}", name, value)
    for class_name, parts in overrides.classes.items():
        members = {kind: _of_class(class_name, kinds[kind]) for kind in parts}
        known = {each for elements in kinds.values() for each in map(_class_of, elements) if each}
        if class_name not in known:
            what = one_of(class_name, sorted(known), "a class of the model's elements")
            problems.append(f"{file}: overrides.classes must be {what}, got {show(class_name)}")
            continue
        for kind, attributes in parts.items():
            key = f"overrides.classes.{class_name}.{kind}"
            if not members[kind]:
                problems.append(
                    f"{file}: {key} must be left out, since no {kind} have that class, got {show(attributes)}"
                )
            for attribute, value in attributes.items():
                for element in members[kind]:
                    put(element, f"{key}.{attribute}", attribute, value)
    for kind, elements in kinds.items():
        taken = {element.name for element in elements if element.name}
        names = {element.name or str(number): element for number, element in enumerate(elements)}
        unnamed = {str(number) for number, element in enumerate(elements) if not element.name}
        renumbered = kind in ("bodies", "geoms") and (spec.compiler.fusestatic or spec.compiler.discardvisual)
        for name, value in getattr(overrides, kind).items():
            key = f"overrides.{kind}.{name}"
            if not isinstance(value, Mapping):
                continue
            if name in taken & unnamed:
                problems.append(
                    f"{file}: {key} must be one of the model's {kind}, got the name of one and the number of "
                    f"another, which has no name: give it one in the MJCF"
                )
            elif name in unnamed and renumbered:
                problems.append(
                    f"{file}: {key} must be a name, since `fusestatic` or `discardvisual` of the MJCF gives "
                    "other numbers to what it leaves, got a number: give it a name in the MJCF"
                )
            elif name not in names:
                what = one_of(name, names, f"one of the model's {kind}")
                problems.append(f"{file}: {key} must be {what}, got {show(name)}")
            else:
                for attribute, item in value.items():
                    put(names[name], f"{key}.{attribute}", attribute, item)
    # what one override needs another may have set
    for element, key, attribute, value in done:
        problem = _unseen(spec, element, attribute)
        if problem:
            problems.append(f"{file}: {key} must be left out {problem}, got {show(value)}")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _class_of(element: Any) -> str | None:
    """The name of an element's class of defaults; what kinds without classes have is None."""
    found = getattr(element, "classname", None)
    return None if found is None else str(found.name)


def _of_class(name: str, elements: Sequence[Any]) -> list[Any]:
    return [element for element in elements if _class_of(element) == name and _takes_all(element)]


def _set_flag(option: Any, name: str, on: bool) -> str | None:
    """Switches a flag of the option; returns the requirement that its name fails, or None."""
    words = {word: (bits, bit, inverse) for bits, prefix, inverse in _FLAGS for word, bit in _bits(prefix)}
    if name not in words:
        return one_of(name, words, "a flag that this MuJoCo has")
    bits, bit, inverse = words[name]
    before = getattr(option, bits)
    setattr(option, bits, before | bit if on != inverse else before & ~bit)
    return None


def _bits(prefix: str) -> list[tuple[str, int]]:
    enumeration = mujoco.mjtDisableBit if prefix == "mjDSBL_" else mujoco.mjtEnableBit
    return [
        (name.removeprefix(prefix).lower(), int(bit.value))
        for name, bit in enumeration.__members__.items()
        if name.startswith(prefix)
    ]


def _takes_all(element: Any) -> bool:
    """Whether what is for all elements of a kind is for this one, too: neither for free joints, as an MJCF's
    defaults are not, nor for the world."""
    if isinstance(element, mujoco.MjsJoint):
        return bool(element.type != mujoco.mjtJoint.mjJNT_FREE)
    return not isinstance(element, mujoco.MjsBody) or element.name != "world"


def _set_keyword(option: Any, attribute: str, value: Any) -> str | None:
    enumeration, prefix = _KEYWORDS[attribute]
    words = {name.removeprefix(prefix).lower(): item for name, item in enumeration.__members__.items()}
    if not isinstance(value, str) or value.lower() not in words:
        return one_of(value, words, "a known word")
    setattr(option, attribute, words[value.lower()])
    return None


def _set(element: Any, attribute: str, value: Any) -> str | None:
    """Sets an attribute of a part of a MjSpec; returns the requirement that the value fails, or None."""
    if attribute not in _attributes(element):
        return one_of(attribute, _attributes(element), "a known attribute")
    if attribute in _INERTIA and isinstance(element, mujoco.MjsBody) and not element.explicitinertial:
        return "left out of bodies whose inertia is that of their geoms (which have mass and density)"
    if attribute in ("iquat", "inertia") and np.isfinite(getattr(element, "fullinertia", [np.nan])[0]):
        return "left out of bodies whose MJCF has `fullinertia` (which may be set)"
    if attribute in ("pos", "quat") and np.isfinite(getattr(element, "fromto", [np.nan])[0]):
        return "left out where the MJCF has `fromto` (which may be set)"
    current = getattr(element, attribute)
    if isinstance(current, np.ndarray):
        before = current.copy()
        if attribute in _WHOLE and (not isinstance(value, tuple) or len(value) != len(current)):
            return f"a list of {len(current)} finite numbers"
        problem = _fill(current, value)
        if problem is None and attribute in _ORIENTATIONS:
            # in place of Euler angles or axes, which MuJoCo would take first
            orientation = getattr(element, _ORIENTATIONS[attribute], None)
            if orientation is not None:
                orientation.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
        if problem is None and attribute.endswith("range") and len(current) == 2:
            low, high = current
            if low > high or (low == high and low != 0):  # 0 and 0: none
                current[:] = before
                problem = "a list [low, high], low below high"
        return problem
    if isinstance(current, bool | mujoco.mjtLimited):
        if not isinstance(value, bool):
            return "true or false"
        value = mujoco.mjtLimited(int(value)) if isinstance(current, mujoco.mjtLimited) else value
    elif isinstance(value, bool | str | tuple) or (isinstance(current, int) and not isinstance(value, int)):
        return "an integer" if isinstance(current, int) else "a finite number"
    elif isinstance(current, int) and not -(2**31) <= value < 2**31:
        return "an integer of 32 bits"
    try:
        setattr(element, attribute, value)
    except (TypeError, ValueError, OverflowError) as error:
        return f"a value that MuJoCo takes ({str(error).splitlines()[0]})"
    return None


def _unseen(spec: mujoco.MjSpec, element: Any, attribute: str) -> str | None:
    """Where MuJoCo would not see an attribute that was set, or see it otherwise; None if it does."""
    geoms_count = int(spec.compiler.inertiafromgeom)  # 0: never, 1: always, 2: for bodies without an inertia
    if isinstance(element, mujoco.MjsGeom) and attribute in ("mass", "density"):
        if element.parent.name == "world":
            return None
        if geoms_count == 0 or (geoms_count == 2 and element.parent.explicitinertial):
            return "of geoms of a body whose MJCF says its inertia (which has mass and inertia)"
        if attribute == "density" and not np.isnan(element.mass):
            return "of geoms that have a mass (which may be set)"
    if isinstance(element, mujoco.MjsGeom) and attribute == "size":
        if element.type in (mujoco.mjtGeom.mjGEOM_MESH, mujoco.mjtGeom.mjGEOM_HFIELD):
            return "of geoms that are meshes or height fields, whose size is their data's"
        if np.isfinite(element.fromto[0]) and np.any(element.size[1:] != 0):
            return "but for the radius where the MJCF has `fromto`, which says the length (and may be set)"
    if isinstance(element, mujoco.MjsActuator) and attribute == "ctrlrange" and element.inheritrange > 0:
        return "of actuators with `inheritrange` (which may be set, to 0)"
    if isinstance(element, mujoco.MjsBody) and attribute in _INERTIA and geoms_count == 1:
        return "where the MJCF takes all inertia from geoms, `inertiafromgeom` (which have mass and density)"
    if attribute in ("mass", "density") and spec.compiler.settotalmass > 0:
        return f"of robots whose MJCF scales all masses to a sum, settotalmass={spec.compiler.settotalmass:g}"
    if attribute in ("damping", "stiffness") and np.any(getattr(element, "springdamper", 0)):
        return "where the MJCF has `springdamper` (which may be set)"
    limited = f"{attribute.removesuffix('range')}limited"
    if attribute.endswith("range") and getattr(element, limited, None) in (
        0,
        mujoco.mjtLimited.mjLIMITED_FALSE,
    ):
        return f'where the MJCF has {limited}="false" (set {limited}: true beside it)'
    servo = isinstance(element, mujoco.MjsActuator) and attribute in ("gainprm", "biasprm")
    if servo and element.biasprm[2] > 0 and element.gainprm[0] != -element.biasprm[1]:
        return "of servos with a `dampratio`, but for both: gainprm: kp, biasprm: [0, -kp, dampratio]"
    return None


def _fill(array: npt.NDArray[np.float64], value: Any) -> str | None:
    # as in MJCF, a number or a short list sets the first entries and leaves the rest
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(item, bool | str) for item in numbers) or len(numbers) > len(array):
        return f"a finite number or a list of at most {len(array)}"
    array[: len(numbers)] = numbers
    return None


def _attributes(element: Any) -> Sequence[str]:
    """The attributes that may be set: numbers, switches and arrays of numbers."""
    kinds = (bool, int, float, np.ndarray, mujoco.mjtLimited)
    names = [name for name in dir(element) if not name.startswith("_") and name not in _FIXED]
    return [name for name in names if isinstance(getattr(element, name), kinds)]
