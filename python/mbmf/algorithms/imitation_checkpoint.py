"""Checkpoints of imitation: everything that the next iteration depends on beside the rollouts, in one file.

safetensors with, for each layer i of the network, layer.i = [W | b] and Adam's moments first.i and second.i,
float32, and in the header how far it is and the metrics of the last iteration.
"""

from __future__ import annotations

import os

import numpy as np

from mbmf import tensor_file
from mbmf.algorithms.cloning import Cloning
from mbmf.errors import DataError
from mbmf.nn.mlp_state import MlpState
from mbmf.runs.run import Record
from mbmf.words import show

FORMAT = "mbmf-imitation"
FORMAT_VERSION = 1


def save(path: str | os.PathLike[str], task: str, cloning: Cloning, record: Record) -> None:
    """Writes a checkpoint, whole or not at all. Raises OSError."""
    mlp = cloning.mlp
    tensors: tensor_file.Tensors = {}
    for name in ("layer", "first", "second"):
        arrays = mlp.layers if name == "layer" else getattr(mlp, name)
        tensors |= {f"{name}.{i}": np.ascontiguousarray(array) for i, array in enumerate(arrays)}
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": task,
        "updates": mlp.updates,
        "iteration": record["iteration"],
        "record": record,
    }
    tensor_file.write(path, header, tensors)


def load(path: str | os.PathLike[str], task: str, like: Cloning) -> tuple[Cloning, Record]:
    """Reads a checkpoint of a network of ``like``'s sizes. Raises DataError, naming the file; OSError."""
    fields = {"task": str, "updates": int, "iteration": int, "record": dict}
    header, tensors = tensor_file.read(path, "checkpoint", FORMAT, FORMAT_VERSION, fields)
    if header["task"] != task:
        raise DataError(f"{path}: task must be {task!r}, got {show(header['task'])}")
    if header["record"].get("iteration") != header["iteration"]:
        raise DataError(f"{path}: record must be that of iteration {header['iteration']}, got another one's")
    shapes = [layer.shape for layer in like.mlp.layers]
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        f"{name}.{i}": (shape, np.float32)
        for name in ("layer", "first", "second")
        for i, shape in enumerate(shapes)
    }
    tensor_file.check_tensors(path, tensors, expected)
    layers, first, second = (
        [tensors[f"{name}.{i}"] for i in range(len(shapes))] for name in ("layer", "first", "second")
    )
    mlp = MlpState(layers, first, second, header["updates"])
    return Cloning(mlp), header["record"]
