"""A task's schedule: sections by which the planner chooses that change from an iteration on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.algorithms import model_based
from mbmf.cli.main import main
from mbmf.errors import ConfigError
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from run_numbers import numbers_of
from small_mb_run import make_run, run_with_a_break, task_config

BACK = [{"term": "linear", "state": ["qvel.rootx"], "weight": 1.0}]
STILL = [{"term": "quadratic", "state": ["qvel.rootx"], "weight": 2.0}]
ICEM = {"search": "icem", "horizon": 3, "candidates": 12, "elites": 4}
SCHEDULE = [{"first_iteration": 2, "cost": BACK}, {"first_iteration": 3, "planner": ICEM, "cost": STILL}]


def scheduled(schedule: Any, iterations: int = 3) -> dict[str, Any]:
    config = task_config(schedule=schedule, dying_cost=10.0)
    config["model_based"] = {**config["model_based"], "iterations": iterations}
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("schedule") / "run_0", scheduled(SCHEDULE), seed=3)


def test_later_sections_take_the_place_of_earlier_ones() -> None:
    task = mbmf.load_task(scheduled(SCHEDULE))
    first, second, third = (task.at_iteration(i) for i in (1, 2, 3))
    assert first.config.cost == task.config.cost
    for at, cost in ((second, BACK), (third, STILL), (task.at_iteration(70), STILL)):
        assert at.to_data()["cost"] == cost
    assert (second.planner.search, third.planner.search) == (task.planner.search, "icem")
    episodes = mbmf.collect_random(task, episodes=5, steps=3, seed=0)
    states, actions = episodes.states, episodes.actions
    x = task.state_names.index("qvel.rootx")
    np.testing.assert_allclose(
        second.cost(states, actions) - third.cost(states, actions),
        (states[..., x] - 2 * states[..., x] ** 2).sum(axis=1),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip
    assert mbmf.load_task(task.to_data()) == task
    plain = mbmf.load_task(scheduled(None))
    assert plain.at_iteration(2) is plain


def test_an_iteration_is_planned_as_it_says(run: Path, tmp_path: Path) -> None:
    """Beside runs of tasks that have from the beginning what the schedule brings."""
    before = make_run(tmp_path / "run_1", scheduled(None, iterations=1), seed=3)
    for name in ("models/iteration_1.safetensors", "rollouts/iteration_1.npz"):
        assert (run / name).read_bytes() == (before / name).read_bytes()
    planned = mbmf.load_task({**scheduled(None), "planner": ICEM, "cost": STILL})
    trained = mbmf.load_trained(run)
    assert trained.task.to_data() == planned.to_data()
    assert mbmf.load_trained(run, 1).task.to_data() == mbmf.load_task(scheduled(None)).to_data()
    control = mbmf.make_planner(planned, trained.model, seed=model_based._seed(options(), model_based._PLAN))
    episodes = mbmf.collect_mpc(
        planned, control, 2, 30, seed=model_based._seed(options(), model_based._CONTROL), first_episode=4
    )
    recorded = mbmf.Episodes.load(run / "rollouts/iteration_3.npz", planned)
    assert np.array_equal(recorded.actions, episodes.actions)
    assert np.array_equal(recorded.states, episodes.states)
    saved = mbmf.Episodes.load(run / "rollouts/saved.npz", planned)
    again = mbmf.collect_mpc(
        planned, control, 4, 30, seed=model_based._seed(options(), model_based._CONTROL), first_episode=6
    )
    assert np.array_equal(saved.actions, again.actions)


def options() -> model_based.Options:
    return model_based.Options(seed=3, nthread=1)


def test_what_comes_after_goes_on_with_the_last(run: Path) -> None:
    task = mbmf.load_task(scheduled(SCHEDULE))
    with Run.read(run) as parent:
        result = ModelBasedResult.load(parent, task)
    assert result.planner.search == "icem"
    assert result.planned.to_data()["cost"] == STILL


def test_after_a_break_it_goes_on_to_the_same_numbers(run: Path, tmp_path: Path) -> None:
    run_with_a_break(tmp_path / "run_0", mbmf.load_task(scheduled(SCHEDULE)), options(), after=2)
    assert numbers_of(tmp_path / "run_0") == numbers_of(run)


def test_a_function_for_the_cost_stays() -> None:
    def cost(states: Any, actions: Any) -> Any:
        return states[:, 1:, 0].sum(axis=1)

    schedule = [{"first_iteration": 2, "planner": ICEM}]
    config = {key: value for key, value in scheduled(schedule).items() if key not in ("cost", "alive")}
    with pytest.warns(UserWarning, match="slower than terms"):
        task = mbmf.load_task(config | {"dying_cost": 0.0}, cost=cost)
    at = task.at_iteration(2)
    assert at.planner.search == "icem"
    assert at.cost_function is task.cost_function
    with pytest.raises(ConfigError, match=r"schedule\[0\]: cost must be left out"):
        mbmf.load_task(config | {"schedule": [{"first_iteration": 2, "cost": BACK}]}, cost=cost)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([{"first_iteration": 1, "cost": BACK}], r"schedule\[0\].first_iteration must be an integer from 2"),
        ([{"first_iteration": 2}], r"schedule\[0\] must be a mapping with a section beside first_iteration"),
        ([SCHEDULE[1], SCHEDULE[0]], "schedule must be a list whose first_iteration increases"),
        ([{"first_iteration": 2, "reward": BACK}], r"schedule\[0\].reward must be a known key"),
        (
            [SCHEDULE[0], {"first_iteration": 4, "cost": [BACK[0], {"term": "x"}]}],
            r"schedule\[1\].cost\[1\].term must be a term",
        ),
        (
            [SCHEDULE[0], {"first_iteration": 4, "cost": [{**BACK[0], "state": "qvel.knee"}]}],
            r"schedule\[1\]: cost\[0\].state must be .*qvel.knee",
        ),
        (
            [{"first_iteration": 2, "planner": {**ICEM, "elites": 40}}],
            r"schedule\[0\]: planner.elites must be",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_begins(schedule: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mbmf.load_task(scheduled(schedule))


def test_settings_that_it_takes_the_place_of_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(scheduled(SCHEDULE, iterations=1)))
    command = [
        "mb",
        f"--yaml_file={tmp_path / 'small.yaml'}",
        f"--runs_dir={tmp_path / 'runs'}",
        "--overwrite",
    ]
    short = "model_based.rollouts_to_save=1"
    assert main([*command, "--set", short, "cost[0].weight=2"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cost of the task's schedule takes the place of what was given from iteration 2 on" in text
    assert main([*command, "--candidates=9", "--set", short]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "planner of the task's schedule takes the place of what was given from iteration 3 on" in text
    assert main([*command, "--set", short, "schedule=null", "cost[0].weight=2"]) == 0
    assert "takes the place" not in capsys.readouterr().out
