"""safetensors files of this package: checked tensors under a JSON header that says what they are."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as serialize

from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.json_text import parse_json
from mbmf.names import PLAIN_NAME, is_plain_name
from mbmf.words import printed, show

Tensors = dict[str, NDArray[Any]]

MAX_HEADER = 64 << 20
MAX_TENSORS = 1000
# of the whole numbers in headers: a seed's
MAX_NUMBER = 2**64 - 1
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}


def write(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Tensors) -> None:
    """Writes a file, whole or not at all; its metadata are ``header`` and the versions that wrote it."""
    versions = {name: _version(name) for name in ("mbmf", "torch", "mujoco", "numpy")}
    text = json.dumps({**header, "versions": versions})
    with atomic_write(path) as file:
        file.write(serialize(tensors, {"mbmf": text}))


def read(
    path: str | os.PathLike[str],
    kind: str,
    file_format: str,
    format_version: int | tuple[int, ...],
    fields: Mapping[str, type],
) -> tuple[dict[str, Any], Tensors]:
    """Header and tensors of a file of `write`.

    Args:
        kind: what the file holds, in messages: "policy".
        file_format, format_version: what the header's entries of these names ("format") must be; of versions
            one of several.
        fields: the header's other entries and their types; whole numbers are 0 to `MAX_NUMBER`.

    Raises:
        DataError: naming the file, if it is missing, damaged, or of another kind.
        OSError: it cannot be read.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: {kind} file must exist, got none")
    text, tensors = _contents(path, f"{path}: {kind} file must be a whole safetensors file, got")
    header = None if text is None else parse_json(text, f"{path}: header", infinite=True)
    if not isinstance(header, dict) or header.get("format") != file_format:
        raise DataError(f"{path}: file must be a {kind} of mbmf, got another kind of safetensors file")
    for key, wanted in (("format_version", int), *fields.items()):
        value = header.get(key)
        if type(value) is not wanted:
            got = "None" if value is None else show(value)
            raise DataError(f"{path}: {key} must be of type {wanted.__name__}, got {got}")
        if wanted is int and not 0 <= header[key] <= MAX_NUMBER:
            limit = "non-negative" if header[key] < 0 else f"at most {MAX_NUMBER}"
            raise DataError(f"{path}: {key} must be {limit}, got {show(header[key])}")
    known = format_version if isinstance(format_version, tuple) else (format_version,)
    if header["format_version"] not in known:
        wanted_version = " or ".join(map(str, known))
        raise DataError(f"{path}: format_version must be {wanted_version}, got {header['format_version']}")
    if "task" in fields and not is_plain_name(header["task"]):
        raise DataError(f"{path}: task must be {PLAIN_NAME}, got {show(header['task'])}")
    return header, tensors


def check_tensors(
    path: str | os.PathLike[str], tensors: Tensors, expected: Mapping[str, tuple[tuple[int, ...], type]]
) -> None:
    """Raises DataError unless the tensors are those of ``expected``: name -> (shape, dtype), all finite."""
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        unknown = ", ".join(map(printed, extra))
        raise DataError(
            f"{path}: tensors must be exactly {', '.join(expected)}, "
            f"got {', '.join(missing) or 'none'} missing and {unknown or 'none'} unknown"
        )
    for name, (shape, dtype) in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != dtype:
            wanted = f"{np.dtype(dtype)} {shape}"
            raise DataError(f"{path}: {name} must be {wanted}, got {tensor.dtype} {tensor.shape}")
        if not np.isfinite(tensor).all():
            raise DataError(f"{path}: {name} must be finite, got NaN or infinity")


def _contents(path: str | os.PathLike[str], damaged: str) -> tuple[str | None, Tensors]:
    """The metadata's entry "mbmf" and the tensors of a safetensors file.

    What the header announces is held against the file's size before memory is taken for it. ``damaged``
    begins the message of a DataError.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        size = status.st_size - 8
        if not stat.S_ISREG(status.st_mode) or size < 2:
            raise DataError(f"{damaged}: {status.st_size} bytes")
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, MAX_HEADER):
            raise DataError(f"{damaged}: a header of {length} bytes in a file of {status.st_size}")
        header = parse_json(file.read(length), f"{damaged}: its header")
        layout, text = _layout(header, size - length, damaged)
        data = bytearray(size - length)
        if file.readinto(data) != len(data):
            raise DataError(f"{damaged}: less than {status.st_size} bytes")
    tensors: Tensors = {
        name: np.frombuffer(data, dtype, math.prod(shape), begin).reshape(shape)
        if math.prod(shape)
        else np.zeros(shape, dtype)
        for name, (dtype, shape, begin) in layout.items()
    }
    return text, tensors


def _layout(
    header: Any, size: int, damaged: str
) -> tuple[dict[str, tuple[np.dtype[Any], tuple[int, ...], int]], str | None]:
    """Where the tensors are, by name: dtype, shape, first byte; and the metadata's entry "mbmf"."""
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise DataError(f"{damaged}: a header that is no mapping of at most {MAX_TENSORS} tensors")
    metadata = header.pop("__metadata__", {})
    text = metadata.get("mbmf") if isinstance(metadata, dict) else None
    found: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
    spans = []
    for name, entry in header.items():
        where = f"{damaged}: tensor {show(name)} with the entry {show(entry)}"
        if not isinstance(entry, dict):
            raise DataError(where)
        known = _DTYPES.get(str(entry.get("dtype")))
        shape, span = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
        if known is None or shape is None or span is None or len(span) != 2:
            raise DataError(where)
        if span[1] - span[0] != math.prod(shape) * known.itemsize:
            raise DataError(where)
        found[name] = known, shape, span[0]
        spans.append((span[0], span[1]))
    # one after the other, to the end of the file
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise DataError(f"{damaged}: tensors that do not follow each other")
        end = last
    if end != size:
        raise DataError(f"{damaged}: tensors of {end} bytes in {size}")
    return found, text if isinstance(text, str) else None


def _sizes(value: Any) -> tuple[int, ...] | None:
    """A list of a few whole numbers, or None."""
    if not isinstance(value, list) or len(value) > 8:
        return None
    return tuple(value) if all(type(size) is int and 0 <= size <= MAX_NUMBER for size in value) else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
