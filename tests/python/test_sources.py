"""Sources that need more of MuJoCo than positions, each beside what MuJoCo's own API says of the state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import mbmf
from mbmf import _core
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.errors import ConfigError
from mbmf.tasks.sources import given_names

ROBOT = """<mujoco>
<option timestep="0.004" integrator="implicitfast"/>
<worldbody><geom type="plane" size="3 3 .1"/>
<body name="ball" pos="0 0 .16"><freejoint name="ball"/><geom size=".1" mass="1"/>
  <site name="skin" size=".12"/><site name="top" pos="0 .02 .1" euler="20 0 30"/></body>
<body name="upper" pos="1 0 1"><joint name="hip" axis="0 1 0" damping=".1"/>
  <geom name="upper" type="capsule" fromto="0 0 0 .4 0 0" size=".03"/><site name="wrist" pos=".2 0 0"/>
  <body name="lower" pos=".4 0 0"><joint name="knee" axis="0 1 0" damping=".1"/>
    <geom type="capsule" fromto="0 0 0 .3 0 0" size=".03"/></body></body>
<body name="hook" pos="1 0 2" mocap="true"><site name="hook"/></body>
</worldbody>
<tendon><spatial name="cable" stiffness="3"><site site="hook"/><site site="wrist"/></spatial>
  <fixed name="both"><joint joint="hip" coef="1"/><joint joint="knee" coef="-2"/></fixed></tendon>
<actuator><motor name="hip" joint="hip" gear="8" ctrlrange="-1 1"/>
  <general name="lag" tendon="both" gainprm="3" dyntype="filter" dynprm=".1"/></actuator>
<sensor><touch name="touch" site="skin"/><accelerometer name="acc" site="top"/>
  <force name="force" site="wrist"/><torque name="torque" site="wrist"/>
  <actuatorfrc name="frc" actuator="hip"/><gyro name="gyro" site="top"/>
  <jointactuatorfrc name="at" joint="hip"/></sensor>
<keyframe><key name="folded" time="2" qpos=".1 .2 .3 1 0 0 0 .5 -1" qvel="0 0 .5 0 0 0 1 0" act=".7"
  mpos="1 0 3"/></keyframe>
