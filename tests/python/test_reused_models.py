"""Runs that plan with the model of another one: what belongs to it goes with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.algorithms import model_based
from mbmf.errors import DataError
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from mbmf.show.run_figures import forward_simulation_figure, loss_figure
from small_mb_run import make_run, task_config

VALUE = {"hidden": [8], "first_iteration": 2, "rounds": 2}
POLICY = {"hidden": [8], "proposals": 3, "first_iteration": 2, "epochs": 2}
SCHEDULE = [{"first_iteration": 3, "cost": [{"term": "linear", "state": ["qvel.rootx"], "weight": 1.0}]}]


def config_of(iterations: int, **random_train: int) -> dict[str, Any]:
    config = task_config(value=VALUE, policy=POLICY, schedule=SCHEDULE, dying_cost=10.0)
    settings = config["model_based"]
    config["model_based"] = {
        **settings,
        "iterations": iterations,
        "random_train": {**settings["random_train"], **random_train},
    }
    return config


def reuse(path: Path, config: dict[str, Any]) -> None:
    task = mbmf.load_task(config)
    options = model_based.Options(
        seed=1, nthread=1, use_existing_training_data=True, use_existing_dynamics_model=True
    )
    with model_based.open_run(path, task, options) as run:
        model_based.model_based(task, run, options)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("reused") / "run_0", config_of(3))


@pytest.fixture(scope="module")
def second(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two iterations, driven by the first run's model of its third."""
    path = tmp_path_factory.mktemp("reused") / "run_1"
    shutil.copytree(first, path)
    reuse(path, config_of(2))
    return path


def test_labels_are_asked_of_what_drove(first: Path, second: Path) -> None:
    task = mbmf.load_task(config_of(2))
    with Run.read(second) as run:
        result = ModelBasedResult.load(run, task)
    trained = mbmf.load_trained(second)
    whole = mbmf.load_trained(first)
    states = mbmf.collect_random(task, 2, 5, seed=3).states[:, 0]
    assert trained.iteration == 3
    for value in (result.value, trained.value):
        assert value is not None
        assert whole.value is not None
        assert np.array_equal(value.predict(states), whole.value.predict(states))
    assert result.policy is not None
    assert trained.policy is not None
    assert np.array_equal(result.policy.parameter_vector(), trained.policy.parameter_vector())
    # of its schedule too
    assert result.planned.to_data()["cost"] == trained.task.to_data()["cost"] == SCHEDULE[0]["cost"]
    seed = model_based._seed(model_based.Options(seed=1), model_based._PLAN)
    planner = mbmf.make_planner(
        trained.task, trained.model, seed=seed, nthread=1, value=trained.value, policy=trained.policy
    )
    control = model_based._seed(model_based.Options(seed=1), model_based._CONTROL)
    episodes = mbmf.collect_mpc(trained.task, planner, 2, 30, seed=control)
    recorded = mbmf.Episodes.load(second / "rollouts/iteration_1.npz", task)
    assert np.array_equal(episodes.actions, recorded.actions)


@pytest.mark.parametrize("name", ["value_3", "policy_3"])
def test_what_is_gone_or_anothers_is_named(second: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(second, tmp_path / "run")
    file = tmp_path / "run/models" / f"{name}.safetensors"
    contents = file.read_bytes()
    file.unlink()
    with pytest.raises(DataError, match=rf"{name}.safetensors: file must be there, the run has written it"):
        mbmf.load_trained(tmp_path / "run")
    other = file.with_name(f"{name[:-1]}2.safetensors")
    file.write_bytes(other.read_bytes())
    with pytest.raises(DataError, match="as the run wrote it"):
        mbmf.load_trained(tmp_path / "run")
    file.write_bytes(contents)
    assert mbmf.load_trained(tmp_path / "run").iteration == 3


def test_figures_are_of_the_model_that_drove(second: Path) -> None:
    task = mbmf.load_task(config_of(2))
    validation = mbmf.Episodes.load(second / "data/validation.npz", task)
    model = mbmf.load_trained(second).model
    figure = loss_figure([second])
    line = next(each for each in figure.axes[0].get_lines() if "validation" in str(each.get_label()))
    np.testing.assert_allclose(line.get_ydata(), [model.loss(validation)] * 2)
    shown = forward_simulation_figure([second], steps=5)
    labels = [str(each.get_label()) for axes in shown.axes for each in axes.get_lines()]
    assert "run_1, iteration 3" in labels


def test_other_random_data_than_there_are_is_refused(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "run")
    with pytest.raises(DataError, match=r"model_based.random_train must be {.*'episodes': 3.*}, as the data"):
        reuse(tmp_path / "run", config_of(1, episodes=5))
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["seed"] == 0


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (
            "value",
            "discount",
            0.5,
            "value.discount must be 0.99, as the value there was learned, for it to be",
        ),
        (
            "policy",
            "std",
            2.0,
            "policy.std must be 0.3, as the policy there was learned, for it to be",
        ),
    ],
)
def test_what_was_learned_is_not_said_to_be_otherwise(
    section: str, key: str, value: float, message: str, first: Path, tmp_path: Path
) -> None:
    shutil.copytree(first, tmp_path / "run")
    config = config_of(1)
    config[section] = {**config[section], key: value}
    with pytest.raises(DataError, match=message):
        reuse(tmp_path / "run", config)
    config = config_of(1)
    config["policy"] = {**config["policy"], "proposals": 2}
    reuse(tmp_path / "run", config)
