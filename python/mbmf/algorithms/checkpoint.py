"""Checkpoints of policy optimisation: everything that the next iteration depends on, in one file.

safetensors with the policy (weight.i, bias.i, log_std: float32, as in a policy file), the value baseline
(baseline: float64), and in the header the counters and the metrics of the last iteration.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

import numpy as np

from mbmf import tensor_file
from mbmf.algorithms.baseline import Baseline, nfeatures
from mbmf.errors import DataError
from mbmf.policies.policy import GaussianPolicy
from mbmf.runs.run import Record
from mbmf.words import show

FORMAT = "mbmf-policy-optimization"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Counters:
    """How far it is: finished iterations, control steps (those before it began included), the number of the
    next episode, updates skipped in all, and how many of them in a row just now."""

    iterations: int = 0
    steps: int = 0
    next_episode: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0


def save(
    path: str | os.PathLike[str],
    policy: GaussianPolicy,
    baseline: Baseline,
    counters: Counters,
    record: Record,
) -> None:
    """Writes a checkpoint, whole or not at all. Raises OSError."""
    tensors = dict(zip(_names(policy), map(np.ascontiguousarray, policy.arrays()), strict=True))
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": policy.task_name,
        **{field.name: getattr(counters, field.name) for field in fields(Counters)},
        "record": record,
    }
    tensor_file.write(path, header, {**tensors, "baseline": baseline.coefficients})


def load(path: str | os.PathLike[str], policy: GaussianPolicy) -> tuple[Baseline, Counters, Record]:
    """Reads a checkpoint, and puts its parameters into ``policy``, which must be of its task and sizes.

    Raises DataError, which names the file, or OSError.
    """
    numbers = {field.name: int for field in fields(Counters)}
    header, tensors = tensor_file.read(
        path, "checkpoint", FORMAT, FORMAT_VERSION, {"task": str, **numbers, "record": dict}
    )
    if header["task"] != policy.task_name:
        raise DataError(f"{path}: task must be {policy.task_name!r}, got {show(header['task'])}")
    if header["record"].get("iteration") != header["iterations"]:
        raise DataError(f"{path}: record must be that of iteration {header['iterations']}, got another one's")
    names = _names(policy)
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        name: (array.shape, np.float32) for name, array in zip(names, policy.arrays(), strict=True)
    }
    expected["baseline"] = ((nfeatures(policy.nobservation),), np.float64)
    tensor_file.check_tensors(path, tensors, expected)
    policy.set_parameter_vector(np.concatenate([tensors[name].ravel() for name in names]))
    counters = Counters(**{name: header[name] for name in numbers})
    return Baseline(tensors["baseline"]), counters, header["record"]


def _names(policy: GaussianPolicy) -> list[str]:
    """Of the policy's arrays, in their order."""
    layers = range(len(policy.hidden) + 1)
    return [name for i in layers for name in (f"weight.{i}", f"bias.{i}")] + ["log_std"]
