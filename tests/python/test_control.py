"""``mbmf control`` and ``mbmf bench control``: what they print, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import mbmf
from mbmf import _core
from mbmf.cli import main as cli
from mbmf.control.live import drive_in_real_time, drive_without_clock
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.configuration import task_entries


def make_run(path: Path, preset: str) -> None:
    """A small run of a preset's robot, as `mbmf mb` leaves it."""
    data = yaml.safe_load(mbmf.load_task(preset).to_yaml())
    data["model_based"] |= {"horizon": 4, "candidates": 60, "hidden": [20]}
    task = mbmf.load_task(data | {"episode_steps": 30})
    model = mbmf.DynamicsModel(task, hidden=(20,))
    model.fit(mbmf.collect_random(task, episodes=3, steps=50, seed=0), epochs=2)
    (path / "models").mkdir(parents=True)
    config = {"algorithm": "model_based", **task_entries(task), "seed": 0}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    model.save(path / "models" / "iteration_1.safetensors")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a half cheetah, and of a swimmer on a path."""
    runs = tmp_path_factory.mktemp("control") / "runs"
    make_run(runs / "run_0", "cheetah_forward")
    make_run(runs / "run_1", "swimmer_trajfollow")
    return runs


def test_in_real_time(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    # the other tests are to run at the priority that they had
    monkeypatch.setattr("mbmf.cli.control._yield_to_the_loop", lambda: None)
    out = tmp_path / "out"
    args = [f"--runs_dir={runs}", "--run_num=0", "--seconds=0.8", f"--output={out}"]
    assert cli.main(["control", *args, "--record", "--view", "--warm_start", "--nthread=1"]) == 0
    printed = capsys.readouterr().out
    for words in (
        "period",
        "jitter",
        "candidates per plan",
        "deadlines met",
        "held",
        "no viewer: there is no",
    ):
        assert words in printed
    figures = json.loads((out / "control.json").read_text())
    assert figures["steps"] == 80
    assert figures["whole"] == [True, True, False]
    statistics = figures["statistics"]
    assert statistics["steps"] == statistics["planned"] + statistics["held"] + statistics["safe"]
    assert 0 < statistics["jitter"]["p50"] <= statistics["jitter"]["max"]
    episodes = Episodes.load(out / "episodes.npz")
    assert episodes.lengths.tolist() == [30, 30, 20]
    assert (out / "control.png").stat().st_size > 10_000
    assert (out / "control.svg").is_file()


@pytest.mark.parametrize("flags", [[], ["--no-clock"]])
def test_along_another_path(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    args = [f"--runs_dir={runs}", "--run_num=1", "--seconds=0.9", f"--output={tmp_path}", "--nthread=1"]
    assert cli.main(["control", *args, *flags, "--desired_traj_type=left_turn", "--strict_segments"]) == 0
    assert "swimmer_trajfollow along left_turn, iteration 1: 6 control steps" in capsys.readouterr().out
    assert cli.main(["control", *args, "--desired_traj_type=zigzag"]) == 2
    assert "path must be a known path (" in capsys.readouterr().err


def test_without_a_clock(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The episodes of collect_mpc, whose plans and start states it shares."""
    args = [f"--runs_dir={runs}", "--run_num=0", "--seconds=0.6", f"--output={tmp_path}", "--no-clock"]
    assert cli.main(["control", *args, "--seed=3", "--record", "--nthread=1"]) == 0
    said = capsys.readouterr()
    assert "deadlines" not in said.out
    assert "without a clock" not in said.err
    found = Episodes.load(tmp_path / "episodes.npz")
    from mbmf.runs.trained import load_trained

    trained = load_trained(runs / "run_0")
    planner = mbmf.RandomShooting(trained.task, trained.model, seed=3, nthread=1)
    want = mbmf.collect_mpc(trained.task, planner, episodes=2, steps=30, seed=3)
    np.testing.assert_array_equal(found.states, want.states)
    np.testing.assert_array_equal(found.actions, want.actions)
    np.testing.assert_array_equal(found.rewards, want.rewards)
    # a later drive does not leave these beside its own
    assert cli.main(["control", *args, "--seed=4", "--nthread=1", "--hz=10", "--share=0.5"]) == 0
    assert "note: --hz and --share: without a clock there is no loop to set" in capsys.readouterr().err
    assert not (tmp_path / "episodes.npz").exists()


def test_observations_come_along() -> None:
    """Where a policy sees something else than the model, the episodes hold both."""
    task = mbmf.load_task("ant_forward")
    model = mbmf.DynamicsModel(task, hidden=(10,))
    model.fit(mbmf.collect_random(task, episodes=2, steps=20, seed=0), epochs=1)
    planner = mbmf.RandomShooting(task, model, horizon=2, candidates=20, nthread=1)
    reference = drive_without_clock(planner, 12, episode_steps=5)
    live = drive_in_real_time(mbmf.Controller(planner, phase=0.002), 12, episode_steps=5)
    for drive in (reference, live):
        assert drive.episodes.lengths.sum() == 12
        observations = drive.episodes.observations
        assert observations is not None
        np.testing.assert_array_equal(observations[0, :6, :15], drive.episodes.states[0, :6, :15])
    np.testing.assert_array_equal(reference.episodes.states[:, 0], live.episodes.states[:, 0])
    assert live.returns.shape == (int(live.whole.sum()),)


