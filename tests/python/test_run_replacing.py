"""A run that is replaced by another: it is the old one or the new one, whatever fails or kills it."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mbmf.errors import DataError
from mbmf.runs import replace
from mbmf.runs.run import Run
from run_on_disk import CONFIG, killed, make, snapshot, write_all


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make(tmp_path / "run")


def test_a_run_is_replaced_as_a_whole(run: Path, tmp_path: Path) -> None:
    """Whatever is a link goes, and what it points at stays."""
    shutil.move(run / "data", tmp_path / "large_disk")
    (run / "data").symlink_to(tmp_path / "large_disk")
    (run / "policy/link").symlink_to(tmp_path / "large_disk")
    (run / "mine.txt").write_text("notes")
    make(run / "imitation", {**CONFIG, "algorithm": "imitation"})
    (run / "report.html").write_text("a report")
    for folder in ("evaluation", "control"):
        (run / folder).mkdir()
        (run / folder / "episodes.npz").write_bytes(b"of the old run")
    with Run.create(run, {**CONFIG, "seed": 1}, overwrite=True) as new:
        assert new.config()["seed"] == 1
    assert not (run / "data").is_symlink()
    assert os.listdir(tmp_path / "large_disk") == ["train.npz"]
    left = {"config.yaml", "files.json", ".lock", "data", "models", "rollouts", "plots", "videos", "mine.txt"}
    assert set(os.listdir(run)) == left
    assert list(json.loads((run / "files.json").read_text())["files"]) == ["config.yaml"]


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("error", [OSError(13, "Permission denied"), KeyboardInterrupt()])
def test_a_replacement_that_fails_puts_everything_back(
    run: Path, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException
) -> None:
    before, good, calls = snapshot(run), os.rename, []

    def fail_once(*args: Any) -> None:
        calls.append(args)
        if len(calls) == at + 1:
            raise error
        good(*args)

    with monkeypatch.context() as patch:
        patch.setattr("mbmf.runs.replace.os.rename", fail_once)
        try:
            Run.create(run, {**CONFIG, "seed": 1}, overwrite=True).close()
        except (DataError, KeyboardInterrupt):
            assert snapshot(run) == before
        else:
            assert len(calls) <= at
            assert Run(run).config()["seed"] == 1
    Run.create(run, {**CONFIG, "seed": 2}, overwrite=True).close()


@pytest.mark.parametrize("keep", [(), ("data",)])
@pytest.mark.parametrize("at", range(14))
def test_killed_while_it_is_replaced_a_run_is_the_old_or_the_new_one(
    run: Path, monkeypatch: pytest.MonkeyPatch, at: int, keep: tuple[str, ...]
) -> None:
    new = {**CONFIG, "seed": 1}
    before, count = snapshot(run), [0]

    def step(function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            if count[0] == at:
                os._exit(9)
            count[0] += 1
            return function(*args, **kwargs)

        return stepped

    def child() -> None:
        for name in ("os.rename", "os.replace", "shutil.rmtree"):
            monkeypatch.setattr(name, step(eval(name)))
        if keep:
            Run.reuse(run, new, task="small", keep=keep).close()
        else:
            Run.create(run, new, overwrite=True).close()

    killed(child)
    look = Run(run)
    assert look.exists
    if replace.is_interrupted(run):
        with pytest.raises(DataError, match="must be whole, got one whose replacement was interrupted"):
            look.config()
        assert not (run / "config.yaml").exists()
        with pytest.raises(DataError, match="got an existing run"):
            Run.create(run, new)
        # the old run comes back whole
        Run.resume(run, CONFIG).close()
        assert snapshot(run) == before
    elif look.config()["seed"] == 1:
        Run.resume(run, new).close()
        assert not (run / "summary.json").exists()
        assert (run / "data/train.npz").exists() == bool(keep)
    else:
        assert snapshot(run) == before or not (run / "config.yaml").exists()
        Run.resume(run, CONFIG).close()
    Run.create(run, {**CONFIG, "seed": 2}, overwrite=True).close()
    assert not list(run.glob(".*.tmp"))


def test_killed_at_random_while_it_is_overwritten(run: Path) -> None:
    """`kill -9` at random moments: the run is the old one, the new one, or comes back as the old one."""
    context, moments = multiprocessing.get_context("fork"), random.Random(0)
    before = snapshot(run)
    for _ in range(20):
        process = context.Process(target=_overwrite, args=(run,))
        process.start()
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        if Run(run).exists:
            try:
                Run.resume(run, CONFIG).close()
                assert snapshot(run) == before
            except DataError as error:
                assert "seed must be 0" in str(error)  # noqa: PT017
                Run.resume(run, {**CONFIG, "seed": 1}).close()
                Run.create(run, CONFIG, overwrite=True).close()
                with Run.resume(run, CONFIG) as again:
                    write_all(again)
                Run.resume(run, CONFIG).close()
                before = snapshot(run)


def _overwrite(path: Path) -> None:
    Run.create(path, {**CONFIG, "seed": 1}, overwrite=True).close()
