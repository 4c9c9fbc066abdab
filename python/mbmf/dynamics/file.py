"""Model files: safetensors with the weights, the normalisation, Adam's moments, and what they belong to.

Tensors, for layer i of the network, all little-endian:
    weight.i (rows, cols), bias.i (rows)                    float32, in normalised space
    adam.first.i, adam.second.i (rows, cols + 1)            float32, the bias in the last column
    {state,action,delta}.{mean,std} (n)                     float64; deviation 0: a constant dimension
Metadata: one entry "mbmf", a JSON object with the fields of `_FIELDS`, the versions that wrote it and, in all
but early files, identity: of the task (`mbmf.tasks.identity`).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbmf import tensor_file
from mbmf.dynamics.normalization import Normalization, Statistics
from mbmf.errors import DataError
from mbmf.nn.mlp_state import ACTIVATIONS, MAX_LAYERS, Matrix, MlpState
from mbmf.tasks.identity import check_identity, read_identity
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

FORMAT = "mbmf-dynamics"
FORMAT_VERSION = 1

_FIELDS: dict[str, type] = {
    "task": str,
    "state_names": list,
    "nstate": int,
    "naction": int,
    "hidden": list,
    "activation": str,
    "seed": int,
    "updates": int,
}
_NORMALIZED = ("state", "action", "delta")


@dataclass(frozen=True)
class Contents:
    """What a model file holds."""

    hidden: tuple[int, ...]
    activation: str
    seed: int
    mlp: MlpState
    normalization: Normalization


def parameter_tensors(layers: Sequence[Matrix], normalization: Normalization) -> dict[str, NDArray[Any]]:
    """What a model predicts with, by tensor: layers [W | b] as of `MlpState`, and the normalisation."""
    tensors: dict[str, NDArray[Any]] = {}
    for i, layer in enumerate(layers):
        tensors[f"weight.{i}"] = np.ascontiguousarray(layer[:, :-1])
        tensors[f"bias.{i}"] = np.ascontiguousarray(layer[:, -1])
    for name in _NORMALIZED:
        statistics: Statistics = getattr(normalization, name)
        tensors[f"{name}.mean"], tensors[f"{name}.std"] = statistics.mean, statistics.std
    return tensors


def save(path: str | os.PathLike[str], task: Task, contents: Contents) -> None:
    """Writes the file of a task's model, whole or not at all. Raises OSError."""
    mlp = contents.mlp
    tensors = parameter_tensors(mlp.layers, contents.normalization)
    for i in range(len(mlp.layers)):
        tensors[f"adam.first.{i}"] = mlp.first[i]
        tensors[f"adam.second.{i}"] = mlp.second[i]
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": task.name,
        "state_names": list(task.state_names),
        "nstate": task.nstate,
        "naction": task.naction,
        "hidden": list(contents.hidden),
        "activation": contents.activation,
        "seed": contents.seed,
        "updates": mlp.updates,
        "identity": task.identity.to_data(),
    }
    tensor_file.write(path, header, tensors)


def load(path: str | os.PathLike[str], task: Task, allow_other_task: bool) -> Contents:
    """Reads a model file and checks all of it. Raises DataError, which names the file, or OSError.

    allow_other_task: only the sizes must be the task's.
    """
    header, tensors = tensor_file.read(path, "dynamics model", FORMAT, FORMAT_VERSION, _FIELDS)
    for key, wanted in (
        ("task", task.name),
        ("nstate", task.nstate),
        ("naction", task.naction),
        ("state_names", list(task.state_names)),
    ):
        if header[key] != wanted and not (allow_other_task and key in ("task", "state_names")):
            raise DataError(
                f"{path}: {key} must be {wanted!r}, as of task {task.name}, got {show(header[key])}"
            )
    if not allow_other_task:
        found = read_identity(header, path)
        check_identity(f"{path}: dynamics model", found, task.identity, task.name, observations=False)
    hidden = header["hidden"]
    if not 0 < len(hidden) <= MAX_LAYERS or not all(
        type(size) is int and 0 < size <= 1 << 20 for size in hidden
    ):
        raise DataError(f"{path}: hidden must be one or more positive integers, got {show(hidden)}")
    if header["activation"] not in ACTIVATIONS:
        raise DataError(
            f"{path}: activation must be one of {', '.join(ACTIVATIONS)}, got {show(header['activation'])}"
        )

    sizes = (task.nstate + task.naction, *hidden, task.nstate)
    tensor_file.check_tensors(path, tensors, _expected(sizes, task.nstate, task.naction))
    for name, tensor in tensors.items():
        if (name.endswith(".std") or name.startswith("adam.second")) and (tensor < 0).any():
            raise DataError(f"{path}: {name} must be non-negative, got {tensor.min()}")
    count = range(len(sizes) - 1)
    mlp = MlpState(
        [np.concatenate([tensors[f"weight.{i}"], tensors[f"bias.{i}"][:, None]], axis=1) for i in count],
        [tensors[f"adam.first.{i}"] for i in count],
        [tensors[f"adam.second.{i}"] for i in count],
        header["updates"],
    )
    statistics = (Statistics(tensors[f"{name}.mean"], tensors[f"{name}.std"]) for name in _NORMALIZED)
    return Contents(tuple(hidden), header["activation"], header["seed"], mlp, Normalization(*statistics))


def _expected(sizes: tuple[int, ...], nstate: int, naction: int) -> dict[str, tuple[tuple[int, ...], type]]:
    expected: dict[str, tuple[tuple[int, ...], type]] = {}
    for i, (cols, rows) in enumerate(itertools.pairwise(sizes)):
        expected[f"weight.{i}"] = ((rows, cols), np.float32)
        expected[f"bias.{i}"] = ((rows,), np.float32)
        expected[f"adam.first.{i}"] = expected[f"adam.second.{i}"] = ((rows, cols + 1), np.float32)
    for name, size in zip(_NORMALIZED, (nstate, naction, nstate), strict=True):
        expected[f"{name}.mean"] = expected[f"{name}.std"] = ((size,), np.float64)
    return expected
