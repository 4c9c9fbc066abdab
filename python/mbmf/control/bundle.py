"""Exported folders: a learned model with its task and robot, for C++ programs without Python.

The C++ library reads what is written here (cpp/include/mbmf/export/bundle.h says what is in a folder);
`load_bundle` is that same reader.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as serialize

import mbmf
from mbmf import _core
from mbmf.arguments import MAX_SEED, whole_number
from mbmf.errors import DataError
from mbmf.files import atomic_folder, atomic_write
from mbmf.json_text import parse_json
from mbmf.names import PLAIN_NAME, is_plain_name
from mbmf.planning.learned import model_core, policy_core, proposals_of, value_core
from mbmf.tasks.identity import Identity, check_identity, robot_digests
from mbmf.tasks.searches import search_values
from mbmf.words import show, some
from mbmf.yaml_text import write_yaml

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.tasks.task import Task
    from mbmf.values.value import ValueFunction

FORMAT, FORMAT_VERSION = "mbmf-export", 6
SUMS, IDENTITY = "SHA256SUMS", "identity.json"


def load_bundle(
    folder: str | os.PathLike[str], task: Task | None = None, *, allow_other_task: bool = False
) -> _core.Bundle:
    """Reads an exported folder: task, dynamics, planner settings and period, as C++ objects.

    With a task, checked that the export is of that task's robot, names and dt; not with allow_other_task.

    Raises mbmf.CoreError, or DataError, which names the file and what is wrong, if anything is.
    """
    bundle = _core.Bundle(os.fspath(folder))
    if task is not None and not allow_other_task:
        file = Path(folder) / IDENTITY
        found = None
        if file.is_file():
            found = Identity.from_data(parse_json(file.read_bytes(), str(file)), str(file))
        check_identity(f"{folder}: export", found, task.identity, task.name)
    if not is_plain_name(bundle.task.spec.name):
        got = show(bundle.task.spec.name)
        raise DataError(f"{Path(folder) / 'bundle.json'}: task.name must be {PLAIN_NAME}, got {got}")
    return bundle


def save_bundle(
    folder: str | os.PathLike[str],
    task: Task,
    model: DynamicsModel,
    *,
    value: ValueFunction | None = None,
    policy: GaussianPolicy | None = None,
    proposals: int | None = None,
    search: str | None = None,
    horizon: int | None = None,
    candidates: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    source: str = "",
) -> Path:
    """Writes an exported folder, and reads it again to be sure.

    Args:
        folder: new or empty, or an earlier export, which is replaced when the new one is whole.
        task: with terms for its cost, not a Python function.
        value: what ends the planner's horizon; None: nothing.
        policy, proposals: what proposes candidates to the planner, and how many, as for `mbmf.Planner`.
        search, horizon, candidates, settings: of the planner; the task file's where not given.
        seed: of the planner.
        source: where the model is from, for people.

    Raises:
        DataError: the folder holds something else, or the task or the model cannot be exported.
        OSError: it cannot be written.
    """
    if task.cost_function is not None:
        raise DataError(f"the cost of {task.name} must be terms of its file to export it, got a function")
    if horizon is not None:
        horizon = whole_number("horizon", horizon, 1, 10_000)
    if candidates is not None:
        candidates = whole_number("candidates", candidates, 1, 100_000_000)
    planned = task.with_planner(search, horizon, candidates).planner
    if planned.horizon is None:
        raise DataError(f"horizon must be given for {task.name}: its file has none")
    seed = whole_number("seed", seed, 0, MAX_SEED)
    target = Path(folder)
    if target.exists() and not (target.is_dir() and (_is_export(target) or not any(target.iterdir()))):
        raise DataError(f"{target}: folder must be new, empty or an earlier export, got something else")
    others = _others(target) if target.is_dir() else []
    if others:
        raise DataError(
            f"{target}: folder must have nothing but an earlier export, which is replaced, got also "
            f"{some(others)}"
        )
    try:
        model_core(model, task)
        if value is not None:
            value_core(value, task)
    except ValueError as error:
        raise DataError(str(error)) from None
    arguments = model.core_arguments()
    files = {
        "dynamics.safetensors": serialize(_tensors(arguments)),
        "model.mjb": bytes(task.core.mjb),
        "task.yaml": _yaml(task),
        IDENTITY: (json.dumps(task.identity.to_data(), indent=1) + "\n").encode(),
    }
    if value is not None:
        files["value.safetensors"] = serialize(_value_tensors(value))
    if policy is not None:
        policy_core(policy, task, simulated=False)
        files["policy.safetensors"] = serialize(_policy_tensors(policy))
    files |= _mjcf(task)
    contents = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {"mbmf": mbmf.__version__, "mujoco": _core.mujoco_version()},
        "source": source,
        "files": {name: len(data) for name, data in sorted(files.items())},
        "task": _task(task.core.spec),
        "dynamics": {
            "hidden": list(model.hidden),
            "members": len(arguments["weights"][0]),
            "probabilistic": model.probabilistic,
            **{
                name: arguments[name]
                for name in ("activation", "inputs", "outputs", "particles", "propagate", "risk")
            },
        },
        "value": None
        if value is None
        else {
            "hidden": list(value.hidden),
            "activation": value.activation,
            "inputs": list(value.inputs),
        },
        "policy": None if policy is None else {"hidden": list(policy.hidden)},
        "planner": {
            "search": planned.search,
            "horizon": planned.horizon,
            "candidates": planned.candidates,
            "seed": seed,
            "settings": search_values(planned.search, {**planned.settings, **(settings or {})}),
            "proposals": proposals_of(proposals, policy, task, planned.candidates),
        },
        "control": {"period": task.dt},
    }
    files["bundle.json"] = (json.dumps(contents, indent=1, allow_nan=False) + "\n").encode()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    with atomic_folder(target) as new:
        for name, data in [*files.items(), (SUMS, sums.encode())]:
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(data)
        load_bundle(new)
    return target


def _others(folder: Path) -> list[str]:
    """What is in a folder beside the export that its sums are of."""
    sums = folder / SUMS
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines() if sums.is_file() else []
    own = {SUMS, *(line.partition("  ")[2] for line in lines)}
    files = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir())
    return sorted(file for file in files if file not in own)


def _is_export(folder: Path) -> bool:
    return (folder / SUMS).is_file() and (folder / "bundle.json").is_file()


def _tensors(arguments: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """What the members that plan predict with, by tensor (cpp/src/export/bundle.cc)."""
    tensors: dict[str, NDArray[Any]] = {}
    for i, (weight, bias) in enumerate(zip(arguments["weights"], arguments["biases"], strict=True)):
        tensors[f"weight.{i}"], tensors[f"bias.{i}"] = weight, bias
    for name in ("state", "action", "delta"):
        tensors[f"{name}.mean"], tensors[f"{name}.std"] = arguments[f"{name}_mean"], arguments[f"{name}_std"]
    if "whole_mean" in arguments:
        tensors["whole.mean"], tensors["whole.std"] = arguments["whole_mean"], arguments["whole_std"]
    if "log_variance_min" in arguments:
        tensors["log_variance.min"] = arguments["log_variance_min"]
        tensors["log_variance.max"] = arguments["log_variance_max"]
    return tensors


def _value_tensors(value: ValueFunction) -> dict[str, NDArray[Any]]:
    """What a state is worth, by tensor (cpp/src/export/bundle.cc)."""
    arguments = value.core_arguments()
    tensors: dict[str, NDArray[Any]] = {
        f"value.{name}": np.array([arguments[name]]) for name in ("mean", "std", "low", "high")
    }
    for i, (weight, bias) in enumerate(zip(arguments["weights"], arguments["biases"], strict=True)):
        tensors[f"weight.{i}"], tensors[f"bias.{i}"] = weight, bias
    return tensors | {"state.mean": arguments["state_mean"], "state.std": arguments["state_std"]}


def _policy_tensors(policy: GaussianPolicy) -> dict[str, NDArray[Any]]:
    """The mean's network and the deviations, by tensor (cpp/src/export/bundle.cc)."""
    *layers, log_std = policy.arrays()
    tensors: dict[str, NDArray[Any]] = {"log_std": np.ascontiguousarray(log_std)}
    for i, (weight, bias) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
        tensors[f"weight.{i}"] = np.ascontiguousarray(weight)
        tensors[f"bias.{i}"] = np.ascontiguousarray(bias)
    return tensors


