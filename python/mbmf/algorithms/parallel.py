"""Many runs at the same time, on an engine: the stages of each follow each other, in slices.

A slice is a piece of work: going on with a run for `SLICE` seconds, until an iteration is over. Where the
workers do not see the run's files these travel with it, and come back changed: this machine's files are the
record, and whatever becomes of a worker costs what it did since.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbmf.algorithms.model_free import Limits
from mbmf.algorithms.stages import Stage
from mbmf.cluster.engine import Engine, portable
from mbmf.errors import ClusterError, CoreError, DataError, MbmfError
from mbmf.runs.carried import Files, changes, read_folder, update_folder, write_folder
from mbmf.runs.lock import Lock
from mbmf.runs.run import Record, Run

#: seconds after which a run is handed back, once an iteration is over
SLICE = 30.0


@dataclass
class Chain:
    """Stages that follow each other, ``count`` of them; ``name`` is said with whatever happens."""

    name: str
    stages: Iterator[Stage]
    count: int


@dataclass(frozen=True)
class Progress:
    """How far all chains are.

    Attributes:
        finished, failed, chains: how many.
        share: of the work that is done, from 0 to 1: stages count alike.
        seconds: since the beginning.
    """

    finished: int
    failed: int
    chains: int
    share: float
    seconds: float

    def __str__(self) -> str:
        left = ""
        if 0.02 < self.share < 1:
            left = f", about {_clock(self.seconds * (1 - self.share) / self.share)} left"
        failed = f", {self.failed} failed" if self.failed else ""
        return (
            f"{self.finished} of {self.chains} finished{failed}, {self.share:.0%} done after "
            f"{_clock(self.seconds)}{left}"
        )


#: told what a chain did, in lines, and how far all are
Report = Callable[[str, Sequence[str], Progress], None]


def run_chains(engine: Engine, chains: Sequence[Chain], report: Report | None = None) -> dict[str, Exception]:
    """Runs all stages of all chains; returns the errors of those that failed, by the chain's name.

    Chains begin in their order, as many as the engine has slots. Raises ClusterError if the engine cannot go
    on, KeyboardInterrupt; then what runs is cancelled, and the runs go on where they were the next time.
    """
    begin = time.perf_counter()
    waiting = list(reversed(chains))
    going: dict[Any, _Going] = {}
    failures: dict[str, Exception] = {}
    finished = 0
    shares: dict[str, float] = {}

    def tell(chain: Chain, lines: Sequence[str]) -> None:
        if report is not None:
            share = sum(shares.values()) / len(chains)
            seconds = time.perf_counter() - begin
            report(chain.name, lines, Progress(finished, len(failures), len(chains), share, seconds))

    try:
        while waiting or going:
            while waiting and len(going) < engine.slots:
                chain = waiting.pop()
                each = _Going(engine, chain)
                try:
                    going[each.start()] = each
                except StopIteration:
                    raise ValueError(f"{chain.name} must have a stage, got none") from None
                except (MbmfError, CoreError) as error:
                    each.close()
                    failures[chain.name], shares[chain.name] = error, 1.0
                    tell(chain, [f"failed: {error}"])
            for job in engine.wait(list(going)):
                each = going.pop(job)
                lines: list[str] = []
                try:
                    lines += each.take(job)
                    going[each.start()] = each
                    shares[each.chain.name] = each.share
                except StopIteration:
                    finished, shares[each.chain.name] = finished + 1, 1.0
                    lines.append("finished")
                    each.close()
                except ClusterError:
                    each.close()
                    raise
                except (MbmfError, CoreError, OSError) as error:
                    each.close()
                    failures[each.chain.name], shares[each.chain.name] = error, 1.0
                    lines.append(f"failed: {error}")
                tell(each.chain, lines)
    finally:
        engine.cancel(list(going))
        for each in going.values():
            each.close()
    return failures


@dataclass(eq=False)
class _Going:
    """A chain at one of its stages."""

    engine: Engine
    chain: Chain
    stage: Stage | None = None
    done: int = 0  # stages
    within: float = 0.0  # the share of the stage that is done
    kept: Any = None
    files: Files = field(default_factory=dict)
    lock: Lock | None = None

    @property
    def share(self) -> float:
        return min(1.0, (self.done + self.within) / self.chain.count)

    def start(self) -> Any:
        """Begins a slice of the stage at hand, or of the next; its job. Raises StopIteration at the end."""
        if self.stage is None:
            stage = next(self.chain.stages)
            # here, where the run is to be: its configuration says where the robot's file is from there
            stage.open().close()
            if not self.engine.sees_files:
                self.lock = Lock(stage.path, write=True)
                self.files = read_folder(stage.path)
            self.stage, self.kept = stage, self.engine.keep(stage)
        files = None if self.engine.sees_files else self.files
        return self.engine.start(go_on, self.kept, (SLICE, files))

    def take(self, job: Any) -> list[str]:
        """What a slice said; its files are on the disk. Raises what it raised."""
        assert self.stage is not None
        found: Slice = self.engine.take(job)
        if not self.engine.sees_files:
            update_folder(self.stage.path, found.changed, found.removed)
            for name in found.removed:
                self.files.pop(name, None)
            self.files |= found.changed
        lines = [f"{self.stage.what}: {line}" for line in found.lines]
        self.within = found.share
        if found.error is not None:
            raise found.error
        if found.finished:
            self._leave_stage()
            self.done, self.within = self.done + 1, 0.0
        return lines

    def close(self) -> None:
        self._leave_stage()
        close = getattr(self.chain.stages, "close", None)
        if close is not None:
            close()

    def _leave_stage(self) -> None:
        if self.lock is not None:
            self.lock.close()
        self.lock, self.stage, self.kept, self.files = None, None, None, {}


# in workers


@dataclass(frozen=True)
class Slice:
    """What came of going on with a run.

    Attributes:
        finished: the stage is over.
        share: of the stage that is done.
        lines: what happened, for people.
        changed, removed: the run's files, where they travel.
        error: that ended the stage; the files are those that it left.
    """

    finished: bool
    share: float
    lines: tuple[str, ...]
    changed: Files = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    error: BaseException | None = None


class _EnoughError(Exception):
    """The slice's time is over, and an iteration is on the disk."""


