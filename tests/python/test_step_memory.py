"""What a simulation keeps of its last step (rates, lagged positions, forces, actions), against MuJoCo."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

import mbmf
from mbmf.errors import ConfigError

INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION.value
PHYSICS_STEPS = 3
BODIES = ["torso", "front_left_leg", "4"]
STATE: list[dict[str, Any]] = [
    {"source": "qpos", "joint": "root", "index": [0, 2], "transform": "rate"},
    {"source": "qvel", "joint": "hip_1", "transform": "rate", "clip": [-5, 5]},
    {"source": "body_pos", "body": ["torso", "4"], "transform": "rate"},
    {"source": "subtree_com", "body": "torso", "transform": "rate"},
    {"source": "body_pos", "body": "4", "lagged": True},
    {"source": "body_pos", "body": ["torso", "4"], "lagged": True, "transform": "rate"},
    {"source": "contact_force", "body": BODIES, "clip": [-1, 1]},
    {"source": "contact_force", "body": "4", "index": 5, "transform": "rate"},
    {"source": "qpos", "joint": "root"},
]


def ant(**changes: Any) -> dict[str, Any]:
    return {
        "name": "remembering",
        "model": {"asset": "ant.xml"},
        "physics_steps": PHYSICS_STEPS,
        "state": STATE,
        "observation": [{"source": "qvel"}],
        "reward": [{"term": "linear", "state": "rate.qpos.root.x"}],
        "reset": {"default": {"qpos": {"uniform": 0.1}, "qvel": {"normal": 0.1}}},
        **changes,
    }


class Oracle:
    """The same numbers by MuJoCo's own functions, one simulation."""

    def __init__(self, task: mbmf.Task, simulator: mbmf.Simulator) -> None:
        self.model, self.dt = task.model, task.dt
        self.data = mujoco.MjData(self.model)
        mujoco.mj_setState(self.model, self.data, simulator.get_state()[0], INTEGRATION)
        fresh = self.fresh()
        self.lagged = fresh.xpos.copy()
        self.forces = np.zeros((self.model.nbody, 6))

    def fresh(self) -> mujoco.MjData:
        data = mujoco.MjData(self.model)
        data.qpos[:], data.qvel[:] = self.data.qpos, self.data.qvel
        mujoco.mj_forward(self.model, data)
        return data

    def body(self, name: str) -> int:
        return int(name) if name.isdigit() else self.model.body(name).id

    def numbers(self, data: mujoco.MjData) -> list[float]:
        four, torso = self.body("4"), self.body("torso")
        return [
            *(data.qpos[[0, 2]]),
            data.qvel[self.model.joint("hip_1").dofadr[0]],
            *data.xpos[torso],
            *data.xpos[four],
            *data.subtree_com[torso],
        ]

    def step(self, action: np.ndarray) -> np.ndarray:
        before, lagged, forces = self.numbers(self.fresh()), self.lagged, self.forces
        self.data.ctrl[:] = action
        for _ in range(PHYSICS_STEPS):
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_rnePostConstraint(self.model, self.data)
        self.lagged, self.forces = self.data.xpos.copy(), self.data.cfrc_ext.copy()
        rates = (np.array(self.numbers(self.fresh())) - before) / self.dt
        rates[2] = np.clip(rates[2], -5, 5)
        four, torso = self.body("4"), self.body("torso")
        return np.concatenate(
            [
                rates,
                self.lagged[four],
                ((self.lagged - lagged) / self.dt)[[torso, four]].ravel(),
                np.clip(self.forces[[self.body(name) for name in BODIES]], -1, 1).ravel(),
                [(self.forces - forces)[four, 5] / self.dt],
                self.data.qpos[:7],
            ]
        )