</mujoco>"""


def load(folder: Path, state: Any, **keys: Any) -> mbmf.Task:
    (folder / "robot.xml").write_text(ROBOT)
    task = {"name": "t", "model": {"file": str(folder / "robot.xml")}, "physics_steps": 3, "state": state}
    return mbmf.load_task({**task, "reward": [{"term": "action", "weight": -1}], **keys})


def velocity(kind: mujoco.mjtObj, model: mujoco.MjModel, data: mujoco.MjData, name: str) -> Any:
    found = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, kind, mujoco.mj_name2id(model, kind, name), found, 0)
    return np.concatenate([found[3:], found[:3]])


@pytest.mark.parametrize("kind", ["ACTUATOR", "BODY", "GEOM", "JOINT", "KEY", "SENSOR", "SITE", "TENDON"])
def test_names_are_those_that_mujoco_tells(kind: str, tmp_path: Path) -> None:
    model, of = load(tmp_path, [{"source": "qpos"}]).model, getattr(mujoco.mjtObj, f"mjOBJ_{kind}")
    found = given_names(model, of)
    assert found == [mujoco.mj_id2name(model, of, i) or "" for i in range(len(found))]
    assert any(found)
    assert mujoco.mj_id2name(model, of, len(found)) is None


Oracle = Callable[[mujoco.MjModel, mujoco.MjData], Any]
SOURCES: dict[str, tuple[dict[str, Any], Oracle]] = {
    "touch": ({"source": "sensor", "sensor": "touch"}, lambda m, d: d.sensor("touch").data),
    "accelerometer": ({"source": "sensor", "sensor": "acc"}, lambda m, d: d.sensor("acc").data),
    "force": ({"source": "sensor", "sensor": ["force", "torque"]}, lambda m, d: d.sensordata[4:10]),
    "actuatorfrc": ({"source": "sensor", "sensor": ["frc", "at"]}, lambda m, d: d.sensordata[[10, 14]]),
    "all sensors": ({"source": "sensor"}, lambda m, d: d.sensordata),
    "actuator_force": ({"source": "actuator_force"}, lambda m, d: d.actuator_force),
    "tendon_length": ({"source": "tendon_length"}, lambda m, d: d.ten_length),
    "tendon_velocity": (
        {"source": "tendon_velocity", "tendon": ["both", "cable"]},
        lambda m, d: d.ten_velocity[[1, 0]],
    ),
    "site_rotation": ({"source": "site_rotation", "site": "wrist"}, lambda m, d: d.site("wrist").xmat),
    "body_velocity": (
        {"source": "body_velocity", "body": "lower"},
        lambda m, d: velocity(mujoco.mjtObj.mjOBJ_XBODY, m, d, "lower"),
    ),
    "site_velocity": (
        {"source": "site_velocity", "site": "top"},
        lambda m, d: velocity(mujoco.mjtObj.mjOBJ_SITE, m, d, "top"),
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_sources_are_those_of_mujoco(tmp_path: Path, kind: str) -> None:
    """Of the state after the step, as mj_forward gives them there; and the steps are plain MuJoCo's."""
    channel, oracle = SOURCES[kind]
    task = load(tmp_path, [channel, {"source": "qvel"}])
    simulator, data = mbmf.Simulator(task, 2, 2), mujoco.MjData(task.model)
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(40):
        action = rng.uniform(-1, 1, task.naction)
        simulator.step(np.stack([action, -action]))
        data.ctrl[:] = action
        mujoco.mj_step(task.model, data, 3)
        now = mujoco.MjData(task.model)
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        row = np.empty(mujoco.mj_stateSize(task.model, spec))
        mujoco.mj_getState(task.model, data, row, spec)
        np.testing.assert_array_equal(simulator.get_state()[0], row)
        mujoco.mj_setState(task.model, now, row, spec)
        mujoco.mj_forward(task.model, now)
        want = np.concatenate([np.ravel(oracle(task.model, now)), now.qvel])
        np.testing.assert_array_equal(simulator.states[0], want)
        seen.append(want[: -task.model.nv])
    assert np.ptp(seen, axis=0).max() > 1e-3  # they do change
    if kind in ("touch", "all sensors"):
        assert np.max(np.array(seen)[:, 0]) > 1  # the ball did land
    # and they are a function of the state row alone
    other = mbmf.Simulator(task)
    other.set_state(simulator.get_state()[:1])
    np.testing.assert_array_equal(other.states[0], simulator.states[0])


def test_names_and_units_of_sources(tmp_path: Path) -> None:
    task = load(tmp_path, [channel for kind, (channel, _) in SOURCES.items() if kind != "all sensors"])
    names = dict(zip(task.state_names, task.state_units, strict=True))
    assert names["sensor.acc.2"] == names["tendon_length.cable"] == names["actuator_force.lag"] == ""
    assert names["body_velocity.lower.x"] == "m/s"
    assert names["site_velocity.top.wz"] == "rad/s"
    assert names["site_rotation.wrist.8"] == "1"


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ({"source": "tendon_length", "tendon": "cabel"}, r"tendon must be .*nearest: cable"),
        ({"source": "tendon_length", "joint": "hip"}, "source tendon_length has tendon and no other object"),
        ({"source": "site_velocity"}, "source site_velocity has the key site"),
        ({"source": "body_velocity", "body": "lower", "index": 6}, r"index must be below 6 for lower, got 6"),
        ({"source": "actuator_force", "actuator": "hop"}, r"actuator must be .*hip"),
    ],
)
def test_wrong_channels(tmp_path: Path, channel: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, [channel])


