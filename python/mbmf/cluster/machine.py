"""What the bits of a result depend on beside its inputs: instruction set and versions of a machine."""

from __future__ import annotations

import functools
import hashlib
import platform
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

import mbmf
from mbmf import _core
from mbmf.runs.configuration import versions

# packages whose numbers end up in results
_COUNTED = ("mujoco", "numpy", "torch")


@dataclass(frozen=True)
class Machine:
    """What two machines must agree in for their results to be the same bits.

    Attributes:
        isa: the instruction set of the kernels: portable, avx2, avx512 or neon (``MBMF_FORCE_ISA`` sets it).
        processor: the instruction sets that NumPy, and PyTorch likewise, find and use, in one word.
        mbmf: the version, with a digest of the Python files: a checkout changes without its version.
        libraries: MuJoCo, NumPy, PyTorch and the C library (its sines and exponentials), with versions.

    Example:
        >>> Machine.here() == Machine.here()
        True
    """

    isa: str
    processor: str
    mbmf: str
    libraries: str

    @classmethod
    @functools.cache
    def here(cls) -> Machine:
        """Of this process."""
        found = versions()
        named = [f"{name} {found[name]}" for name in _COUNTED if name in found]
        return cls(
            _core.isa(),
            _vectors(),
            f"{mbmf.__version__} ({_sources()})",
            ", ".join([*named, "libc {1}".format(*platform.libc_ver())]),
        )

    def differences(self, wanted: Machine) -> str:
        """How this one differs from the ``wanted``; "" if it does not."""
        pairs = ((f.name, getattr(self, f.name), getattr(wanted, f.name)) for f in fields(self))
        return "; ".join(f"{name} {mine} in place of {other}" for name, mine, other in pairs if mine != other)


def _vectors() -> str:
    """The widest vectors that NumPy uses here: its choices and PyTorch's are by the same processor flags."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    found = {*extensions["baseline"], *extensions["found"]}
    # the last ones are the names of NumPy before 2.4
    names = ("X86_V4", "X86_V3", "SVE", "ASIMD", "AVX512_SKX", "AVX512F", "AVX2")
    return next((name for name in names if name in found), "none")


def _sources() -> str:
    """The first 8 hexadecimal digits of the SHA-256 of mbmf's Python files."""
    digest = hashlib.sha256()
    folder = Path(mbmf.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]
