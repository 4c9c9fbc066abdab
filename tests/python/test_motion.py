"""Mocap bodies, references over time, goals and resets of single joints, beside plain MuJoCo and NumPy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

import mbmf
from mbmf import _core
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.errors import ConfigError
from mbmf.rollouts.baseline import collect_actions
from mbmf.rollouts.imagine import imagine_policy
from mbmf.simulation.envs import TaskEnv

ROBOT = """<mujoco>
<option timestep="0.005"/>
<worldbody><geom name="floor" type="plane" size="3 3 .1"/>
<body name="ball" pos="0 0 .5"><freejoint name="ball"/><geom name="ball" size=".1" mass="1"/></body>
<body name="arm" pos="1 0 1"><joint name="hip" axis="0 1 0" damping=".1"/>
  <geom name="arm" type="capsule" fromto="0 0 0 .4 0 0" size=".03"/>
  <body pos=".4 0 0"><joint name="wrist" type="ball" damping=".05"/>
    <geom name="tip" size=".05"/></body></body>
<body name="hand" pos="0 0 .5" mocap="true"><geom size=".05" contype="0" conaffinity="0"/></body>
<body name="target" pos="1 0 1" mocap="true"/>
</worldbody>
<equality><weld body1="hand" body2="ball" solref="0.05 1"/></equality>
<actuator><motor joint="hip" ctrlrange="-1 1"/></actuator>
<keyframe><key name="high" qpos="0 0 1 1 0 0 0 0 1 0 0 0" mpos="0 0 1  2 2 2"
  mquat="1 0 0 0  0 1 0 0"/></keyframe>
