"""What networks see of vectors, and predict of them, in the frame of a body, beside NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from dynamics_oracle import random_dynamics
from mbmf import _core
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.dynamics.normalization import (
    columns_of_each,
    in_body_frame,
    seen_statistics,
    what_is_seen,
)
from mbmf.errors import ConfigError
from mbmf.tasks.ensembles import check_frame
from test_rotations import exponential, matrix, multiply, unit

# four rotors push along the body's own z axis
ROBOT = """<mujoco><option timestep="0.01" gravity="0 0 -1"/>
<worldbody><body name="top" pos="0 0 5"><freejoint name="top"/><geom type="box" size=".2 .2 .05" mass="1"/>
<site name="a" pos=".2 0 0"/><site name="b" pos="0 .2 0"/><site name="c" pos="-.2 0 0"/></body></worldbody>
<actuator><motor site="a" gear="0 0 1 0 0 .3"/><motor site="b" gear="0 0 1 0 0 -.3"/>
  <motor site="c" gear="0 0 1 0 0 .3"/></actuator></mujoco>"""
BODY = "in the body's frame"
DYNAMICS = {
    "inputs": {"qpos.top.qw": "vertical", "qvel.top.x": BODY, "rate.qpos.top.x": "nothing"}
    | {f"rate.qpos.top.{axis}": "nothing" for axis in "yz"},
    "outputs": {
        "qpos.top.qw": "rotation",
        "qvel.top.x": f"difference {BODY}",
        "rate.qpos.top.x": f"value {BODY}",
    },
}
INPUTS = ["value", *["vertical"] * 4, *["body"] * 3, *["value"] * 3, *["nothing"] * 3]
OUTPUTS = [
    "difference",
    *["rotation"] * 4,
    *["body_difference"] * 3,
    *["difference"] * 3,
    *["body_value"] * 3,
]


def load(folder: Path, **keys: Any) -> mbmf.Task:
    (folder / "robot.xml").write_text(ROBOT)
    task: dict[str, Any] = {
        "name": "drone",
        "model": {"file": str(folder / "robot.xml")},
        "physics_steps": 2,
        "state": [
            {"source": "qpos", "index": [2, 3, 4, 5, 6]},
            {"source": "qvel"},
            {"source": "qpos", "index": [0, 1, 2], "transform": "rate"},
        ],
        "reward": [{"term": "linear", "state": "rate.qpos.top.x"}],
        "reset": {"default": {"joints": {"top": {"rotation": {"normal": 0.5}, "qvel": {"normal": 1.0}}}}},
    }
    return mbmf.load_task(task | keys)


def turned(states: Any, angle: float) -> Any:
    """The same states, seen from a world that is turned about its z axis."""
    out = states.copy()
    turn = np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
    out[:, 1:5] = multiply(np.broadcast_to(turn, (len(states), 4)), states[:, 1:5])
    for first in (5, 11):
        out[:, first : first + 3] = states[:, first : first + 3] @ matrix(turn[None])[0].T
    return out


def test_what_is_seen_of_vectors_and_verticals() -> None:
    rng = np.random.default_rng(0)
    states = np.hstack([rng.normal(size=(50, 1)), unit(rng, 50), rng.normal(size=(50, 9))])
    seen = what_is_seen(states, INPUTS)
    frames = matrix(states[:, 1:5])
    np.testing.assert_array_equal(seen[:, 0], states[:, 0])
    up = np.linalg.solve(frames, np.broadcast_to([[0.0], [0.0], [1.0]], (50, 3, 1)))[..., 0]
    np.testing.assert_allclose(seen[:, 1:4], up, atol=1e-12)
    np.testing.assert_allclose(
        seen[:, 4:7], np.linalg.solve(frames, states[:, 5:8, None])[..., 0], atol=1e-12
    )
    np.testing.assert_allclose(what_is_seen(turned(states, 1.3), INPUTS), seen, atol=1e-12)
    # a quaternion's length says nothing
    states[:, 1:5] *= 2
    np.testing.assert_allclose(what_is_seen(states, INPUTS), seen, atol=1e-12)
    assert columns_of_each(INPUTS) == [1, 3, 0, 0, 0, 3, 0, 0, 1, 1, 1, 0, 0, 0]
    vectors = rng.normal(size=(50, 3))
    back = np.einsum("nij,nj->ni", frames, in_body_frame(states, INPUTS, vectors))
    np.testing.assert_allclose(back, vectors, atol=1e-12)


def made(task: mbmf.Task, members: int = 1, head: bool = False) -> tuple[_core.Dynamics, Any]:
    """A model with random weights, and NumPy's step of its means: (states, actions) -> next states."""
    rng = np.random.default_rng(members)
    delta_mean = np.r_[np.zeros(5), rng.normal(scale=0.2, size=9)]
    delta_std = np.array([0.1, 0, 0.4, 0.5, 0.3, *rng.uniform(0.3, 0.6, 9)])
    core, network = random_dynamics(task, INPUTS, OUTPUTS, delta_mean, delta_std, members, head)

    def step(states: Any, actions: Any, member: int = 0) -> Any:
        frames = matrix(states[:, 1:5])
        body = np.einsum("nij,ni->nj", frames, states[:, 5:8])
        seen = np.concatenate([states[:, :1], frames[:, 2], body, states[:, 8:11]], 1)
        out = network(seen, actions, member)
        return np.concatenate(
            [
                states[:, :1] + out[:, :1],
                multiply(states[:, 1:5], exponential(out[:, 2:5])),
                states[:, 5:8] + np.einsum("nij,nj->ni", frames, out[:, 5:8]),
                states[:, 8:11] + out[:, 8:11],
                np.einsum("nij,nj->ni", frames, out[:, 11:14]),
            ],
            axis=1,
        )

    return core, step


