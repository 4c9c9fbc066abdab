"""Recipes: sections of a task file that take the place of its own where they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from damage_table import task_file
from mbmf.cli import main as cli
from mbmf.errors import ConfigError
from mbmf.tasks.agents import find_agent
from mbmf.tasks.file import preset_names
from mbmf.tasks.recipes import with_recipe
from mbmf.tasks.settings import changed_task

SEARCH = {"search": "icem", "horizon": 4, "candidates": 20, "elites": 5}


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A task file whose recipe has another search, fewer iterations and another discount."""
    path = task_file(tmp_path)
    config = yaml.safe_load(path.read_text())
    recipe = {
        "planner": SEARCH,
        "model_based": {**config["model_based"], "iterations": 1},
        "model_free": {**config["model_free"], "discount": 0.9, "iterations": 1},
        "imitation": {**config["imitation"], "epochs": 1},
    }
    path.write_text(yaml.safe_dump({**config, "recipes": {"best": recipe}}))
    return path


def run_of(*parts: Any) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(Path(*parts, "config.yaml").read_text())
    return config


def test_its_sections_take_the_place_of_the_tasks_own(robot: Path) -> None:
    task = mbmf.load_task(robot)
    best = with_recipe(task, "best")
    assert best.planner.search == "icem"
    assert best.model_free is not None
    assert task.model_free is not None
    assert (best.model_free.discount, task.model_free.discount) == (0.9, 0.995)
    assert best.config.fine_tune == task.config.fine_tune
    assert (best.config.recipe, best.config.recipes) == ("best", None)
    assert best.config.reward == task.config.reward
    # it remembers, also in a file
    again = mbmf.load_task(best.to_data())
    assert again == best
    assert with_recipe(again, "best") is again
    assert mbmf.load_task(robot, recipe="best").config == best.config
    assert with_recipe(task, None) is with_recipe(task, "paper") is task


def test_a_dynamics_section_takes_the_place_of_what_nobody_wrote(robot: Path) -> None:
    data = yaml.safe_load(robot.read_text())
    own = {key: value for key, value in data["model_based"].items() if key not in ("hidden", "noise")}
    recipe = {"dynamics": {"members": 3, "hidden": [64], "noise": 0.0}}
    task = mbmf.load_task({**data, "model_based": own, "recipes": {"ens": recipe}})
    assert task.dynamics.model["hidden"] == (500,)
    found = with_recipe(task, "ens").dynamics
    assert (found.model["hidden"], found.model["members"], found.noise) == ((64,), 3, 0)
    assert changed_task(task, ["dynamics.hidden=[32]"]).dynamics.model["hidden"] == (32,)
    # what somebody wrote stays a contradiction
    written = mbmf.load_task({**data, "model_based": {**own, "hidden": [7]}, "recipes": {"ens": recipe}})
    with pytest.raises(ConfigError, match=r"dynamics\.hidden must be given once, .* got \(64,\) and \(7,\)"):
        with_recipe(written, "ens")


def test_the_planner_may_choose_by_another_cost(robot: Path) -> None:
    """What a robot is paid stays, and with it what its runs are compared by."""
    task = mbmf.load_task(robot)
    name = task.state_names[0]
    data = task.to_data()
    data["recipes"]["best"] |= {
        "cost": [{"term": "quadratic", "state": name}],
        "terminal_cost": [{"term": "linear", "state": name}],
        "alive": [{"state": name, "min": -3, "max": 3}],
        "dying_cost": 7,
    }
    best = mbmf.load_task(data, recipe="best")
    still = np.zeros((1, task.naction), np.float32)
    costs = [best.cost(np.full((1, 2, task.nstate), x), still[None]) for x in (2.0, 5.0)]
    assert np.concatenate(costs).tolist() == [4 + 4 + 2, 7]
    assert best.config.reward == task.config.reward
    assert not best.identity.differences(task.identity)


def test_bad_input(robot: Path) -> None:
    task = mbmf.load_task(robot)
    with pytest.raises(ConfigError, match=r"recipe must be a recipe \(paper, best.*got 'bset'"):
        with_recipe(task, "bset")
    with pytest.raises(ConfigError, match=r"recipe must be best, with which .* got 'paper'"):
        with_recipe(with_recipe(task, "best"), "paper")
    data = task.to_data()
    data["recipes"]["best"]["model_free"]["discount"] = 2
    with pytest.raises(ConfigError, match=r"recipes\.best\.model_free\.discount must be"):
        mbmf.load_task(data)
    data["recipes"] = {"paper": {}}
    with pytest.raises(ConfigError, match="recipes must be a mapping without paper"):
        mbmf.load_task(data)
    data["recipes"] = {"best": {"reward": []}}
    with pytest.raises(ConfigError, match=r"recipes\.best\.reward must be a known key \(alive, cost, "):
        mbmf.load_task(data)


def test_a_run_keeps_its_recipe(robot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    at = [f"--runs_dir={runs}", "--run_num=1"]
    assert cli.main(["mb", f"--yaml_file={robot}", *at, "--recipe=best", "--print_minimal"]) == 0
    config = run_of(runs, "run_1")
    assert config["task"]["recipe"] == "best"
    assert config["task"]["planner"]["search"] == "icem"
    assert len((runs / "run_1" / "metrics.jsonl").read_text().splitlines()) == 1
    # it is what goes on
    assert cli.main(["mb", *at, "--resume", "--print_minimal"]) == 0
    assert cli.main(["mbmf", *at, "--recipe=paper", "--max_steps=1"]) == 2
    assert "--recipe must be best, with which" in capsys.readouterr().err
    for which in ([], [f"--which_agent={robot}"]):
        assert cli.main(["mbmf", *at, *which, "--max_steps=1", "--overwrite"]) == 0
        assert run_of(runs, "run_1", "imitation")["settings"]["epochs"] == 1
    capsys.readouterr()


def test_model_free_learning_is_beside_that_of_the_paper(robot: Path, tmp_path: Path) -> None:
    at = [f"--which_agent={robot}", f"--runs_dir={tmp_path}", "--print_minimal", "--num_trpo_iters=1"]
    assert cli.main(["mf", *at]) == 0
    assert cli.main(["mf", *at, "--recipe=best"]) == 0
    name = mbmf.load_task(robot).name
    assert run_of(tmp_path, f"mf_{name}_1")["settings"]["discount"] == 0.995
    assert run_of(tmp_path, f"mf_{name}_best_1")["settings"]["discount"] == 0.9


@pytest.mark.parametrize("preset", preset_names())
def test_recipes_of_presets_are_whole(preset: str) -> None:
    task = mbmf.load_task(preset)
    for name in task.config.recipes or {}:
        best = with_recipe(task, name)
        assert best.planner.horizon > 0
        assert best.config.model_based is not None
    if find_agent(preset) is not None or (task.config.agent and task.model_free):
        assert "best" in (task.config.recipes or {})
