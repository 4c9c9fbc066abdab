"""The section `dynamics` of task files, and model-based learning with ensembles from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.algorithms import model_based as mb
from mbmf.errors import ConfigError, DataError
from mbmf.tasks.learning import FLAT_DYNAMICS
from recorder import Recorder
from run_numbers import numbers_of
from small_mb_run import task_config

ENSEMBLE: dict[str, Any] = {
    "hidden": [12, 12],
    "activation": "silu",
    "members": 3,
    "elites": 2,
    "probabilistic": True,
    "particles": 4,
    "propagate": "ts1",
    "risk": 0.5,
    "weight_decay": [1e-4, 1e-4, 2e-4],
    "bootstrap": True,
    "beta": 0.5,
    "statistics": "refitted",
    "inputs": {"qpos.rooty": "sine and cosine", "subtree_com.torso.x": "nothing"},
    "outputs": {"qvel.rootx": "value"},
    "epochs": 2,
    "first_epochs": 4,
    "max_updates": 1000,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "noise": 0.0,
    "validation_share": 0.2,
    "patience": 2,
}
NO_DEFAULTS = [key for key, value in FLAT_DYNAMICS.items() if value is None]


def config_of(dynamics: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    """The small hopper with a section; keys of ``changes`` replace or (None) remove model_based's."""
    config = task_config(dynamics=dynamics, imitation=None, fine_tune=None)
    flat = {**config["model_based"], **changes}
    if dynamics is not None:
        flat = {key: value for key, value in flat.items() if key not in FLAT_DYNAMICS}
    config["model_based"] = {key: value for key, value in flat.items() if value is not None}
    return config


def test_the_section_makes_the_model_and_its_training() -> None:
    task = mbmf.load_task(config_of(ENSEMBLE))
    found = task.dynamics
    model = mbmf.DynamicsModel(task, **found.model)
    settings = model.settings
    assert settings.hidden == (12, 12)
    assert (settings.members, settings.elites, settings.particles) == (3, 2, 4)
    assert (settings.activation, settings.propagate, settings.risk) == ("silu", "ts1", 0.5)
    assert settings.weight_decay == (1e-4, 1e-4, 2e-4)
    assert (settings.probabilistic, settings.bootstrap, settings.statistics) == (True, True, "refitted")
    assert settings.beta == 0.5
    assert settings.written(task.state_names)["inputs"] == ENSEMBLE["inputs"]
    assert settings.written(task.state_names)["outputs"] == ENSEMBLE["outputs"]
    assert (found.epochs, found.first_epochs, found.batch_size, found.noise) == (2, 4, 16, 0.0)
    assert found.max_updates == 1000
    assert (found.validation_share, found.patience, found.fraction_use_new) == (0.2, 2, None)
    assert mbmf.load_task(yaml.safe_load(task.to_yaml())) == task


def test_without_a_section_the_keys_of_model_based_go_on_working() -> None:
    task = mbmf.load_task("swimmer_forward")
    flat, found = task.model_based, task.dynamics
    assert (found.hidden, found.epochs, found.fraction_use_new) == ((500,), 30, 0.9)
    assert (flat.hidden, flat.batch_size, flat.learning_rate, flat.noise) == ((500,), 512, 1e-3, 0.01)
    assert mbmf.DynamicsModel(task, **found.model).settings == mbmf.DynamicsModel(task).settings
    # and may be what the section leaves out
    config = config_of({"members": 2})
    config["model_based"] |= {"epochs": 7, "hidden": [5]}
    both = mbmf.load_task(config).dynamics
    assert (both.epochs, both.hidden, both.batch_size, both.model["members"]) == (7, (5,), 512, 2)


@pytest.mark.parametrize(
    ("changes", "flat", "message"),
    [
        ({"members": 0}, {}, "dynamics.members must be an integer from 1 to 1000, got 0"),
        ({"probabilistic": "yes"}, {}, "dynamics.probabilistic must be true or false, got 'yes'"),
        (
            {"activation": "elu"},
            {},
            "dynamics.activation must be a known word .*relu, tanh, silu.*, got 'elu'",
        ),
        ({"member": 3}, {}, r"dynamics.member must be a known key .*nearest: members.*, got 'member'"),
        ({"elites": 4}, {}, "dynamics.elites must be from 1 to members = 3, got 4"),
        ({"particles": 5}, {}, "dynamics.particles must be divisible by the 2 members that plan, got 5"),
        (
            {"members": 1, "elites": 1, "probabilistic": False, "risk": 0},
            {},
            "dynamics.propagate must be expectation for one member that is not probabilistic, got ts1",
        ),
        ({"weight_decay": [1e-4]}, {}, "dynamics.weight_decay must be .* the 3 layers, got 1"),
        (
            {"weight_decay": -1},
            {},
            "dynamics.weight_decay must be a number from 0 to 1e6, or .*, got -1",
        ),
        (
            {"inputs": {"qpos.roty": "nothing"}},
            {},
            "dynamics.inputs must name states .*nearest: qpos.ro",
        ),
        (
            {"inputs": {"qpos.rooty": "cos"}},
            {},
            "dynamics.inputs.qpos.rooty must be a known .*, got 'cos'",
        ),
        (
            {"validation_share": 0},
            {},
            "dynamics.patience must be given with a validation_share",
        ),
        ({"epochs": None}, {}, "dynamics.epochs must be given, here or in model_based, got nothing"),
        (
            {},
            {"epochs": 3},
            "dynamics.epochs must be given once, here or in model_based, got 2 and 3",
        ),
        (
            {"fraction_use_new": 0.5},
            {"fraction_use_new": 0.9},
            "dynamics.fraction_use_new must be given once, here or in model_based, got 0.5 and 0.9",
        ),
    ],
)
def test_what_does_not_fit_is_named_when_the_file_is_read(
    changes: dict[str, Any], flat: dict[str, Any], message: str
) -> None:
    section = {key: value for key, value in {**ENSEMBLE, **changes}.items() if value is not None}
    config = config_of(section)
    config["model_based"] |= flat
    with pytest.raises(ConfigError, match=message):
        mbmf.load_task(config)