</mujoco>"""
TIMES, XS = [0.0, 0.1, 0.3], [0.0, 1.0, -1.0]
CIRCLE = {"time": TIMES, "columns": {"x": XS, "y": [1.0, 0.0, 1.0], "z": [1.0, 1.0, 2.0]}, "loop": True}
TURNS = {
    "time": [0, 1],
    "columns": {"qw": [1.0, 0.0], "qx": [0.0, 0.0], "qy": [0.0, 0.0], "qz": [0.0, 1.0]},
}
STATE: list[dict[str, Any]] = [
    {"source": "time"},
    {"source": "qpos"},
    {"source": "qvel"},
    {"source": "body_pos", "body": ["hand", "target"]},
]


def load(folder: Path, state: Any = STATE, **keys: Any) -> mbmf.Task:
    (folder / "robot.xml").write_text(ROBOT)
    task = {"name": "t", "model": {"file": str(folder / "robot.xml")}, "physics_steps": 4, "state": state}
    return mbmf.load_task({**task, "reward": [{"term": "action", "weight": -1}], **keys})


def test_what_an_action_of_a_body_means_and_what_a_body_follows_are_of_the_robot(tmp_path: Path) -> None:
    task = moving(tmp_path)
    moves = {
        "x": {"low": -0.5, "high": 0.5, "speed": 0.9},
        "z": {"low": 0.4, "high": 0.6},
        "rz": {"speed": 2},
    }
    faster = moving(tmp_path, mocap={"hand": {"move": moves}, "target": {"reference": "circle"}})
    assert "mocap.hand.x at 0.9" in faster.identity.differences(task.identity)
    other = {"circle": {**CIRCLE, "loop": False}, "turn": TURNS}
    assert "whose references are other ones" in moving(tmp_path, references=other).identity.differences(
        task.identity
    )
    unused = {"circle": CIRCLE, "turn": {**TURNS, "loop": True}}
    assert not moving(tmp_path, references=unused).identity.differences(task.identity)


def test_references_are_no_more_than_a_run_can_keep(tmp_path: Path) -> None:
    rows = 90_000
    columns = {name: [0.0] * rows for name in "abcdefghij"}
    reference = {"time": list(map(float, range(rows))), "columns": columns}
    with pytest.raises(ConfigError, match=r"references must hold at most 900000 numbers .*, got 990000"):
        load(tmp_path, references={"r": reference})


def test_a_control_range_has_a_middle(tmp_path: Path) -> None:
    robot = ROBOT.replace('ctrlrange="-1 1"', 'name="hip" ctrlrange="0 inf"')
    (tmp_path / "robot.xml").write_text(robot)
    task: dict[str, Any] = {"name": "t", "model": {"file": str(tmp_path / "robot.xml")}, "state": STATE}
    task["reward"] = [{"term": "action", "weight": -1}]
    with pytest.raises(
        ConfigError, match=r"overrides.actuators.hip.ctrlrange must be two numbers .*0.0, inf"
    ):
        mbmf.load_task(task)
    mended = mbmf.load_task({**task, "overrides": {"actuators": {"hip": {"ctrlrange": [0, 2]}}}})
    np.testing.assert_array_equal(mended.to_control([0.0]), [1.0])


def moving(folder: Path, **keys: Any) -> mbmf.Task:
    """A hand that actions move, a target that follows a reference, a goal and a quaternion goal."""
    state = [
        *STATE,
        {"source": "goal"},
        {"source": "reference", "reference": "circle"},
        {"source": "reference", "reference": "circle", "index": 0, "transform": "rate"},
    ]
    moves = {
        "x": {"low": -0.5, "high": 0.5, "speed": 0.8},
        "z": {"low": 0.4, "high": 0.6},
        "rz": {"speed": 2},
    }
    settings: dict[str, Any] = {
        "goals": {"height": [0.4, 0.8], "attitude": {"rotation": 1.0}},
        "references": {"circle": CIRCLE, "turn": TURNS},
        "mocap": {"hand": {"move": moves}, "target": {"reference": "circle"}},
        "reward": [
            {"term": "distance", "state": "qpos.ball.z", "target_state": "goal.height", "weight": -1},
            {"term": "distance", "state": "qpos.ball.x", "target_state": "reference.circle.x", "weight": -1},
            {"term": "rotation", "state": "qpos.ball", "target_state": "goal.attitude", "weight": -0.1},
        ],
        "reset": {"default": {"qvel": {"normal": 0.05}, "time": [0, 0.3]}},
    }
    return load(folder, **{"state": state, **settings, **keys})


def reference_x(time: Any) -> Any:
    return np.interp(np.mod(time, TIMES[-1]), TIMES, XS)


def columns(task: mbmf.Task, prefix: str) -> list[int]:
    return [i for i, name in enumerate(task.state_names) if name.startswith(prefix)]


def test_actions_and_references_move_bodies_as_in_plain_mujoco(tmp_path: Path) -> None:
    task = moving(tmp_path)
    assert task.identity.actions == (
        "0",
        "mocap.hand.x at 0.8 in [-0.5, 0.5]",
        "mocap.hand.z in [0.4, 0.6]",
        "mocap.hand.rz at 2",
    )
    assert task.naction == 4
    simulator, model = mbmf.Simulator(task, 2, seed=3), task.model
    data = mujoco.MjData(model)
    spec = mujoco.mjtState.mjSTATE_INTEGRATION
    mujoco.mj_setState(model, data, simulator.get_state()[0], spec)
    hand, target = model.body("hand").mocapid[0], model.body("target").mocapid[0]
    rng = np.random.default_rng(0)
    for _ in range(30):
        action = rng.uniform(-1, 1, 4)
        simulator.step(np.stack([action, -action]))
        data.ctrl[0] = action[0]
        for _ in range(4):
            x = data.mocap_pos[hand, 0] + 0.8 * action[1] * 0.005
            data.mocap_pos[hand] = [min(max(x, -0.5), 0.5), 0, 0.5 + 0.1 * action[2]]
            mujoco.mju_quatIntegrate(data.mocap_quat[hand], np.array([0, 0, 2 * action[3]]), 0.005)
            data.mocap_pos[target] = [float(reference_x(data.time)), *data.mocap_pos[target, 1:]]
            phase = math.fmod(data.time, TIMES[-1])
            for axis, name in ((1, "y"), (2, "z")):
                data.mocap_pos[target, axis] = np.interp(phase, TIMES, CIRCLE["columns"][name])
            mujoco.mj_step(model, data)
        np.testing.assert_allclose(simulator.states[0, 1:13], data.qpos, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(simulator.states[0, columns(task, "body_pos.hand")], data.mocap_pos[hand])
        np.testing.assert_allclose(
            simulator.states[0, columns(task, "body_pos.target.x")], reference_x(data.time), atol=1e-12
        )
    assert np.ptp(data.mocap_pos[hand]) > 0.3  # it did move
    assert abs(data.body("ball").xpos[0] - data.mocap_pos[hand, 0]) < 0.1  # and took the ball along


def test_a_state_row_says_it_all(tmp_path: Path) -> None:
    """Goals and moved bodies are in the row; who goes on from it has the same bits, with any threads."""
    task = moving(tmp_path)
    simulator = mbmf.Simulator(task, 5, seed=1)
    rng = np.random.default_rng(1)
    simulator.step(rng.uniform(-1, 1, (5, 4)))
    rows, actions = simulator.get_state(), rng.uniform(-1, 1, (10, 5, 4))
    ends = []
    for nthread in (1, 2, 3, 7):
        other = mbmf.Simulator(task, 5, nthread=nthread, seed=99)
        other.set_state(rows)
        np.testing.assert_array_equal(other.states, simulator.states)
        for action in actions:
            other.step(action)
        ends.append((other.states.copy(), other.rewards.copy()))
    for action in actions:
        simulator.step(action)
    for states, rewards in ends:
        np.testing.assert_array_equal(states, simulator.states)
        np.testing.assert_array_equal(rewards, simulator.rewards)
    assert len(np.unique(simulator.states[:, columns(task, "goal.height")])) == 5


def test_goals_are_drawn_anew_each_episode_and_stay(tmp_path: Path) -> None:
    task = moving(tmp_path)
    episodes = mbmf.collect_random(task, 200, 5, seed=4)
    goals = episodes.states[:, :, columns(task, "goal")]
    assert (goals == goals[:, :1]).all()
    height, attitude = goals[:, 0, 0], goals[:, 0, 1:]
    assert 0.4 <= height.min() < 0.42
    assert 0.78 < height.max() < 0.8
    np.testing.assert_allclose(np.linalg.norm(attitude, axis=1), 1, atol=1e-12)
    angle = 2 * np.arccos(attitude[:, 0])
    # uniform over rotations of at most 1 rad: P(angle < a) = (a - sin a) / (1 - sin 1)
    share = (angle - np.sin(angle)) / (1 - math.sin(1))
    assert share.max() <= 1
    assert abs(np.sort(share) - np.arange(0.5, 200) / 200).max() < 0.1  # Kolmogorov, 3 %
    alone = mbmf.collect_random(task, 1, 5, seed=4, first_episode=7)
    np.testing.assert_array_equal(alone.states[0], episodes.states[7])
    other = mbmf.collect_random(task, 1, 5, seed=5, first_episode=7)
    assert (other.states[0, 0, columns(task, "goal")] != goals[7, 0]).all()


def test_references_are_read_at_the_time(tmp_path: Path) -> None:
    task = moving(tmp_path)
    episodes = mbmf.collect_random(task, 20, 40, seed=0)
    time = episodes.states[:, :, 0]
    assert np.ptp(time[:, 0]) > 0.2  # the phase is drawn
    np.testing.assert_allclose(
        episodes.states[:, :, columns(task, "reference.circle.x")[0]], reference_x(time), atol=1e-12
    )
    rate = episodes.states[:, :, columns(task, "rate.reference")[0]]
    np.testing.assert_allclose(
        rate[:, 1:], np.diff(episodes.states[:, :, columns(task, "reference.circle.x")[0]], axis=1) / task.dt
    )
    assert (rate[:, 0] == 0).all()


def test_a_body_follows_a_rotation(tmp_path: Path) -> None:
    task = load(
        tmp_path,
        [{"source": "time"}, {"source": "body_quat", "body": "target"}, {"source": "reference"}],
        references={"turn": {**TURNS, "time": [0, 0.5]}},
        mocap={"target": {"reference": "turn"}},
    )
    simulator = mbmf.Simulator(task)
    for step in range(30):
        w, z = 1 - min(step * task.dt / 0.5, 1), min(step * task.dt / 0.5, 1)
        want = np.array([w, 0, 0, z]) / math.hypot(w, z)
        np.testing.assert_allclose(simulator.states[0, 1:5], want, atol=1e-12)
        np.testing.assert_allclose(simulator.states[0, 5:], want, atol=1e-12)
        simulator.step(np.zeros((1, 1)))


@pytest.mark.parametrize("how", [{"members": 1}, {"members": 3, "probabilistic": True, "particles": 6}])
def test_plans_know_references_and_goals(tmp_path: Path, how: dict[str, Any]) -> None:
    """A learned model predicts them exactly; plans, costs and open loops read the same table."""
    task = moving(tmp_path)
    assert [task.state_names[i] for i in task.core.known_states] == [
        "time",
        *(f"reference.circle.{axis}" for axis in "xyz"),
        "rate.reference.circle.x",
    ]
    data = mbmf.collect_random(task, 6, 30, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(16,), **how)
    model.fit(data, epochs=1)
    seen = dict(zip(task.state_names, model.settings.inputs, strict=True))
    assert seen["time"] == seen["goal.height"] == seen["reference.circle.x"] == "nothing"
    assert seen["qpos.hip"] == "value"
    actions = np.random.default_rng(0).uniform(-1, 1, (6, 8, 4)).astype(np.float32)
    predicted = model.open_loop(data.states[:, 5], actions)
    time = data.states[:, 5, :1] + task.dt * np.arange(9)
    x, goals = columns(task, "reference.circle.x")[0], columns(task, "goal")
    rate = columns(task, "rate.reference")[0]
    np.testing.assert_allclose(predicted[:, :, 0], time, atol=1e-6)
    np.testing.assert_allclose(predicted[:, :, x], reference_x(time), atol=1e-6)
    np.testing.assert_allclose(
        predicted[:, 1:, rate], np.diff(reference_x(time), axis=1) / task.dt, rtol=1e-4, atol=1e-4
    )
    wanted = data.states[:, 5:6][:, :, goals].astype(np.float32)
    assert (predicted[:, :, goals] == wanted).all()
    np.testing.assert_array_equal(model.predict(data.states[:, 5], actions[:, 0]), predicted[:, 1])
    members = model.predict_members(data.states[:, 5], actions[:, 0])[0]
    np.testing.assert_allclose(
        members[:, :, x], np.tile(reference_x(time[:, 1]), (len(members), 1)), atol=1e-6
    )
    sampled = model.sample(data.states[:, 5], actions)
    np.testing.assert_allclose(sampled[:, :, :, x], np.repeat(predicted[:, None, :, x], sampled.shape[1], 1))

    plans = []
    for nthread in (1, 2, 3, 7):
        planner = mbmf.RandomShooting(task, model, horizon=8, candidates=300, seed=0, nthread=nthread)
        plan = planner.plan(data.states[0, 5])
        plans.append((plan.actions.tobytes(), plan.cost))
        np.testing.assert_allclose(plan.states[:, x], reference_x(time[0]), atol=1e-6)
    assert len(set(plans)) == 1
    if how["members"] == 1:
        # the cost that the kernels added up is that of the states that the model predicts
        np.testing.assert_allclose(task.cost(plan.states[None], plan.actions[None])[0], plan.cost, rtol=1e-4)
    save_bundle(tmp_path / "out", task, model, horizon=8, candidates=300, seed=0)
    bundle = load_bundle(tmp_path / "out", task)
    settings = (bundle.search, 8, 300, bundle.seed, 1, bundle.settings)
    theirs = _core.Planner(bundle.task, bundle.dynamics, *settings)
    got = theirs.plan(data.states[0, 5], 0, 0, memory=theirs.make_memory())
    assert (got[2].tobytes(), got[1]) == plans[0]


def test_a_model_of_other_references_predicts_nothing_alone(tmp_path: Path) -> None:
    """Terms take the planned task's; a Python cost and imagined rollouts would see the model's."""
    state = [*STATE[:3], {"source": "reference"}]
    one = load(tmp_path, state, references={"circle": CIRCLE})
    columns_of_other = {**CIRCLE["columns"], "x": [5.0, 5.0, 5.0]}
    other = load(tmp_path, state, references={"circle": {**CIRCLE, "columns": columns_of_other}})
    assert not one.identity.differences(other.identity)
    data = mbmf.collect_random(one, 2, 20, seed=0)
    model = mbmf.DynamicsModel(one, hidden=(8,))
    model.fit(data, epochs=1)
    model.save(tmp_path / "model.safetensors")
    x = other.state_names.index("reference.circle.x")
    plan = mbmf.RandomShooting(other, model, horizon=3, candidates=4, nthread=1).plan(data.states[0, 5])
    np.testing.assert_allclose(plan.states[1:, x], 5)
    with pytest.warns(UserWarning, match="slower than terms"):
        asked = mbmf.load_task(other.to_data(), cost=lambda states, actions: states[:, :, x].sum(1))
    policy = mbmf.GaussianPolicy(other, (4,))
    refused = "must be of a task with the references of task t, got others"
    with pytest.raises(ValueError, match=refused):
        mbmf.RandomShooting(asked, model, horizon=3, candidates=4)
    with pytest.raises(ValueError, match=refused):
        imagine_policy(other, model, policy, data.states[:1, 5], steps=3)
    model = mbmf.DynamicsModel.load(tmp_path / "model.safetensors", other)
    plan = mbmf.RandomShooting(asked, model, horizon=3, candidates=4, nthread=1).plan(data.states[0, 5])
    np.testing.assert_allclose(plan.states[1:, x], 5)
    assert imagine_policy(other, model, policy, data.states[:1, 5], steps=3).nsteps == 3


def test_the_simulator_as_the_model_knows_them_too(tmp_path: Path) -> None:
    task = moving(tmp_path)
    planner = mbmf.RandomShooting(task, mbmf.SimulatorModel(task), horizon=6, candidates=20, seed=0)
    simulator = mbmf.Simulator(task, seed=2)
    plan = planner.plan(simulator.get_state()[0])
    for step in range(6):
        np.testing.assert_allclose(simulator.states[0], plan.states[step], rtol=1e-6, atol=1e-6)
        simulator.step(plan.actions[step : step + 1].astype(np.float64))
    episodes = mbmf.collect_mpc(task, planner, episodes=2, steps=5, seed=0)
    assert np.isfinite(episodes.returns).all()


def test_gymnasium_and_policies(tmp_path: Path) -> None:
    task = moving(tmp_path)
    environment = TaskEnv(task)
    assert isinstance(environment.action_space, gymnasium.spaces.Box)
    assert environment.action_space.shape == (4,)
    first, _ = environment.reset(seed=1)
    second, _ = environment.reset()
    goal = columns(task, "goal.height")[0]
    assert first[goal] != second[goal]
    observation, *_ = environment.step(np.ones(4, np.float32))
    assert observation[goal] == second[goal]


def test_starts_of_mocap_bodies(tmp_path: Path) -> None:
    state = [{"source": "body_pos", "body": ["hand", "target"]}, {"source": "body_quat", "body": "target"}]
    plain = mbmf.Simulator(load(tmp_path, state)).states[0]
    assert plain.tolist() == [0, 0, 0.5, 1, 0, 1, 1, 0, 0, 0]
    key = {"start": {"keyframe": "high"}}
    framed = mbmf.Simulator(load(tmp_path, state, **key)).states[0]
    assert framed.tolist() == [0, 0, 1, 2, 2, 2, 0, 1, 0, 0]
    own = {"mocap": {"target": {"pos": [3, 0, 0]}}}
    assert mbmf.Simulator(load(tmp_path, state, **key, **own)).states[0].tolist()[:6] == [0, 0, 1, 3, 0, 0]
    turned = {"mocap": {"target": {"quat": [0, 0, 0, 2]}}}
    assert mbmf.Simulator(load(tmp_path, state, **turned)).states[0].tolist()[6:] == [0, 0, 0, 1]
    drawn = {"reset": {"default": {"mocap": {"target": {"x": [0, 1], "y": 2, "rotation": {"normal": 0.1}}}}}}
    simulator = mbmf.Simulator(load(tmp_path, state, **drawn), 500)
    x = simulator.states[:, 3]
    assert 0 <= x.min() < 0.02
    assert 0.98 < x.max() < 1
    assert (simulator.states[:, 4:6] == [2, 1]).all()
    # a normal rotation vector: its mean square is three deviations'
    angle = 2 * np.arccos(np.clip(np.abs(simulator.states[:, 6]), 0, 1))
    assert np.mean(angle**2) == pytest.approx(3 * 0.1**2, rel=0.15)


def test_resets_of_single_joints(tmp_path: Path) -> None:
    """A free body's pose and a ball joint's rotation are drawn on the sphere; other joints draw as before."""
    joints = {
        "ball": {"qpos": {"uniform": 0.2}, "rotation": {"uniform": 0.5}, "qvel": {"normal": 0.0}},
        "wrist": {"rotation": {"normal": 0.2}},
        "hip": {"qpos": {"normal": 0.01}},
    }
    base = {"qpos": {"normal": 0.1}, "qvel": {"normal": 0.3}}
    state = [{"source": "qpos"}, {"source": "qvel"}]
    task = load(tmp_path, state, reset={"default": {**base, "joints": joints}})
    s = mbmf.Simulator(task, 2000, seed=0).states
    assert 0.19 < np.abs(s[:, :2]).max() <= 0.2
    np.testing.assert_allclose(np.linalg.norm(s[:, 3:7], axis=1), 1, atol=1e-12)
    angle = 2 * np.arccos(np.clip(s[:, 3], -1, 1))
    share = np.sort((angle - np.sin(angle)) / (0.5 - math.sin(0.5)))
    assert np.abs(share - np.arange(0.5, 2000) / 2000).max() < 0.04
    axis = s[:, 4:7] / np.linalg.norm(s[:, 4:7], axis=1, keepdims=True)
    assert np.abs(axis.mean(axis=0)).max() < 0.06  # every direction alike
    assert s[:, 7].std() == pytest.approx(0.01, rel=0.1)
    wrist = 2 * np.arctan2(np.linalg.norm(s[:, 9:12], axis=1), s[:, 8])
    assert np.mean(wrist**2) == pytest.approx(3 * 0.2**2, rel=0.1)
    assert (s[:, 12:18] == 0).all()
    assert s[:, 18].std() == pytest.approx(0.3, rel=0.1)
    # with the noise of all written out for one joint, nothing changes
    same = {"hip": {"qpos": {"normal": 0.1}, "qvel": {"normal": 0.3}}}
    a, b = (
        mbmf.Simulator(load(tmp_path, state, reset={"default": {**base, **more}}), 50, seed=3).states
        for more in ({}, {"joints": same})
    )
    np.testing.assert_array_equal(a, b)


def test_accelerations_and_distances(tmp_path: Path) -> None:
    """As mj_forward and mj_geomDistance give them in the state after the step."""
    state = [
        {"source": "qacc"},
        {"source": "qacc", "joint": "hip", "clip": [-1, 1]},
        {"source": "geom_distance", "geoms": ["ball", "floor"]},
        {"source": "geom_distance", "geoms": ["arm", "ball"]},
        {"source": "body_quat", "body": "arm"},
    ]
    with pytest.raises(ConfigError, match=r"without what is there already, got qacc\.hip|already"):
        load(tmp_path, state)
    state.pop(1)
    task = load(tmp_path, state)
    assert task.state_units[:4] == ["m/s^2"] * 3 + ["rad/s^2"]
    simulator, model = mbmf.Simulator(task), task.model
    rows = []
    for step in range(40):
        simulator.step(np.array([[math.sin(step)]]))
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, simulator.get_state()[0], mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(model, data)
        distances = [
            mujoco.mj_geomDistance(model, data, model.geom(a).id, model.geom(b).id, 1e10, None)
            for a, b in (("ball", "floor"), ("arm", "ball"))
        ]
        want = np.concatenate([data.qacc, distances, data.body("arm").xquat])
        np.testing.assert_array_equal(simulator.states[0], want)
        rows.append(want)
    assert (np.ptp(rows, axis=0) > 0)[[2, 6, 10, 11]].all()


def test_references_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "line.csv").write_text("# a line\ntime, x,y\n0,0,1\n2, 4,1\n")
    (tmp_path / "robot.xml").write_text(ROBOT)
    (tmp_path / "t.yaml").write_text(
        "name: t\nmodel: {file: robot.xml}\nreferences: {line: {file: line.csv}}\n"
        "state: [{source: time}, {source: reference}]\nreward: [{term: action, weight: -1}]\n"
    )
    task = mbmf.load_task(tmp_path / "t.yaml")
    assert task.state_names == ["time", "reference.line.x", "reference.line.y"]
    (tmp_path / "line.csv").unlink()  # the configuration has its rows
    again = mbmf.load_task(task.to_data())
    assert again == task
    simulator = mbmf.Simulator(again)
    simulator.step(np.zeros((1, 1)))
    np.testing.assert_allclose(simulator.states[0], [0.005, 0.01, 1])


def test_a_robot_without_actuators_is_moved(tmp_path: Path) -> None:
    (tmp_path / "robot.xml").write_text(ROBOT.replace('<motor joint="hip" ctrlrange="-1 1"/>', ""))
    base = {"name": "t", "model": {"file": str(tmp_path / "robot.xml")}, "state": STATE}
    base["reward"] = [{"term": "action", "weight": -1}]
    with pytest.raises(ConfigError, match="model must have an actuator"):
        mbmf.load_task(base)
    task = mbmf.load_task({**base, "mocap": {"hand": {"move": {"x": {"low": -1, "high": 1}}}}})
    assert task.identity.actions == ("mocap.hand.x in [-1, 1]",)
    ones = collect_actions(task, np.ones((30, 1, 1), np.float32), 0, 1)
    assert ones.states[0, -1, columns(task, "qpos.ball.x")[0]] > 0.2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mocap": {"hnad": {"pos": [0, 0, 0]}}}, r"mocap\.hnad must be .*hand.*got 'hnad'"),
        ({"mocap": {"hand": {"reference": "cirle"}}}, r"mocap\.hand\.reference must be .*got 'cirle'"),
        (
            {"mocap": {"hand": {"pos": [0, 0]}}},
            r"mocap\.hand\.pos must be a list of 3 to 3 items, got \[0, 0\]",
        ),
        ({"mocap": {"hand": {"quat": [0, 0, 0, 0]}}}, r"mocap\.hand must be .* quat of a length above 0"),
        (
            {"mocap": {"hand": {"move": {"x": {"low": 0}}}}},
            r"move\.x must be .* low and high, or with a speed",
        ),
        (
            {"mocap": {"hand": {"move": {"rx": {"low": 0, "high": 1}}}}},
            r"mocap\.hand must be .*rx has a speed",
        ),
        ({"mocap": {"hand": {"move": {"w": {"speed": 1}}}}}, r"move\.w"),
        ({"goals": {"a": [2, 1]}}, r"goals\.a must be a number, \[low, high\]"),
        ({"goals": {"a": {"rotation": 4}}}, r"goals\.a must be .*angle from 0 to 3\.1416"),
        (
            {"references": {"a": {"time": [0, 1], "columns": {"x": [1]}}}},
            r"as many numbers in x as in time \(2\)",
        ),
        (
            {"references": {"a": {"time": [1, 2], "columns": {"x": [1, 2]}}}},
            "times that begin with 0 and increase",
        ),
        ({"references": {"a": {"file": "no.csv"}}}, r"references\.a\.file must be a file that can be read"),
        ({"references": {"a": {"time": [0], "columns": {"qw": [1], "x": [1]}}}}, "qw, qx, qy, qz together"),
        (
            {"state": [{"source": "qpos"}, {"source": "goal"}]},
            r"state\[1\]\.source must be one that the task has \(it has no \w+s\), got",
        ),
        (
            {"goals": {"height": 1}, "state": [{"source": "goal", "goal": "hieght"}]},
            r"state\[0\]\.goal must be .*height",
        ),
        (
            {"references": {"c": CIRCLE}, "state": [{"source": "reference"}]},
            "state must have the source time where it has references",
        ),
        ({"state": [{"source": "geom_distance", "geoms": ["ball"]}]}, "geoms are two"),
        ({"state": [{"source": "geom_distance", "geoms": ["ball", "flor"]}]}, r"geoms must be .*floor"),
        ({"reset": {"default": {"joints": {"hpi": {"qpos": {"normal": 1}}}}}}, r"joints\.hpi must be .*hip"),
        (
            {"reset": {"default": {"joints": {"hip": {"rotation": {"normal": 1}}}}}},
            r"joints\.hip\.rotation must be left out: only free and ball joints",
        ),
        (
            {"reset": {"default": {"joints": {"ball": {"rotation": {"uniform": 4}}}}}},
            r"rotation\.uniform must be a finite number at least 0 and at most 3\.14159, got 4",
        ),
        (
            {"reset": {"default": {"mocap": {"hand": {"x": [1, 0]}}}}},
            r"mocap\.hand\.x must be a finite number",
        ),
        ({"safe_action": [0, 0]}, "safe_action must be a list of 1 numbers"),
    ],
)
def test_bad_input(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **keys)