@pytest.mark.parametrize("isa", _core.available_isas())
def test_models_predict_as_numpy_does(tmp_path: Path, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    task = load(tmp_path)
    states = mbmf.Simulator(task, 37, seed=0).states
    actions = np.random.default_rng(3).uniform(-1, 1, (37, 5, 3)).astype(np.float32)
    core, step = made(task)
    want = [states]
    for t in range(5):
        want.append(step(want[-1], actions[:, t]))
    predicted = core.open_loop(states, actions)
    np.testing.assert_allclose(predicted, np.stack(want, 1), atol=1e-4)
    assert np.abs(predicted[:, -1, 5:8] - predicted[:, 0, 5:8]).max() > 0.5
    for nthread in (1, 2, 3, 7):
        np.testing.assert_array_equal(core.open_loop(states, actions, nthread), predicted)
    # where the robot heads is the world's affair
    np.testing.assert_allclose(
        core.open_loop(turned(states, 2.0), actions)[:, -1], turned(predicted[:, -1], 2.0), atol=1e-3
    )
    # members alone, with a variance head, whose deviations are those of the states
    noisy, member_step = made(task, members=3, head=True)
    first = np.ascontiguousarray(actions[:, 0])
    means, deviations = noisy.predict_members(states, first)
    for member in range(3):
        np.testing.assert_allclose(means[member], member_step(states, first, member), atol=1e-5)
    one_step = np.ascontiguousarray(actions[:, :1])
    draws = [noisy.sample(states, one_step, seed=seed)[:, :, 1] for seed in range(400)]
    of_member = np.stack(draws)[:, :, [0, 3]]  # particles of the first member
    spread = of_member.transpose(0, 2, 1, 3).reshape(800, 37, -1).std(axis=0)
    for part in (slice(5, 8), slice(11, 14)):
        np.testing.assert_allclose(spread[:, part], deviations[0][:, part], rtol=0.15)


def test_plans_cost_what_their_states_cost(tmp_path: Path) -> None:
    """Of the last point only what the cost reads is computed: the whole vector, and the frame before it."""
    task = load(tmp_path)
    core, _ = made(task)
    state = mbmf.Simulator(task, seed=5).states[0]
    plans = set()
    for nthread in (1, 2, 3, 7):
        planner = _core.Planner(task.core, core, "random_shooting", 6, 200, 3, nthread, {})
        plan = planner.plan(state, 0, 0, memory=planner.make_memory())
        assert plan[1] == pytest.approx(task.cost(plan[3][None], plan[2][None])[0], rel=1e-5)
        plans.add((plan[1], plan[2].tobytes()))
    assert len(plans) == 1


def test_states_far_from_0_are_predicted_as_well() -> None:
    """Vectors seen as they are, which the core keeps less a centre."""
    rng = np.random.default_rng(4)
    inputs, outputs = (
        ["vertical"] * 4 + ["value"] * 6,
        ["rotation"] * 4 + ["body_difference"] * 3 + ["body_value"] * 3,
    )
    weight, bias = rng.normal(size=(10, 10)).astype(np.float32) / 3, rng.normal(size=10).astype(np.float32)
    mean, std = np.r_[np.zeros(3), np.full(6, 1e5)], np.ones(9)
    core = _core.Dynamics(
        *(10, 1, [weight], [bias], "relu", mean, std, np.zeros(1), np.ones(1), np.zeros(10), np.ones(10)),
        inputs=inputs,
        outputs=outputs,
    )
    states = np.hstack([unit(rng, 30), 1e5 + rng.normal(size=(30, 6))])
    actions = rng.uniform(-1, 1, (30, 1)).astype(np.float32)
    frames = matrix(states[:, :4])
    x = np.concatenate([frames[:, 2], states[:, 4:] - 1e5, actions], axis=1)
    out = x @ weight.T.astype(float) + bias
    want = np.concatenate(
        [
            multiply(states[:, :4], exponential(out[:, 1:4])),
            states[:, 4:7] + np.einsum("nij,nj->ni", frames, out[:, 4:7]),
            np.einsum("nij,nj->ni", frames, out[:, 7:10]),
        ],
        axis=1,
    )
    # float32 has 1e5 to 0.004
    np.testing.assert_allclose(core.predict(states, actions), want, atol=0.02)


def test_statistics_of_vectors() -> None:
    # float32 rounds a component by parts of the vector's length
    seen = np.random.default_rng(5).normal(size=(100, 3)) * [1, 1, 1e-9]
    assert (seen_statistics(seen, ["body"] * 3).std > 0).tolist() == [True, True, False]


def test_the_deviation_over_members_is_that_of_their_outputs(tmp_path: Path) -> None:
    """By rotation vectors and by vectors in the body's frame, wherever the robot heads."""
    task = load(tmp_path)
    data = mbmf.collect_random(task, 10, 20, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(16,), activation="tanh", members=3, seed=0, **DYNAMICS)
    model.fit(data, epochs=2, batch_size=64, noise=0, seed=0)
    states = data.states[:, :-1].reshape(-1, task.nstate).astype(np.float64)
    actions = data.actions.reshape(-1, task.naction)
    trained = model._state()
    frames = matrix(states[:, 1:5])
    body = np.einsum("nij,ni->nj", frames, states[:, 5:8])
    seen = np.concatenate([states[:, :1], frames[:, 2], body, states[:, 8:11]], 1)
    x = trained.normalization.inputs(seen, actions)
    first, last = trained.mlp.layers
    hidden = np.tanh(np.einsum("mij,nj->mni", first[..., :-1], x) + first[:, None, :, -1])
    outputs = np.einsum("mij,mnj->mni", last[..., :-1], hidden) + last[:, None, :, -1]
    expected = outputs[..., trained.normalization.delta.std > 0].std(axis=0).mean()
    assert model.deviation_over_members(data) == pytest.approx(expected, rel=1e-3)
    data.states[...] = turned(data.states.reshape(-1, task.nstate), 2.0).reshape(data.states.shape)
    assert model.deviation_over_members(data) == pytest.approx(expected, rel=1e-3)


def test_a_value_ends_plans(tmp_path: Path) -> None:
    task = load(tmp_path)
    data = mbmf.collect_random(task, 10, 20, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(16,), seed=0, **DYNAMICS)
    model.fit(data, epochs=2, batch_size=64, noise=0.001, seed=0)
    model.fit(data, data, epochs=1, batch_size=64, noise=0.001, seed=1)
    value = mbmf.ValueFunction(task, hidden=(8,), inputs=DYNAMICS["inputs"])
    value.fit(data, rounds=2, epochs=2)
    sequences = np.random.default_rng(6).uniform(-1, 1, (7, 5, task.naction)).astype(np.float32)
    start = data.states[0, 0].astype(np.float64)
    with_value, without = (
        mbmf.RandomShooting(task, model, horizon=5, candidates=8, value=each).roll(start, sequences)
        for each in (value, None)
    )
    ends = model.open_loop(np.broadcast_to(start, (7, task.nstate)).copy(), sequences)[:, -1]
    np.testing.assert_allclose(without - with_value, value.predict(ends), rtol=1e-4, atol=1e-4)
    save_bundle(tmp_path / "out", task, model, horizon=3, candidates=10, value=value)
    kept = load_bundle(tmp_path / "out").value
    assert kept is not None
    some = data.states[:, 0].astype(np.float64)
    np.testing.assert_array_equal(kept.evaluate(some), value.predict(some))
    with pytest.raises(ValueError, match="inputs in the body's frame need one quaternion"):
        mbmf.ValueFunction(task, inputs={"qvel.top.x": BODY})


def test_what_stands_still_is_named_by_what_is_seen(tmp_path: Path) -> None:
    """A robot turns about the vertical, and moves along one axis of the world: along two of its own. The
    vertical never changes."""
    task = load(tmp_path, reset={"default": {}})
    data = mbmf.collect_random(task, 4, 30, seed=0)
    angle = np.random.default_rng(7).uniform(-3, 3, data.states.shape[:2])
    data.states[..., 1:5] = np.stack([np.cos(angle), 0 * angle, 0 * angle, np.sin(angle)], -1)
    data.states[..., 5] = np.random.default_rng(8).normal(size=angle.shape)
    data.states[..., 6:8] = 0
    model = mbmf.DynamicsModel(task, hidden=(8,), seed=0, **DYNAMICS)
    result = model.fit(data, epochs=1, batch_size=64, noise=0, seed=0)
    said = " ".join(result.warnings)
    assert "qpos.top.qw" in said
    assert "qvel.top.x" not in said
    assert "qvel.top.y" not in said


def test_training_on_one_heading_serves_all(tmp_path: Path) -> None:
    """A flying robot whose data has one heading, predicted ten steps ahead at another; kept and exported."""
    task = load(tmp_path)
    data, test = mbmf.collect_random(task, 40, 40, seed=0), mbmf.collect_random(task, 10, 40, seed=1)
    errors = {}
    for name, how in (("body", DYNAMICS), ("world", {})):
        model = mbmf.DynamicsModel(task, hidden=(32,), activation="tanh", seed=0, **how)
        model.fit(data, epochs=40, batch_size=64, noise=0, seed=0)
        starts, truth = turned(test.states[:, 0], 2.5), turned(test.states[:, 10], 2.5)
        predicted = model.open_loop(starts, test.actions[:, :10])[:, -1]
        errors[name] = np.abs(predicted[:, 5:8] - truth[:, 5:8]).mean()
        if name == "body":
            moved = np.abs(truth[:, 5:8] - starts[:, 5:8]).mean()
            kept = model
    assert errors["body"] < 0.2 * moved
    assert errors["body"] < 0.3 * errors["world"]
    value = mbmf.ValueFunction(task, hidden=(8,), inputs=DYNAMICS["inputs"])
    value.fit(data, rounds=1, epochs=1)
    np.testing.assert_allclose(value.predict(turned(starts, 1)), value.predict(starts), atol=1e-4)
    kept.save(tmp_path / "model")
    again = mbmf.DynamicsModel.load(tmp_path / "model", task)
    assert again.settings == kept.settings
    some = data.states[:, 0].copy(), data.actions[:, 0].copy()
    np.testing.assert_array_equal(again.predict(*some), kept.predict(*some))
    save_bundle(tmp_path / "out", task, kept, horizon=3, candidates=10, value=value)
    np.testing.assert_array_equal(load_bundle(tmp_path / "out").dynamics.predict(*some), kept.predict(*some))


@pytest.mark.parametrize(
    ("dynamics", "message"),
    [
        (
            {"inputs": {"qvel.top.x": BODY}},
            r"need one quaternion whose input is 'rotation' or 'vertical', got 0",
        ),
        ({"outputs": {"qvel.top.x": f"value {BODY}"}}, "outputs in the body's frame need one quaternion"),
        (
            {"inputs": {"qpos.top.qw": "vertical", "qvel.top.y": BODY}},
            r"y'\] must be of a state x that y and z follow, of which nothing is said",
        ),
        (
            {"inputs": {"qpos.top.qw": "vertical", "qvel.top.x": BODY, "qvel.top.z": "nothing"}},
            "of which nothing is said",
        ),
        ({"inputs": {"qpos.top.qw": "vertical", "qvel.top.wx": BODY}}, "MuJoCo has the angular motion"),
        (
            {"inputs": {"qpos.top.qw": "vertical"}},
            "outputs must be 'rotation' of a quaternion whose input is",
        ),
        ({"inputs": {"qvel.top.y": BODY}, "outputs": {"nosuch": "value"}}, "(?s)inputs.*outputs must name"),
        ({"outputs": {"qpos.top.qw": "vertical"}}, "vertical"),
    ],
)
def test_bad_input(tmp_path: Path, dynamics: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, dynamics=dynamics)


def test_two_quaternions_are_no_frame() -> None:
    words = ["vertical"] * 4 + ["rotation"] * 4 + ["body"] * 3
    with pytest.raises(ValueError, match="got 2"):
        check_frame(words, ["rotation"] * 8 + ["value"] * 3)
    check_frame(words[4:], ["rotation"] * 4 + ["body_value"] * 3)
    eleven, nine = (np.zeros(11), np.ones(11)), (np.zeros(12), np.ones(12))
    layer = [np.zeros((11, 13), np.float32)], [np.zeros(11, np.float32)]
    with pytest.raises(ValueError, match="or several"):
        _core.Dynamics(11, 1, *layer, "relu", *nine, np.zeros(1), np.ones(1), *eleven, inputs=words)


def test_the_core_refuses_frames_that_are_none() -> None:
    one, three = (np.zeros(1), np.ones(1)), (np.zeros(3), np.ones(3))
    layer = [np.zeros((3, 4), np.float32)], [np.zeros(3, np.float32)]
    with pytest.raises(ValueError, match="inputs in a body's frame need one quaternion"):
        _core.Dynamics(3, 1, *layer, "relu", *three, *one, *three, inputs=["body"] * 3)
    with pytest.raises(ValueError, match="outputs in a body's frame need one quaternion"):
        _core.Dynamics(3, 1, *layer, "relu", *three, *one, *three, outputs=["body_value"] * 3)
    with pytest.raises(ValueError, match="must be in a body's frame for three states together"):
        _core.Dynamics(3, 1, *layer, "relu", *three, *one, *three, outputs=["body_value"] * 2 + ["value"])