def test_rates_lags_and_forces_are_mujocos() -> None:
    task = mbmf.load_task(ant())
    simulator = mbmf.Simulator(task, seed=3)
    oracle = Oracle(task, simulator)
    names = task.state_names
    assert names[:4] == ["rate.qpos.root.x", "rate.qpos.root.z", "rate.qvel.hip_1", "rate.body_pos.torso.x"]
    assert names[12:16] == [*(f"lagged.body_pos.4.{axis}" for axis in "xyz"), "rate.lagged.body_pos.torso.x"]
    assert names[21] == "contact_force.torso.tx"
    assert task.state_units[:4] == ["m/s", "m/s", "rad/s^2", "m/s"]
    assert task.state_units[21] == "N m"
    assert task.state_units[39] == "N/s"

    # at a start nothing has moved and nothing has pressed
    start = simulator.states[0]
    np.testing.assert_array_equal(start[:12], 0)
    np.testing.assert_allclose(start[12:15], oracle.lagged[oracle.body("4")], rtol=1e-14)
    np.testing.assert_array_equal(start[15:40], 0)

    rng = np.random.default_rng(0)
    pressed = clipped = 0
    behind = 0.0
    for _ in range(60):
        action = rng.uniform(-1, 1, task.naction)
        simulator.step(action[None])
        expected = oracle.step(action)
        np.testing.assert_allclose(simulator.states[0], expected, rtol=1e-9, atol=1e-9)
        pressed += bool(np.any(expected[21:39] != 0))
        clipped += abs(expected[2]) == 5
        behind = max(behind, float(np.abs(expected[12:15] - oracle.fresh().xpos[oracle.body("4")]).max()))
    assert pressed > 3
    # what is lagged is of an earlier state
    assert behind > 1e-5
    assert 0 < clipped < 60


@pytest.mark.parametrize("nthread", [1, 2, 3, 7])
def test_a_simulation_is_its_row(nthread: int) -> None:
    reward = [{"term": "linear", "state": "rate.body_pos.torso.x"}, {"term": "action_rate", "weight": -0.5}]
    task = mbmf.load_task(ant(reward=reward))
    one, other = mbmf.Simulator(task, 5, nthread, seed=1), mbmf.Simulator(task, 5, 1, seed=2)
    actions = np.random.default_rng(4).uniform(-1, 1, (40, 5, task.naction))
    for t in range(20):
        one.step(actions[t])
    # the simulations in another order, and not all of them
    order = [3, 0, 4]
    other.set_state(one.get_state()[order], ids=[0, 1, 2])
    np.testing.assert_array_equal(other.states[:3], one.states[order])
    np.testing.assert_array_equal(other.observations[:3], one.observations[order])
    for t in range(20, 40):
        one.step(actions[t])
        other.step(actions[t][order], ids=[0, 1, 2])
        np.testing.assert_array_equal(other.states[:3], one.states[order])
        np.testing.assert_array_equal(other.rewards[:3], one.rewards[order])
    assert np.all(one.rewards != 0)
    assert np.all(one.states[:, 15] != 0)
    # Python's model has room for it as well
    assert one.mujoco_data(2).userdata.shape == (task.core.nmemory,)


def test_an_action_rate_is_of_the_action_before() -> None:
    task = mbmf.load_task(ant(reward=[{"term": "action_rate", "weight": -2}]))
    simulator = mbmf.Simulator(task, 2, seed=0)
    actions = np.random.default_rng(1).uniform(-1.5, 1.5, (10, 2, task.naction))
    executed = np.clip(actions, -1, 1)
    for t in range(10):
        simulator.step(actions[t])
        # none is before the first one, of an episode either
        if t == 5:
            simulator.reset([1])
        expected = np.zeros(2) if t == 0 else -2 * ((executed[t] - executed[t - 1]) ** 2).sum(axis=1)
        expected[1] *= t not in (5, 6)
        np.testing.assert_allclose(simulator.rewards, expected, rtol=1e-12, atol=1e-12)


def test_episodes_remember_as_the_simulator_does() -> None:
    reward = [{"term": "linear", "state": "rate.body_pos.torso.x"}, {"term": "action_rate", "weight": -0.5}]
    task = mbmf.load_task(ant(reward=reward))
    episodes = mbmf.collect_random(task, episodes=2, steps=15, seed=5)
    simulator = mbmf.Simulator(task, 2, seed=5)
    simulator.start_episodes([0, 1], kind="random")
    for t in range(15):
        np.testing.assert_array_equal(simulator.states, episodes.states[:, t])
        simulator.step(episodes.actions[:, t])
        np.testing.assert_array_equal(simulator.rewards, episodes.rewards[:, t])