@pytest.mark.parametrize("key", NO_DEFAULTS)
def test_what_has_no_default_must_be_there(key: str) -> None:
    config = config_of(None)
    del config["model_based"][key]
    with pytest.raises(ConfigError, match=f"model_based.{key} must be given, got nothing"):
        mbmf.load_task(config)


def learn(path: Path, task: mbmf.Task, observer: Any = None, resume: bool = False) -> dict[str, Any]:
    options = mb.Options(seed=0, nthread=1)
    with mb.open_run(path, task, options, resume=resume) as run:
        return mb.model_based(task, run, options, observer)


@pytest.mark.parametrize("share", [None, 0.5])
def test_more_data_are_passed_over_less_often(tmp_path: Path, share: float | None) -> None:
    """With so many updates at most; each run is one whose numbers of epochs are written down."""
    section = {key: value for key, value in ENSEMBLE.items() if key not in ("validation_share", "patience")}
    section["fraction_use_new"] = share
    changes = {"random_validation": None, "iterations": 2, "rollouts_to_save": 0, "steps_per_rollout": 40}

    def run(name: str, **dynamics: Any) -> list[dict[str, Any]]:
        given = {key: value for key, value in (section | dynamics).items() if value is not None}
        learn(tmp_path / name, mbmf.load_task(config_of(given, **changes)))
        return numbers_of(tmp_path / name)["metrics"]

    run("any", epochs=1)
    old = mbmf.Episodes.load(tmp_path / "any/data/train.npz").nsteps
    # the second iteration has a larger pool, or more batches with the old points
    updates = 3 * (old // 16)
    capped = run("capped", first_epochs=4, epochs=3, max_updates=updates)
    told = run("told", first_epochs=3, epochs=2 if share is None else 1, max_updates=None)
    assert capped == told
    least = run("least", first_epochs=4, epochs=3, max_updates=1)
    assert least == run("once", first_epochs=1, epochs=1, max_updates=None)
    assert least != told


def test_an_ensemble_learns_without_random_validation_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    changes = {"random_validation": None, "iterations": 2, "rollouts_to_save": 1, "steps_per_rollout": 12}
    task = mbmf.load_task(config_of(ENSEMBLE, **changes))
    observer = Recorder()
    learn(tmp_path / "whole", task, observer)
    whole = numbers_of(tmp_path / "whole")
    assert not (tmp_path / "whole" / "data" / "validation.npz").exists()
    metrics = whole["metrics"]
    # one step and five, but not ten: a rollout of twelve steps is longer than these
    for record in metrics:
        assert record["validated_on"] == "the iteration's own rollouts"
        assert list(record["validation_error"]) == ["1", "5", "10"]
        assert list(record["calibration"]) == ["1", "5", "10"]
        assert all(0 <= share <= 1 for row in record["calibration"].values() for share in row.values())
        assert record["deviation_over_members"] > 0
        assert len(record["member_losses"]) == 3
        assert len(record["elites"]) == 2
        assert np.isfinite(record["loss_held_out"])
    assert metrics[0]["epochs"] <= 4
    assert metrics[1]["epochs"] <= 2
    # the errors are those of the iteration's model on its rollouts
    model = mbmf.DynamicsModel.load(tmp_path / "whole" / "models" / "iteration_2.safetensors", task)
    rollouts = mbmf.Episodes.load(tmp_path / "whole" / "rollouts" / "iteration_2.npz", task)
    errors = model.validation_error(rollouts, (1, 5, 10))
    assert {str(h): error for h, error in errors.items()} == metrics[1]["validation_error"]

    interrupted = 0
    for at in range(2, 2 * (1 + 3 * 2) + 2, 5):
        path = tmp_path / f"run_{at}"
        with pytest.raises(KeyboardInterrupt):
            learn(path, task, Recorder(interrupt_at=at))
        learn(path, task, resume=True)
        assert numbers_of(path) == whole
        interrupted += 1
    assert interrupted == 3


def test_a_run_goes_on_with_the_dynamics_that_it_had(tmp_path: Path) -> None:
    task = mbmf.load_task(config_of(ENSEMBLE, iterations=1, rollouts_to_save=0))
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "run", task, Recorder(interrupt_at=5))
    other = mbmf.load_task(config_of({**ENSEMBLE, "members": 4}, iterations=1, rollouts_to_save=0))
    with pytest.raises(DataError, match=r"task.dynamics.members must be 4 to resume the run .*, got 3"):
        learn(tmp_path / "run", other, resume=True)


def test_a_run_with_a_planner_section_goes_on_with_it(tmp_path: Path) -> None:
    config = config_of(ENSEMBLE, iterations=1, rollouts_to_save=0)
    config["planner"] = {"search": "icem", "candidates": 8, "elites": 2, "horizon": 4}
    task = mbmf.load_task(config)
    learn(tmp_path / "whole", task)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "run", task, Recorder(interrupt_at=5))
    config["planner"] |= {"colour": 1.0}
    with pytest.raises(DataError, match=r"task.planner.colour must be 1.0 to resume the run .*, got 0.25"):
        learn(tmp_path / "run", mbmf.load_task(config), resume=True)
    learn(tmp_path / "run", task, resume=True)
    assert numbers_of(tmp_path / "run") == numbers_of(tmp_path / "whole")
