"""Many runs at the same time, in processes and on a Ray cluster: the bits of one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import mbmf
from mbmf.algorithms import parallel, reproduce
from mbmf.algorithms.parallel import Progress
from mbmf.algorithms.stages import Paths, stages_of
from mbmf.cli.main import main
from mbmf.cluster.engine import Engine, Outcome, perform
from mbmf.cluster.processes import Processes
from mbmf.cluster.ray_engine import RayEngine
from mbmf.errors import DataError
from mbmf.runs.carried import changes, read_folder, update_folder, write_folder
from mbmf.runs.lock import Lock
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
    reproduce.reproduce([reproduce.Experiment(task, "small", folder)], PLAN)
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
        engine,
        [reproduce.Experiment(task, "small", folder)],
        plan,
        lambda name, lines, far: told.append((name, [*lines], far)),
    )
    return told


def test_seeds_at_the_same_time_give_the_same_bits(
    processes: Processes, task: mbmf.Task, whole: dict[str, Any], tmp_path: Path
) -> None:
    told = all_of(processes, task, tmp_path / "out")
    assert everything(tmp_path / "out") == whole
    names = {name for name, _, _ in told}
    assert names == {f"seed {seed} {method}" for seed in SEEDS for method in ("mbmf", "mf")}
    assert len(processes._workers) == 2
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


@pytest.mark.slow
def test_each_command_on_a_cluster_gives_the_same_bits(
    ray_cluster: str,
    task: mbmf.Task,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`mf` is interrupted on the way."""
    file = tmp_path / "small.yaml"
    file.write_text(task.to_yaml())
    at = ["--seed=3", "--print_minimal", f"--runs_dir={tmp_path}", "--address=auto"]
    assert main(["mb", f"--yaml_file={file}", "--run_num=3", *at]) == 0
    assert main(["mbmf", f"--which_agent={file}", "--run_num=3", "--max_steps=700", *at]) == 0
    capsys.readouterr()
    words = ["mf", f"--which_agent={file}", "--save_trpo_run_num=3", "--max_steps=700", *at]
    told: list[int] = []

    def press(engine: RayEngine, *job: Any) -> Any:
        """Ctrl-C, while the fourth piece is waited for."""
        told.append(1)
        if len(told) == 4:
            raise KeyboardInterrupt
        return begin(engine, *job)

    begin = RayEngine.wait
    with monkeypatch.context() as patch:
        patch.setattr(RayEngine, "wait", press)
        assert main(words) == 130
    assert "Interrupted. To continue:\n  mbmf mf --address=auto" in capsys.readouterr().err
    assert not (tmp_path / "mf_small_3/summary.json").exists()
    assert main([*words, "--resume"]) == 0
    found = everything(tmp_path, (3,))
    assert {name: numbers for name, (numbers, *_) in found.items()} == {
        name: numbers for name, (numbers, *_) in whole.items() if "3" in name
    }


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
        reproduce.reproduce_on(
            processes, [reproduce.Experiment(task, "small", tmp_path / "out")], PLAN, report
        )
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
    # all is done: the chains have nothing to say
    assert main([*words, "--jobs=2"]) == 0
    assert "4 of 4 finished" in capsys.readouterr().out
    assert main([*words, "--any_machine"]) == 2
    assert "--any_machine must be given together with --address" in capsys.readouterr().err


class Carrying:
    """An engine of this process whose pieces see no files, as on a cluster."""

    slots, threads, sees_files = 1, 1, False

    def keep(self, thing: Any) -> bytes:
        return pickle.dumps(thing)

    def start(self, function: Any, kept: bytes, piece: Any) -> Iterator[Outcome]:
        return iter([perform(function, lambda: pickle.loads(kept), piece, 1)])

    def wait(self, jobs: Any, timeout: float | None = None) -> list[Any]:
        return list(jobs)

    def take(self, job: Iterator[Outcome]) -> Any:
        return next(job).unwrapped()

    def cancel(self, jobs: Any) -> None: ...

    def close(self) -> None: ...