def _yaml(task: Task) -> bytes:
    """The task's file; a robot of the user's own is the one in the folder, which has its actuators."""
    data = task.to_data()
    if task.config.model.file is not None:
        data = {key: value for key, value in data.items() if key != "actuators"}
        data["model"] = {"file": "model.xml"}
    return write_yaml(data).encode()


def _mjcf(task: Task) -> dict[str, bytes]:
    """The robot with its overrides as MJCF, which compiles, and the files that it names.

    MuJoCo writes numbers rounded, so that what is compiled from it is the robot to six digits; the exact one
    is model.mjb.
    """
    import mujoco

    from mbmf.tasks.model import model_path, model_spec

    path = model_path(task.config.model, Path.cwd(), task.name)
    spec, model = model_spec(path, task.config.overrides, task.name, task.config.actuators or ())
    if robot_digests(model).items() - task.identity.robot.items():  # which has what bodies follow, too
        raise DataError(f"{path}: model must be as it was when the task was loaded, got another one")
    files: dict[str, bytes] = {}
    assets: dict[str, bytes] = {}
    elements = [
        (element, folder)
        for elements, folder in (
            (spec.meshes, spec.meshdir),
            (spec.hfields, spec.meshdir),
            (spec.skins, spec.meshdir),
            (spec.textures, spec.texturedir),
        )
        for element in elements
    ]
    for number, (element, folder) in enumerate(elements):
        if not element.file:
            continue
        source = path.parent / (folder or "") / element.file
        copied = f"{number}_{''.join(c if c.isalnum() or c in '._-' else '_' for c in source.name)}"
        try:
            assets[copied] = files[f"assets/{copied}"] = source.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path}: files of the robot must be where its own MJCF says (one that is attached may say "
                f"something else: copy it into one MJCF), got {error}"
            ) from None
        element.file = copied
    spec.meshdir = spec.texturedir = "assets" if assets else ""
    spec.assets = assets
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="compiler attribute 'settotalmass'")
            text = spec.to_xml()
            again = mujoco.MjModel.from_xml_string(text, assets)
    except ValueError as error:
        raise DataError(f"{path}: model must be one that MuJoCo can write as MJCF, got: {error}") from error
    sizes = ("nq", "nv", "nu", "nbody", "njnt", "ngeom", "nsensor")
    same = all(getattr(again, size) == getattr(model, size) for size in sizes)
    same = same and again.mesh_vert.shape == model.mesh_vert.shape
    close = [("body_mass", 1e-9), ("mesh_vert", 1e-5), ("hfield_data", 1e-5)]
    if not same or not all(
        np.allclose(getattr(again, name), getattr(model, name), rtol=1e-4, atol=least)
        for name, least in close
    ):
        raise DataError(f"{path}: model must be the same when MuJoCo writes it as MJCF, got another")
    return files | {"model.xml": text.encode()}


