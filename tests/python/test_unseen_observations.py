"""A policy that proposes where a task observes what no model predicts: it does not see that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf import _core
from mbmf.algorithms import model_based
from mbmf.control.bundle import load_bundle, save_bundle
from small_mb_run import MODEL_BASED

SEARCH: dict[str, Any] = {"search": "random_shooting", "horizon": 5, "candidates": 20}


@pytest.fixture(scope="module")
def ant() -> mbmf.Task:
    return mbmf.load_task("gym_ant")


@pytest.fixture(scope="module")
def model(ant: mbmf.Task) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(ant, hidden=(16,), members=2)
    model.fit(mbmf.collect_random(ant, 2, 40, seed=1), epochs=3, batch_size=32)
    return model


def predicted(task: mbmf.Task) -> np.ndarray:
    """Which observations follow from the states."""
    return ~np.isin(np.arange(task.nobservation), task.core.unpredicted_observations)


def policies(ant: mbmf.Task) -> tuple[mbmf.GaussianPolicy, mbmf.Task, mbmf.GaussianPolicy]:
    """One that does not see the contact forces; a task without them, and the same policy of that."""
    data = ant.to_data()
    short = mbmf.load_task({**data, "observation": data["observation"][:-1]})
    assert (ant.nobservation, short.nobservation) == (105, 27)
    rng = np.random.default_rng(0)
    small, whole = mbmf.GaussianPolicy(short, (12,)), mbmf.GaussianPolicy(ant, (12,))
    first, *others = (rng.normal(0, 0.2, array.shape) for array in small.arrays())
    others[-1][:] = np.log(0.3)
    wide = np.zeros((12, 105))
    wide[:, predicted(ant)] = first
    for policy, weights in ((small, first), (whole, wide)):
        policy.set_parameter_vector(np.concatenate([a.ravel() for a in (weights, *others)]))
    return whole, short, small


@pytest.mark.parametrize("isa", _core.available_isas())
def test_it_proposes_what_it_does_without_them(
    ant: mbmf.Task, model: mbmf.DynamicsModel, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    whole, short, small = policies(ant)
    start = mbmf.collect_random(ant, 1, 5).states[0, 3]
    same = mbmf.DynamicsModel(short, hidden=(16,), members=2)
    same.fit(mbmf.collect_random(short, 2, 40, seed=1), epochs=3, batch_size=32)
    plans = [
        mbmf.RandomShooting(task, of, 5, 20, seed=4, policy=policy, proposals=6).trace(start, 1, 2)
        for task, of, policy in ((ant, model, whole), (short, same, small))
    ]
    (plan, (found,)), (other, (wanted,)) = plans
    assert np.ptp(found.sequences[:6], axis=0).min() > 0
    assert (found.sequences == wanted.sequences).all()
    assert plan.cost == other.cost


def test_one_that_sees_them_is_refused(ant: mbmf.Task, model: mbmf.DynamicsModel) -> None:
    whole, _, _ = policies(ant)
    vector = whole.parameter_vector()
    vector[ant.core.unpredicted_observations[2]] = 1e-30
    whole.set_parameter_vector(vector)
    name = ant.observation_names[ant.core.unpredicted_observations[2]].replace(".", r"\.")
    with pytest.raises(ValueError, match=f"policy must see only what a model predicts, .* others for {name}"):
        mbmf.ICEM(ant, model, policy=whole)
    with pytest.raises(ValueError, match=r"what the model predicts, .* observation \d+"):
        _core.Planner(ant.core, model.core, "cem", 5, 60, 0, 1, {}, policy=whole.core, proposals=2)


def test_a_run_trains_one_and_exports_it(ant: mbmf.Task, tmp_path: Path) -> None:
    settings = {
        **ant.to_data(),
        "planner": SEARCH,
        "dynamics": {"hidden": [8], "epochs": 2, "batch_size": 16},
        "policy": {"hidden": [8], "epochs": 2, "proposals": 4},
        "model_based": {
            key: value
            for key, value in MODEL_BASED.items()
            if key not in ("hidden", "epochs", "batch_size", "fraction_use_new", "random_validation")
        },
    }
    task, options = mbmf.load_task(settings), model_based.Options(nthread=1, num_rollouts_save_for_mf=0)
    with model_based.open_run(tmp_path / "run", task, options) as run:
        model_based.model_based(task, run, options)
    found = mbmf.load_trained(run.path)
    assert found.policy is not None
    weights = found.policy.arrays()[0]
    assert (weights != 0).all(axis=0).tolist() == predicted(task).tolist()
    assert not weights[:, ~predicted(task)].any()

    planner = mbmf.make_planner(found.task, found.model, policy=found.policy)
    start = mbmf.Episodes.load(run.rollouts(1), task=task).states[0, 0].astype(np.float64)
    plan = planner.plan(start, 0, 0)
    assert plan.proposals_done == 4
    bundle = load_bundle(save_bundle(tmp_path / "out", found.task, found.model, policy=found.policy))
    args = (bundle.search, bundle.horizon, bundle.candidates, bundle.seed, 1, bundle.settings)
    read = _core.Planner(
        bundle.task, bundle.dynamics, *args, policy=bundle.policy, proposals=bundle.proposals
    )
    assert (read.plan(start, 0, 0)[2] == plan.actions).all()
