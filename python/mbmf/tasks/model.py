"""Compiles a task's robot: MJCF, with the task's overrides, to a mujoco.MjModel."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from mbmf.errors import ConfigError
from mbmf.tasks.file import one_of, show
from mbmf.tasks.schema import ModelSource, Overrides

# the options that take a keyword, and the prefix of their names in MuJoCo's enumerations
_KEYWORDS = {
    "integrator": (mujoco.mjtIntegrator, "mjINT_"),
    "cone": (mujoco.mjtCone, "mjCONE_"),
    "jacobian": (mujoco.mjtJacobian, "mjJAC_"),
    "solver": (mujoco.mjtSolver, "mjSOL_"),
}
# what MuJoCo takes from a body only where the MJCF says its inertia
_INERTIA = ("mass", "inertia", "ipos", "iquat", "fullinertia")
# what identifies an element is not a parameter of it
_FIXED = ("id", "signature")


def model_path(source: ModelSource, directory: Path, file: str) -> Path:
    """The MJCF file of a task in `directory`. Raises ConfigError if it is not there."""
    if source.package is not None:
        key, path, choices = _in_package(source, file)
    elif source.file is not None:
        # links stay as they are: what a file includes lies beside the link
        key, path = "model.file", Path(os.path.abspath(directory / source.file))
        beside = path.parent.glob("*.xml") if os.path.isdir(path.parent) else ()
        choices = sorted(entry.name for entry in beside)
    else:
        # found without importing Gymnasium, which would cost more than all the rest
        spec = importlib.util.find_spec("gymnasium")
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f"{file}: model.asset needs the package gymnasium, which is not installed")
        assets = Path(spec.submodule_search_locations[0]) / "envs" / "mujoco" / "assets"
        key, path = "model.asset", assets / str(source.asset)
        choices = sorted(entry.name for entry in assets.glob("*.xml"))
        if path.parent != assets:
            path = assets / "no such asset"
    if not os.path.isfile(path):  # no OSError on names that are too long
        named = str(source.file) if source.package else path.name if source.file else source.asset
        what = one_of(named, choices, "an MJCF file that exists")
        raise ConfigError(f"{file}: {key} must be {what}, got {show(source.file or source.asset)}")
    return path


def _in_package(source: ModelSource, file: str) -> tuple[str, Path, list[str]]:
    """The key, the path in an installed package, which is not imported, and what else is beside it."""
    package = str(source.package)
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"{file}: model.package must be an installed package, got {show(package)} (pip install it)"
        )
    root = Path(spec.submodule_search_locations[0])
    path = Path(os.path.abspath(root / str(source.file)))
    beside = path.parent.glob("*.xml") if path.is_relative_to(root) and os.path.isdir(path.parent) else ()
    choices = sorted(str(entry.relative_to(root)) for entry in beside)
    return "model.file", path if path.is_relative_to(root) else root / "no such file", choices


def compile_model(
    path: Path, overrides: Overrides, file: str, *, needs_actuators: bool = True
) -> mujoco.MjModel:
    """Compiles the MJCF at `path` with overrides. Raises ConfigError with MuJoCo's message.

    needs_actuators: nothing else can be driven.
    """
    model = model_spec(path, overrides, file)[1]
    if not model.opt.timestep > 0:
        raise ConfigError(f"{file}: overrides.option.timestep must be above 0, got {model.opt.timestep}")
    if model.nu == 0 and needs_actuators:
        raise ConfigError(f"{file}: model must have an actuator, got none: {path}")
    return model


def model_spec(path: Path, overrides: Overrides, file: str) -> tuple[mujoco.MjSpec, mujoco.MjModel]:
    """The MJCF at `path` with overrides, to be changed further, and as it compiles. Raises ConfigError."""
    with warnings.catch_warnings():
        # Gymnasium's own asset asks for it; whoever runs the task cannot change that
        warnings.filterwarnings("ignore", message="compiler attribute 'settotalmass'")
        # whatever MuJoCo raises here, of whichever class, is about the file
        try:
            spec = mujoco.MjSpec.from_file(str(path))
        except Exception as error:
            raise ConfigError(
                f"{file}: model must be MJCF that compiles: {path}: {_one_line(error)}"
            ) from error
        _apply(spec, overrides, file)
        try:
            model = spec.compile()
        except Exception as error:
            raise ConfigError(
                f"{file}: model must be MJCF that compiles: {path}: {_one_line(error)}"
            ) from error
    return spec, model


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def save_model(model: mujoco.MjModel) -> bytes:
    """The model in MuJoCo's binary format (MJB)."""
    buffer: npt.NDArray[np.uint8] = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def load_model(mjb: bytes) -> mujoco.MjModel:
    """The model of what `save_model` gave."""
    return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": mjb})


def _apply(spec: mujoco.MjSpec, overrides: Overrides, file: str) -> None:
    problems: list[str] = []

    def put(element: Any, key: str, attribute: str, value: Any, keywords: bool = False) -> None:
        problem = _set_keyword(element, attribute, value) if keywords else _set(element, attribute, value)
        if problem:
            problems.append(f"{file}: {key} must be {problem}, got {show(value)}")

    for name, value in overrides.option.items():
        put(spec.option, f"overrides.option.{name}", name, value, keywords=name in _KEYWORDS)
    kinds = {"joints": spec.joints, "geoms": spec.geoms, "actuators": spec.actuators, "bodies": spec.bodies}
    kinds |= {"sites": spec.sites, "tendons": spec.tendons, "equalities": spec.equalities}
    kinds |= {"sensors": spec.sensors}
    for kind, elements in kinds.items():
        taken = {element.name for element in elements if element.name}
        names = {element.name or str(number): element for number, element in enumerate(elements)}
        unnamed = {str(number) for number, element in enumerate(elements) if not element.name}
        # what is for all goes before what is for one
        items = sorted(getattr(overrides, kind).items(), key=lambda item: isinstance(item[1], Mapping))
        for name, value in items:
            key = f"overrides.{kind}.{name}"
            if not isinstance(value, Mapping):
                for element in filter(_takes_all, elements):
                    put(element, key, name, value)
            elif name in taken & unnamed:
                problems.append(
                    f"{file}: {key} must be one of the model's {kind}, got the name of one and the number of "
                    f"another, which has no name: give it one in the MJCF"
                )
            elif name not in names:
                what = one_of(name, names, f"one of the model's {kind}")
                problems.append(f"{file}: {key} must be {what}, got {show(name)}")
            else:
                for attribute, item in value.items():
                    put(names[name], f"{key}.{attribute}", attribute, item)
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


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
    current = getattr(element, attribute)
    if isinstance(current, np.ndarray):
        before = current.copy()
        problem = _fill(current, value)
        if problem is None and attribute.endswith("range") and len(current) == 2 and current[0] > current[1]:
            current[:] = before
            problem = "a list [low, high], low at most high"
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
