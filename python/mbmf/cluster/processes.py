"""An engine of processes on this machine."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from mbmf.arguments import MAX_THREADS, whole_number
from mbmf.cluster.engine import RETRIES, Outcome, Work, perform
from mbmf.errors import ClusterError

# seconds that workers have to end after Ctrl-C: what they collected is written first
_GRACE = 20.0


def cpus() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(eq=False)
class _Job:
    function: Work
    kept: _Kept
    piece: Any
    number: int
    tries: int = 0
    outcome: Outcome | None = None


@dataclass(frozen=True, eq=False)
class _Kept:
    number: int
    pickled: bytes = field(repr=False)


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    job: _Job | None = None
    has: int = -1  # the number of the thing that it has


class Processes:
    """Pieces in processes of their own, started when they are first needed (an `Engine`).

    A process that dies is replaced, and its piece begins again. The program that makes one must be a module
    that may be imported (``if __name__ == "__main__":``), as Python's multiprocessing asks.

    Args:
        slots: processes at most, 1 to 1024; None: one for every ``threads`` processors.
        threads: threads of a piece, 1 to 1024.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> with contextlib.closing(Processes(2)) as engine:
        ...     batches = list(in_order(engine, collect_some, planner, [(0, 5), (5, 5)]))
    """

    sees_files = True

    def __init__(self, slots: int | None = None, threads: int = 1) -> None:
        self.threads = whole_number("threads", threads, 1, MAX_THREADS)
        self.slots = whole_number(
            "slots", max(1, cpus() // self.threads) if slots is None else slots, 1, MAX_THREADS
        )
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._queue: deque[_Job] = deque()
        self._numbers = itertools.count()

    def keep(self, thing: Any) -> _Kept:
        return _Kept(next(self._numbers), pickle.dumps(thing, pickle.HIGHEST_PROTOCOL))

    def start(self, function: Work, kept: _Kept, piece: Any) -> _Job:
        job = _Job(function, kept, piece, next(self._numbers))
        self._queue.append(job)
        self._deal()
        return job

    def wait(self, jobs: Sequence[_Job], timeout: float | None = None) -> list[_Job]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            over = [job for job in jobs if job.outcome is not None]
            if over or not jobs:
                return over
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return []
            self._collect(left)

    def take(self, job: _Job) -> Any:
        assert job.outcome is not None
        return job.outcome.unwrapped()

    def cancel(self, jobs: Iterable[_Job]) -> None:
        unwanted = [job for job in jobs if job.outcome is None]
        for job in unwanted:
            if job in self._queue:
                self._queue.remove(job)
                job.outcome = Outcome(error=KeyboardInterrupt())
        busy = [worker for worker in self._workers if worker.job in unwanted]
        for worker in busy:
            assert worker.job is not None
            worker.job.tries = RETRIES + 1  # not again, should the process die
            with contextlib.suppress(OSError):
                worker.pipe.send(worker.job.number)
        end = time.monotonic() + _GRACE
        while any(worker.job in unwanted for worker in busy) and time.monotonic() < end:
            self._collect(max(0.0, end - time.monotonic()))
        for worker in busy:
            if worker.job in unwanted:
                worker.process.kill()

    def close(self) -> None:
        self.cancel([worker.job for worker in self._workers if worker.job is not None])
        for worker in self._workers:
            worker.pipe.close()  # which ends it
        for worker in self._workers:
            worker.process.join(_GRACE)
            worker.process.kill()
            worker.process.join()
        self._workers.clear()

    def _deal(self) -> None:
        """Gives what waits to processes that have nothing to do."""
        while self._queue:
            worker = next((each for each in self._workers if each.job is None), None)
            if worker is None and len(self._workers) < self.slots:
                worker = self._begin()
            if worker is None:
                return
            job = self._queue.popleft()
            worker.job, job.tries = job, job.tries + 1
            thing = None if worker.has == job.kept.number else job.kept.pickled
            worker.has = job.kept.number
            try:
                worker.pipe.send((job.number, job.function, thing, job.piece, self.threads))
            except OSError:
                self._bury(worker)

    def _begin(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, mine)
        self._workers.append(worker)
        return worker

    def _collect(self, timeout: float | None) -> None:
        """Takes the answers that are there, or come within the time."""
        busy = {worker.pipe: worker for worker in self._workers if worker.job is not None}
        for pipe in multiprocessing.connection.wait(list(busy), timeout):
            worker = busy[pipe]  # type: ignore[index]
            try:
                outcome, ends = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            assert worker.job is not None
            worker.job.outcome, worker.job = outcome, None
            if ends:
                self._workers.remove(worker)
                worker.pipe.close()
                worker.process.join()
        self._deal()

    def _bury(self, worker: _Worker) -> None:
        """Its piece goes back to the front of what waits, unless it was lost too often."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        job = worker.job
        assert job is not None
        if job.tries <= RETRIES:
            self._queue.appendleft(job)
            return
        code = worker.process.exitcode
        job.outcome = Outcome(
            error=ClusterError(
                f"process must end a piece of work, got {job.tries} that died, the last with exit code "
                f"{code} (-9: killed by the system, mostly for want of memory)"
            )
        )


def _serve(pipe: Connection) -> None:
    """What a process does: pieces, until the other end of the pipe is closed."""
    # the terminal's Ctrl-C is for the parent, which passes it on to those that are at work
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _Service(pipe).run()


def _within_import(error: BaseException | None) -> bool:
    """Whether it is an interruption in the middle of an import."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(
        code.co_name == "<module>" or code.co_filename.startswith("<frozen importlib") for code in codes
    )


class _Service:
    """The process's side: a thread listens, the main thread works and may be interrupted."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._current: int | None = None  # the job that is worked at
        self._thing: Any = None
        self._pickled: bytes | None = None

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while (asked := self._asked.get()) is not None:
            number, function, pickled, piece, threads = asked
            self._pickled = pickled or self._pickled
            outcome = Outcome(error=KeyboardInterrupt())
            # a signal that comes as the piece ends is for nobody
            with contextlib.suppress(KeyboardInterrupt):
                if self._begin(number):
                    outcome = perform(function, self._unpickled, piece, threads)
                self._begin(None)
            # what was imported by half cannot be imported again: PyTorch registers its operators once
            ends = _within_import(outcome.error)
            try:
                self._pipe.send((outcome, ends))
            except OSError:
                return
            if ends:
                return

    def _listen(self) -> None:
        """Takes jobs, and the numbers of those that are not wanted any more."""
        while True:
            try:
                asked = self._pipe.recv()
            except (EOFError, OSError):  # the parent is gone
                self._interrupt(self._current)
                self._asked.put(None)
                return
            if isinstance(asked, int):
                self._interrupt(asked)
            else:
                self._asked.put(asked)

    def _interrupt(self, number: int | None) -> None:
        with self._lock:
            if number is not None and number == self._current:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            elif number is not None:
                self._cancelled.add(number)

    def _begin(self, number: int | None) -> bool:
        """Says what is worked at; whether it is still wanted."""
        with self._lock:
            self._current = number
            return number not in self._cancelled

    def _unpickled(self) -> Any:
        if self._pickled is not None:
            self._thing, self._pickled = pickle.loads(self._pickled), None
        return self._thing
