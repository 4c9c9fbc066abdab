"""The presets of PETS's tasks, beside their equations in NumPy on MuJoCo."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.envs import mujoco as gymnasium_mujoco
from numpy.typing import NDArray

import mbmf
from mbmf.simulation.envs import TaskEnv

Array = NDArray[np.float64]
STEPS = 200
GOAL_OF_PUSHER = np.array([0.45, -0.05, -0.323])


def arm() -> mujoco.MjSpec:
    assert gymnasium_mujoco.__file__ is not None
    return mujoco.MjSpec.from_file(str(Path(gymnasium_mujoco.__file__).parent / "assets" / "pusher_v5.xml"))


def pusher() -> mujoco.MjModel:
    spec = arm()
    spec.joint("r_shoulder_pan_joint").range = [-2.2854, 2.0]
    return spec.compile()


def reacher() -> mujoco.MjModel:
    """The arm with what PETS's reacher has other than its pusher."""
    spec = arm()
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_RK4
    for name, damping in (("shoulder_pan", 10), ("shoulder_lift", 10), ("elbow_flex", 1)):
        spec.joint(f"r_{name}_joint").damping[0] = damping
    spec.joint("r_upper_arm_roll_joint").range = [-3.9, 0.8]
    spec.joint("r_wrist_flex_joint").range = [-2.094, 0]
    for name in ("forearm_roll", "wrist_roll"):
        spec.joint(f"r_{name}_joint").limited = 0
    for geom in spec.geoms:
        geom.density, geom.contype, geom.conaffinity = 1000, 0, 0
    for actuator in spec.actuators:
        actuator.ctrlrange = [-20, 20]
    spec.body("r_shoulder_pan_link").pos = [0, -0.188, 0]
    spec.body("tips_arm").pos = [0.16828, 0, 0]
    return spec.compile()


def start(env: TaskEnv, model: mujoco.MjModel) -> mujoco.MjData:
    """MuJoCo's data where the environment is."""
    data = mujoco.MjData(model)
    row = env.simulator.get_state()[0]
    data.qpos[:] = row[1 : 1 + model.nq]
    data.qvel[:] = row[1 + model.nq : 1 + model.nq + model.nv]
    return data


def refreshed(data: mujoco.MjData, model: mujoco.MjModel) -> mujoco.MjData:
    """The positions of bodies at the state after a step, without touching what the next one starts from."""
    copy = mujoco.MjData(model)
    copy.qpos[:], copy.qvel[:] = data.qpos, data.qvel
    mujoco.mj_forward(model, copy)
    return copy


def test_pusher_is_its_equations_on_mujoco() -> None:
    env = gymnasium.make("mbmf/PetsPusher-v0").unwrapped
    assert isinstance(env, TaskEnv)
    observation, _ = env.reset(seed=0)
    model = pusher()
    data = start(env, model)
    assert observation.shape == (20,)
    assert env.task.dt == pytest.approx(0.04)
    tip, thing, goal = (model.body(name).id for name in ("tips_arm", "object", "goal"))
    np.testing.assert_allclose(refreshed(data, model).subtree_com[goal], GOAL_OF_PUSHER, atol=1e-12)
    rng = np.random.default_rng(0)
    rewards = []
    for _ in range(STEPS):
        action = rng.uniform(-1, 1, 7).astype(np.float32)
        torque = 2 * action.astype(np.float64)
        data.ctrl[:] = torque
        mujoco.mj_step(model, data, 4)
        now = refreshed(data, model).subtree_com
        expected = np.concatenate([data.qpos[:7], data.qvel[:7], now[tip], now[thing]])
        cost = 0.5 * np.abs(now[tip] - now[thing]).sum() + 1.25 * np.abs(now[thing] - GOAL_OF_PUSHER).sum()
        observation, reward, terminated, *_ = env.step(action)
        np.testing.assert_allclose(observation, expected, rtol=1e-9, atol=1e-9)
        assert reward == pytest.approx(-cost - 0.1 * np.sum(torque**2), rel=1e-9, abs=1e-9)
        assert not terminated
        rewards.append(reward)
    assert np.std(rewards) > 0.01


def tip_of_reacher(angles: Array) -> Array:
    """Where PETS's reacher has its tip, by rotations along its links (m)."""
    place, turn = np.array([0, -0.188, 0]), np.eye(3)
    for angle, axis, link in zip(angles, "zyxyxyx", (0.1, 0, 0.4, 0, 0.321, 0, 0.16828), strict=True):
        c, s = np.cos(angle), np.sin(angle)
        turns = {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }
        turn = turn @ np.array(turns[axis])
        place = place + turn @ np.array([link, 0, 0])
    return place


def test_reacher_is_its_equations_on_mujoco() -> None:
    env = gymnasium.make("mbmf/PetsReacher-v0").unwrapped
    assert isinstance(env, TaskEnv)
    observation, _ = env.reset(seed=0)
    model = reacher()
    data = start(env, model)
    goal = observation[7:10].copy()
    assert observation.shape == (17,)
    assert env.task.dt == pytest.approx(0.02)
    rng = np.random.default_rng(0)
    rewards = []
    for _ in range(STEPS):
        action = rng.uniform(-1, 1, 7).astype(np.float32)
        torque = 20 * action.astype(np.float64)
        data.ctrl[:] = torque
        mujoco.mj_step(model, data, 2)
        expected = np.concatenate([data.qpos[:7], goal, data.qvel[:7]])
        cost = np.sum((tip_of_reacher(data.qpos[:7]) - goal) ** 2)
        observation, reward, terminated, *_ = env.step(action)
        np.testing.assert_allclose(observation, expected, rtol=1e-9, atol=1e-9)
        assert reward == pytest.approx(-cost - 0.01 * np.sum(torque**2), rel=1e-9, abs=1e-9)
        assert not terminated
        rewards.append(reward)
    assert np.std(rewards) > 0.01


def test_starts_of_the_pusher() -> None:
    rows = mbmf.Simulator(mbmf.load_task("pets_pusher"), 4000, seed=0).get_state()
    qpos, qvel = rows[:, 1:12], rows[:, 12:23]
    np.testing.assert_array_equal(np.delete(qpos, [7, 8], axis=1), 0)
    np.testing.assert_allclose(qpos[:, 7:9].mean(axis=0), [-0.25, 0.15], atol=0.002)
    np.testing.assert_allclose(qpos[:, 7:9].std(axis=0), 0.025, rtol=0.05)
    np.testing.assert_array_equal(qvel[:, 7:], 0)
    largest = np.abs(qvel[:, :7]).max(axis=0)
    assert np.all((largest > 0.0049) & (largest <= 0.005))


def test_starts_and_goals_of_the_reacher() -> None:
    simulator = mbmf.Simulator(mbmf.load_task("pets_reacher"), 4000, seed=0)
    goals = simulator.observations[:, 7:10]
    np.testing.assert_array_equal(np.delete(simulator.observations, [7, 8, 9], axis=1), 0)
    np.testing.assert_allclose(goals.mean(axis=0), [0, 0.25, 0], atol=0.01)
    np.testing.assert_allclose(goals.std(axis=0), 0.1, rtol=0.05)


@pytest.mark.parametrize("name", ["PetsPusher", "PetsReacher"])
def test_an_episode_of_150_steps_is_truncated(name: str) -> None:
    env = gymnasium.make(f"mbmf/{name}-v0")
    env.reset(seed=0)
    flags = [env.step(np.zeros(7, np.float32))[2:4] for _ in range(150)]
    assert flags == [(False, False)] * 149 + [(False, True)]
