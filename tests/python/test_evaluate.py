"""`mbmf evaluate`, `mbmf video --policy`, and the random actions that rewards are compared with."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest

import mbmf
from mbmf.cli import main as cli
from mbmf.rollouts.baseline import collect_baseline
from mbmf.runs.trained import load_trained

BAD = 2


@pytest.mark.parametrize("preset", ["hopper_forward", "ant_forward", "swimmer_forward"])
def test_the_baseline_is_as_a_simulation_step_by_step(preset: str) -> None:
    task = mbmf.load_task(preset)
    episodes = collect_baseline(task, episodes=3, steps=60, seed=5, nthread=2)
    simulator = mbmf.Simulator(task, seed=5)
    for i, length in enumerate(episodes.lengths):
        simulator.start_episodes([i], "control")
        np.testing.assert_array_equal(simulator.states[0], episodes.states[i, 0])
        total = 0.0
        for step in range(length):
            simulator.step(episodes.actions[i, step][None])
            total += simulator.rewards[0]
            assert simulator.terminated[0] == (episodes.terminated[i] and step == length - 1)
        assert episodes.returns[i] == pytest.approx(total)
        np.testing.assert_array_equal(simulator.states[0], episodes.states[i, length])
        assert length == 60 or episodes.terminated[i]
    assert episodes.terminated.any() == (preset == "hopper_forward")
    again = collect_baseline(task, episodes=3, steps=60, seed=5, nthread=1)
    np.testing.assert_array_equal(again.returns, episodes.returns)
    assert not np.array_equal(collect_baseline(task, 3, 60, seed=6).returns, episodes.returns)


@pytest.fixture
def runs(small_runs: Path, tmp_path: Path) -> Path:
    """The small run, as a run with a name, with a policy of imitation; and a run of mf."""
    runs = tmp_path / "runs"
    shutil.copytree(small_runs / "run_1", runs / "best")
    policy = mbmf.GaussianPolicy(load_trained(runs / "best").task, (8,), seed=2)
    for folder in (runs / "best/imitation/policy", runs / "mf_swimmer_1/policy"):
        folder.mkdir(parents=True)
        policy.save(folder / "policy.safetensors")
    (runs / "mf_swimmer_1/config.yaml").write_text("algorithm: model_free\n")
    return runs


def rows_of(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_controller_is_scored(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--run_num=best", f"--runs_dir={runs}", "--episodes=3", "--steps=12", "--seed=4"]
    assert cli.main(["evaluate", *flags]) == 0
    out = capsys.readouterr().out
    trained = load_trained(runs / "best")
    planner = mbmf.make_planner(trained.task, trained.model, seed=4)
    episodes = mbmf.collect_mpc(trained.task, planner, 3, 12, seed=4)
    file = runs / "best/evaluation/mpc_iteration_2_steps=12_seed4.csv"
    assert str(file) in out
    assert [float(row["reward"]) for row in rows_of(file)] == episodes.returns.tolist()
    assert [int(row["steps"]) for row in rows_of(file)] == [12, 12, 12]
    random = collect_baseline(trained.task, 3, 12, seed=4)
    for text in (
        "swimmer_forward: 3 episodes of at most 12 steps",
        f"{episodes.returns.mean():,.2f}",
        f"{random.returns.mean():,.2f}",
    ):
        assert text in out
    assert cli.main(["evaluate", *flags, "--iteration=1", "--horizon=2", f"--output={runs / 'x.csv'}"]) == 0
    assert len(rows_of(runs / "x.csv")) == 3
    assert rows_of(runs / "x.csv") != rows_of(file)


def test_each_search_of_a_model_has_a_file(runs: Path) -> None:
    common = ["evaluate", "--run_num=best", f"--runs_dir={runs}", "--episodes=1", "--steps=5"]
    long = f"reward[0].weight=2.{'0' * 100}"
    for flags in (
        [],
        ["--search=cem", "--horizon=3"],
        ["--candidates=9"],
        ["--set", "reward[0].weight=2"],
        ["--set", long],
    ):
        assert cli.main([*common, *flags]) == 0
    plain = {
        "mpc_iteration_2_steps=5_seed0.csv",
        "mpc_iteration_2_cem_horizon=3_steps=5_seed0.csv",
        "mpc_iteration_2_candidates=9_steps=5_seed0.csv",
    }
    names = {file.name for file in (runs / "best/evaluation").iterdir()}
    assert plain < names
    assert len(names) == 5
    for name in names - plain:
        assert name.startswith("mpc_iteration_2_reward_0_.weight=")
        assert len(name) < 130


def test_each_policy_file_has_scores_of_its_own(runs: Path) -> None:
    names = []
    for i in range(2):
        file = runs / f"pol{i}.safetensors"
        shutil.copy(runs / "mf_swimmer_1/policy/policy.safetensors", file)
        for steps in ((), ("--steps=5",)):
            assert (
                cli.main(["evaluate", f"--policy={file}", f"--runs_dir={runs}", "--episodes=1", *steps]) == 0
            )
            names.append(f"policy_pol{i}{'_steps=5' if steps else ''}_seed0.csv")
    assert sorted(path.name for path in (runs / "evaluation").iterdir()) == sorted(names)


def test_a_policy_is_scored(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["evaluate", f"--runs_dir={runs}", "--episodes=2", "--steps=9"]
    found = []
    for flags, folder in (
        (["--run_num=best", "--policy=newest"], runs / "best/imitation"),
        ([f"--policy={runs / 'best/imitation/policy/policy.safetensors'}"], runs / "best/imitation"),
        ([f"--policy={runs / 'mf_swimmer_1'}"], runs / "mf_swimmer_1"),
        (["--run_num=mf_swimmer_1"], runs / "mf_swimmer_1"),
    ):
        assert cli.main([*common, *flags]) == 0
        file = folder / "evaluation/policy_steps=9_seed0.csv"
        found.append(rows_of(file))
        file.unlink()
    policy = mbmf.GaussianPolicy.load(runs / "mf_swimmer_1/policy/policy.safetensors")
    task = policy.load_task()
    expected = mbmf.collect_policy(task, policy, episodes=2, max_episode_steps=9, std=0.0, kind="control")
    assert [float(row["reward"]) for row in found[0]] == pytest.approx(expected.returns.tolist())
    assert found[0] == found[1] == found[2] == found[3]


def test_a_policy_drives_as_long_as_it_learned_to(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not as the controller of the same task does."""
    config = runs / "mf_swimmer_1/config.yaml"
    config.write_text("algorithm: model_free\nsettings: {steps_per_rollout: 7}\n")
    for words, steps in (("--run_num=mf_swimmer_1", 7), ("--run_num=best --policy=newest", None)):
        assert cli.main(["evaluate", f"--runs_dir={runs}", "--episodes=2", *words.split()]) == 0
        longest = load_trained(runs / "best").task.model_based
        assert longest is not None
        said = capsys.readouterr().out
        assert f"2 episodes of at most {steps or longest.steps_per_rollout} steps" in said


