"""Files of values: safetensors with the network, what it is normalised with, and what they belong to.

Tensors, all little-endian: weight.i (rows, cols), bias.i (rows) float32, in normalised space; seen.mean,
seen.std (n) float64, of what is seen of the states; value.mean, value.std, value.low, value.high (1) float64.
Metadata: one entry "mbmf", a JSON object with the fields of `_FIELDS`, the task's identity, and the versions
that wrote it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf import tensor_file
from mbmf.dynamics.normalization import Statistics, number_seen
from mbmf.errors import DataError
from mbmf.nn.mlp_state import MlpState
from mbmf.nn.network_file import check_layout, check_of_task, expected_layers, layer_tensors, layers_of
from mbmf.tasks.ensembles import INPUTS
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
    tensors |= layer_tensors(state.mlp.layers)
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
    keys = ("nstate", "state_names")
    check_of_task(path, "value", header, task, keys, observations=False, allow_other_task=allow_other_task)
    check_layout(path, header)
    hidden, inputs = header["hidden"], header["inputs"]
    words = set(INPUTS.values())
    if len(inputs) != task.nstate or not all(isinstance(word, str) and word in words for word in inputs):
        raise DataError(f"{path}: inputs must be a word for each of {task.nstate} states, got {show(inputs)}")
    sizes = (number_seen(inputs), *hidden, 1)
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        f"seen.{name}": ((sizes[0],), np.float64) for name in ("mean", "std")
    }
    expected |= {f"value.{name}": ((1,), np.float64) for name in _NUMBERS}
    expected |= expected_layers(sizes)
    tensor_file.check_tensors(path, tensors, expected)
    mlp = MlpState(layers_of(tensors, len(sizes) - 1))
    seen = Statistics(tensors["seen.mean"], tensors["seen.std"])
    state = ValueState(mlp, seen, *(float(tensors[f"value.{name}"][0]) for name in _NUMBERS))
    settings = ("hidden", "activation", "seed", "discount", "trace")
    return {key: header[key] for key in settings}, tuple(inputs), state
