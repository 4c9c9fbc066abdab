"""Quaternions as rotations: the cost term, what networks see of them and predict, beside NumPy."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from dynamics_oracle import random_dynamics
from mbmf import _core
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.dynamics.normalization import columns_of_each, rotation_vectors, what_is_seen
from mbmf.errors import ConfigError

ROBOT = """<mujoco><option timestep="0.01" gravity="0 0 0"/>
<worldbody><body name="top"><freejoint name="top"/><geom type="box" size=".1 .2 .3" mass="1"/></body>
</worldbody>
<actuator><motor joint="top" gear="0 0 0 .3 0 0"/><motor joint="top" gear="0 0 0 0 .3 0"/>
  <motor joint="top" gear="0 0 0 0 0 .3"/></actuator></mujoco>"""
QUATERNION = [f"qpos.top.{part}" for part in ("qw", "qx", "qy", "qz")]
ROTATION = {"inputs": {QUATERNION[0]: "rotation"}, "outputs": {QUATERNION[0]: "rotation"}}


def load(folder: Path, **keys: Any) -> mbmf.Task:
    (folder / "robot.xml").write_text(ROBOT)
    spin = {"rotation": {"uniform": math.pi}, "qvel": {"normal": 1.0}}
    task: dict[str, Any] = {
        "name": "spin",
        "model": {"file": str(folder / "robot.xml")},
        "physics_steps": 2,
        "goals": {"attitude": {"rotation": 2.0}},
        "state": [
            {"source": "qpos", "index": [3, 4, 5, 6]},
            {"source": "qvel", "index": [3, 4, 5]},
            {"source": "goal"},
        ],
        "reward": [{"term": "rotation", "state": "qpos.top", "target_state": "goal.attitude", "weight": -1}],
        "reset": {"default": {"joints": {"top": spin}}},
    }
    return mbmf.load_task(task | keys)


def multiply(a: Any, b: Any) -> Any:
    (aw, ax, ay, az), (bw, bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def matrix(q: Any) -> Any:
    """The rotation matrix by what it does to the axes: q v q*."""
    columns = []
    for axis in np.eye(4)[1:]:
        turned = multiply(multiply(q, np.broadcast_to(axis, q.shape)), q * [1, -1, -1, -1])
        columns.append(turned[..., 1:])
    return np.stack(columns, -1)


def exponential(vector: Any) -> Any:
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.concatenate([np.cos(angle / 2), vector * np.sinc(angle / 2 / np.pi) / 2], -1)


def unit(rng: np.random.Generator, n: int) -> Any:
    q = rng.normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def angle_between(a: Any, b: Any) -> Any:
    """By the matrix between them: its trace is 1 + 2 cos, and what of it is not symmetric is the sine."""
    a, b = (q / np.linalg.norm(q, axis=-1, keepdims=True) for q in (a, b))
    between = np.swapaxes(matrix(a), -1, -2) @ matrix(b)
    odd = between - np.swapaxes(between, -1, -2)
    sine = np.sqrt(odd[..., 2, 1] ** 2 + odd[..., 0, 2] ** 2 + odd[..., 1, 0] ** 2) / 2
    return np.arctan2(sine, (np.trace(between, axis1=-2, axis2=-1) - 1) / 2)


def test_rotation_vectors_turn_one_into_the_other() -> None:
    rng = np.random.default_rng(0)
    a, b = unit(rng, 500), unit(rng, 500)
    vector = rotation_vectors(a, b)
    assert np.linalg.norm(vector, axis=1).max() <= np.pi + 1e-12
    np.testing.assert_allclose(matrix(multiply(a, exponential(vector))), matrix(b), atol=1e-12)
    np.testing.assert_allclose(rotation_vectors(a, -b), vector, atol=1e-12)  # one rotation
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), angle_between(a, b), atol=1e-6)
    small = 1e-8 * rng.normal(size=(500, 3))
    np.testing.assert_allclose(rotation_vectors(a, multiply(a, exponential(small))), small, atol=1e-15)


def test_six_numbers_are_two_columns_of_the_matrix() -> None:
    q = unit(np.random.default_rng(1), 50)
    seen = what_is_seen(np.hstack([q, q[:, :1]]), ["rotation"] * 4 + ["value"])
    np.testing.assert_allclose(seen[:, :6], matrix(q)[:, :, :2].swapaxes(1, 2).reshape(-1, 6), atol=1e-12)
    np.testing.assert_array_equal(seen[:, 6], q[:, 0])
    assert columns_of_each(["value", *["rotation"] * 8, "nothing"]) == [1, 6, 0, 0, 0, 6, 0, 0, 0, 0]


def test_the_term_is_the_angle(tmp_path: Path) -> None:
    task = load(tmp_path)
    rng = np.random.default_rng(2)
    states = np.zeros((200, 2, task.nstate), np.float32)
    states[:, :, :4], states[:, :, 7:] = unit(rng, 400).reshape(200, 2, 4), unit(rng, 400).reshape(200, 2, 4)
    states[0, :, 7:] = states[0, :, :4]  # the same one
    states[1, :, 7:] = -states[1, :, :4]
    cost = task.cost(states, np.zeros((200, 1, task.naction), np.float32))
    want = angle_between(states[..., :4].astype(float), states[..., 7:].astype(float)).sum(axis=1)
    np.testing.assert_allclose(cost[2:], want[2:], atol=1e-6)
    assert np.abs(cost[:2]).max() < 1e-6
    # a simulation's reward is minus it, and its target may be numbers
    simulator = mbmf.Simulator(task, 50, seed=0)
    simulator.step(np.zeros((50, 3)))
    s = simulator.states
    np.testing.assert_allclose(simulator.rewards, -angle_between(s[:, :4], s[:, 7:]), atol=1e-7)
    half = math.sqrt(0.5)
    fixed = load(
        tmp_path,
        reward=[{"term": "rotation", "state": QUATERNION, "target": [half, 0, 0, half], "weight": 2}],
    )
    level = load(tmp_path, reward=[{"term": "rotation", "state": "qpos.top"}])
    for other, target, weight in ((fixed, [half, 0, 0, half], 2), (level, [1, 0, 0, 0], 1)):
        other_simulator = mbmf.Simulator(other, 50, seed=0)
        other_simulator.step(np.zeros((50, 3)))
        want = weight * angle_between(s[:, :4], np.broadcast_to(np.array(target, float), (50, 4)))
        np.testing.assert_allclose(other_simulator.rewards, want, atol=1e-7)


def made(task: mbmf.Task, members: int = 1, head: bool = False) -> tuple[_core.Dynamics, Any]:
    """A model with random weights, and NumPy's step of its means: (states, actions) -> next states."""
    inputs = ["rotation"] * 4 + ["value"] * 3 + ["nothing"] * 4
    outputs = ["rotation"] * 4 + ["difference"] * 7
    delta_std = np.array([0, 0.4, 0.5, 0.3, *[0.1] * 3, *[0] * 4])
    core, network = random_dynamics(task, inputs, outputs, np.zeros(task.nstate), delta_std, members, head)

    def step(states: Any, actions: Any, member: int = 0) -> Any:
        columns = matrix(states[:, :4])[:, :, :2].swapaxes(1, 2).reshape(-1, 6)
        out = network(np.concatenate([columns, states[:, 4:7]], 1), actions, member)
        turned = multiply(states[:, :4], exponential(out[:, 1:4]))
        return np.concatenate([turned, states[:, 4:] + out[:, 4:]], axis=1)

    return core, step