def test_a_policy_of_the_robot_as_it_was(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the refusal says to type works."""
    file = runs / "best/imitation/policy/policy.safetensors"
    policy = mbmf.GaussianPolicy.load(file)
    assert policy.identity is not None
    policy.identity = dataclasses.replace(policy.identity, dt=9.0)
    policy.save(file)
    words = ["evaluate", f"--policy={file}", "--episodes=1", "--steps=3"]
    assert cli.main(words) == BAD
    assert "--allow_other_task) takes it all the same" in capsys.readouterr().err
    assert cli.main([*words, "--allow_other_task"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--run_num or --policy must be given, got neither"),
        (["--policy=newest"], "--run_num must say whose policy, with --policy=newest, got none"),
        (["--policy=nothing"], "--policy must be a policy file, a run's folder, or newest, got nothing"),
        (["--run_num=bset"], "bset/config.yaml: run must exist, got none; in "),
        (["--run_num=mf_swimmer_1", "--horizon=3"], "must not be given for a policy"),
        (
            ["--run_num=mf_swimmer_1", "--set", "healthy_reward=3"],
            "--set must not be given for a policy, got",
        ),
        (["--run_num=best", "--policy=elsewhere"], "--run_num must be left out with the policy of a file"),
        (["--run_num=best", "--episodes=0"], "--episodes must be at least 1, got 0"),
        (
            ["--run_num=best", "--set", "dynamics.members=2"],
            "--set dynamics.members must be 1, as the run was made with: what it learned",
        ),
        (
            ["--run_num=best", "--set", "dynamics.noise=1"],
            "--set dynamics.noise must be 0.01, as the run was made with",
        ),
        (["--run_num=best", "--set", "value.discount=0.5"], "--set value must be nothing, as the run was"),
        (["--run_num=best", "--set", "policy={std: 2}"], "--set policy must be nothing, as the run was made"),
        (
            ["--run_num=best", "--output=/proc/x/y.csv"],
            "--output must be a place to write, got /proc/x/y",
        ),
    ],
)
def test_bad_input(
    flags: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("mbmf.rollouts.collect.collect_mpc", lambda *args, **options: pytest.fail("it drove"))
    assert cli.main(["evaluate", f"--runs_dir={runs}", *flags]) == BAD
    assert message in capsys.readouterr().err


def test_what_a_run_needs_is_not_written_over(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs / "best"
    for name in ("metrics.jsonl", "files.json", "models/iteration_1.safetensors", "data/mine.npz"):
        assert cli.main(["evaluate", f"--runs_dir={runs}", "--run_num=best", f"--output={run / name}"]) == BAD
        assert f"--output must be no file that a run needs, got {run / name}" in capsys.readouterr().err
    assert cli.main(["report", f"--runs_dir={runs}", "--run_num=best", f"--output={run}/config.yaml"]) == BAD
    assert "must be no file that a run needs" in capsys.readouterr().err


@pytest.mark.usefixtures("rendering")
def test_videos_of_policies_and_gifs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["video", f"--runs_dir={runs}", "--steps=5", "--width=64", "--height=48"]
    assert cli.main([*common, "--run_num=mf_swimmer_1"]) == 0
    assert (runs / "mf_swimmer_1/videos/policy_0.mp4").read_bytes()[4:8] == b"ftyp"
    gif = runs / "films/swim.gif"
    assert cli.main([*common, "--run_num=best", "--policy=newest", f"--output={gif}"]) == 0
    assert gif.read_bytes().startswith(b"GIF89a")
    pictures = imageio.v3.imread(gif, index=None)
    assert pictures.shape[:3] == (6, 48, 64)
    assert not np.array_equal(pictures[0], pictures[-1])
    assert f"{gif}: 5 steps, reward " in capsys.readouterr().out
    for flags, message in (
        ([f"--output={gif.with_suffix('.avi')}"], "--output must end in .mp4 or .gif, got "),
        (["--policy=newest", "--live"], "--live must not be given with --policy"),
        (["--policy=newest", "--set", "name=x"], "--set must not be given with --policy"),
        (["--run_num=mf_swimmer_1", "--plans=5"], "--plans must not be given for a run whose policy"),
        ([], "--steps must be given with --live: a recorded episode is as it was driven"),
    ):
        assert cli.main([*common, "--run_num=best", *flags]) == BAD
        assert message in capsys.readouterr().err


def test_figures_by_their_ending(tmp_path: Path) -> None:
    from mbmf.show.plots import new_figure, save_figure

    figure = new_figure(1, 1)
    for name, written in (
        ("a.png", ["a.png", "a.svg"]),
        ("b.svg", ["b.png", "b.svg"]),
        ("c.pdf", ["c.pdf"]),
        ("std0.5", ["std0.5.png", "std0.5.svg"]),
    ):
        assert save_figure(figure, tmp_path / name) == [tmp_path / each for each in written]
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.iterdir())) == 7