def go_on(stage: Stage, piece: tuple[float, Files | None], nthread: int) -> Slice:
    """Goes on with a stage for some seconds, in its run's directory or, with its files, in one of its own."""
    seconds, files = piece
    if files is None:
        return _slice(stage.moved(stage.path, nthread), seconds)
    try:
        with tempfile.TemporaryDirectory(prefix="mbmf_") as folder:
            path = Path(folder) / stage.path.name
            write_folder(path, files)
            found = _slice(stage.moved(path, nthread), seconds)
            changed, removed = changes(files, read_folder(path))
    except OSError as error:
        raise DataError(
            f"{stage.path}: worker on {socket.gethostname()} must be able to write to "
            f"{tempfile.gettempdir()}, got: {error.strerror or error}; the run is as it was"
        ) from None
    if found.error is not None:
        text = str(found.error).replace(str(path), f"{stage.path}, on {socket.gethostname()}")
        found.error.args = (text,)
    return Slice(found.finished, found.share, found.lines, changed, removed, found.error)


def _slice(stage: Stage, seconds: float) -> Slice:
    watch = _Watch(time.monotonic() + seconds)
    finished, failure = True, None
    try:
        with stage.open() as run:
            watch.stage(stage.title, run)
            stage.go_on(run, watch)
    except _EnoughError:
        finished = False
    except (MbmfError, CoreError) as error:
        finished, failure = False, error
    return Slice(finished, watch.share, tuple(watch.lines), error=failure and portable(failure))


class _Watch:
    """Observers that write lines, and end the stage after an iteration when it is time."""

    def __init__(self, end: float) -> None:
        self._end = end
        self.lines: list[str] = []
        self.share = 0.0

    def stage(self, title: str, run: Run) -> None:
        pass

    def model_based(self, iterations: int) -> _StageWatch:
        return _StageWatch(self, Limits(iterations))

    def imitation(self, iterations: int) -> _StageWatch:
        return _StageWatch(self, Limits(iterations))

    def policy(
        self, limits: Limits, batch_size: int, run: Run
    ) -> contextlib.AbstractContextManager[_StageWatch]:
        return contextlib.nullcontext(_StageWatch(self, limits))

    def iteration(self, record: Record, limits: Limits) -> None:
        number, reward = record["iteration"], record["reward_mean"]
        shown = "no reward" if reward is None else f"reward {reward:,.2f}"
        self.lines.append(f"iteration {number} of {limits.iterations}, {shown}")
        self.share = number / limits.iterations
        if limits.max_steps is not None:
            self.share = max(self.share, record["steps_total"] / limits.max_steps)
        if time.monotonic() > self._end:
            raise _EnoughError


class _StageWatch:
    """An observer of any algorithm."""

    def __init__(self, watch: _Watch, limits: Limits) -> None:
        self._watch, self._limits = watch, limits

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda done: None

    def sampling(self, steps: int) -> None:
        pass

    def iteration(self, record: Record, *more: Any) -> None:
        self._watch.iteration(record, self._limits)

    def note(self, text: str) -> None:
        self._watch.lines.append(f"note: {text}")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
