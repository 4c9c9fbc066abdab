"""`mbmf mb`: its flags, what it says, what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mbmf.algorithms import model_based
from mbmf.cli.main import main
from mbmf.runs.run import Run
from run_numbers import numbers_of
from small_mb_run import cheetah_task


def write_task(folder: Path, **settings: Any) -> Path:
    file = folder / "small.yaml"
    file.write_text(cheetah_task(**settings).to_yaml())
    return file


def mb_command(folder: Path, *flags: str) -> int:
    return main(["mb", f"--yaml_file={folder / 'small.yaml'}", f"--runs_dir={folder / 'runs'}", *flags])


def test_the_command_takes_the_flags_of_the_original(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(tmp_path, iterations=2, rollouts_to_save=2)
    assert mb_command(tmp_path, "--seed=3", "--run-num", "2", "--nthread=1") == 0
    out = capsys.readouterr().out
    for text in ("random data for train", "iteration 2 of 2", "validation error: 100 steps", "reward: mean"):
        assert text in out
    assert "2 of 2 rollouts saved for imitation" in out
    assert mb_command(tmp_path, "--seed=3", "--run_num=2", "--nthread=1") == 2
    assert "run directory must be new, got an existing run" in capsys.readouterr().err
    assert mb_command(tmp_path, "--seed=3", "--run_num=2", "--resume") == 0
    assert "the run is finished already" in capsys.readouterr().out
    minimal = ("--overwrite", "--print_minimal", "--num_rollouts_save_for_mf=1", "--seed=3", "--run_num=2")
    assert mb_command(tmp_path, *minimal) == 0
    lines = capsys.readouterr().out.splitlines()
    # the cheetah moves in a plane: the model leaves out what never varies
    assert "left out" in lines[0]
    assert "subtree_com.torso.y" in lines[0]
    assert lines[1].startswith("iteration 1 of 2: reward ")


def test_the_command_says_how_to_go_on_after_an_interruption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_task(tmp_path)

    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mbmf.cluster.sampler.collect_mpc", interrupt)
        assert mb_command(tmp_path, "--seed=4", "--nthread=1") == 130
    error = capsys.readouterr().err
    assert (
        f"mbmf mb --yaml_file={tmp_path}/small.yaml --seed=4 --run_num=0 --runs_dir={tmp_path}/runs "
        "--nthread=1 --resume" in error
    )
    # its seed is the run's own
    assert mb_command(tmp_path, "--resume") == 0
    assert Run(tmp_path / "runs" / "run_0").seed() == 4


def test_a_free_number_that_another_process_takes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(tmp_path)
    good = model_based.open_run
    asked = []

    def late(path: Path, *args: Any, **kwargs: Any) -> Run:
        asked.append(path.name)
        if len(asked) <= 2:
            Run.create(path, {"algorithm": "made up", "task": {"name": "swimmer"}, "seed": 9}).close()
        return good(path, *args, **kwargs)

    monkeypatch.setattr(model_based, "open_run", late)
    assert mb_command(tmp_path, "--seed=4", "--nthread=1") == 0
    assert asked == ["run_0", "run_1", "run_2"]
    assert [Run(tmp_path / "runs" / name).seed() for name in asked] == [9, 9, 4]
    # a number that was asked for is not changed
    asked.clear()
    capsys.readouterr()
    assert mb_command(tmp_path, "--seed=4", "--run_num=7") == 2
    assert asked == ["run_7"]
    assert "runs/run_7: run directory must be new, got an existing run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed=-1"], "--seed must be at least 0, got -1"),
        (["--run_num=-1"], "--run_num must be at least 0, got -1"),
        (["--nthread=-1"], "--nthread must be at least 0, got -1"),
        (["--num_rollouts_save_for_mf=-5"], "--num_rollouts_save_for_mf must be at least 0, got -5"),
        (["--desired_traj_type=left_turn"], "path must be None for a robot that does not say its x and y"),
        (["--resume"], "config.yaml: run must exist, got none"),
        (["--resume", "--overwrite"], "overwrite must not be given together with resume, "),
        (["--use_existing_training_data", "--overwrite"], "overwrite must not be given together with"),
        (["--use_existing_training_data"], "config.yaml: run must exist, got none"),
        (["--use_existing_dynamics_model"], "config.yaml: run must exist, got none"),
    ],
)
def test_the_command_refuses_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    write_task(tmp_path)
    assert mb_command(tmp_path, *flags) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert sorted(os.listdir(tmp_path)) == ["small.yaml"]


def test_a_run_of_another_task_or_seed_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_task(tmp_path, iterations=1, rollouts_to_save=1)
    assert mb_command(tmp_path) == 0
    before = numbers_of(tmp_path / "runs" / "run_0")
    capsys.readouterr()
    assert mb_command(tmp_path, "--resume", "--seed=1") == 2
    assert "seed must be 1 to resume the run with this command, got 0" in capsys.readouterr().err
    file.write_text(file.read_text().replace("name: small", "name: other"))
    for flag, message in (
        ("--resume", "task.name must be 'other' to resume the run with this command, got 'small'"),
        ("--use_existing_training_data", "task must be other, got small"),
        ("--use_existing_dynamics_model", "task must be 'other', as of task other, got 'small'"),
    ):
        assert mb_command(tmp_path, flag) == 2
        assert message in capsys.readouterr().err
    assert numbers_of(tmp_path / "runs" / "run_0") == before


def test_damaged_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_task(tmp_path, iterations=1, rollouts_to_save=1)
    assert mb_command(tmp_path) == 0
    run = tmp_path / "runs" / "run_0"
    (run / "summary.json").unlink()
    for name in ("rollouts/iteration_1.npz", "models/iteration_1.safetensors", "data/train.npz"):
        file = run / name
        contents = file.read_bytes()
        file.write_bytes(contents[: len(contents) // 2])
        capsys.readouterr()
        assert mb_command(tmp_path, "--resume") == 2
        assert name in capsys.readouterr().err
        file.write_bytes(contents)
    assert mb_command(tmp_path, "--resume") == 0
