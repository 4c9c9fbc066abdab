"""Policy files: safetensors with the parameters of a Gaussian policy, and what it belongs to.

Tensors, float32, for layer i of the network: weight.i (rows, cols), bias.i (rows,); and log_std (naction,).
Metadata: one entry "mbmf", a JSON object with the fields of `_FIELDS`, the versions that wrote it and, in all
but early files, task_config: the task as YAML; identity: of the task (`mbmf.tasks.identity`); and model_file:
where the task's MJCF is from the policy's folder, if it is the user's own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mbmf import tensor_file
from mbmf.errors import DataError
from mbmf.nn.mlp_state import MAX_LAYERS
from mbmf.nn.network_file import Expected, check_of_task, expected_layers
from mbmf.tasks.identity import Identity, read_identity
from mbmf.tasks.record import located_model, relative_model
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

FORMAT = "mbmf-policy"
FORMAT_VERSION = 1

_FIELDS: dict[str, type] = {
    "task": str,
    "observation_names": list,
    "nobservation": int,
    "naction": int,
    "hidden": list,
}
_MAX_SIZE = 65536  # the core's
MAX_LOG_STD = 80.0


@dataclass(frozen=True)
class Contents:
    """What a policy file holds."""

    task: str
    observation_names: list[str]
    weights: list[NDArray[np.float32]]
    biases: list[NDArray[np.float32]]
    log_std: NDArray[np.float32]
    task_config: str | None
    model_file: str | None
    identity: Identity | None


def save(path: str | os.PathLike[str], contents: Contents) -> None:
    """Writes a policy file, whole or not at all. Raises OSError."""
    tensors = {"log_std": np.ascontiguousarray(contents.log_std)}
    for i, (weight, bias) in enumerate(zip(contents.weights, contents.biases, strict=True)):
        tensors[f"weight.{i}"], tensors[f"bias.{i}"] = (
            np.ascontiguousarray(weight),
            np.ascontiguousarray(bias),
        )
    nobservation, *hidden = (weight.shape[1] for weight in contents.weights)
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": contents.task,
        "observation_names": contents.observation_names,
        "nobservation": nobservation,
        "naction": len(contents.log_std),
        "hidden": hidden,
    }
    if contents.task_config is not None:
        header["task_config"] = contents.task_config
        header |= relative_model(contents.model_file, Path(path).parent)
    if contents.identity is not None:
        header["identity"] = contents.identity.to_data()
    tensor_file.write(path, header, tensors)


def load(path: str | os.PathLike[str], task: Task | None, allow_other_task: bool) -> Contents:
    """Reads a policy file and checks all of it. Raises DataError, which names the file, or OSError.

    allow_other_task: only the sizes must be the task's.
    """
    header, tensors = tensor_file.read(path, "policy", FORMAT, FORMAT_VERSION, _FIELDS)
    identity = read_identity(header, path)
    if task is not None:
        keys = ("nobservation", "naction", "observation_names")
        check_of_task(
            path, "policy", header, task, keys, observations=True, allow_other_task=allow_other_task
        )
    sizes = [header["nobservation"], *header["hidden"], header["naction"]]
    if len(sizes) > MAX_LAYERS + 2 or not all(type(size) is int and 1 <= size <= _MAX_SIZE for size in sizes):
        raise DataError(
            f"{path}: nobservation, hidden and naction must be from 1 to {_MAX_SIZE}, got {show(sizes)}"
        )
    names = header["observation_names"]
    if len(names) != header["nobservation"] or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{path}: observation_names must be {header['nobservation']} names, got {len(names)} entries"
        )

    expected: Expected = {"log_std": ((header["naction"],), np.float32)} | expected_layers(sizes)
    tensor_file.check_tensors(path, tensors, expected)
    log_std = tensors["log_std"]
    if not (np.abs(log_std) <= MAX_LOG_STD).all():
        raise DataError(f"{path}: log_std must be from -{MAX_LOG_STD:g} to {MAX_LOG_STD:g}, got {log_std}")
    task_config = header.get("task_config")
    if not isinstance(task_config, str | None):
        raise DataError(f"{path}: task_config must be a text, got {type(task_config).__name__}")
    count = range(len(sizes) - 1)
    weights, biases = ([tensors[f"{name}.{i}"] for i in count] for name in ("weight", "bias"))
    model_file = located_model(header, Path(path).parent)
    return Contents(header["task"], names, weights, biases, log_std, task_config, model_file, identity)