# --- the task's specification, exactly: Python writes floats with all their digits


def _end(value: float) -> float | None:
    """An end of an interval: JSON has no infinity."""
    return None if math.isinf(value) else value


def _bounds(bounds: _core.Bounds) -> dict[str, Any]:
    return {
        "low": _end(bounds.low),
        "high": _end(bounds.high),
        "low_open": bounds.low_open,
        "high_open": bounds.high_open,
    }


def _channel(channel: _core.Channel) -> dict[str, Any]:
    return {
        "source": channel.source.name.lower(),
        "address": channel.address,
        "transform": channel.transform.name.lower(),
        "low": _end(channel.low),
        "high": _end(channel.high),
        "lagged": channel.lagged,
    }


def _terms(terms: Iterable[_core.Term]) -> list[dict[str, Any]]:
    return [
        {
            "kind": term.kind.name.lower(),
            "weight": term.weight,
            "index": term.index,
            "target": term.target,
            "target_index": term.target_index,
            "bounds": _bounds(term.bounds),
            "terminal": term.terminal,
        }
        for term in terms
    ]


def _noise(noise: _core.Noise) -> dict[str, Any]:
    return {"kind": noise.kind.name.lower(), "scale": noise.scale}


def _sets(sets: Iterable[_core.ResetSet]) -> list[dict[str, Any]]:
    return [{"index": item.index, "low": item.low, "high": item.high} for item in sets]


