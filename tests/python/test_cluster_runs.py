"""Many runs at the same time, in processes and on a Ray cluster: the bits of one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import mbmf
from mbmf.algorithms import parallel, reproduce
from mbmf.algorithms.parallel import Progress
from mbmf.cli.main import main
from mbmf.cluster.engine import Engine
from mbmf.cluster.processes import Processes
from mbmf.cluster.ray_engine import RayEngine
from mbmf.errors import DataError
from mbmf.runs.carried import changes, read_folder, update_folder
from run_numbers import numbers_of
from small_mb_run import FINE_TUNE, MODEL_FREE, task_config

SEEDS = (3, 5)
PLAN = reproduce.Plan(seeds=SEEDS, max_steps=700, nthread=1)


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task(task_config(model_free=MODEL_FREE, fine_tune=FINE_TUNE))


@pytest.fixture(scope="module")
def processes() -> Iterator[Engine]:
    with contextlib.closing(Processes(2)) as engine:
        yield engine


@pytest.fixture(scope="module")
def whole(task: mbmf.Task, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `mbmf reproduce` computes, one seed after the other."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    reproduce.reproduce(task, "small", folder, PLAN)
    return everything(folder)


def everything(folder: Path, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """What was computed, and where the runs say that their robot is."""
    runs = ("run_{}", "run_{}/imitation", "run_{}/mbmf_std0.5_1", "mf_small_{}")
    found: dict[str, Any] = {}
    for name in (run.format(seed) for run in runs for seed in seeds):
        config = yaml.safe_load((folder / name / "config.yaml").read_text())
        found[name] = numbers_of(folder / name), config["seed"], config.get("model_file")
        assert (folder / name / "tb").is_dir()
        assert not list((folder / name).rglob("*.tmp"))
    return found


def all_of(
    engine: Engine, task: mbmf.Task, folder: Path, plan: reproduce.Plan = PLAN
) -> list[tuple[str, list[str], Progress]]:
    told: list[tuple[str, list[str], Progress]] = []
    reproduce.reproduce_on(
        engine, task, "small", folder, plan, lambda name, lines, far: told.append((name, [*lines], far))
    )
    return told


def test_seeds_at_the_same_time_give_the_same_bits(
    processes: Engine, task: mbmf.Task, whole: dict[str, Any], tmp_path: Path
) -> None:
    told = all_of(processes, task, tmp_path / "out")
    assert everything(tmp_path / "out") == whole
    names = {name for name, _, _ in told}
    assert names == {f"seed {seed} {method}" for seed in SEEDS for method in ("mbmf", "mf")}
    # several were at work: the second began before the first was finished
    assert told.index(next(each for each in told if each[0] == "seed 5 mbmf")) < next(
        i for i, each in enumerate(told) if each[1][-1:] == ["finished"]
    )
    lines = [line for name, lines, _ in told if name == "seed 3 mbmf" for line in lines]
    iterations = [line.partition(",")[0] for line in lines if "learning: iteration" in line]
    assert iterations[:2] == [
        "model-based learning: iteration 1 of 2",
        "model-based learning: iteration 2 of 2",
    ]
    shares = [far.share for _, _, far in told]
    assert shares == sorted(shares)
    assert str(told[-1][2]).startswith("4 of 4 finished, 100% done after ")


@pytest.mark.slow
def test_on_a_cluster_files_travel_and_the_bits_are_the_same(
    ray_cluster: str,
    task: mbmf.Task,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Short slices, so that every run moves between workers."""
    monkeypatch.setattr(parallel, "SLICE", 0.0)
    with contextlib.closing(RayEngine("auto")) as engine:
        assert not engine.sees_files
        told = all_of(engine, task, tmp_path / "out", dataclasses.replace(PLAN, seeds=(3,)))
    found = everything(tmp_path / "out", (3,))
    assert found == {name: whole[name] for name in found}
    assert len(found) == 4
    assert len(told) > 5


def test_interrupted_and_killed_it_goes_on(
    processes: Processes,
    task: mbmf.Task,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "SLICE", 0.0)
    killed: list[int] = []
    reports = 0

    def report(name: str, lines: Any, far: Progress) -> None:
        nonlocal reports
        reports += 1
        busy = [worker.process.pid for worker in processes._workers if worker.job is not None]
        if reports in (2, 4, 6) and busy:
            killed.append(busy[0])
            os.kill(busy[0], signal.SIGKILL)
        if reports == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce.reproduce_on(processes, task, "small", tmp_path / "out", PLAN, report)
    assert len(killed) == 3
    all_of(processes, task, tmp_path / "out")
    assert everything(tmp_path / "out") == whole


def test_a_seed_that_fails_does_not_stop_the_others(
    processes: Engine, task: mbmf.Task, whole: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "mf_small_3").mkdir(parents=True)
    (out / "mf_small_3/mine.txt").write_text("no run")
    with pytest.raises(DataError, match="mf_small_3: run directory must be new or a run of mbmf"):
        all_of(processes, task, out)
    found = {name: numbers_of(out / name) for name in whole if name != "mf_small_3"}
    assert found == {name: whole[name][0] for name in found}


def test_the_command(
    task: mbmf.Task, whole: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(task.to_yaml())
    words = ["reproduce", str(file), "--seeds", "3", "5", "--max_steps=700", f"--output={tmp_path / 'out'}"]
    assert main([*words, "--jobs=2"]) == 0
    said = capsys.readouterr().out
    assert "seed 5 mf: model-free learning: iteration" in said
    assert "4 of 4 finished, 100% done after" in said
    assert {name: found[0] for name, found in everything(tmp_path / "out").items()} == {
        name: found[0] for name, found in whole.items()
    }
    assert json.loads((tmp_path / "out/thresholds.json").read_text())["seeds"] == [3, 5]
    assert main([*words, "--any_machine"]) == 2
    assert "--any_machine must be given together with --address" in capsys.readouterr().err


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    run = tmp_path / "run_1"
    for name in ("config.yaml", ".lock", "models/a", "models/b", "imitation/config.yaml", "rollouts/x.tmp"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    before = read_folder(run)
    assert set(before) == {"config.yaml", "models/a", "models/b"}
    after = {"config.yaml": b"config.yaml", "models/a": b"new", "data/c": b"c"}
    assert changes(before, after) == ({"models/a": b"new", "data/c": b"c"}, ("models/b",))
    lock = (run / ".lock").stat().st_ino
    update_folder(run, *changes(before, after))
    assert read_folder(run) == after
    # who holds the lock keeps it, and runs within the run are no part of it
    assert (run / ".lock").stat().st_ino == lock
    assert (run / "imitation/config.yaml").read_text() == "imitation/config.yaml"
    assert [path.name for path in tmp_path.iterdir()] == ["run_1"]
