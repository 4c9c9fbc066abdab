"""What a reward or a cost in Python leaves to the task: health, the bounds of `alive`, the end, noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.algorithms import model_based
from mbmf.errors import DataError
from mbmf.runs.mb_result import ModelBasedResult
from small_mb_run import cheetah_task

pytestmark = pytest.mark.filterwarnings("ignore")


def nothing(states: Any, actions: Any) -> Any:
    return np.zeros(len(states))


def effort(states: Any, actions: Any) -> Any:
    return -np.square(actions).sum(axis=-1)


def hopper(**changed: Any) -> dict[str, Any]:
    return {**mbmf.load_task("gym_hopper").to_data(), **changed}


@pytest.mark.parametrize("valued", [False, True])
def test_the_dead_pay_and_the_end_costs_beside_a_cost_in_python(valued: bool) -> None:
    settings = hopper(
        cost=[{"term": "constant", "weight": 0.0}],
        terminal_cost=[{"term": "excess", "state": "qpos.rootz", "min": 1.2, "max": 1.3, "weight": 10.0}],
        dying_cost=100.0,
    )
    terms, own = mbmf.load_task(settings), mbmf.load_task(settings, cost=nothing)
    data = mbmf.collect_random(terms, 10, 60, seed=0)
    model = mbmf.DynamicsModel(terms, hidden=(32,), members=2, particles=4, propagate="ts1", seed=0)
    model.fit(data, epochs=5, batch_size=64, noise=0.0)
    value = None
    if valued:
        value = mbmf.ValueFunction(terms, hidden=(16,))
        value.fit(data, rounds=2)
    sequences = np.random.default_rng(0).uniform(-1, 1, (60, 25, 3)).astype(np.float32)
    costs = [
        mbmf.RandomShooting(task, model, horizon=25, candidates=8, nthread=1, value=value).roll(
            data.states[0, 0], sequences
        )
        for task in (terms, own)
    ]
    assert (costs[0] >= 100).any()
    np.testing.assert_allclose(costs[1], costs[0], rtol=1e-4, atol=1e-3)
    # and the same of states that one has
    states = model.open_loop(np.repeat(data.states[0, :1], 60, 0), sequences)
    np.testing.assert_allclose(own.cost(states, sequences), terms.cost(states, sequences), rtol=1e-6)


def test_health_is_rewarded_beside_a_reward_in_python() -> None:
    settings = hopper(healthy_reward=2.5)
    terms = mbmf.load_task({**settings, "reward": [{"term": "action", "weight": -1.0}]})
    own = mbmf.load_task(settings, reward=effort, cost=nothing)
    rewards = []
    for task in (terms, own):
        simulator = mbmf.Simulator(task, 3, 1, seed=2)
        policy = mbmf.GaussianPolicy(task, hidden=(4,))
        total = []
        for step in range(40):
            simulator.step(np.full((3, 3), np.sin(step)))
            total.append(simulator.rewards.copy())
        batch = mbmf.collect_policy(task, policy, episodes=3, seed=1, nthread=1)
        rewards.append((np.array(total), mbmf.collect_random(task, 4, 30, seed=0).rewards, batch.rewards))
    for one, other in zip(*rewards, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    # a step that leaves it unhealthy has none
    assert rewards[0][0].min() < 0 < rewards[0][0].max()


def test_a_reward_in_python_is_of_the_executed_actions() -> None:
    settings = mbmf.load_task("swimmer_forward").to_data()
    settings["reward"] = [{"term": "action", "weight": -1.0}]
    terms = mbmf.load_task(settings)
    own = mbmf.load_task(settings, reward=effort, cost=nothing)
    model = mbmf.DynamicsModel(terms, hidden=(4,))
    model.fit(mbmf.collect_random(terms, 2, 20, seed=0), epochs=1)
    found = []
    for task in (terms, own):
        planner = mbmf.RandomShooting(task, model, horizon=2, candidates=1, nthread=1)
        found.append(mbmf.collect_mpc(task, planner, 2, 5, seed=3, first_episode=4, action_noise=0.5))
    np.testing.assert_array_equal(found[0].actions, found[1].actions)
    np.testing.assert_allclose(found[0].rewards, found[1].rewards, atol=1e-12)


def test_a_state_that_is_no_number_has_no_cost() -> None:
    task = mbmf.load_task("gym_hopper")
    state = mbmf.Simulator(task, 1, 1).states[0]
    states = np.tile(state, (2, 4, 1)).astype(np.float32)
    states[1, 2:] = np.nan
    costs = task.cost(states, np.zeros((2, 3, 3), np.float32))
    assert np.isfinite(costs[0])
    assert np.isnan(costs[1])


def test_what_a_run_or_a_policy_cannot_keep_is_not_left_out_in_silence(tmp_path: Path) -> None:
    """A function that was given to load_task is in no file: what is loaded would plan by other costs."""
    task = mbmf.load_task(cheetah_task(rollouts_to_save=1).to_data(), cost=nothing, reward=effort)
    options, path = model_based.Options(nthread=1), tmp_path / "run"
    with model_based.open_run(path, task, options) as run:
        model_based.model_based(task, run, options)
        with pytest.raises(DataError, match=r"functions given to load_task must be \[\], .*'reward', 'cost'"):
            ModelBasedResult.load(run, cheetah_task())
        assert ModelBasedResult.load(run, task).planned == task
    with pytest.raises(DataError, match=r"got functions given to load_task: \['reward', 'cost'\]"):
        mbmf.load_trained(path)
    assert mbmf.load_trained(path, allow_other_task=True).task.cost_function is None
    with pytest.raises(DataError, match="functions must be nothing to resume"):
        model_based.open_run(path, cheetah_task(rollouts_to_save=1), options, resume=True)
    with model_based.open_run(path, task, options, resume=True):
        pass
    policy = mbmf.GaussianPolicy(task)
    policy.save(tmp_path / "policy.safetensors")
    for each in (policy, mbmf.GaussianPolicy.load(tmp_path / "policy.safetensors", task)):
        with pytest.raises(DataError, match="must hold the task, got none"):
            each.load_task()