def test_episodes_start_from_a_keyframe(tmp_path: Path) -> None:
    """With its time, activations and mocap bodies; then noise and what is set, as from any start."""
    state = [{"source": s} for s in ("time", "qpos", "qvel", "act")] + [
        {"source": "body_pos", "body": "hook"}
    ]
    task = load(tmp_path, state, start={"keyframe": "folded"}, reset={"default": {"set": {"knee": 0.25}}})
    simulator, data = mbmf.Simulator(task), mujoco.MjData(task.model)
    mujoco.mj_resetDataKeyframe(task.model, data, 0)
    data.qpos[-1] = 0.25
    mujoco.mj_forward(task.model, data)
    start = np.concatenate([[data.time], data.qpos, data.qvel, data.act, data.mocap_pos[0]])
    np.testing.assert_array_equal(simulator.states[0], start)
    assert (data.time, data.act[0], data.mocap_pos[0, 2]) == (2, 0.7, 3)
    simulator.step(np.zeros((1, task.naction)))
    simulator.reset()
    np.testing.assert_array_equal(simulator.states[0], start)
    assert mbmf.collect_random(task, 1, 3, seed=0).states[0, 0, 0] == 2
    # the file's own numbers come before the keyframe's
    own = load(tmp_path, state, start={"keyframe": "folded", "qvel": [0] * 8})
    assert mbmf.Simulator(own).states[0, 10:18].tolist() == [0] * 8
    with pytest.raises(ConfigError, match=r"start\.keyframe must be one of .*folded.*got 'open'"):
        load(tmp_path, state, start={"keyframe": "open"})
    with pytest.raises(ConfigError, match=r"start\.qpos must be a list of 9 numbers"):
        load(tmp_path, state, start={"keyframe": "folded", "qpos": [0]})


def test_overrides_of_every_kind(tmp_path: Path) -> None:
    overrides = {
        "bodies": {"gravcomp": 1, "upper": {"pos": [0, 0, 2]}},
        "sites": {"wrist": {"pos": [0.1, 0, 0]}},
        "tendons": {"cable": {"stiffness": 5}},
        "sensors": {"touch": {"cutoff": 3}},
    }
    model = load(tmp_path, [{"source": "qpos"}], overrides=overrides).model
    assert model.body_gravcomp.tolist() == [0, 1, 1, 1, 1]  # not the world's
    assert model.body("upper").pos.tolist() == [0, 0, 2]
    assert model.site("wrist").pos[0] == 0.1
    assert model.tendon_stiffness.tolist() == [5, 0]
    assert model.sensor("touch").cutoff[0] == 3
    # a mocap body is where its body is put
    state = [{"source": "body_pos", "body": "hook"}]
    placed = load(tmp_path, state, overrides={"bodies": {"hook": {"pos": [0, 1, 4]}}})
    simulator = mbmf.Simulator(placed)
    for _ in range(2):
        np.testing.assert_array_equal(simulator.states[0], [0, 1, 4])
        simulator.step(np.ones((1, placed.naction)))
    for kind, name, value, message in (
        ("tendons", "cabel", {"stiffness": 1}, r"one of the model's tendons \(cable, both"),
        ("bodies", "upper", {"mass": 3}, r"bodies\.upper\.mass must be left out of bodies whose inertia is"),
        ("equalities", "solref", [0.01, "x"], "must be a finite number"),
        ("sensors", "stiffness", 1, r"sensors\.stiffness must be .*cutoff"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(tmp_path, [{"source": "qpos"}], overrides={kind: {name: value}})


def test_an_export_reads_the_same(tmp_path: Path) -> None:
    """Every source and the keyframe, through the folder that C++ reads."""
    channels = [channel for kind, (channel, _) in SOURCES.items() if kind != "all sensors"]
    task = load(tmp_path, channels, start={"keyframe": "folded"})
    model = mbmf.DynamicsModel(task, hidden=(4,))
    model.fit(mbmf.collect_random(task, 1, 20), epochs=1)
    save_bundle(tmp_path / "out", task, model, horizon=2, candidates=5)
    theirs, mine = _core.Simulator(load_bundle(tmp_path / "out", task).task, 1, 1, 0), mbmf.Simulator(task)
    for _ in range(5):
        np.testing.assert_array_equal(theirs.states, mine.states)
        theirs.step(None, np.full((1, task.naction), 0.3))
        mine.step(np.full((1, task.naction), 0.3))
