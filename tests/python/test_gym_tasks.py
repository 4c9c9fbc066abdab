"""The presets of Gymnasium's tasks, side by side with Gymnasium's own environments."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest

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
    memory = row[simulator.state_size - env.task.core.nmemory :]
    for channel in [*env.task.core.spec.state, *env.task.core.spec.observation]:
        if channel.lagged:
            memory[0] = theirs.data.xpos.ravel()[channel.address]
    row[simulator.state_size - len(memory) :] = memory
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
            np.testing.assert_allclose(env.simulator.observations[0], theirs._get_obs(), rtol=0, atol=0.05)
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
