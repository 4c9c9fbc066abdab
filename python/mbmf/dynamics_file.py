"""Model files: safetensors with the weights, the normalisation, Adam's moments, and what they belong to.

Tensors, for layer i of the network, all little-endian:
    weight.i (rows, cols), bias.i (rows)                    float32, in normalised space
    adam.first.i, adam.second.i (rows, cols + 1)            float32, the bias in the last column
    {state,action,delta}.{mean,std} (n)                     float64; deviation 0: a constant dimension
Metadata: one entry "mbmf", a JSON object with the fields of `_HEADER` and the versions that wrote it.
"""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.mlp_state import MlpState
from mbmf.normalization import Statistics

if TYPE_CHECKING:
    from mbmf.dynamics import DynamicsModel, Normalization
    from mbmf.task import Task

FORMAT = "mbmf-dynamics"
FORMAT_VERSION = 1

_HEADER: dict[str, type] = {
    "format": str,
    "format_version": int,
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


def save(
    path: str | os.PathLike[str], model: DynamicsModel, mlp: MlpState, normalization: Normalization
) -> None:
    """Writes a model file, whole or not at all."""
    tensors: dict[str, NDArray[Any]] = {}
    for i, layer in enumerate(mlp.layers):
        tensors[f"weight.{i}"] = np.ascontiguousarray(layer[:, :-1])
        tensors[f"bias.{i}"] = np.ascontiguousarray(layer[:, -1])
        tensors[f"adam.first.{i}"] = mlp.first[i]
        tensors[f"adam.second.{i}"] = mlp.second[i]
    for name in _NORMALIZED:
        statistics: Statistics = getattr(normalization, name)
        tensors[f"{name}.mean"], tensors[f"{name}.std"] = statistics.mean, statistics.std
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": model.task.name,
        "state_names": list(model.task.state_names),
        "nstate": model.task.nstate,
        "naction": model.task.naction,
        "hidden": list(model.hidden),
        "activation": model.activation,
        "seed": model.seed,
        "updates": mlp.updates,
        "versions": {name: _version(name) for name in ("mbmf", "torch", "mujoco", "numpy")},
    }
    with atomic_write(path) as file:
        file.write(serialize(tensors, {"mbmf": json.dumps(header)}))


def load(path: str | os.PathLike[str], task: Task) -> Contents:
    """Reads a model file and checks all of it. Raises DataError, which names the file, or OSError."""
    from mbmf.dynamics import ACTIVATIONS, Normalization

    if not Path(path).is_file():
        raise DataError(f"{path}: model file must exist, got none")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise DataError(f"{path}: model file must be a whole safetensors file, got: {error}") from error
    header = _header(path, metadata.get("mbmf"))
    for key, wanted in (
        ("task", task.name),
        ("nstate", task.nstate),
        ("naction", task.naction),
        ("state_names", list(task.state_names)),
    ):
        if header[key] != wanted:
            raise DataError(f"{path}: {key} must be {wanted!r}, as of task {task.name}, got {header[key]!r}")
    hidden = header["hidden"]
    if not hidden or not all(type(size) is int and 0 < size <= 1 << 20 for size in hidden):
        raise DataError(f"{path}: hidden must be one or more positive integers, got {hidden}")
    if header["activation"] not in ACTIVATIONS:
        raise DataError(
            f"{path}: activation must be one of {', '.join(ACTIVATIONS)}, got {header['activation']!r}"
        )
    for key in ("seed", "updates"):
        if header[key] < 0:
            raise DataError(f"{path}: {key} must be non-negative, got {header[key]}")

    sizes = (task.nstate + task.naction, *hidden, task.nstate)
    _check_tensors(path, tensors, _expected(sizes, task.nstate, task.naction))
    count = range(len(sizes) - 1)
    mlp = MlpState(
        [np.concatenate([tensors[f"weight.{i}"], tensors[f"bias.{i}"][:, None]], axis=1) for i in count],
        [tensors[f"adam.first.{i}"] for i in count],
        [tensors[f"adam.second.{i}"] for i in count],
        header["updates"],
    )
    statistics = (Statistics(tensors[f"{name}.mean"], tensors[f"{name}.std"]) for name in _NORMALIZED)
    return Contents(tuple(hidden), header["activation"], header["seed"], mlp, Normalization(*statistics))


def _header(path: str | os.PathLike[str], text: str | None) -> dict[str, Any]:
    try:
        header = json.loads(text or "")
    except json.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(
            f"{path}: file must be a dynamics model of mbmf, got another kind of safetensors file"
        )
    for key, kind in _HEADER.items():
        if type(header.get(key)) is not kind:
            raise DataError(f"{path}: {key} must be of type {kind.__name__}, got {header.get(key)!r}")
    if header["format_version"] != FORMAT_VERSION:
        raise DataError(f"{path}: format_version must be {FORMAT_VERSION}, got {header['format_version']}")
    return header


def _expected(sizes: tuple[int, ...], nstate: int, naction: int) -> dict[str, tuple[tuple[int, ...], type]]:
    expected: dict[str, tuple[tuple[int, ...], type]] = {}
    for i, (cols, rows) in enumerate(itertools.pairwise(sizes)):
        expected[f"weight.{i}"] = ((rows, cols), np.float32)
        expected[f"bias.{i}"] = ((rows,), np.float32)
        expected[f"adam.first.{i}"] = expected[f"adam.second.{i}"] = ((rows, cols + 1), np.float32)
    for name, size in zip(_NORMALIZED, (nstate, naction, nstate), strict=True):
        expected[f"{name}.mean"] = expected[f"{name}.std"] = ((size,), np.float64)
    return expected


def _check_tensors(
    path: str | os.PathLike[str],
    tensors: dict[str, NDArray[Any]],
    expected: dict[str, tuple[tuple[int, ...], type]],
) -> None:
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise DataError(
            f"{path}: tensors must be exactly those of the model, "
            f"got {', '.join(missing) or 'none'} missing and {', '.join(extra) or 'none'} unknown"
        )
    for name, (shape, dtype) in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != dtype:
            wanted = f"{np.dtype(dtype)} {shape}"
            raise DataError(f"{path}: {name} must be {wanted}, got {tensor.dtype} {tensor.shape}")
        if not np.isfinite(tensor).all():
            raise DataError(f"{path}: {name} must be finite, got NaN or infinity")
        if (name.endswith(".std") or name.startswith("adam.second")) and (tensor < 0).any():
            raise DataError(f"{path}: {name} must be non-negative, got {tensor.min()}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