def chain(task: mbmf.Task, folder: Path) -> parallel.Chain:
    """Two iterations of model-free learning."""
    folder.mkdir(exist_ok=True)
    stages = stages_of("mf", task, Paths.of(folder, "small", 3, 1.0), 3, reproduce.Plan((3,), 300))
    return parallel.Chain("mine", stages, 1)


def run_mf(task: mbmf.Task, folder: Path, **engine: Any) -> dict[str, Exception]:
    return parallel.run_chains(Carrying(), [chain(task, folder)], **engine)


def test_a_run_that_another_process_holds_is_left_alone(task: mbmf.Task, tmp_path: Path) -> None:
    (tmp_path / "mf_small_3").mkdir(parents=True)
    held = Lock(tmp_path / "mf_small_3", write=True)
    message = str(run_mf(task, tmp_path)["mine"])
    assert message == f"{tmp_path}/mf_small_3: run must not be in use, got one of another process"
    held.close()
    assert run_mf(task, tmp_path) == {}


@pytest.mark.parametrize("room", [0, 6000])
def test_a_full_disk_of_a_worker_is_told_and_costs_nothing(
    task: mbmf.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Files that may not grow: the same to a program."""
    run_mf(task, tmp_path / "whole")
    monkeypatch.setattr(parallel, "SLICE", 0.0)
    # an iteration is there already
    with pytest.raises(KeyboardInterrupt):
        run_mf(task, tmp_path / "out", report=_interrupt)
    before = read_folder(tmp_path / "out/mf_small_3")
    write_folder, limits = parallel.write_folder, resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_and_fill(path: Path, files: Any) -> None:
        if room:
            write_folder(path, files)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        if not room:
            write_folder(path, files)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(parallel, "write_folder", write_and_fill)
            message = str(run_mf(task, tmp_path / "out")["mine"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "got: File too large" in message
    assert socket.gethostname() in message
    assert str(tmp_path / "out/mf_small_3") in message
    # what an iteration that was cut off had written may come along
    assert room or read_folder(tmp_path / "out/mf_small_3") == before
    assert run_mf(task, tmp_path / "out") == {}
    assert numbers_of(tmp_path / "out/mf_small_3") == numbers_of(tmp_path / "whole/mf_small_3")


def _interrupt(name: str, lines: Any, far: Progress) -> None:
    raise KeyboardInterrupt


def test_a_full_disk_here_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    run, limits = tmp_path / "run_1", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_folder(run, before := {"config.yaml": b"a", "models/a": b"b"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(
            DataError, match=r"run_1: run must be writable, got: File too large; it is as it was"
        ):
            update_folder(run, {"config.yaml": b"c", "models/b": b"d" * 2000}, ("models/a",))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_folder(run) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run_1"]


def test_a_robot_whose_files_are_here_only_travels(tmp_path: Path) -> None:
    robot = tmp_path / "robot"
    robot.mkdir()
    (robot / "m.obj").write_text(
        "v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    )
    (robot / "robot.xml").write_text(
        """<mujoco><asset><mesh name="m" file="m.obj"/></asset><worldbody><body><joint name="j" type="slide"/>
        <geom type="mesh" mesh="m"/></body></worldbody><actuator><motor joint="j"/></actuator></mujoco>"""
    )
    config = {
        "name": "meshes",
        "model": {"file": str(robot / "robot.xml")},
        "state": [{"source": "qpos"}, {"source": "qvel"}],
        "reward": [{"term": "linear", "state": "qpos.j"}],
        "model_free": MODEL_FREE,
    }
    task = mbmf.load_task(config)
    for stage in chain(task, tmp_path / "out").stages:
        stage.open().close()
        files, kept = read_folder(stage.path), pickle.dumps(stage)
        robot.rename(tmp_path / "gone")
        found = parallel.go_on(pickle.loads(kept), (0.0, files), 1)
        assert found.error is None
        assert "iteration 1 of" in found.lines[-1]


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
