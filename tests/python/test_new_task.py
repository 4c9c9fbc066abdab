"""A robot of one's own: `mbmf new`, `mbmf check`, `mbmf tasks`, and settings from the command line."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.cli import main as cli
from mbmf.cli import mb
from mbmf.cli.parse import parse
from mbmf.errors import ConfigError
from mbmf.tasks.file import PRESETS, preset_names
from mbmf.tasks.settings import changed_task
from mbmf.tasks.trial import try_task
from pages import ROOT
from small_mb_run import MODEL_BASED

BAD = 2


def robots() -> list[Path]:
    """The MJCF files that Gymnasium ships."""
    spec = importlib.util.find_spec("gymnasium")
    assert spec is not None
    assert spec.submodule_search_locations
    return sorted((Path(spec.submodule_search_locations[0]) / "envs/mujoco/assets").glob("*.xml"))


@pytest.mark.parametrize("robot", robots(), ids=lambda path: path.stem)
def test_a_draft_of_any_robot_can_be_used(robot: Path, tmp_path: Path) -> None:
    file = tmp_path / "tasks" / "my_robot.yaml"
    if robot.stem == "point":  # two actuators, no names
        shutil.copy(robot, tmp_path / "robot 1.xml")
        robot = tmp_path / "robot 1.xml"
    assert cli.main(["new", str(file), "--from", str(robot)]) == 0
    task = mbmf.load_task(file)
    assert task.name == "my_robot"
    assert task.nstate >= task.model.nq + task.model.nv
    assert task.model_based is not None
    assert task.model_based.steps_per_rollout * task.dt == pytest.approx(10, rel=0.05)
    tried = try_task(task, episodes=2, steps=5, nthread=1)
    assert tried.random.lengths.tolist() == [5, 5]


def test_a_draft_takes_no_target_for_the_end_of_an_arm(tmp_path: Path) -> None:
    (tmp_path / "arm.xml").write_text(
        '<mujoco><worldbody><body name="upper"><joint name="a" axis="0 1 0"/><geom size=".1" mass="1"/>'
        '<body name="finger" pos=".5 0 0"><joint name="b" axis="0 1 0"/><geom size=".1" mass="1"/></body>'
        '</body><body name="target" mocap="true"><geom size=".1"/></body>'
        '<body name="table"><geom size=".1"/></body>'
        '</worldbody><actuator><motor joint="a" ctrlrange="-1 1"/></actuator></mujoco>'
    )
    assert cli.main(["new", str(tmp_path / "t.yaml"), "--from", str(tmp_path / "arm.xml")]) == 0
    assert "state: body_pos.finger, target: [0.5, 0, 0]" in (tmp_path / "t.yaml").read_text()


def test_a_draft_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hopper.yaml"
    assert cli.main(["new", str(file), "--from=hopper.xml"]) == 0
    assert f"mbmf check {file}" in capsys.readouterr().out
    words = [f"model_based.{key}={yaml.safe_dump(value, default_flow_style=True).split(chr(10))[0]}"
             for key, value in MODEL_BASED.items()]  # fmt: skip
    runs = tmp_path / "runs"
    assert cli.main(["mb", f"--yaml_file={file}", f"--runs_dir={runs}", "--set", *words]) == 0
    config = yaml.safe_load((runs / "run_0/config.yaml").read_text())
    assert {key: config["task"]["model_based"][key] for key in MODEL_BASED} == MODEL_BASED
    assert cli.main(["list", f"--runs_dir={runs}"]) == 0
    listed = capsys.readouterr().out.splitlines()[-1].split()
    assert listed[:5] == ["run_0", "mb", "hopper", "0", "finished"]


def test_set_may_be_given_again() -> None:
    """Each one counts, wherever it stands, with or without an equals sign."""
    wanted = ("name=b", "episode_steps=7", "planner.horizon=4")
    for words in (
        ["--set", "name=b", "--seed=3", "--set", "episode_steps=7", "planner.horizon=4", "--print_minimal"],
        ["--set=name=b", "--set=episode_steps=7", "--seed=3", "--print_minimal", "--set=planner.horizon=4"],
    ):
        options = parse(mb.Options, "mbmf mb", words)
        assert options.set == wanted
        assert options.seed == 3
        assert options.print_minimal
    assert parse(mb.Options, "mbmf mb", ["--seed=3"]).set == ()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["x.yaml", "--from=nothing.xml"], "model.asset must be an MJCF file that exists (ant.xml, "),
        (["x.txt", "--from=ant.xml"], "output must end in .yaml, got x.txt"),
        (["there.yaml", "--from=ant.xml"], "there.yaml must be a new file, got one that is there: --overw"),
        (["x.yaml", "--from=bad.xml"], "model must be MJCF that compiles"),
        (["x.yaml", "--from=still.xml"], "model must have an actuator, got none"),
        (["~x.yaml", "--from=ant.xml"], "output's name must be a plain file name"),
    ],
)
def test_bad_input_of_new(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.yaml").write_text("mine")
    (tmp_path / "bad.xml").write_text("<mujoco><worldbody>")
    (tmp_path / "still.xml").write_text("<mujoco/>")
    assert cli.main(["new", *args]) == BAD
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.xml", "still.xml", "there.yaml"]
    assert (tmp_path / "there.yaml").read_text() == "mine"


def test_check_says_what_is_odd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = mbmf.load_task("swimmer_forward").to_data()
    for section in ("model_based", "agent", "cost"):
        config.pop(section)
    config["reward"] = [{"term": "constant", "weight": 2}]
    config["state"] = [{"source": "body_pos", "body": "torso"}]
    config["healthy"] = [{"source": "qpos", "joint": "slider1", "min": 5}]
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["check", str(tmp_path / "odd.yaml"), "--episodes=3", "--steps=8"]) == 0
    odd = capsys.readouterr().out.replace("\n", " ").split("odd: ")[1:]
    expected = (
        "with no action every episode ends within 3 steps",
        "with random actions every episode ends within 3 steps",
        "the reward is always 2: nothing can be learned",
        "these states never change: body_pos.torso.z",
        "there is no section model_based",
    )
    for text in expected:
        assert [line for line in odd if line.startswith(text)], (text, odd)


@pytest.mark.parametrize(
    ("control", "text"),
    [
        ("", "these actuators have no control range, and take actions of -1 to 1 as they are: first"),
        (
            'ctrlrange="2 -2" ctrllimited="false"',
            "the control ranges of these actuators do not count: first (2 to -2); they are limited by",
        ),
    ],
)
def test_check_says_which_controls_have_no_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], control: str, text: str
) -> None:
    body = '<body><joint name="{0}" axis="0 1 0"/><geom size=".1" pos=".2 0 0"/></body>'
    motors = f'<motor name="first" joint="a" {control}/><motor joint="b" ctrlrange="-2 2"/>'
    (tmp_path / "arm.xml").write_text(
        f"<mujoco><worldbody>{body.format('a')}{body.format('b')}</worldbody>"
        f"<actuator>{motors}</actuator></mujoco>"
    )
    assert cli.main(["new", str(tmp_path / "arm.yaml"), f"--from={tmp_path / 'arm.xml'}"]) == 0
    short = "model_based.random_validation={episodes: 2, steps: 100}"
    words = [str(tmp_path / "arm.yaml"), "--episodes=2", "--steps=8", "--set", short]
    capsys.readouterr()
    assert cli.main(["check", *words]) == 0
    odd = " ".join(capsys.readouterr().out.split()).split("odd: ")[1:]
    assert [line for line in odd if line.startswith(text)], odd
    assert [line for line in odd if line.startswith("mbmf mb needs episodes of more than 100 steps")], odd


def test_check_finds_joints_that_move_of_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A light target with the damping of an arm was thrown about by RK4, and was the example of the page."""
    example = (ROOT / "docs/tasks.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    damped = example.replace("{damping: 0}", "{damping: 1}")
    assert damped != example
    for name, text in (
        ("sound", example),
        ("damped", damped),
        ("implicit", damped.replace("RK4", "implicitfast")),
    ):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        assert cli.main(["check", str(tmp_path / f"{name}.yaml"), "--episodes=3", "--steps=30"]) == 0
        found = "and move of themselves: target_x, target_y" in " ".join(capsys.readouterr().out.split())
        still = try_task(mbmf.load_task(tmp_path / f"{name}.yaml"), 3, 30).still.states[:, :, 8:]
        assert found == (name == "damped") == (np.abs(still - still[:, :1]).max() > 0.01)


def test_check_of_a_sound_task(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["check", "hopper_forward", "--episodes=4", "--steps=40"]) == 0
    out = capsys.readouterr().out
    # it moves in a plane
    assert out.count("odd: ") == 1
    assert "odd: these states never change: subtree_com.torso.y, subtree_linvel.torso.y" in out
    assert max(map(len, out.splitlines())) <= 80
    task = mbmf.load_task("hopper_forward")
    tried = try_task(task, 4, 40)
    assert f"{tried.random.returns.mean():,.2f}" in out
    assert (tried.still.actions == 0).all()
    for name, low in zip(task.state_names, tried.low, strict=True):
        assert re.search(rf"{re.escape(name)} .* {re.escape(f'{low:.4g}')} ", out)


def test_presets_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tasks"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-2]] == preset_names()
    assert cli.main(["tasks", "ant_forward"]) == 0
    assert capsys.readouterr().out == (PRESETS / "ant_forward.yaml").read_text()
    assert cli.main(["tasks", "ant_foward"]) == BAD
    assert "nearest: ant_forward" in capsys.readouterr().err


def test_settings_are_put_into_the_task() -> None:
    task = mbmf.load_task("swimmer_forward")
    changed = changed_task(
        task,
        ["model_based.epochs=5", "model_based.hidden=[20, 30]", "reward[1].weight=-2", "planner.search=icem"],
    )
    assert changed.model_based is not None
    assert (changed.model_based.epochs, changed.model_based.hidden) == (5, (20, 30))
    assert changed.to_data()["reward"][1]["weight"] == -2
    assert changed.planner.search == "icem"
    # and nothing else
    data = changed.to_data()
    del data["planner"]
    data["model_based"] |= {"epochs": 30, "hidden": [500]}
    data["reward"][1]["weight"] = -0.005
    assert data == task.to_data()
    assert changed_task(task, []) is task
    # another search has its own defaults, whatever the order of the settings
    cheetah = mbmf.load_task("gym_half_cheetah")
    assert cheetah.planner.search == "icem"
    for words in (
        ["planner.candidates=60", "planner.search=cem"],
        ["planner.search=cem", "planner.candidates=60"],
    ):
        other = changed_task(cheetah, words).planner
        assert (other.search, other.candidates, other.horizon) == ("cem", 60, cheetah.planner.horizon)
    for word in ("planner.search=icem", "planner.search='icem'", "planner.search= icem"):
        assert changed_task(cheetah, [word]).planner == cheetah.planner


def test_settings_that_the_planner_has_of_its_own_are_told() -> None:
    cheetah = mbmf.load_task("gym_half_cheetah")
    for name, value in (("horizon", 15), ("candidates", 80)):
        assert getattr(cheetah.planner, name) == value
        message = f"--set model_based.{name} has no effect: planner.{name} is {value}"
        with pytest.warns(UserWarning, match=message):
            assert changed_task(cheetah, [f"model_based.{name}=7"]).planner == cheetah.planner
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        swimmer = changed_task(mbmf.load_task("swimmer_forward"), ["model_based.horizon=7"])
        assert swimmer.planner.horizon == 7
        assert changed_task(cheetah, ["model_based.horizon=7", "planner.horizon=7"]).planner.horizon == 7


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model_based.epoch=5", "model_based.epoch must be a known key ("),
        ("model_based.epoch=5", "nearest: epochs"),
        ("model_basd.epochs=5", "nearest: model_based"),
        ("model_based.epochs=many", "model_based.epochs must be an integer from 1 to 1000000, got 'many'"),
        ("model_based.epochs", "--set must be of the form section.key=value, got 'model_based.epochs'"),
        ("=5", "--set must be of the form section.key=value, got '=5'"),
        ("a..b=5", "--set must be of the form section.key=value, got 'a..b=5'"),
        ("reward[9].weight=5", "--set reward[9].weight must be in a list that has 9, got a list of 2"),
        ("name.x=5", "--set name.x must be in a section of the task, got 'swimmer_forward'"),
        ("model_based.epochs=[1", "--set model_based.epochs"),
    ],
)
def test_settings_that_cannot_be(setting: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        changed_task(mbmf.load_task("swimmer_forward"), [setting])
    for command in (["mf", "--which_agent=2"], ["reproduce", "swimmer"], ["check", "swimmer_forward"]):
        assert cli.main([*command, "--set", setting]) == BAD
        assert message in capsys.readouterr().err


def test_completion_knows_every_command_and_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess

    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out

    def completed(*words: str) -> list[str]:
        line = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _mbmf; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(
            ["bash", "-c", f"{script}\n{line}"], capture_output=True, text=True, check=True, timeout=20
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed("mbmf", "ev") == ["evaluate"]
    assert set(cli.COMMANDS) <= set(completed("mbmf", "''"))
    assert completed("mbmf", "mb", "--run") == ["--run_num", "--runs_dir"]
    assert completed("mbmf", "plot", "mbmf", "--pa") == ["--paper"]
    assert completed("mbmf", "bench", "control", "--lon") == ["--longest"]
    assert completed("mbmf", "mbmf", "--imi") == ["--imitation_epochs"]
    assert cli.main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.endswith(script)


def test_list_of_runs(small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mbmf.runs.run import Run

    runs = tmp_path / "runs"
    assert cli.main(["list", f"--runs_dir={runs}"]) == BAD
    assert f"{runs}: folder of runs must exist, got none" in capsys.readouterr().err
    for name in ("run_1", "run_10", "run_2", "demo"):
        shutil.copytree(small_runs / "run_1", runs / name)
    (runs / "run_2/summary.json").unlink()
    (runs / "demo/metrics.jsonl").write_text("nonsense\nnonsense\n")
    shutil.copytree(small_runs / "run_1", runs / "run_10/paths/left_turn")
    with Run.read(runs / "run_1"):
        assert cli.main(["list", f"--runs_dir={runs}"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["demo", "run_1", "run_2", "run_10", "left_turn"]
    assert rows[0][1] == "damaged"
    assert rows[1][:5] == ["run_1", "mb", "swimmer_forward", "3", "finished"]
    assert rows[2][4:8] == ["stopped,", "2", "of", "2"]
    record = Run(runs / "run_2").metrics()[-1]
    assert rows[2][8] == f"{record['reward_mean']:,.1f}"
    config = Run(runs / "run_2").config()
    with Run.resume(runs / "run_2", config, sections=("model_based",)):
        assert cli.main(["list", f"--runs_dir={runs}"]) == 0
    assert "running, 2 of 2" in capsys.readouterr().out
    # gone on with for longer than its configuration says
    with open(runs / "run_2/metrics.jsonl", "a") as file:
        file.write(json.dumps({**record, "iteration": 3}) + "\n")
    assert cli.main(["list", f"--runs_dir={runs}"]) == 0
    (row,) = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("run_2 "))
    assert row[4:6] == ["stopped,", "3"]
    assert "of" not in row
