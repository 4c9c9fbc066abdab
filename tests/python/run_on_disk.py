"""A finished run with a file of each kind, for the tests of what happens to its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mbmf
from mbmf.runs.run import Run

CONFIG: dict[str, Any] = {"algorithm": "model_free", "task": {"name": "small"}, "seed": 0}


def snapshot(path: Path) -> dict[str, bytes]:
    """Every file below a folder, and its contents."""
    return {
        str(file.relative_to(path)): os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
        for file in path.rglob("*")
        if (file.is_file() or file.is_symlink()) and file.name != ".lock"
    }


def make(path: Path, config: dict[str, Any] = CONFIG, iterations: int = 3) -> Path:
    """A finished run with a file of each kind."""
    with Run.create(path, config) as run:
        write_all(run, iterations)
    return path


def write_all(run: Run, iterations: int = 3) -> None:
    episodes = mbmf.collect_random(mbmf.load_task("swimmer_forward"), 1, 2)
    for file in (run.data("train"), run.rollouts(1), run.rollouts(2), run.rollouts(3)):
        with run.writing(file) as new:
            episodes.save(new)
    for i in range(1, iterations + 1):
        for file in (run.model(i), run.policy("policy"), run.policy("checkpoint")):
            with run.writing(file) as new:
                new.write_bytes(b"%d" % i)
        run.append_metrics({"iteration": i, "reward_mean": 1.0 * i, "steps_total": i})
    run.write_summary({"iterations": iterations})


def killed(function: Callable[[], Any]) -> None:
    """Runs it in a child, which ends as by kill -9 where `os.rename` or `shutil.rmtree` is told to."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
