"""Reading .npz files: what a file announces is held against what is there before memory is taken for it."""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mbmf.errors import DataError

MAX_ARRAYS = 64
# of what is unpacked: so many times the file's size, and so much in any case
MAX_RATIO = 10
MIN_UNPACKED = 64 << 20
# bytes of an array's header, and of a text
_MAX_HEADER = 10_000
_MAX_TEXT = 4096
_CHUNK = 1 << 20


class Arrays:
    """The arrays of an open file, by name."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        infos = archive.infolist()
        if len(infos) > MAX_ARRAYS:
            raise ValueError(f"more than {MAX_ARRAYS} arrays")
        self._infos = {info.filename.removesuffix(".npy"): info for info in infos}
        if len(self._infos) != len(infos):
            raise ValueError("two arrays of one name")
        if sum(info.compress_size for info in infos) > size:
            raise ValueError("arrays that are larger than the file")
        unpacked = sum(info.file_size for info in infos)
        if unpacked > max(MIN_UNPACKED, MAX_RATIO * size):
            raise ValueError(f"{size} bytes that unpack to {unpacked}")

    @property
    def names(self) -> set[str]:
        return set(self._infos)

    def read(self, name: str) -> npt.NDArray[Any]:
        """An array of numbers or of text, writable."""
        info = self._infos[name]
        with self._archive.open(info) as stream:
            shape, fortran, dtype = _header(stream)
            begin = stream.tell()
            size = math.prod(shape) * dtype.itemsize
            if size != info.file_size - begin:
                raise ValueError(f"{name} of {shape} {dtype} in {info.file_size - begin} bytes")
            if dtype.kind in "US" and size > _MAX_TEXT:
                raise ValueError(f"{name}: a text of {size} bytes")
            buffer = bytearray(size)
            view, done = memoryview(buffer), 0
            while part := stream.read(_CHUNK):  # the last one checks the sum of all
                if len(part) > size - done:
                    raise ValueError(f"{name}: more bytes than announced")
                view[done : done + len(part)] = part
                done += len(part)
            if done < size:
                raise EOFError(f"{name}: fewer bytes than announced")
        array = np.frombuffer(buffer, dtype) if size else np.empty(math.prod(shape), dtype)
        return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)

    def text(self, name: str) -> str:
        """A text, as an array of no dimension."""
        array = self.read(name)
        if array.ndim != 0 or array.dtype.kind != "U":
            raise ValueError(f"{name} of {array.shape} {array.dtype} in place of a text")
        return str(array)


@contextmanager
def open_npz(path: str | os.PathLike[str], what: str) -> Iterator[Arrays]:
    """The arrays of a file, which is ``what`` in messages.

    Everything that goes wrong within the block is a DataError, without the file's name.

    Raises:
        DataError: it is no such file, it is damaged, or it would take far more memory than the file.
        OSError: it cannot be opened.
    """
    try:
        # a pipe must not keep us waiting
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    except ValueError:
        raise DataError("must be the name of a file, got one with a null byte") from None
    with file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(f"path must be a file, got the folder {os.fspath(path)}")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"must be {what}, got no regular file")
        try:
            if file.read(6) == np.lib.format.MAGIC_PREFIX:
                raise DataError(f"must be {what}, got a single array")
            with zipfile.ZipFile(file) as archive:
                yield Arrays(archive, status.st_size)
        except DataError:
            raise
        # zipfile and NumPy raise what they stumble over
        except (Exception, RecursionError, MemoryError) as error:
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(
                f"must be a whole {what.removeprefix('a ')}, got a damaged or other one ({said})"
            ) from None


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype of an array."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"arrays of version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream, max_header_size=_MAX_HEADER)
    if dtype.kind not in "biufUS":
        raise ValueError(f"an array of {dtype}")
    if any(size < 0 for size in shape) or len(shape) > 8:
        raise ValueError(f"an array of shape {shape}")
    return shape, fortran, dtype