def _owns(owns: Iterable[_core.ResetOwn]) -> list[dict[str, Any]]:
    return [{"index": item.index, "noise": _noise(item.noise)} for item in owns]


def _reset(reset: _core.Reset) -> dict[str, Any]:
    data: dict[str, Any] = {
        "qpos": _noise(reset.qpos),
        "qvel": _noise(reset.qvel),
        "set_qpos": _sets(reset.set_qpos),
    }
    own = {name: _owns(getattr(reset, name)) for name in ("own_qpos", "own_qvel", "turns", "mocap_turns")}
    own |= {name: _sets(getattr(reset, name)) for name in ("set_mocap", "set_time")}
    return data | ({"own": own} if any(own.values()) else {})


def _motion(spec: _core.TaskSpec) -> dict[str, Any]:
    """What moves without the robot; nothing where there is none of it."""
    data: dict[str, Any] = {
        "start_mocap": list(spec.start_mocap),
        "goals": [
            {"is_rotation": goal.is_rotation, "low": goal.low, "high": goal.high} for goal in spec.goals
        ],
        "references": [
            {name: getattr(each, name) for name in ("time", "value", "columns", "loop", "quaternion")}
            for each in spec.references
        ],
        "follows": [
            {name: getattr(each, name) for name in ("body", "reference", "position", "quaternion")}
            for each in spec.follows
        ],
        "moves": [
            {
                "kind": move.kind.name.lower(),
                "body": move.body,
                "axis": move.axis,
                "low": _end(move.low),
                "high": _end(move.high),
                "speed": move.speed,
            }
            for move in spec.moves
        ],
    }
    return {"motion": data} if any(data.values()) else {}


def _path(path: _core.PathCost) -> dict[str, Any]:
    same = ("relative", "x", "y", "heading", "distance", "far_factor", "forward", "turn", "turn_beyond")
    return {
        "waypoints": path.waypoints.tolist(),
        **{name: getattr(path, name) for name in same},
        "far": _end(path.far),
        "turn_limit": _end(path.turn_limit),
        "strict": path.strict,
        "last_segment": path.last_segment,
    }


def _task(spec: _core.TaskSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "physics_steps": spec.physics_steps,
        "state": [_channel(channel) for channel in spec.state],
        "observation": [_channel(channel) for channel in spec.observation],
        "reward_state": [_channel(channel) for channel in spec.reward_state],
        "reward": _terms(spec.reward),
        "healthy_reward": spec.healthy_reward,
        "cost": _terms(spec.cost),
        "path": None if spec.path is None else _path(spec.path),
        "alive": [{"index": bound.index, "bounds": _bounds(bound.bounds)} for bound in spec.alive],
        "dying_cost": spec.dying_cost,
        "healthy": [
            {"channel": _channel(bound.channel), "bounds": _bounds(bound.bounds)} for bound in spec.healthy
        ],
        "keyframe": spec.keyframe,
        "start_qpos": list(spec.start_qpos),
        "start_qvel": list(spec.start_qvel),
        "reset": [_reset(reset) for reset in spec.reset],
        "safe_action": list(spec.safe_action),
        **_motion(spec),
    }