@pytest.mark.parametrize("isa", _core.available_isas())
def test_models_turn_as_numpy_does(tmp_path: Path, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    task = load(tmp_path)
    states = mbmf.Simulator(task, 37, seed=0).states
    actions = np.random.default_rng(3).uniform(-1, 1, (37, 5, 3)).astype(np.float32)
    core, step = made(task)
    want = [states]
    for t in range(5):
        want.append(step(want[-1], actions[:, t]))
    predicted = core.open_loop(states, actions)
    np.testing.assert_allclose(predicted, np.stack(want, 1), atol=2e-5)
    assert np.abs(predicted[:, -1, :4] - predicted[:, 0, :4]).max() > 0.5
    for nthread in (1, 2, 3, 7):
        np.testing.assert_array_equal(core.open_loop(states, actions, nthread), predicted)
    # members alone, with a variance head
    noisy, member_step = made(task, members=3, head=True)
    first = np.ascontiguousarray(actions[:, 0])
    means, deviations = noisy.predict_members(states, first)
    for member in range(3):
        np.testing.assert_allclose(means[member], member_step(states, first, member), atol=1e-5)
    assert deviations[:, :, 1:7].min() > 0
    sampled = noisy.sample(states, actions)
    np.testing.assert_allclose(np.linalg.norm(sampled[..., :4], axis=-1), 1, atol=1e-5)
    assert sampled[:, :, 1, 1].std(axis=1).min() > 0  # particles go apart, on the sphere


def test_plans_cost_what_their_states_cost(tmp_path: Path) -> None:
    """The kernels' angle against float64; of the last point, only what the cost reads is computed."""
    task = load(tmp_path)
    core, _ = made(task)
    state = mbmf.Simulator(task, seed=5).states[0]
    plans = set()
    for nthread in (1, 2, 3, 7):
        planner = _core.Planner(task.core, core, "random_shooting", 6, 200, 3, nthread, {})
        plan = planner.plan(state, 0, 0, memory=planner.make_memory())
        want = task.cost(plan[3][None], plan[2][None])[0]
        assert plan[1] == pytest.approx(want, rel=1e-5)
        plans.add((plan[1], plan[2].tobytes()))
    assert len(plans) == 1


def test_training_learns_rotations(tmp_path: Path) -> None:
    """A spinning top, predicted as rotations ten steps ahead, with unit quaternions; kept and exported."""
    task = load(tmp_path)
    data, test = mbmf.collect_random(task, 60, 40, seed=0), mbmf.collect_random(task, 10, 40, seed=1)
    errors = {}
    for name, how in (("rotation", ROTATION), ("plain", {})):
        model = mbmf.DynamicsModel(task, hidden=(32,), activation="tanh", seed=0, **how)
        model.fit(data, epochs=40, batch_size=64, noise=0, seed=0)
        predicted = model.open_loop(test.states[:, 0], test.actions[:, :10])[:, -1]
        truth = test.states[:, 10]
        errors[name] = angle_between(predicted[:, :4] / 1.0, truth[:, :4]).mean()
        if name == "rotation":
            np.testing.assert_allclose(np.linalg.norm(predicted[:, :4], axis=1), 1, atol=1e-5)
            turned = angle_between(test.states[:, 0, :4], truth[:, :4]).mean()
            kept = model
    assert errors["rotation"] < 0.15 * turned
    assert errors["rotation"] < 0.5 * errors["plain"]
    kept.save(tmp_path / "model")
    again = mbmf.DynamicsModel.load(tmp_path / "model", task)
    assert again.settings == kept.settings
    some = data.states[:, 0].copy(), data.actions[:, 0].copy()
    np.testing.assert_array_equal(again.predict(*some), kept.predict(*some))
    save_bundle(tmp_path / "out", task, kept, horizon=3, candidates=10)
    np.testing.assert_array_equal(load_bundle(tmp_path / "out").dynamics.predict(*some), kept.predict(*some))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[mbmf.DynamicsModel, mbmf.Episodes]:
    task = load(tmp_path_factory.mktemp("top"))
    data = mbmf.collect_random(task, 20, 20, seed=0)
    model = mbmf.DynamicsModel(
        task, hidden=(16,), activation="tanh", members=2, probabilistic=True, seed=0, **ROTATION
    )
    model.fit(data, epochs=5, batch_size=64, noise=0.0)
    return model, data


def test_deviations_of_a_quaternion_are_its_own(learned: tuple[mbmf.DynamicsModel, mbmf.Episodes]) -> None:
    model, data = learned
    states = data.states[:, :-1].reshape(-1, data.states.shape[-1])[:60]
    actions = data.actions.reshape(-1, 3)[:60]
    deviations = model.predict_members(states, actions)[1][0]
    # particle 0 is the first member's
    drawn = np.stack([model.sample(states, actions[:, None], seed=s)[:, 0, 1] for s in range(400)])
    np.testing.assert_allclose(deviations[:, :4], drawn.std(axis=0)[:, :4], rtol=0.25, atol=5e-4)


def drawn_from(model: mbmf.DynamicsModel, data: mbmf.Episodes, count: int) -> mbmf.Episodes:
    """Episodes of three steps that the model itself draws."""
    rng = np.random.default_rng(1)
    starts = data.states[:, :-1].reshape(-1, data.states.shape[-1])
    starts = starts[rng.integers(len(starts), size=count)]
    actions = rng.uniform(-1, 1, (count, 3, 3)).astype(np.float32)
    sampled = model.sample(starts, actions, seed=99)
    states = sampled[np.arange(count), rng.integers(sampled.shape[1], size=count)].astype(float)
    # the goal stays, in float64
    states[:, :, 7:] = starts[:, None, 7:]
    zeros = np.zeros(count, bool)
    lengths = np.full(count, 3, np.int32)
    task = model.task
    rewards = np.zeros((count, 3))
    return mbmf.Episodes(
        states, actions, rewards, lengths, zeros, zeros, None, task.name, identity=task.identity
    )


def test_calibration_of_truth_from_the_model_is_right(
    learned: tuple[mbmf.DynamicsModel, mbmf.Episodes],
) -> None:
    model, data = learned
    shares = model.calibration(drawn_from(model, data, 600), [1, 2], [0.5, 0.9])
    for row in shares.values():
        assert row[0.5] == pytest.approx(0.5, abs=0.05)
        assert row[0.9] == pytest.approx(0.9, abs=0.03)


def test_the_other_sign_is_the_same_rotation(learned: tuple[mbmf.DynamicsModel, mbmf.Episodes]) -> None:
    model, data = learned
    states = data.states.copy()
    states[..., :4] *= np.where(states[..., :1] < 0, -1, 1)
    assert ((states[:, 1:, :4] * states[:, :-1, :4]).sum(-1) < 0).any()
    other = dataclasses.replace(data, states=states)
    for one, two in (
        (model.validation_error(data, [1, 10]), model.validation_error(other, [1, 10])),
        (model.calibration(data, [1, 5])[5], model.calibration(other, [1, 5])[5]),
    ):
        for key in one:
            # statistics and inputs are of one sign: predictions differ by rounding alone
            assert two[key] == pytest.approx(one[key], rel=1e-3, abs=5e-3)


def test_an_input_rotation_is_one_at_any_length(tmp_path: Path) -> None:
    task = load(tmp_path)
    data = mbmf.collect_random(task, 10, 20, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(16,), activation="tanh", inputs=ROTATION["inputs"])
    model.fit(data, epochs=2, batch_size=64, noise=0.0)
    longer = data.states[:, 0].copy()
    longer[:, :4] *= 1.3
    change = model.predict(data.states[:, 0], data.actions[:, 0]) - data.states[:, 0]
    np.testing.assert_allclose(model.predict(longer, data.actions[:, 0]) - longer, change, atol=2e-6)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"dynamics": {"inputs": {"qpos.top.qx": "rotation"}}},
            r"qx'\] must be of a state qw that qx, qy and qz",
        ),
        (
            {"dynamics": {"outputs": {"qpos.top.qw": "rotation", "qpos.top.qy": "value"}}},
            "of which nothing is said",
        ),
        ({"reward": [{"term": "rotation", "state": "qvel.top"}]}, r"reward\[0\]\.state must be quaternions"),
        (
            {"reward": [{"term": "rotation", "state": QUATERNION[:3]}]},
            r"reward\[0\]\.state must be quaternions",
        ),
        (
            {"reward": [{"term": "rotation", "state": "qpos.top", "target": [0, 0, 0, 0]}]},
            r"reward\[0\]\.target must be a quaternion of a length above 0",
        ),
        (
            {"reward": [{"term": "rotation", "state": "qpos.top", "target": [1, 0]}]},
            r"reward\[0\]\.target must be one number or as many as states \(4\)",
        ),
        ({"dynamics": {"outputs": {"goal.attitude.qw": "value"}}}, "goal.attitude.qw"),
    ],
)
def test_bad_input(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **keys)


def test_the_core_refuses_what_is_no_quaternion(tmp_path: Path) -> None:
    task = load(tmp_path)
    term = _core.Term(_core.TermKind.ROTATION, 1.0, [0, 1, 2], target=[1, 0, 0])
    spec = task.core.spec
    spec.reward = [term]
    with pytest.raises(ValueError, match=r"reward\[0\]\.index must be quaternions, four states each, got 3"):
        _core.Task(task.core.mjb, spec)
    one, two = (np.zeros(1), np.ones(1)), (np.zeros(2), np.ones(2))
    layer = [np.zeros((2, 3), np.float32)], [np.zeros(2, np.float32)]
    with pytest.raises(ValueError, match="inputs must be rotations or verticals for four states together"):
        _core.Dynamics(2, 1, *layer, "relu", *two, *one, *two, inputs=["rotation", "rotation"])
