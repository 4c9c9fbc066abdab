"""Files of values: safetensors with the network, what it is normalised with, and what they belong to.

Tensors, all little-endian: weight.i (rows, cols), bias.i (rows) float32, in normalised space; seen.mean,
seen.std (n) float64, of what is seen of the states; value.mean, value.std, value.low, value.high (1) float64.
Metadata: one entry "mbmf", a JSON object with the fields of `_FIELDS`, the task's identity, and the versions
that wrote it.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf import tensor_file
from mbmf.dynamics.normalization import Statistics, number_seen
from mbmf.errors import DataError
from mbmf.nn.mlp_state import ACTIVATIONS, MAX_LAYERS, MlpState
from mbmf.tasks.ensembles import INPUTS
from mbmf.tasks.identity import check_identity, read_identity
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task
    from mbmf.values.value import ValueFunction, ValueState

FORMAT = "mbmf-value"
FORMAT_VERSION = 1

_FIELDS: dict[str, type] = {
    "task": str,
    "state_names": list,
    "nstate": int,
    "hidden": list,
    "activation": str,
    "seed": int,
    "discount": float,
    "trace": float,
    "inputs": list,
}
_NUMBERS = ("mean", "std", "low", "high")


def save(path: str | os.PathLike[str], value: ValueFunction, state: ValueState) -> None:
    """Writes the file of a task's values, whole or not at all. Raises OSError."""
    tensors: dict[str, Any] = {"seen.mean": state.seen.mean, "seen.std": state.seen.std}
    for i, layer in enumerate(state.mlp.layers):
        tensors[f"weight.{i}"] = np.ascontiguousarray(layer[:, :-1])
        tensors[f"bias.{i}"] = np.ascontiguousarray(layer[:, -1])
    for name in _NUMBERS:
        tensors[f"value.{name}"] = np.array([getattr(state, name)])
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": value.task.name,
        "state_names": list(value.task.state_names),
        "nstate": value.task.nstate,
        "hidden": list(value.hidden),
        "activation": value.activation,
        "seed": value.seed,
        "discount": float(value.discount),
        "trace": float(value.trace),
        "inputs": list(value.inputs),
        "identity": value.task.identity.to_data(),
    }
    tensor_file.write(path, header, tensors)


def load(
    path: str | os.PathLike[str], task: Task, *, allow_other_task: bool = False
) -> tuple[dict[str, Any], tuple[str, ...], ValueState]:
    """The arguments of `ValueFunction`, what it sees, and what a fit left; all is checked.

    allow_other_task: only the sizes must be the task's. Raises DataError, which names the file, or OSError.
    """
    from mbmf.values.value import ValueState

    header, tensors = tensor_file.read(path, "value", FORMAT, FORMAT_VERSION, _FIELDS)
    for key, wanted in (
        ("task", task.name),
        ("nstate", task.nstate),
        ("state_names", list(task.state_names)),
    ):
        if header[key] != wanted and not (allow_other_task and key != "nstate"):
            raise DataError(
                f"{path}: {key} must be {wanted!r}, as of task {task.name}, got {show(header[key])}"
            )
    if not allow_other_task:
        found = read_identity(header, path)
        check_identity(f"{path}: value", found, task.identity, task.name, observations=False)
    hidden, inputs = header["hidden"], header["inputs"]
    if not 0 < len(hidden) <= MAX_LAYERS or not all(
        type(size) is int and 0 < size <= 1 << 20 for size in hidden
    ):
        raise DataError(f"{path}: hidden must be one or more positive integers, got {show(hidden)}")
    if header["activation"] not in ACTIVATIONS:
        raise DataError(
            f"{path}: activation must be one of {', '.join(ACTIVATIONS)}, got {show(header['activation'])}"
        )
    words = set(INPUTS.values())
    if len(inputs) != task.nstate or not all(isinstance(word, str) and word in words for word in inputs):
        raise DataError(f"{path}: inputs must be a word for each of {task.nstate} states, got {show(inputs)}")
    sizes = (number_seen(inputs), *hidden, 1)
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        f"seen.{name}": ((sizes[0],), np.float64) for name in ("mean", "std")
    }
    expected |= {f"value.{name}": ((1,), np.float64) for name in _NUMBERS}
    for i, (cols, rows) in enumerate(itertools.pairwise(sizes)):
        expected[f"weight.{i}"], expected[f"bias.{i}"] = ((rows, cols), np.float32), ((rows,), np.float32)
    tensor_file.check_tensors(path, tensors, expected)
    mlp = MlpState(
        [
            np.concatenate([tensors[f"weight.{i}"], tensors[f"bias.{i}"][:, None]], axis=1)
            for i in range(len(sizes) - 1)
        ]
    )
    seen = Statistics(tensors["seen.mean"], tensors["seen.std"])
    state = ValueState(mlp, seen, *(float(tensors[f"value.{name}"][0]) for name in _NUMBERS))
    keys = ("hidden", "activation", "seed", "discount", "trace")
    return {key: header[key] for key in keys}, tuple(inputs), state