def test_the_reward_reads_what_the_planner_does_not() -> None:
    reward = [
        {"term": "linear", "state": "rate.qpos.root.x"},
        {"term": "quadratic", "state": ["contact_force.7", "qpos.root.x"], "weight": -0.25},
    ]
    config = ant(
        reward=reward,
        reward_state=[{"source": "contact_force", "body": "7", "clip": [-1, 1]}],
        healthy_reward=0.5,
        healthy=[{"source": "qpos", "joint": "root", "index": 2, "min": 0.5, "max": 1}],
        cost=[{"term": "linear", "state": "rate.qpos.root.x", "weight": -1}],
    )
    task = mbmf.load_task(config)
    assert task.nstate == len(mbmf.load_task(ant()).state_names)
    simulator = mbmf.Simulator(task, seed=0)
    oracle = Oracle(task, simulator)
    rng = np.random.default_rng(0)
    felt, healthy = 0, []
    for _ in range(60):
        action = rng.uniform(-1, 1, task.naction)
        simulator.step(action[None])
        expected = oracle.step(action)
        force = np.clip(oracle.forces[7], -1, 1)
        healthy.append(0.5 <= oracle.data.qpos[2] <= 1)
        wanted = expected[0] - 0.25 * ((force**2).sum() + oracle.data.qpos[0] ** 2) + 0.5 * healthy[-1]
        assert simulator.rewards[0] == pytest.approx(wanted, rel=1e-9, abs=1e-9)
        assert simulator.terminated[0] == (not healthy[-1])
        felt += force.any()
    assert 0 < felt < 60
    assert 0 < sum(healthy) < 60


def test_the_cost_is_minus_the_reward_while_healthy() -> None:
    task = mbmf.load_task(ant(healthy_reward=3))
    states = np.random.default_rng(0).normal(size=(4, 3, task.nstate)).astype(np.float32)
    cost = task.cost(states, np.zeros((4, 2, task.naction)))
    np.testing.assert_allclose(cost, -(states[:, :, 0].astype(float) + 3).sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "reward_state": [{"source": "contact_force", "body": "7"}],
                "reward": [{"term": "linear", "state": "contact_force.7"}],
            },
            "cost must be given where the reward reads reward_state, got nothing",
        ),
        (
            {"state": [{"source": "site_pos", "site": "x", "lagged": True}]},
            r"state\[0\] must be a mapping where only the source body_pos has lagged: true",
        ),
        (
            {"reward_state": [{"source": "qpos", "joint": "root"}]},
            r"reward_state\[0\] must be without what is there already, got 'qpos.root.x'",
        ),
        (
            {"state": [{"source": "contact_force"}]},
            r"state\[0\] must be a mapping where the source contact_force has the key body",
        ),
        (
            {"state": [{"source": "qpos", "transform": "derivative"}]},
            r"state\[0\].transform must be .*rate.*, got 'derivative'",
        ),
        ({"healthy_reward": "many"}, "healthy_reward must be a finite number, got 'many'"),
        (
            {"terminal_cost": [{"term": "linear", "state": "nowhere"}]},
            r"terminal_cost\[0\].state must be a state",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mbmf.load_task(ant(**changes))


def test_the_terms_of_a_cost() -> None:
    task = mbmf.load_task(
        ant(
            cost=[
                {"term": "product", "state": ["rate.qpos.root.x", "qpos.root.z"], "weight": -0.5},
                {"term": "clipped", "state": "rate.qpos", "min": -0.5, "max": 0.25, "weight": 3},
                {"term": "excess", "state": ["qpos.root.x", "qpos.root.y"], "max": 0.5, "weight": 2},
                {"term": "action_rate", "weight": 0.1},
            ],
            terminal_cost=[{"term": "absolute", "state": "qpos.root.x", "target": 1, "weight": 7}],
        )
    )
    rng = np.random.default_rng(7)
    states = rng.normal(size=(30, 6, task.nstate)).astype(np.float32)
    actions = rng.uniform(-1, 1, (30, 5, task.naction)).astype(np.float32)
    s = states.astype(np.float64)
    x, y, z = (s[..., task.state_names.index(f"qpos.root.{axis}")] for axis in "xyz")
    point = (
        -0.5 * s[..., 0] * z
        + 3 * np.clip(s[..., :2], -0.5, 0.25).sum(axis=2)
        + 2 * (np.maximum(x - 0.5, 0) ** 2 + np.maximum(y - 0.5, 0) ** 2)
    )
    steps = np.diff(actions.astype(np.float64), axis=1)
    expected = point.sum(axis=1) + 0.1 * (steps**2).sum(axis=(1, 2)) + 7 * np.abs(x[:, -1] - 1)
    np.testing.assert_allclose(task.cost(states, actions), expected, rtol=1e-6)
