"""Model files: safetensors with the weights, the normalisation, Adam's moments, and what they belong to.

Tensors, for layer i of the network, all little-endian; of several members, those of the weights, biases and
moments have the members as a first dimension:
    weight.i (rows, cols), bias.i (rows)                    float32, in normalised space
    adam.first.i, adam.second.i (rows, cols + 1)            float32, the bias in the last column
    {state,action,delta}.{mean,std} (n)                     float64; deviation 0: a constant dimension
    seen.{mean,std} (n)                                     float64, of what an input map makes of the states
    bounds, adam.first.bounds, adam.second.bounds (2, n)    float32, of the log variances: upper, then lower
The last two are there only where the model has an input map, or variances.
Metadata: one entry "mbmf", a JSON object with the fields of `_FIELDS` and `_FIELDS_2` and the versions that
wrote it, and, in all but early files, identity: of the task (`mbmf.tasks.identity`), and points: of the last
fit. A file of version 1 has those of `_FIELDS` only: it is one network that predicts differences.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbmf import tensor_file
from mbmf.dynamics.fitting import Trained, layer_sizes_of
from mbmf.dynamics.normalization import Normalization, Statistics, number_seen
from mbmf.dynamics.settings import Settings
from mbmf.errors import DataError
from mbmf.nn.mlp_state import Matrix, MlpState
from mbmf.nn.network_file import (
    Expected,
    check_layout,
    check_of_task,
    expected_layers,
    layer_tensors,
    layers_of,
)
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

FORMAT = "mbmf-dynamics"
FORMAT_VERSION = 2
KIND = "mlp-ensemble"

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
_FIELDS_2: dict[str, type] = {"kind": str, "settings": dict, "elites": list}
_NORMALIZED = ("state", "action", "delta")


def parameter_tensors(layers: Sequence[Matrix], normalization: Normalization) -> dict[str, NDArray[Any]]:
    """What a model predicts with, by tensor: layers [W | b] as of `MlpState`, and the normalisation."""
    tensors = layer_tensors(layers)
    names = _NORMALIZED if normalization.seen is normalization.state else (*_NORMALIZED, "seen")
    for name in names:
        statistics: Statistics = getattr(normalization, name)
        tensors[f"{name}.mean"], tensors[f"{name}.std"] = statistics.mean, statistics.std
    return tensors


def save(path: str | os.PathLike[str], task: Task, settings: Settings, trained: Trained) -> None:
    """Writes the file of a task's model, whole or not at all. Raises OSError."""
    mlp = trained.mlp
    tensors = parameter_tensors(mlp.layers, trained.normalization)
    for i in range(len(mlp.layers)):
        tensors[f"adam.first.{i}"] = mlp.first[i]
        tensors[f"adam.second.{i}"] = mlp.second[i]
    for name, array in (
        ("bounds", mlp.bounds),
        ("adam.first.bounds", mlp.bounds_first),
        ("adam.second.bounds", mlp.bounds_second),
    ):
        if array is not None:
            tensors[name] = array
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "task": task.name,
        "state_names": list(task.state_names),
        "nstate": task.nstate,
        "naction": task.naction,
        "hidden": list(settings.hidden),
        "activation": settings.activation,
        "seed": settings.seed,
        "updates": mlp.updates,
        "settings": settings.written(task.state_names),
        "elites": list(trained.elites),
        "identity": task.identity.to_data(),
    }
    if trained.points is not None:
        header["points"] = trained.points
    tensor_file.write(path, header, tensors)


def load(
    path: str | os.PathLike[str], task: Task, *, allow_other_task: bool = False
) -> tuple[Settings, Trained]:
    """Reads a model file and checks all of it. Raises DataError, which names the file, or OSError.

    allow_other_task: only the sizes must be the task's.
    """
    versions = tuple(range(1, FORMAT_VERSION + 1))
    header, tensors = tensor_file.read(path, "dynamics model", FORMAT, versions, _FIELDS)
    keys, kind = ("nstate", "naction", "state_names"), "dynamics model"
    check_of_task(path, kind, header, task, keys, observations=False, allow_other_task=allow_other_task)
    if header["format_version"] == 1:
        header |= {"kind": KIND, "settings": {}, "elites": [0]}
    settings = _settings(path, task, header)
    sizes = layer_sizes_of(settings, task)
    tensor_file.check_tensors(path, tensors, _expected(task, settings, sizes))
    for name, tensor in tensors.items():
        if (name.endswith(".std") or name.startswith("adam.second")) and (tensor < 0).any():
            raise DataError(f"{path}: {name} must be non-negative, got {tensor.min()}")
    count = range(len(sizes) - 1)
    mlp = MlpState(
        layers_of(tensors, len(count)),
        [tensors[f"adam.first.{i}"] for i in count],
        [tensors[f"adam.second.{i}"] for i in count],
        header["updates"],
        *(tensors.get(name) for name in ("bounds", "adam.first.bounds", "adam.second.bounds")),
    )
    names = (*_NORMALIZED, "seen") if "seen.mean" in tensors else _NORMALIZED
    statistics = (Statistics(tensors[f"{name}.mean"], tensors[f"{name}.std"]) for name in names)
    points = header.get("points")
    if points is not None and (type(points) is not int or points < 1):
        raise DataError(f"{path}: points must be a whole number of at least 1, got {show(points)}")
    return settings, Trained(mlp, Normalization(*statistics), tuple(header["elites"]), points)


def _settings(path: str | os.PathLike[str], task: Task, header: dict[str, Any]) -> Settings:
    """The settings of a file's header. Raises DataError."""
    for key, wanted in _FIELDS_2.items():
        if type(header.get(key)) is not wanted:
            raise DataError(f"{path}: {key} must be of type {wanted.__name__}, got {show(header.get(key))}")
    if header["kind"] != KIND:
        raise DataError(f"{path}: kind must be {KIND}, got {show(header['kind'])}")
    check_layout(path, header)
    try:
        settings = Settings.of(
            task, header["hidden"], header["activation"], header["seed"], **header["settings"]
        )
    except ValueError as error:
        raise DataError(f"{path}: settings: {error}") from None
    except TypeError:
        raise DataError(
            f"{path}: settings must be those of a model, got {show(header['settings'])}"
        ) from None
    elites = header["elites"]
    if (
        not elites
        or not all(type(member) is int and 0 <= member < settings.members for member in elites)
        or sorted(set(elites)) != elites
    ):
        raise DataError(
            f"{path}: elites must be members from 0 to {settings.members - 1}, got {show(elites)}"
        )
    return settings


def _expected(task: Task, settings: Settings, sizes: tuple[int, ...]) -> Expected:
    ahead = (settings.members,) if settings.members > 1 else ()
    expected = expected_layers(sizes, ahead)
    for i, (cols, rows) in enumerate(itertools.pairwise(sizes)):
        moment = ((*ahead, rows, cols + 1), np.float32)
        expected[f"adam.first.{i}"] = expected[f"adam.second.{i}"] = moment
    lengths = dict(zip(_NORMALIZED, (task.nstate, task.naction, task.nstate), strict=True))
    if any(word != "value" for word in settings.inputs):
        lengths["seen"] = number_seen(settings.inputs)
    for name, size in lengths.items():
        expected[f"{name}.mean"] = expected[f"{name}.std"] = ((size,), np.float64)
    if settings.probabilistic:
        for name in ("bounds", "adam.first.bounds", "adam.second.bounds"):
            expected[name] = ((2, task.nstate), np.float32)
    return expected
