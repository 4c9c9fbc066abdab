"""What runs pieces of work: the interface that `mbmf.cluster.processes` and `mbmf.cluster.ray_engine` share.

A piece is ``function(thing, piece, nthread)``: a function of a module, what it works with (a planner, a
policy, ...), and what distinguishes it from the others (first episode, how many). It returns arrays, and is a
pure function of what it is given, so it may run anywhere, and again where a worker died.
"""

from __future__ import annotations

import itertools
import pickle
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mbmf.errors import CoreError, MbmfError

#: (thing, piece, threads) -> result
Work = Callable[[Any, Any, int], Any]

#: how often a piece is tried again after its worker died
RETRIES = 10


class Engine(Protocol):
    """Runs pieces of work at the same time. Close it when it is not needed any more.

    Attributes:
        slots: how many pieces run at the same time.
        threads: threads of each, at least 1.
        sees_files: whether pieces see the files of this machine.
    """

    @property
    def slots(self) -> int: ...

    @property
    def threads(self) -> int: ...

    @property
    def sees_files(self) -> bool: ...

    def keep(self, thing: Any) -> Any:
        """What stands for ``thing`` in `start`: it is sent once, however many pieces work with it."""

    def start(self, function: Work, kept: Any, piece: Any) -> Any:
        """Begins a piece with what `keep` gave; returns its job."""

    def wait(self, jobs: Sequence[Any], timeout: float | None = None) -> list[Any]:
        """Those of the jobs that are over, once one is, or after ``timeout`` seconds."""

    def take(self, job: Any) -> Any:
        """The result of a job that is over. Raises what the piece raised, ClusterError if it was lost."""

    def cancel(self, jobs: Iterable[Any]) -> None:
        """Ends the jobs that are not over, as Ctrl-C would."""

    def close(self) -> None:
        """Ends the workers."""


def in_order(engine: Engine, function: Work, thing: Any, pieces: Iterable[Any]) -> Generator[Any]:
    """The results of the pieces, in their order, a few of which are begun ahead.

    Raises what the first piece to fail raised; those that still run are cancelled then, also where the
    caller stops asking.
    """
    kept, waiting = engine.keep(thing), iter(pieces)
    begun: deque[Any] = deque()
    try:
        while True:
            for piece in itertools.islice(waiting, 2 * engine.slots + 2 - len(begun)):
                begun.append(engine.start(function, kept, piece))
            if not begun:
                return
            engine.wait([begun[0]])
            yield engine.take(begun.popleft())
    finally:
        engine.cancel(begun)


@dataclass(frozen=True)
class Outcome:
    """What became of a piece: its value or its error, and the warnings on the way."""

    value: Any = None
    error: BaseException | None = None
    warnings: tuple[str, ...] = ()

    def unwrapped(self) -> Any:
        """The value, after warning of what there was. Raises the error."""
        for text in self.warnings:
            warnings.warn(text, stacklevel=2)
        if self.error is not None:
            raise self.error
        return self.value


def perform(function: Work, thing: Callable[[], Any], piece: Any, threads: int) -> Outcome:
    """Runs a piece in a worker. ``thing`` is called for what it works with."""
    error: BaseException | None = None
    value = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = function(thing(), piece, threads)
        except (Exception, KeyboardInterrupt) as failure:
            error = portable(failure)
    texts = tuple(str(each.message) for each in caught if issubclass(each.category, UserWarning))
    return Outcome(value, error, texts)


def portable(error: BaseException) -> BaseException:
    """The error as it can be sent; one that is no message for people says where it comes from."""
    if not isinstance(error, (MbmfError, CoreError, ValueError, OSError, KeyboardInterrupt)):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
