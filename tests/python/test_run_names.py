"""Which run a command takes: a number, a name, the newest, a free one; and whose settings go on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import mbmf
from mbmf.cli import main as cli
from mbmf.cli.runs import free_number, name_of, newest_run, run_path
from mbmf.errors import ConfigError, DataError
from mbmf.tasks.agents import agent_of_run, load_agent
from small_mb_run import FINE_TUNE, IMITATION, MODEL_FREE, make_run, task_config

BAD = 2


@pytest.mark.parametrize(
    ("run", "folder"), [("1", "run_1"), (7, "run_7"), ("007", "run_7"), ("demo", "demo"), ("run_3", "run_3")]
)
def test_a_number_or_a_name(run: str | int, folder: str) -> None:
    assert run_path(Path("runs"), run) == Path("runs") / folder


@pytest.mark.parametrize("run", ["-1", "../other", "a/b", "", ".hidden", str(2**31), "9" * 300])
def test_what_is_no_run(run: str) -> None:
    with pytest.raises(ConfigError, match="--run_num must be"):
        run_path(Path("runs"), run)


def test_names_come_back() -> None:
    for path in (Path("runs/run_12"), Path("runs/demo"), Path("runs/run_best")):
        assert run_path(Path("runs"), name_of(path)) == path


def test_a_folder_whose_name_is_a_number_is_found(tmp_path: Path) -> None:
    """The results of the path 7.csv."""
    assert run_path(tmp_path, 7) == tmp_path / "run_7"
    (tmp_path / "7").mkdir()
    assert run_path(tmp_path, 7) == tmp_path / "7"
    (tmp_path / "run_7").mkdir()
    assert run_path(tmp_path, 7) == tmp_path / "run_7"


def test_free_numbers_and_the_newest(tmp_path: Path) -> None:
    assert free_number(tmp_path / "none") == 0
    with pytest.raises(DataError, match="a run of mbmf mb must exist, got none"):
        newest_run(tmp_path)
    for age, (name, algorithm) in enumerate(
        [("mf_swimmer_1", "model_free"), ("demo", "model_based"), ("run_2", "model_based"), ("run_9", "x")]
    ):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "config.yaml"
        file.write_text(f"algorithm: {algorithm}\n")
        os.utime(file, (1e9 - age, 1e9 - age))
    assert free_number(tmp_path) == 10
    assert newest_run(tmp_path) == tmp_path / "demo"


def test_an_unknown_name_lists_the_runs(small_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("report", "video", "control"):
        assert cli.main([command, "--run_num=run1", f"--runs_dir={small_runs}"]) == BAD
        assert f"run must exist, got none; in {small_runs} there are run_1" in capsys.readouterr().err


def own_copy(folder: Path, **sections: Any) -> tuple[Path, dict[str, Any]]:
    """A user's copy of the hopper's preset with other settings, and what is in it."""
    config = task_config(agent={"number": 6, "names": ["hopper"]}, **sections)
    config["name"] = "hopper_forward"
    file = folder / "copy.yaml"
    file.write_text(yaml.safe_dump(config))
    return file, config


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of such a copy. Read only."""
    folder = tmp_path_factory.mktemp("copied")
    _, config = own_copy(folder)
    config["observation"], config["healthy"] = config["state"], []
    make_run(folder / "runs/run_0", config)
    return folder


@pytest.mark.parametrize("agent", [None, "6", "hopper", "hopper_forward"])
def test_imitation_goes_on_with_the_settings_of_the_run(
    agent: str | None, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The preset of the same robot has others, which would be used in silence."""
    shutil.copytree(copied / "runs", tmp_path / "runs")
    flags = [f"--which_agent={agent}"] if agent else []
    assert cli.main(["mbmf", *flags, f"--runs_dir={tmp_path / 'runs'}", "--max_steps=1"]) == 0
    config = yaml.safe_load((tmp_path / "runs/run_0/imitation/config.yaml").read_text())
    assert config["settings"]["epochs"] == IMITATION["epochs"]
    assert config["hidden"] == MODEL_FREE["hidden"]
    tuned = yaml.safe_load((tmp_path / "runs/run_0/mbmf_std0.5_1/config.yaml").read_text())
    assert tuned["settings"]["batch_size"] == FINE_TUNE["batch_size"]


def test_another_task_is_named_by_its_path(tmp_path: Path) -> None:
    _, recorded = own_copy(tmp_path)
    (tmp_path / "other").mkdir()
    file, _ = own_copy(tmp_path / "other", imitation={**IMITATION, "epochs": 9})
    notes: list[str] = []
    task = agent_of_run(str(file), recorded, notes.append)
    assert task.imitation is not None
    assert task.imitation.epochs == 9
    assert agent_of_run("swimmer", recorded, notes.append).name == "swimmer_forward"
    with pytest.raises(ConfigError, match="--which_agent must be an agent's number or name"):
        agent_of_run("hoppper", recorded, notes.append)
    assert notes == []


def test_a_run_without_settings_for_policies_takes_the_presets(tmp_path: Path) -> None:
    _, recorded = own_copy(tmp_path, model_free=None, imitation=None, fine_tune=None)
    notes: list[str] = []
    task = agent_of_run("hopper", recorded, notes.append)
    preset = mbmf.load_task("hopper_forward")
    assert (task.imitation, task.model_free) == (preset.imitation, preset.model_free)
    assert notes == ["the run has no settings for policies: those of hopper_forward are used"]


def test_a_copy_of_a_preset_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """`mbmf reproduce copy.yaml` wrote into the preset's folder, and broke what was there."""
    file, _ = own_copy(tmp_path)
    assert load_agent("hopper")[0] == "hopper"
    assert load_agent(str(file))[0] == "hopper_forward"
    same = tmp_path / "same.yaml"
    same.write_text(mbmf.load_task("hopper_forward").to_yaml())
    assert load_agent(str(same))[0] == "hopper"


def test_mb_goes_on_with_the_task_of_the_run(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = shutil.copytree(copied / "runs", tmp_path / "runs")
    (runs / "run_0/summary.json").unlink()
    assert cli.main(["mb", "--resume", f"--runs_dir={runs}", "--print_minimal"]) == 0
    said = capsys.readouterr().out
    assert f"Everything is in {runs / 'run_0'}" in said
    assert f"mbmf mbmf --run_num=0 --runs_dir={runs}" in said
    assert json.loads((runs / "run_0/summary.json").read_text())["rollouts_saved"] == 4
    # what does not fit says what would
    for flags, remedy in (
        (["--seed=5"], "to go on with the run, give --seed=0"),
        (["--yaml_file=hopper_forward"], "give no --yaml_file: the run's own task is used then"),
        (["--horizon=3"], "give no --horizon: the run's own task is used then"),
        (["--search=cem", "--candidates=90"], "give no --search and no --candidates: the run's own task"),
        (["--recipe=best"], "--recipe must be paper, with which "),
        (
            ["--num_rollouts_save_for_mf=3"],
            "to go on with the run, give the command without --num_rollouts_save_for_mf",
        ),
    ):
        assert cli.main(["mb", "--resume", f"--runs_dir={runs}", *flags]) == BAD
        assert remedy in capsys.readouterr().err
    assert cli.main(["mb", f"--runs_dir={runs}"]) == BAD
    assert "--yaml_file must be a preset's name" in capsys.readouterr().err
    shutil.copytree(runs / "run_0", runs / "run_1")
    assert cli.main(["mb", "--yaml_file=hopper_forward", f"--runs_dir={runs}", "--overwrite"]) == BAD
    assert "--run_num must say which of several runs is replaced" in capsys.readouterr().err
