"""Compiles a task's robot: MJCF, with the task's actuators and overrides, to a mujoco.MjModel."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

from mbmf.errors import ConfigError
from mbmf.tasks.actuators import add_actuators
from mbmf.tasks.actuators_section import ActuatorConfig
from mbmf.tasks.file import one_of, show
from mbmf.tasks.overrides import apply_overrides
from mbmf.tasks.schema import ModelSource, Overrides


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
    path: Path,
    overrides: Overrides,
    file: str,
    actuators: Sequence[ActuatorConfig] = (),
    *,
    needs_actuators: bool = True,
) -> mujoco.MjModel:
    """Compiles the MJCF at `path` with actuators and overrides. Raises ConfigError with MuJoCo's message.

    needs_actuators: nothing else can be driven.
    """
    model = model_spec(path, overrides, file, actuators)[1]
    if not model.opt.timestep > 0:
        raise ConfigError(f"{file}: overrides.option.timestep must be above 0, got {model.opt.timestep}")
    if model.nu == 0 and needs_actuators:
        raise ConfigError(
            f"{file}: model must have an actuator, got none: {path} (the section actuators adds some)"
        )
    return model


def model_spec(
    path: Path, overrides: Overrides, file: str, actuators: Sequence[ActuatorConfig] = ()
) -> tuple[mujoco.MjSpec, mujoco.MjModel]:
    """The MJCF at `path` with actuators, then overrides, to be changed further, and as it compiles.

    Raises ConfigError.
    """
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
        try:
            add_actuators(spec, actuators, file)
            apply_overrides(spec, overrides, file)
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{file}: names of the MJCF must be in UTF-8, got {error.object!r}: save {path} so"
            ) from None
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
