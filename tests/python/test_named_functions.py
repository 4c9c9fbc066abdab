"""Reward and cost functions that a task file names: in the whole job, and only where they are allowed."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.cli import main as cli
from mbmf.errors import ConfigError
from small_mb_run import cheetah_task

MODULE = """
import numpy as np

def reward(states, actions):
    return 10 + np.tanh(states[:, 13])

def cost(states, actions):
    return -states[:, 1:, 13].sum(axis=1)

number = 3
"""
NAMES = {"reward_function": "own_rewards:reward", "cost_function": "own_rewards:cost"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The present one, with the module, which is allowed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_rewards.py").write_text(MODULE)
    monkeypatch.setenv("MBMF_FUNCTIONS", "another, own_rewards")
    yield tmp_path
    for name in ("own_rewards", "broken_rewards"):
        sys.modules.pop(name, None)


def config(**changes: Any) -> dict[str, Any]:
    data = mbmf.load_task("swimmer_forward").to_data()
    del data["reward"]
    return {**data, **NAMES, **changes}


def test_they_are_those_of_the_module() -> None:
    before = list(sys.path)
    task = mbmf.load_task(config())
    assert sys.path == before
    data = mbmf.collect_random(task, episodes=2, steps=5)
    np.testing.assert_allclose(data.rewards, 10 + np.tanh(data.states[:, 1:, 13]), rtol=1e-6)
    states, actions = data.states.astype(np.float32), data.actions.astype(np.float32)
    np.testing.assert_allclose(task.cost(states, actions), -states[:, 1:, 13].sum(axis=1), rtol=1e-6)
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task == mbmf.load_task(task.to_data())
    np.testing.assert_array_equal(mbmf.collect_random(copy, 2, 5).rewards, data.rewards)
    given = mbmf.load_task(config(), reward=lambda states, actions: np.zeros(len(states)))
    assert mbmf.collect_random(given, 1, 5).returns.tolist() == [0]


def test_the_whole_job(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Learning, going on, and scoring use the functions; without leave each is refused."""
    (folder / "small.yaml").write_text(cheetah_task().to_yaml())
    names = [f"{key}={value}" for key, value in NAMES.items()]
    command = ["mb", "--yaml_file=small.yaml", "--run_num=1", "--print_minimal", "--set", *names]
    assert cli.main(command) == 0
    recorded = yaml.safe_load((folder / "runs/run_1/config.yaml").read_text())["task"]
    assert {key: recorded[key] for key in NAMES} == NAMES
    capsys.readouterr()
    few = ["--batch_size=80", "--print_minimal", "--set", "model_free.steps_per_rollout=40"]
    again = (
        ["mb", "--run_num=1", "--resume"],
        ["evaluate", "--run_num=1", "--episodes=2", "--steps=10"],
        ["report", "--run_num=1"],
        ["check", "small.yaml", "--set", *names],
        ["mf", "--which_agent=small.yaml", "--num_trpo_iters=1", *few, *names],
        ["mbmf", "--run_num=1", "--num_trpo_iters=1", *few, "imitation.epochs=1", "imitation.iterations=1"],
    )
    for words in again:
        assert cli.main(words) == 0, words
    lines = (folder / "runs/run_1/evaluation/mpc_iteration_3_steps=10_seed0.csv").read_text().splitlines()
    rewards = [float(line.split(",")[1]) for line in lines[1:]]
    assert all(90 < reward < 110 for reward in rewards)  # ten steps of 10 and a tanh
    for where in ("mf_small_1", "run_1/mbmf_std0.5_1"):
        record = json.loads((folder / "runs" / where / "metrics.jsonl").read_text().splitlines()[-1])
        assert 360 < record["reward_mean"] < 440, where  # forty steps
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MBMF_FUNCTIONS")
        for words in again:
            capsys.readouterr()
            assert cli.main(words) == 2, words
            assert "set MBMF_FUNCTIONS=own_rewards in the environment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_rewards:rewards", r"must be a function of .*own_rewards\.py, got rewards; nearest: reward"),
        ("own_rewards:number", "must be a function of .*, got number"),
        ("another:reward", "must be of a module that Python can import, .*ModuleNotFoundError: No module"),
        (
            "os:system",
            "must be of a module that you allow.*set MBMF_FUNCTIONS=os in .*, got os:system",
        ),
        ("reward", "must be a function's name, module:function, got 'reward'"),
        ("a b:reward", "must be a function's name, module:function"),
        ("own_rewards:", "must be a function's name, module:function"),
        (3, "must be a text that is not empty, got 3"),
    ],
)
def test_what_is_refused(name: object, said: str) -> None:
    with pytest.raises(ConfigError, match=f"reward_function {said}"):
        mbmf.load_task(config(reward_function=name))


def test_code_that_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "broken_rewards.py").write_text("1 / 0\n")
    monkeypatch.setenv("MBMF_FUNCTIONS", "broken_rewards")
    before = list(sys.path)
    with pytest.raises(ConfigError, match="got broken_rewards:reward: ZeroDivisionError: division by zero"):
        mbmf.load_task(config(reward_function="broken_rewards:reward"))
    assert sys.path == before


def test_a_reward_needs_a_cost() -> None:
    with pytest.raises(ConfigError, match="cost must be given"):
        mbmf.load_task(config(cost_function=None, cost=None))
