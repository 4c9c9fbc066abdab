"""safetensors files of this package: checked tensors under a JSON header that says what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from mbmf.errors import DataError
from mbmf.files import atomic_write

Tensors = dict[str, NDArray[Any]]


def write(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Tensors) -> None:
    """Writes a file, whole or not at all; its metadata are ``header`` and the versions that wrote it."""
    versions = {name: _version(name) for name in ("mbmf", "torch", "mujoco", "numpy")}
    text = json.dumps({**header, "versions": versions})
    with atomic_write(path) as file:
        file.write(serialize(tensors, {"mbmf": text}))


def read(
    path: str | os.PathLike[str], kind: str, file_format: str, format_version: int, fields: Mapping[str, type]
) -> tuple[dict[str, Any], Tensors]:
    """Header and tensors of a file of `write`.

    Args:
        kind: what the file holds, in messages: "policy".
        file_format, format_version: what the header's entries of these names ("format") must be.
        fields: the header's other entries and their types.

    Raises:
        DataError: naming the file, if it is missing, damaged, or of another kind.
        OSError: it cannot be read.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: {kind} file must exist, got none")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise DataError(f"{path}: {kind} file must be a whole safetensors file, got: {error}") from error
    try:
        header = json.loads(metadata.get("mbmf", ""))
    except json.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or header.get("format") != file_format:
        raise DataError(f"{path}: file must be a {kind} of mbmf, got another kind of safetensors file")
    for key, wanted in (("format_version", int), *fields.items()):
        if type(header.get(key)) is not wanted:
            raise DataError(f"{path}: {key} must be of type {wanted.__name__}, got {header.get(key)!r}")
    if header["format_version"] != format_version:
        raise DataError(f"{path}: format_version must be {format_version}, got {header['format_version']}")
    return header, tensors


def check_tensors(
    path: str | os.PathLike[str], tensors: Tensors, expected: Mapping[str, tuple[tuple[int, ...], type]]
) -> None:
    """Raises DataError unless the tensors are those of ``expected``: name -> (shape, dtype), all finite."""
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise DataError(
            f"{path}: tensors must be exactly {', '.join(expected)}, "
            f"got {', '.join(missing) or 'none'} missing and {', '.join(extra) or 'none'} unknown"
        )
    for name, (shape, dtype) in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != dtype:
            wanted = f"{np.dtype(dtype)} {shape}"
            raise DataError(f"{path}: {name} must be {wanted}, got {tensor.dtype} {tensor.shape}")
        if not np.isfinite(tensor).all():
            raise DataError(f"{path}: {name} must be finite, got NaN or infinity")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
