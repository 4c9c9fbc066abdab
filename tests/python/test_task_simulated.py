"""The presets' states, observations, rewards and terminations against MuJoCo and plain NumPy."""

import mujoco
import numpy as np
import pytest

from mbmf.simulation.simulator import Simulator
from mbmf.tasks.load import load_task


def six_of(R):
    angles = np.arctan2(R[3], R[1]), np.arctan2(-R[6], np.hypot(R[7], R[8])), np.arctan2(R[7], R[8])
    return [f(angle) for angle in angles for f in (np.cos, np.sin)]


def swimmer(q, v, com, vel, R, u2):
    state = np.r_[q, v, com, vel]
    return state, state, vel[0] - 0.005 * u2, False


def cheetah(q, v, com, vel, R, u2):
    state = np.r_[q, v, com, vel]
    return state, state, vel[0] - 0.05 * u2, False


def hopper(q, v, com, vel, R, u2):
    # the model's slides are x, then z
    state = np.r_[q[1:], np.clip(v[[1, 0, 2, 3, 4, 5]], -10, 10), com, vel]
    fallen = q[1] <= 0.7 or abs(q[2]) >= 0.3 or (np.abs(np.r_[q[3:], v]) >= 100).any()
    return state, state, vel[0] + 1 - 0.005 * u2, fallen


def ant(q, v, com, vel, R, u2):
    state, observation = np.r_[q, v, com, six_of(R), vel], np.r_[q, v, R, com, vel]
    return state, observation, vel[0] - 0.005 * u2 + 0.05, not 0.3 <= com[2] <= 1


@pytest.mark.parametrize(
    ("name", "expect", "steps", "ends"),
    [
        ("swimmer_forward", swimmer, 20, False),
        ("cheetah_forward", cheetah, 60, False),
        ("hopper_forward", hopper, 60, True),
        ("ant_forward", ant, 60, False),
    ],
)
def test_preset_step_by_step(name, expect, steps, ends):
    task = load_task(name)
    sim = Simulator(task, nsim=1, nthread=1, seed=1)
    sim.reset(kind="control")
    model, rng = task.model, np.random.default_rng(0)
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, sim.get_state()[0], int(mujoco.mjtState.mjSTATE_INTEGRATION.value))
    terminated = []
    for _ in range(steps):
        action = rng.uniform(-1, 1, (1, task.naction))
        sim.step(action)
        data.ctrl[:] = action[0]
        for _ in range(task.physics_steps):
            mujoco.mj_step(model, data)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_subtreeVel(model, data)
        robot = data.subtree_com[1], data.subtree_linvel[1], data.xmat[1]
        state, observation, reward, fallen = expect(data.qpos, data.qvel, *robot, np.sum(action**2))
        np.testing.assert_allclose(sim.states[0], state, rtol=0, atol=1e-12)
        np.testing.assert_allclose(sim.observations[0], observation, rtol=0, atol=1e-12)
        assert sim.rewards[0] == pytest.approx(reward, abs=1e-12)
        assert bool(sim.terminated[0]) == bool(fallen)
        terminated.append(bool(fallen))
    assert any(terminated) == ends


def test_control_starts_of_the_swimmer_head_along_the_path():
    sim = Simulator(load_task("swimmer_forward"), nsim=50, seed=3)
    sim.reset(kind="control")
    assert (sim.states[:, 2] == 0).all()
    assert np.abs(sim.states[:, :10]).max() <= 0.1
    assert np.unique(sim.states[:, 0]).size == 50
    sim.reset(kind="random")
    assert (sim.states[:, 2] != 0).all()
