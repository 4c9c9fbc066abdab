"""Samplers: where episodes and labels are made. All of them give the same bits.

`Here` makes them in this process, on threads. `Elsewhere` takes them apart into pieces for an engine,
processes or a Ray cluster; each piece is some episodes, and an episode is a function of its number.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from mbmf.arguments import MAX_THREADS, whole_number
from mbmf.cluster.engine import Engine, in_order
from mbmf.errors import CoreError
from mbmf.policies.batch import PolicyBatch
from mbmf.rollouts.collect import Progress, collect_mpc, collect_policy, collect_random
from mbmf.rollouts.episodes import Episodes
from mbmf.rollouts.label import label_episodes

if TYPE_CHECKING:
    from mbmf.planning.planner import Planner
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.tasks.task import Task

# episodes in a row without a step, after which a collection by steps gives up; the core's number
_MOST_EMPTY = 100
# pieces for each that runs at the same time: one that takes long leaves little to wait for
_PIECES = 3


class Sampler(Protocol):
    """Makes episodes and labels; algorithms take one.

    Attributes:
        threads: what a planner that is given to it should have as ``nthread``.
        in_pieces: whether batches come in pieces as they are ready, so that a caller asks for all at once.
    """

    @property
    def threads(self) -> int: ...

    @property
    def in_pieces(self) -> bool: ...

    def random(
        self,
        task: Task,
        episodes: int,
        steps: int,
        *,
        seed: int,
        first_episode: int = 0,
        progress: Progress | None = None,
    ) -> Generator[Episodes]:
        """What `mbmf.collect_random` gives, as one or more batches, in the order of the episodes."""

    def mpc(
        self,
        task: Task,
        planner: Planner,
        episodes: int,
        steps: int,
        *,
        seed: int,
        first_episode: int = 0,
        action_noise: float = 0.0,
        progress: Progress | None = None,
    ) -> Generator[Episodes]:
        """What `mbmf.collect_mpc` gives, as one or more batches, in the order of the episodes."""

    def policy(
        self,
        task: Task,
        policy: GaussianPolicy,
        *,
        seed: int,
        steps: int | None = None,
        episodes: int | None = None,
        max_episode_steps: int | None = None,
        first_episode: int = 0,
        progress: Progress | None = None,
        **options: Any,
    ) -> PolicyBatch:
        """What `mbmf.collect_policy` gives; ``options`` are its own."""

    def labels(
        self,
        planner: Planner,
        episodes: Episodes,
        *,
        first_episode: int = 0,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """What `mbmf.rollouts.label.label_episodes` gives."""

    def call(self, function: Callable[[Any, Any, int], Any], thing: Any, piece: Any) -> Any:
        """function(thing, piece, threads), a pure function of a module, in one piece."""


class Here:
    """A `Sampler` of this process.

    Args:
        nthread: threads, 0 to 1024; 0: one for every processor.

    Raises ValueError if it is out of range.

    Example:
        >>> batch = Episodes.concatenate(list(Here().random(task, episodes=10, steps=100, seed=0)))
    """

    in_pieces = False

    def __init__(self, nthread: int = 0) -> None:
        self.threads = whole_number("nthread", nthread, 0, MAX_THREADS)

    def random(self, task: Task, episodes: int, steps: int, **options: Any) -> Generator[Episodes]:
        yield collect_random(task, episodes, steps, nthread=self.threads, **options)

    def mpc(
        self, task: Task, planner: Planner, episodes: int, steps: int, **options: Any
    ) -> Generator[Episodes]:
        yield collect_mpc(task, planner, episodes, steps, **options)

    def policy(self, task: Task, policy: GaussianPolicy, **options: Any) -> PolicyBatch:
        return collect_policy(task, policy, nthread=self.threads, **options)

    def labels(self, planner: Planner, episodes: Episodes, **options: Any) -> npt.NDArray[np.float32]:
        return label_episodes(planner, episodes, **options)

    def call(self, function: Callable[[Any, Any, int], Any], thing: Any, piece: Any) -> Any:
        return function(thing, piece, self.threads)


class Elsewhere:
    """A `Sampler` on an engine's processes or machines; a context manager, which closes the engine.

    Progress is told when a piece has arrived. What is collected is the same bits as `Here` gives.

    Args:
        engine: `mbmf.cluster.processes.Processes`, `mbmf.cluster.ray_engine.RayEngine`, or one of your own.

    Example:
        >>> with Elsewhere(RayEngine("auto")) as sampler:
        ...     planner = mbmf.make_planner(task, model, nthread=sampler.threads)
        ...     batch = Episodes.concatenate(list(sampler.mpc(task, planner, 10, 333, seed=0)))
    """

    in_pieces = True

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.threads = engine.threads

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *error: object) -> None:
        self.engine.close()

    def random(
        self,
        task: Task,
        episodes: int,
        steps: int,
        *,
        seed: int,
        first_episode: int = 0,
        progress: Progress | None = None,
    ) -> Generator[Episodes]:
        pieces = self._split(first_episode, episodes)
        found = in_order(self.engine, _random, (task, steps, seed), pieces)
        return _told(found, progress)

    def mpc(
        self,
        task: Task,
        planner: Planner,
        episodes: int,
        steps: int,
        *,
        seed: int,
        first_episode: int = 0,
        action_noise: float = 0.0,
        progress: Progress | None = None,
    ) -> Generator[Episodes]:
        # an episode of plans is work for seconds: each is a piece
        pieces = [(number, 1) for number in range(first_episode, first_episode + episodes)]
        found = in_order(self.engine, _mpc, (task, planner, steps, seed, action_noise), pieces)
        return _told(found, progress)

    def policy(
        self,
        task: Task,
        policy: GaussianPolicy,
        *,
        seed: int,
        steps: int | None = None,
        episodes: int | None = None,
        max_episode_steps: int | None = None,
        first_episode: int = 0,
        progress: Progress | None = None,
        **options: Any,
    ) -> PolicyBatch:
        if (steps is None) == (episodes is None):
            raise ValueError(f"either steps or episodes must be given, got {steps} and {episodes}")
        thing = task, policy, {**options, "seed": seed, "max_episode_steps": max_episode_steps}
        found: list[PolicyBatch] = []
        if episodes is not None:
            for batch in in_order(self.engine, _policy, thing, self._split(first_episode, episodes)):
                found.append(batch)
                if progress is not None:
                    progress(sum(each.nsteps for each in found))
            return PolicyBatch.concatenate(found)
        assert steps is not None
        longest = task.episode_steps if max_episode_steps is None else max_episode_steps
        with contextlib.closing(self._until(thing, steps, longest, first_episode)) as batches:
            for batch in batches:
                found.append(batch)
                if progress is not None:
                    progress(min(steps, sum(each.nsteps for each in found)))
        return _fewest(PolicyBatch.concatenate(found), steps)

    def labels(
        self,
        planner: Planner,
        episodes: Episodes,
        *,
        first_episode: int = 0,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        labels = np.zeros_like(episodes.actions)
        done = 0
        pieces = (
            (first_episode + first, episodes.select(np.arange(first, first + count)))
            for first, count in self._split(0, len(episodes))
        )
        for made in in_order(self.engine, _labels, planner, pieces):
            labels[done : done + len(made)] = made
            done += len(made)
            if progress is not None:
                progress(int(episodes.lengths[:done].sum()))
        return labels

    def call(self, function: Callable[[Any, Any, int], Any], thing: Any, piece: Any) -> Any:
        return next(in_order(self.engine, function, thing, [piece]))

    def _split(self, first: int, count: int) -> list[tuple[int, int]]:
        """(first, how many) of pieces of nearly one size."""
        size = max(1, math.ceil(count / (_PIECES * self.engine.slots)))
        return [(first + done, min(size, count - done)) for done in range(0, count, size)]

    def _until(self, thing: Any, steps: int, longest: int, first: int) -> Generator[PolicyBatch]:
        """Batches of a policy's episodes, in order, until they have so many steps.

        As many are begun as would be enough if episodes lasted as long as those so far, at first the longest.
        """
        engine, kept = self.engine, self.engine.keep(thing)
        begun: deque[tuple[Any, int]] = deque()
        total = episodes = empty = 0
        try:
            while total < steps:
                mean = max(total / episodes, 1.0) if episodes else float(longest)
                ahead = sum(count for _, count in begun)
                lacking = math.ceil((steps - total) / mean) - ahead
                for start, count in self._split(first, lacking) if lacking > 0 else ():
                    begun.append((engine.start(_policy, kept, (start, count)), count))
                    first = start + count
                job, _ = begun.popleft()
                engine.wait([job])
                batch = engine.take(job)
                for length in batch.lengths:
                    empty = 0 if length else empty + 1
                    if empty == _MOST_EMPTY:
                        raise CoreError(
                            "the simulation diverges in the first step: "
                            f"{_MOST_EMPTY} episodes in a row have no steps"
                        )
                yield batch
                total, episodes = total + batch.nsteps, episodes + len(batch)
        finally:
            engine.cancel([job for job, _ in begun])


def _told(batches: Generator[Episodes], progress: Progress | None) -> Generator[Episodes]:
    done = 0
    with contextlib.closing(batches):
        for batch in batches:
            done += batch.nsteps
            if progress is not None:
                progress(done)
            yield batch


def _fewest(batch: PolicyBatch, steps: int) -> PolicyBatch:
    """The fewest of the first episodes that have so many steps."""
    return batch.first(int(np.searchsorted(np.cumsum(batch.lengths), steps)) + 1)


# pieces: functions of what they work with, which episodes, and threads


def _random(thing: Any, piece: tuple[int, int], nthread: int) -> Episodes:
    task, steps, seed = thing
    first, count = piece
    return collect_random(task, count, steps, seed=seed, nthread=nthread, first_episode=first)


def _mpc(thing: Any, piece: tuple[int, int], nthread: int) -> Episodes:
    task, planner, steps, seed, noise = thing
    first, count = piece
    return collect_mpc(task, planner, count, steps, seed=seed, first_episode=first, action_noise=noise)


def _policy(thing: Any, piece: tuple[int, int], nthread: int) -> PolicyBatch:
    task, policy, options = thing
    first, count = piece
    return collect_policy(task, policy, episodes=count, nthread=nthread, first_episode=first, **options)


def _labels(planner: Planner, piece: tuple[int, Episodes], nthread: int) -> npt.NDArray[np.float32]:
    first, episodes = piece
    return label_episodes(planner, episodes, first_episode=first)
