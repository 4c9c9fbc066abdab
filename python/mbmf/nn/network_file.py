"""What the files of models, values and policies have in common: networks, and the task that they belong to.

Tensors of layer i: weight.i (rows, cols), bias.i (rows) float32, with the members as a first dimension where
there are several.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbmf.errors import DataError
from mbmf.nn.mlp_state import ACTIVATIONS, MAX_LAYERS, Matrix
from mbmf.tasks.identity import check_identity, read_identity
from mbmf.tensor_file import Tensors
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

Expected = dict[str, tuple[tuple[int, ...], type]]  # of `tensor_file.check_tensors`
_LARGEST = 1 << 20  # hidden layer


def check_of_task(
    path: str | os.PathLike[str],
    kind: str,
    header: dict[str, Any],
    task: Task,
    keys: Sequence[str],
    *,
    observations: bool,
    allow_other_task: bool,
) -> None:
    """Raises DataError unless a file is of the task.

    Args:
        kind: what the file holds, in messages: "policy".
        keys: of the header, as the task's attributes are called, beside task, its name.
        observations: whether the task's observations matter too.
        allow_other_task: only the numbers must be the task's.
    """
    for key in ("task", *keys):
        wanted = task.name if key == "task" else getattr(task, key)
        if header[key] != wanted and not (allow_other_task and not isinstance(wanted, int)):
            raise DataError(
                f"{path}: {key} must be {wanted!r}, as of task {task.name}, got {show(header[key])}"
            )
    if not allow_other_task:
        found = read_identity(header, path)
        check_identity(f"{path}: {kind}", found, task.identity, task.name, observations=observations)


def check_layout(path: str | os.PathLike[str], header: dict[str, Any]) -> None:
    """Raises DataError unless hidden and activation are those of a network."""
    hidden = header["hidden"]
    if not 0 < len(hidden) <= MAX_LAYERS or not all(
        type(size) is int and 0 < size <= _LARGEST for size in hidden
    ):
        raise DataError(f"{path}: hidden must be one or more positive integers, got {show(hidden)}")
    if header["activation"] not in ACTIVATIONS:
        raise DataError(
            f"{path}: activation must be one of {', '.join(ACTIVATIONS)}, got {show(header['activation'])}"
        )


def layer_tensors(layers: Sequence[Matrix]) -> Tensors:
    """Layers [W | b] as of `MlpState`, by tensor."""
    tensors: dict[str, NDArray[Any]] = {}
    for i, layer in enumerate(layers):
        tensors[f"weight.{i}"] = np.ascontiguousarray(layer[..., :-1])
        tensors[f"bias.{i}"] = np.ascontiguousarray(layer[..., -1])
    return tensors


def expected_layers(sizes: Sequence[int], ahead: tuple[int, ...] = ()) -> Expected:
    """What a network of these sizes has, inputs first; ``ahead``: its members, if there are several."""
    expected: Expected = {}
    for i, (cols, rows) in enumerate(itertools.pairwise(sizes)):
        expected[f"weight.{i}"] = ((*ahead, rows, cols), np.float32)
        expected[f"bias.{i}"] = ((*ahead, rows), np.float32)
    return expected


def layers_of(tensors: Tensors, count: int) -> list[Matrix]:
    """The layers [W | b] of checked tensors."""
    return [
        np.concatenate([tensors[f"weight.{i}"], tensors[f"bias.{i}"][..., None]], axis=-1)
        for i in range(count)
    ]
