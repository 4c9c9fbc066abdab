"""Policies as ONNX graphs, for runtimes that know neither mbmf nor PyTorch.

The graph takes ``observation``, float32 (N, nobservation), in the order of the task's observations, and gives

    action  float32 (N, naction), the mean action clipped to [-1, 1]: what ``policy(observation)`` is
    mean    float32 (N, naction), the same before clipping, for those who add noise: they clip afterwards

N is free. An action of 1 is the actuator's largest control, as in the task. The metadata (``metadata_props``)
name the task, the observations and the standard deviations of the actions. The graph needs opset 13: Gemm,
Tanh, Clip.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf import __version__
from mbmf.errors import MbmfError
from mbmf.files import atomic_write

if TYPE_CHECKING:
    from mbmf.policies.policy import GaussianPolicy

OPSET = 13
# the file format of the year of that opset: runtimes of 2020 and later read it
_IR_VERSION = 7


def save(path: str | os.PathLike[str], policy: GaussianPolicy) -> None:
    """Writes the policy as ONNX, whole or not at all.

    Raises MbmfError without the package onnx, ValueError if a parameter is not finite, OSError if the file
    cannot be written.
    """
    data = graph(policy).SerializeToString()
    with atomic_write(path) as file:
        file.write(data)


def graph(policy: GaussianPolicy) -> Any:
    """The policy as an ``onnx.ModelProto``. Raises as `save`."""
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise MbmfError(
            'ONNX export needs the package onnx: `pip install onnx`, or mbmf with ".[onnx]"'
        ) from None
    _ = policy.core  # checks the parameters
    *layers, log_std = policy.arrays()
    tensors = [
        numpy_helper.from_array(np.array(-1.0, np.float32), "lowest"),
        numpy_helper.from_array(np.array(1.0, np.float32), "highest"),
    ]
    nodes = []
    values = "observation"
    last = len(layers) // 2 - 1
    for i, (weight, bias) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
        tensors += [
            numpy_helper.from_array(np.ascontiguousarray(weight), f"weight.{i}"),
            numpy_helper.from_array(np.ascontiguousarray(bias), f"bias.{i}"),
        ]
        out = "mean" if i == last else f"sum.{i}"
        nodes.append(helper.make_node("Gemm", [values, f"weight.{i}", f"bias.{i}"], [out], transB=1))
        if i < last:
            values = f"hidden.{i}"
            nodes.append(helper.make_node("Tanh", [out], [values]))
    nodes.append(helper.make_node("Clip", ["mean", "lowest", "highest"], ["action"]))

    def array(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])

    model = helper.make_model(
        helper.make_graph(
            nodes,
            "policy",
            [array("observation", policy.nobservation)],
            [array("action", policy.naction), array("mean", policy.naction)],
            tensors,
        ),
        producer_name="mbmf",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(
        model,
        {
            "task": policy.task_name,
            "observation_names": json.dumps(policy.observation_names),
            "action_std": json.dumps([float(value) for value in np.exp(log_std)]),
            "action_range": "[-1, 1]",
            **({} if policy.identity is None else {"identity": json.dumps(policy.identity.to_data())}),
        },
    )
    checker.check_model(model)
    return model
