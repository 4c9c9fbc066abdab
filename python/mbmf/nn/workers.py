"""Threads that share work of PyTorch's, and how rows are cut into chunks for them.

Chunks have a fixed size, whoever works: sums over them, in order, are the same bits at any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

from mbmf.nn.ending import between_pieces

CHUNK = 4096

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Threads that each compute with one PyTorch thread: `map` over chunks. Use as a context manager."""

    def __init__(self, nthread: int) -> None:
        self.nthread = nthread
        self._pool = ThreadPoolExecutor(nthread, "mbmf", lambda: torch.set_num_threads(1))

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The results in the order of the items."""
        between_pieces()
        return list(self._pool.map(function, items))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)


def chunks(count: int, size: int = CHUNK) -> list[slice]:
    """``count`` rows as slices of ``size`` rows, the last of which may have fewer."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
