"""How much memory networks and their training take, said before it is taken."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from mbmf.errors import DataError

# vectors of all parameters in float32: weights, gradient and two moments; copies of three to start from, and
# of three that are handed back
_VECTORS = 4 + 3 + 3


def check_training(
    sizes: Sequence[int], members: int, batch_size: int, points: int, *, keeps_best: bool
) -> None:
    """Raises DataError if training needs more memory than there is.

    Args:
        sizes: of the network's layers, inputs first.
        batch_size: of each member.
        points: of the data.
        keeps_best: whether the best parameters so far are kept beside the current ones.
    """
    parameters = members * _parameters(sizes)
    vectors = _VECTORS + 3 * keeps_best
    # the data once, and once more without what is held out; where their rows are drawn
    data = points * (2 * 4 * (sizes[0] + 1 + sizes[-1]) + 8 * members)
    activations = 3 * 4 * members * min(batch_size, points) * sum(size + 1 for size in sizes)
    needed, there_is = 4 * parameters * vectors + data + activations, available_memory()
    if there_is is not None and needed > there_is:
        raise DataError(
            f"hidden and members must need at most the memory that is free, {_size(there_is)}, got a "
            f"training that needs {_size(needed)} ({parameters:,} parameters, {points:,} points)"
        )


def check_network(what: str, sizes: Sequence[int]) -> None:
    """Raises DataError, which names ``what`` is too large, if one network's training needs more memory than
    there is, whatever the data. ``sizes``: of its layers, inputs first."""
    parameters, there_is = _parameters(sizes), available_memory()
    needed = 4 * parameters * _VECTORS
    if there_is is not None and needed > there_is:
        raise DataError(
            f"{what} must need at most the memory that is free, {_size(there_is)}, got a network of "
            f"{parameters:,} parameters, whose training needs {_size(needed)}"
        )


def available_memory() -> int | None:
    """Bytes that a process may still take; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _parameters(sizes: Sequence[int]) -> int:
    return sum((cols + 1) * rows for cols, rows in itertools.pairwise(sizes))


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
