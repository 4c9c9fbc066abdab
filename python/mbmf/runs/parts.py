"""Episodes of a stage that is not over: an interruption loses the one that is being collected, no more.

They are kept in ``unfinished/<stage>/``, a file for some seconds of work, until the stage is over, and with
them what the stage began with. A file is known by the digest in its name: what was changed or cut off is made
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.rollouts.episodes import Episodes
from mbmf.runs.layout import UNFINISHED

if TYPE_CHECKING:
    from mbmf.runs.run import Run
    from mbmf.tasks.task import Task

# seconds: of work that an interruption by force may lose beside an episode, and of one part of it
_KEPT_AFTER, _PART = 2.0, 5.0

# (first episode, how many, control steps done before) -> these episodes, as one or more batches
Collect = Callable[[int, int, int], Generator[Episodes]]


def collect_in_parts(
    run: Run, stage: str, task: Task, count: int, collect: Collect, *, at_once: bool = False
) -> Episodes:
    """Episodes 0 to ``count`` - 1 of a stage, those that an interrupted process kept among them.

    They are collected a few at a time, which changes no number: each is a function of its own. Call `forget`
    once they are on the disk as a whole. Raises what ``collect`` raises; what was collected before is kept.

    at_once: ask for all that lack in one call, whose batches come as they are ready.
    """
    parts = _load(run, stage, task, count)
    done, steps = sum(map(len, parts)), sum(part.nsteps for part in parts)
    kept, size, last = len(parts), 1, time.perf_counter()
    try:
        while done < count:
            begin = now = time.perf_counter()
            with contextlib.closing(
                collect(done, count - done if at_once else min(size, count - done), steps)
            ) as batches:
                for batch in batches:
                    parts.append(batch)
                    done, steps = done + len(batch), steps + batch.nsteps
                    now = time.perf_counter()
                    if done < count and now - last > _KEPT_AFTER:
                        kept, last = _keep(run, stage, parts, kept), now
            size = 2 * size if now - begin < _PART else max(1, size // 2)
    except BaseException:
        _keep(run, stage, parts, kept)
        raise
    return Episodes.concatenate(parts)


def forget(run: Run, stage: str) -> None:
    """Removes what was kept of a stage that is over."""
    shutil.rmtree(run.path / UNFINISHED / stage, ignore_errors=True)


def keep_file(run: Run, stage: str, name: str, suffix: str, write: Callable[[Path], None]) -> None:
    """Keeps a file of a stage until it is over, in place of the one of that name. Raises OSError."""
    folder = run.path / UNFINISHED / stage
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"new{suffix}"
    write(new)
    kept = folder / f"{name}_{_digest(new.read_bytes())}{suffix}"
    new.rename(kept)
    for old in folder.glob(f"{name}_*{suffix}"):
        if old != kept:
            old.unlink()


def kept_file(run: Run, stage: str, name: str, suffix: str) -> Path | None:
    """What `keep_file` kept, if it is there as it was written."""
    for file in (run.path / UNFINISHED / stage).glob(f"{name}_*{suffix}"):
        if _digest(file.read_bytes()) == file.stem.removeprefix(f"{name}_"):
            return file
    return None


def _keep(run: Run, stage: str, parts: list[Episodes], kept: int) -> int:
    """Writes the parts after the first ``kept``, as one file; returns how many are kept now."""
    if len(parts) == kept:
        return kept
    first = sum(map(len, parts[:kept]))
    keep_file(run, stage, str(first), ".npz", Episodes.concatenate(parts[kept:]).save)
    return len(parts)


def _load(run: Run, stage: str, task: Task, count: int) -> list[Episodes]:
    """The parts that are there, from episode 0 without a gap."""
    parts: list[Episodes] = []
    found = {}
    for file in (run.path / UNFINISHED / stage).glob("*_*.npz"):
        first, _, digest = file.stem.partition("_")
        if first.isdecimal() and first.isascii() and _digest(file.read_bytes()) == digest:
            found[int(first)] = file
    done = 0
    while done in found:
        part = Episodes.load(found[done], task=task, allow_other_task=run.allow_other_task)
        if not len(part) or done + len(part) > count:
            break
        parts.append(part)
        done += len(part)
    return parts


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()
