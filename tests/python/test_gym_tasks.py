"""The presets of Gymnasium's tasks, side by side with Gymnasium's own environments."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest

import mbmf
from mbmf.simulation.envs import TaskEnv

# Gymnasium's id: ours, with the deviation of the start's qpos and qvel
PAIRS = {
    "HalfCheetah-v5": ("mbmf/GymHalfCheetah-v5", ("uniform", 0.1), ("normal", 0.1)),
    "Hopper-v5": ("mbmf/GymHopper-v5", ("uniform", 5e-3), ("uniform", 5e-3)),
    "Walker2d-v5": ("mbmf/GymWalker2d-v5", ("uniform", 5e-3), ("uniform", 5e-3)),
    "Ant-v5": ("mbmf/GymAnt-v5", ("uniform", 0.1), ("normal", 0.1)),
    "Swimmer-v5": ("mbmf/GymSwimmer-v5", ("uniform", 0.1), ("uniform", 0.1)),
}
STEPS = 1000


@pytest.fixture(params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> tuple[Any, gymnasium.Env[Any, Any]]:
    """Gymnasium's environment, bare, and ours with its limit of time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="compiler attribute 'settotalmass'")
        theirs = gymnasium.make(request.param).unwrapped
        return theirs, gymnasium.make(PAIRS[request.param][0])


def take_over(theirs: Any, env: TaskEnv) -> None:
    """Puts our simulation where theirs is, right after a reset."""
    simulator, nq, nv = env.simulator, theirs.model.nq, theirs.model.nv
    row = simulator.get_state()[0]
    row[1 : 1 + nq + nv] = np.concatenate([theirs.data.qpos, theirs.data.qvel])
    # what a simulation remembers of its last step follows all else of the row: where lagged bodies were
    lagged = [channel.address for channel in env.task.core.spec.state if channel.lagged]
    first = simulator.state_size - env.task.core.nmemory
    row[first : first + len(lagged)] = theirs.data.xpos.ravel()[lagged]
    simulator.set_state(row[None])


def test_gymnasiums_environment_step_by_step(pair: tuple[Any, gymnasium.Env[Any, Any]]) -> None:
    theirs, ours = pair
    env = ours.unwrapped
    assert isinstance(env, TaskEnv)
    rng = np.random.default_rng(0)
    ends = steps = 0
    largest = 0.0
    over = True
    for _ in range(STEPS):
        if over:
            theirs.reset(seed=int(rng.integers(1 << 30)))
            ours.reset(seed=0)
            take_over(theirs, env)
            np.testing.assert_array_equal(env.simulator.observations[0], theirs._get_obs())
            over = False
        action = rng.uniform(-1, 1, theirs.model.nu).astype(np.float32)
        # in float64, as ours: Gymnasium squares actions in the precision that they have
        expected, reward, terminated, *_ = theirs.step(action.astype(np.float64))
        got, own_reward, own_terminated, *_ = ours.step(action)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
        assert own_reward == pytest.approx(reward, rel=1e-9, abs=1e-9)
        assert own_terminated == terminated
        largest = max(largest, float(np.abs(expected).max()))
        ends += terminated
        over = terminated
        steps += 1
    assert steps == STEPS
    assert largest > 1
    # a random ant falls now and then; half cheetah and swimmer have nothing to fall from
    assert (ends > 0) == bool(env.task.config.healthy)


@pytest.mark.parametrize("name", ["Walker2d", "Swimmer"])
def test_an_action_held_for_four_steps_earns_what_they_earn(name: str) -> None:
    theirs: Any = gymnasium.make(f"{name}-v5").unwrapped
    env = TaskEnv(mbmf.load_task(f"gym_{name.lower()}_repeat4"))
    rng = np.random.default_rng(0)
    compared = ends = 0
    over = True
    for _ in range(600):
        if over:
            theirs.reset(seed=int(rng.integers(1 << 30)))
            env.reset(seed=0)
            take_over(theirs, env)
        action = rng.uniform(-1, 1, theirs.model.nu).astype(np.float32)
        steps = [theirs.step(action.astype(np.float64)) for _ in range(4)]
        got, reward, terminated, *_ = env.step(action)
        np.testing.assert_allclose(got, steps[-1][0], rtol=1e-9, atol=1e-9)
        # whether it has fallen is looked at after the four
        assert terminated == steps[-1][2]
        if not any(step[2] for step in steps):
            assert reward == pytest.approx(sum(step[1] for step in steps), rel=1e-9, abs=1e-9)
            compared += 1
        over = terminated
        ends += terminated
    assert compared > 300
    assert (ends > 10) == bool(env.task.config.healthy)


@pytest.mark.parametrize("name", list(PAIRS))
def test_starts_are_drawn_as_gymnasiums(name: str) -> None:
    env_id, of_qpos, of_qvel = PAIRS[name]
    task = mbmf.load_task(str(gymnasium.spec(env_id).kwargs["task"]))
    count, nq, nv = 4000, task.model.nq, task.model.nv
    rows = mbmf.Simulator(task, count, seed=0).get_state()
    qpos, qvel = rows[:, 1 : 1 + nq], rows[:, 1 + nq : 1 + nq + nv]
    # of the ant's quaternion, which has length 1 then, Gymnasium's noise is not all there
    plain = [i for i in range(nq) if name != "Ant-v5" or not 3 <= i < 7]
    for draws, (kind, scale) in (((qpos - task.model.qpos0)[:, plain], of_qpos), (qvel, of_qvel)):
        np.testing.assert_allclose(draws.mean(axis=0), 0, atol=5 * scale / np.sqrt(count))
        deviation = scale / np.sqrt(3) if kind == "uniform" else scale
        np.testing.assert_allclose(draws.std(axis=0), deviation, rtol=0.06)
        largest = np.abs(draws).max(axis=0)
        if kind == "uniform":
            assert np.all((0.99 * scale < largest) & (largest <= scale))
        else:
            assert np.all(largest > 2.5 * scale)
        # independent of one another
        others = np.corrcoef(draws.T) - np.eye(draws.shape[1])
        assert np.abs(others).max() < 0.08


@pytest.mark.parametrize("name", list(PAIRS))
def test_many_simulations_are_the_environment_many_times(name: str) -> None:
    env_id = PAIRS[name][0]
    task = mbmf.load_task(str(gymnasium.spec(env_id).kwargs["task"]))
    simulator, env = mbmf.Simulator(task, 3, 2, seed=0), TaskEnv(task)
    actions = np.random.default_rng(0).uniform(-1, 1, (30, 3, task.naction)).astype(np.float32)
    rows, results = simulator.get_state(), []
    for t in range(30):
        simulator.step(actions[t])
        results.append((simulator.observations.copy(), simulator.rewards.copy(), simulator.terminated.copy()))
    for i in range(3):
        env.reset(seed=9)
        env.simulator.set_state(rows[[i]])
        for t in range(30):
            observation, reward, terminated, _, _ = env.step(actions[t, i])
            np.testing.assert_array_equal(observation, results[t][0][i])
            assert (reward, terminated) == (results[t][1][i], results[t][2][i])


def test_an_episode_of_1000_steps_is_truncated() -> None:
    env = gymnasium.make("mbmf/GymSwimmer-v5")
    env.reset(seed=0)
    flags = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(1000)]
    assert flags == [(False, False)] * 999 + [(False, True)]
