"""Names that become files: what is refused, everywhere where a name comes in."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.cli.main import main
from mbmf.errors import ConfigError, DataError
from mbmf.names import is_plain_name, plain_name
from mbmf.rollouts.path_record import PathRecord

BAD = [
    "..",
    ".",
    "../x",
    "/tmp/x",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    ".hidden",
    "-rf",
    "~",
    "x.",
    "x ",
    " x",
    "é" * 51,
]
GOOD = ["swimmer", "my robot", "left_turn", "a..b", "robot-2.1", "Käfer", "x" * 100]
SWIMMER = yaml.safe_load(mbmf.load_task("swimmer_trajfollow").to_yaml())
LINE = [[0.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_plain_name(name: str) -> None:
    assert not is_plain_name(name)
    with pytest.raises(ConfigError, match=r"^it must be a plain file name of at most 100 bytes"):
        plain_name("it", name)
    places: dict[str, dict[str, Any]] = {
        "task: name": {"name": name},
        r"task: agent.names": {"agent": {"number": 9, "names": ["fine", name]}},
        r"task: path.follow": {"path": {**SWIMMER["path"], "follow": name}},
        r"task: path.paths": {"path": {**SWIMMER["path"], "paths": {**SWIMMER["path"]["paths"], name: {}}}},
    }
    for where, change in places.items():
        with pytest.raises(ConfigError, match=rf"^{where}.* must be a plain file name"):
            mbmf.load_task({**SWIMMER, **change})


@pytest.mark.parametrize("name", GOOD)
def test_plain_names(name: str) -> None:
    assert plain_name("it", name) == name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert mbmf.load_task({**SWIMMER, "name": name}).name == name


def test_a_path_of_a_file_with_a_name_that_is_none(tmp_path: Path) -> None:
    """`...csv` is a file whose stem is the folder above: a run on it emptied the run that it belongs to."""
    task = mbmf.load_task("swimmer_trajfollow")
    for name in ("...csv", "..csv", "-x.csv", "a\nb.csv", f"{'x' * 120}.csv"):
        (tmp_path / name).write_text("0,0\n1,0\n")
        with pytest.raises(ConfigError, match="path's file without its ending must be a plain file name"):
            task.with_path(tmp_path / name)


def test_rollouts_of_a_video_are_within_the_run(small_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("../run_1/iteration_1", "/iteration_1", "iteration_1/", "imitation//iteration_1"):
        assert main(["video", "--run_num=1", f"--rollouts={name}", f"--runs_dir={small_runs}"]) == 2
        assert (
            f"--rollouts must be one of iteration_1, iteration_2, saved, got {name}"
            in capsys.readouterr().err
        )


def test_names_in_files_of_episodes(tmp_path: Path) -> None:
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, 2, 3)
    with pytest.raises(DataError, match=r"task must be a plain file name .*, got '\.\./x'"):
        dataclasses.replace(episodes, task="../x")
    with pytest.raises(DataError, match=r"path.name must be a plain file name .*, got '\.\.'"):
        PathRecord("..", np.array(LINE), np.zeros((2, 2)), np.zeros((2, 4), np.int32))
    episodes.save(tmp_path / "good.npz")
    arrays = dict(np.load(tmp_path / "good.npz"))
    np.savez(tmp_path / "bad.npz", **{**arrays, "task": np.array("../../x")})
    with pytest.raises(DataError, match=r"bad\.npz: task must be a plain file name"):
        mbmf.Episodes.load(tmp_path / "bad.npz")


def test_the_command_line_makes_no_path_of_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "task.yaml"
    runs = tmp_path / "runs"
    for name in ("../../x", "..", "/tmp/x"):
        file.write_text(yaml.safe_dump({**SWIMMER, "name": name}))
        for command in (
            ["mb", f"--yaml_file={file}", f"--runs_dir={runs}"],
            ["mf", f"--which_agent={file}", f"--runs_dir={runs}"],
            ["mbmf", f"--which_agent={file}", f"--runs_dir={runs}"],
            ["reproduce", str(file), f"--output={runs}"],
            ["plot", "mbmf", f"--which_agent={file}", f"--runs_dir={runs}"],
        ):
            assert main(command) == 2
            said = capsys.readouterr().err.replace("\n", " ")
            # mbmf looks for its run first
            wanted = (
                f"{runs}: a run of" if command[0] == "mbmf" else f"{file}: name must be a plain file name"
            )
            assert wanted in said
    assert not runs.exists()