def test_a_simulation_that_diverges_is_no_whole_episode() -> None:
    config = mbmf.load_task("pets_reacher").to_data()
    config["overrides"] = {**config.get("overrides", {}), "actuators": {"gear": 1e8}}
    config["overrides"]["flags"] = {"autoreset": False}
    task = mbmf.load_task(config)
    model = mbmf.DynamicsModel(task, hidden=(8,))
    tame = mbmf.collect_random(mbmf.load_task("pets_reacher"), 2, 20, seed=0)
    model.fit(tame, epochs=1, allow_other_task=True)
    planner = mbmf.RandomShooting(task, model, horizon=2, candidates=20, nthread=1)
    collected = mbmf.collect_mpc(task, planner, 2, 40, seed=0)
    assert collected.diverged.any()
    reference = drive_without_clock(planner, 80, episode_steps=40)
    live = drive_in_real_time(mbmf.Controller(planner, phase=0.002), 80, episode_steps=40)
    assert reference.episodes.lengths[0] == collected.lengths[0]
    n = collected.lengths[0] + 1
    np.testing.assert_array_equal(reference.episodes.states[0, :n], collected.states[0, :n])
    for drive in (reference, live):
        assert drive.episodes.diverged.any()
        assert not drive.whole[drive.episodes.diverged].any()
        assert not drive.episodes.terminated[drive.episodes.diverged].any()
        assert np.isfinite(drive.episodes.states).all()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--hz=-5"], "--hz must be above 0, or 0 for the task's rate, got -5.0"),
        (["--hz=nan"], "--hz must be above 0, or 0 for the task's rate, got nan"),
        (["--hz=1e6"], "period must be at least "),
        (["--seconds=0"], "--seconds must be above 0 and at most 1e6, got 0.0"),
        (["--run_num=7"], "run_7/config.yaml: run must exist, got none"),
        (["--run_num=-1"], "--run_num must be at least 0, got -1"),
        (["--iteration=9"], "the model of iteration 9 must exist, got none"),
        (["--candidates=0"], "--candidates must be an integer from 1 to 100000000, got 0"),
        (["--priority=100"], "priority must be from 0 to 99, got 100"),
        (["--mode=fitted", "--share=2"], "share must be between 0 and 1, got 2"),
        (["--phase=1"], "phase must be at least 0 and below the period"),
    ],
)
def test_bad_input(args: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["control", f"--runs_dir={runs}", "--run_num=0", *args]) == 2
    assert message in capsys.readouterr().err
    assert not (runs / "run_0" / "control").exists()


def test_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "figures.json"
    args = ["--plans=30", "--longest=3", "--period=0.5", "--busy=1", f"--output={output}"]
    assert cli.main(["bench", "control", *args]) == 0
    printed = capsys.readouterr().out
    assert "a loop that only waits" in printed
    assert "beside 1 busy threads" in printed
    figures = json.loads(output.read_text())
    assert figures["wake"]["min"] >= 0
    assert figures["plan"]["p50"] <= figures["plan"]["max"]
    assert figures["candidates"] >= 1
    for wrong, message in (
        ("--shortest=5", "--shortest and --longest must be 0 < shortest <= longest"),
        ("--plans=0", "--plans must be from 1 to 10000000, got 0"),
        ("--task=nothing", "task name must be"),
    ):
        assert cli.main(["bench", "control", *args, wrong]) == 2
        assert message in capsys.readouterr().err


def test_measuring_refuses_what_cannot_be_planned() -> None:
    task = mbmf.load_task("swimmer_forward")
    model = mbmf.DynamicsModel(task, hidden=(20,))
    model.fit(mbmf.collect_random(task, episodes=1, steps=20, seed=0), epochs=1)
    planner = mbmf.RandomShooting(task, model, horizon=3, candidates=50, nthread=1).core
    settings = _core.ThreadSettings()
    late, candidates, refused = _core.measure_deadlines(planner, np.zeros(16), np.full(3, 0.01), settings)
    assert late.shape == candidates.shape == (3,)
    assert (candidates >= 1).all()
    assert refused == []
    with pytest.raises(ValueError, match=r"seconds must be in \[0, 3600\], got -1 at entry 1"):
        _core.measure_deadlines(planner, np.zeros(16), np.array([0.01, -1]), settings)
    # what the measuring thread throws reaches the caller
    with pytest.raises(ValueError, match="state must be finite in float32, got nan"):
        _core.measure_deadlines(planner, np.full(16, np.nan), np.full(3, 0.01), settings)
    settings.priority = 100
    with pytest.raises(ValueError, match=r"priority must be in \[0, 99\], got 100"):
        _core.measure_deadlines(planner, np.zeros(16), np.full(3, 0.01), settings)
