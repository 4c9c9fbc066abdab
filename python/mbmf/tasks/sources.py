"""The numbers that a simulation offers to states and observations: their names, units and addresses.

A name is `<source>.<object>`, with `.<component>` where an object has several: qpos.hip, subtree_com.torso.x,
qpos.root.qw. An object without a name goes by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco

from mbmf.errors import ConfigError

# components and units by joint type: free, ball, slide, hinge
_QPOS = {
    0: (("x", "y", "z", "qw", "qx", "qy", "qz"), ("m", "m", "m", "1", "1", "1", "1")),
    1: (("qw", "qx", "qy", "qz"), ("1", "1", "1", "1")),
    2: (("",), ("m",)),
    3: (("",), ("rad",)),
}
_QVEL: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {
    0: (("x", "y", "z", "wx", "wy", "wz"), ("m/s", "m/s", "m/s", "rad/s", "rad/s", "rad/s")),
    1: (("wx", "wy", "wz"), ("rad/s", "rad/s", "rad/s")),
    2: (("",), ("m/s",)),
    3: (("",), ("rad/s",)),
}
# components and units of the sources that bodies and sites have
_PLACED: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "body_pos": ("xyz", ["m"] * 3),
    "site_pos": ("xyz", ["m"] * 3),
    "subtree_com": ("xyz", ["m"] * 3),
    "subtree_linvel": ("xyz", ["m/s"] * 3),
    "body_rotation": ("012345678", ["1"] * 9),
    "body_euler": ("012345", ["1"] * 6),
    "body_quat": (("qw", "qx", "qy", "qz"), ["1"] * 4),
    "site_rotation": ("012345678", ["1"] * 9),
    "body_velocity": _QVEL[0],
    "site_velocity": _QVEL[0],
    "contact_force": (("tx", "ty", "tz", "fx", "fy", "fz"), ["N m"] * 3 + ["N"] * 3),
}
# where a model keeps the places of names
_NAMES = {
    mujoco.mjtObj.mjOBJ_ACTUATOR: "name_actuatoradr",
    mujoco.mjtObj.mjOBJ_BODY: "name_bodyadr",
    mujoco.mjtObj.mjOBJ_GEOM: "name_geomadr",
    mujoco.mjtObj.mjOBJ_JOINT: "name_jntadr",
    mujoco.mjtObj.mjOBJ_KEY: "name_keyadr",
    mujoco.mjtObj.mjOBJ_SENSOR: "name_sensoradr",
    mujoco.mjtObj.mjOBJ_SITE: "name_siteadr",
    mujoco.mjtObj.mjOBJ_TENDON: "name_tendonadr",
}


@dataclass(frozen=True)
class Entry:
    """One number: its name, its unit ("1": none, "": the model's own), its address as in mbmf/task/task.h.

    owner, component: the joint, body, ... that has it, and which of its numbers it is, "" where it has one.
    clip: the interval that it is clipped to, if any.
    """

    name: str
    unit: str
    address: int
    owner: str = ""
    component: str = ""
    clip: tuple[float, float] | None = None

    @property
    def of(self) -> str:
        """The name of all numbers of its owner: qpos.root of qpos.root.x."""
        return self.name.removesuffix(f".{self.component}") if self.component else self.name

    @property
    def described(self) -> str:
        """The name, with the interval of a clipped number."""
        return self.name if self.clip is None else f"{self.name} in {list(self.clip)}"

    def transformed(self, transform: str) -> Entry:
        """The entry's cosine, sine or rate; the entry itself for identity."""
        if transform == "identity":
            return self
        unit = "1" if transform != "rate" else _per_second(self.unit)
        return replace(self, name=f"{transform}.{self.name}", unit=unit)

    def as_lagged(self) -> Entry:
        """The entry as the last physics step left it."""
        return replace(self, name=f"lagged.{self.name}")


def _per_second(unit: str) -> str:
    special = {"": "", "s": "1", "m/s": "m/s^2", "rad/s": "rad/s^2"}
    return special.get(unit, f"{unit}/s")


def entries(model: mujoco.MjModel, source: str) -> dict[str, list[Entry]]:
    """The numbers of a source by object (joint, body, ...), in the model's order."""
    if source == "time":
        return {"": [Entry("time", "s", 0)]}
    if source in ("goal", "reference"):  # the task's own
        return {}
    if source == "geom_distance":
        return {}  # of pairs: see `distance_entry`
    if source in ("qpos", "qvel", "qacc"):
        kinds, first = (_QPOS, model.jnt_qposadr) if source == "qpos" else (_QVEL, model.jnt_dofadr)
        if source == "qacc":
            kinds = {
                kind: (names, tuple(_per_second(unit) for unit in units))
                for kind, (names, units) in _QVEL.items()
            }
        return {
            name: _entries(source, name, int(first[i]), *kinds[int(model.jnt_type[i])])
            for i, name in enumerate(element_names(model, mujoco.mjtObj.mjOBJ_JOINT))
        }
    if source == "act":
        names = element_names(model, mujoco.mjtObj.mjOBJ_ACTUATOR)
        return {
            name: _numbered(source, name, int(model.actuator_actadr[i]), int(model.actuator_actnum[i]))
            for i, name in enumerate(names)
            if model.actuator_actnum[i] > 0
        }
    if source == "sensor":
        names = element_names(model, mujoco.mjtObj.mjOBJ_SENSOR)
        return {
            name: _numbered(source, name, int(model.sensor_adr[i]), int(model.sensor_dim[i]))
            for i, name in enumerate(names)
        }
    if source == "actuator_force":
        names = element_names(model, mujoco.mjtObj.mjOBJ_ACTUATOR)
        return {
            name: _numbered(source, name, int(model.actuator_outadr[i]), int(model.actuator_outnum[i]))
            for i, name in enumerate(names)
        }
    if source in ("tendon_length", "tendon_velocity"):
        names = element_names(model, mujoco.mjtObj.mjOBJ_TENDON)
        return {name: _numbered(source, name, i, 1) for i, name in enumerate(names)}
    components, units = _PLACED[source]
    kind = mujoco.mjtObj.mjOBJ_SITE if source.startswith("site_") else mujoco.mjtObj.mjOBJ_BODY
    size = len(components)
    return {
        name: _entries(source, name, size * i, components, units)
        for i, name in enumerate(element_names(model, kind))
    }


def distance_entry(model: mujoco.MjModel, first: str, second: str) -> Entry:
    """The distance of two geoms of the model."""
    names = element_names(model, mujoco.mjtObj.mjOBJ_GEOM)
    address = names.index(first) * model.ngeom + names.index(second)
    return Entry(f"geom_distance.{first}.{second}", "m", address, f"{first}.{second}")


def matching(known: Sequence[Entry], reference: str, model: mujoco.MjModel) -> list[int]:
    """Which of the known numbers a name stands for.

    That number; or all of that joint, body, ...; or, where the model has none of that name, all whose names
    it is the leading part of: qpos of qpos.hip, qpos.left of qpos.left.hip.
    """
    exact = [i for i, entry in enumerate(known) if entry.name == reference]
    exact = exact or [i for i, entry in enumerate(known) if entry.of == reference]
    if exact:
        return exact
    under = [i for i, entry in enumerate(known) if entry.name.startswith(f"{reference}.")]
    for i in under:
        before, _, _ = known[i].of.rpartition(f".{known[i].owner}")
        # the number of another joint whose name goes on after this one's would be a silent mistake
        source, owner = before.rpartition(".")[2], reference.removeprefix(f"{before}.")
        if source and owner != reference and owner in entries(model, source):
            return []
    return under


def control_names(model: mujoco.MjModel) -> list[str]:
    """What actuators' actions (nu) are called: the actuators' names, `.<number>` where one has several."""
    names: list[str] = []
    for i, name in enumerate(element_names(model, mujoco.mjtObj.mjOBJ_ACTUATOR)):
        number = int(model.actuator_ctrlnum[i])
        names += [name] if number == 1 else [f"{name}.{k}" for k in range(number)]
    return names


def keyframes(model: mujoco.MjModel) -> list[str]:
    """The model's keyframes by name."""
    return element_names(model, mujoco.mjtObj.mjOBJ_KEY)


def given_names(model: mujoco.MjModel, kind: mujoco.mjtObj) -> list[str]:
    """The names in the MJCF of all elements of a kind, "" for one that has none.

    Read from the model: mj_id2name lets go of the GIL, where a daemon thread crashes the program's end.
    """
    names: bytes = model.names
    starts = (int(start) for start in getattr(model, _NAMES[kind]))
    found = [names[start : names.index(b"\0", start)] for start in starts]
    try:
        return [name.decode() for name in found]
    except UnicodeDecodeError as error:
        raise ConfigError(f"names of the MJCF must be in UTF-8, got {error.object!r}: save it so") from None


def element_names(model: mujoco.MjModel, kind: mujoco.mjtObj) -> list[str]:
    """Of all elements of a kind; one without a name goes by its number. Raises ConfigError on a collision."""
    names = given_names(model, kind)
    taken = {name: i for i, name in enumerate(names) if name}
    for number, name in enumerate(names):
        if not name and str(number) in taken:
            word = kind.name.removeprefix("mjOBJ_").lower()
            raise ConfigError(
                f"model: {word} number {number} must have a name in the MJCF, since {word} number "
                f"{taken[str(number)]} is named {str(number)!r}, got none"
            )
    return [name or str(number) for number, name in enumerate(names)]


def _numbered(source: str, name: str, first: int, size: int) -> list[Entry]:
    components = [str(i) for i in range(size)] if size > 1 else [""]
    return _entries(source, name, first, components, [""] * size)


def _entries(
    source: str, name: str, first: int, components: Sequence[str], units: Sequence[str]
) -> list[Entry]:
    return [
        Entry(
            f"{source}.{name}.{component}" if component else f"{source}.{name}",
            unit,
            first + i,
            name,
            component,
        )
        for i, (component, unit) in enumerate(zip(components, units, strict=True))
    ]
