"""What mf and mbmf say: lines of at most 80 letters, and commands that may be typed next."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from mbmf.cli import imitation_console, policy_console
from mbmf.cli import main as cli
from mbmf.cli.parse import parse
from mbmf.cli.runs import print_commands
from small_mb_run import make_run, task_config


def next_commands(printed: str) -> list[list[str]]:
    """The words of each command below "Next:"."""
    lines = printed.partition("Next:\n")[2].splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("  mbmf ")]


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("task") / "small.yaml"
    file.write_text(yaml.safe_dump(task_config()))
    return file


def test_mf_and_mbmf_fit_80_columns_and_say_what_comes_next(
    task_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["mf", f"--which_agent={task_file}", "--num_trpo_iters=2"]) == 0
    of_mf = capsys.readouterr().out
    make_run(tmp_path / "runs" / "run_7", task_config())
    assert cli.main(["mbmf", "--run_num=7", "--num_trpo_iters=2"]) == 0
    of_mbmf = capsys.readouterr().out
    for printed, commands in ((of_mf, ["evaluate", "video"]), (of_mbmf, ["evaluate", "video", "report"])):
        assert [line for line in printed.splitlines() if len(line) > 80] == []
        assert printed.count(policy_console.header_line()) == 1
        assert f"{'2/2':>9} " in printed
        following = next_commands(printed)
        assert [words[0] for words in following] == commands
        assert cli.main([*following[0], "--steps=5", "--episodes=1"]) == 0
        for command, *words in following:
            parse(importlib.import_module(f"mbmf.cli.{command}").Options, f"mbmf {command}", words)
    assert of_mbmf.count(imitation_console.header_line()) == 1


def test_the_longest_lines_fit_80_columns() -> None:
    record: dict[str, Any] = {
        "iteration": 2500,
        "steps_total": 99_999_999,
        "reward_mean": -1234.56,
        "reward_std": 1234.56,
        "episode_length_mean": 1000.0,
        "kl": 0.0512,
        "policy_std": 0.123,
        "explained_variance": -1.25,
        "seconds_sampling": 100.0,
        "seconds_update": 100.0,
    }
    line = policy_console.iteration_line(record, 2500, 3600.0 * 99)
    assert len(policy_console.header_line()) == len(line) <= 80
    words = "2500/2500 99,999,999 -1234.56 1234.56 1000 0.0512 0.123 -1.25 200.0 99:00:00"
    assert " ".join(line.split()) == words
    none = policy_console.iteration_line({**record, "reward_mean": None, "reward_std": None}, 2500, None)
    assert none.split()[2:4] == ["–", "–"]
    record |= {
        "points": 1_234_567,
        "loss_train": 0.12345,
        "loss_validation": 0.2,
        "seconds_training": 5000.0,
        "seconds_tests": 1.0,
        "seconds_labelling": 1.0,
    }
    line = imitation_console.iteration_line(record, 2500)
    assert len(imitation_console.header_line()) == len(line) <= 80
    diverged = imitation_console.iteration_line({**record, "reward_mean": None}, 2500)
    assert diverged.split()[4:6] == ["–", "–"]


@pytest.mark.parametrize("folder", ["runs", "a folder with a long name/and another one below it"])
def test_what_comes_next_is_narrow(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a command and what it is for do not fit into a line, they have one each."""
    print_commands(Path(folder) / "run_12", {"video --policy=newest": "a video of it"})
    printed = capsys.readouterr().out
    given = ["video", "--run_num=12"] + ([f"--runs_dir={folder}"] if folder != "runs" else [])
    assert next_commands(printed) == [[*given, "--policy=newest"]]
    assert ("  # a video of it\n  mbmf" in printed) == (folder != "runs")
