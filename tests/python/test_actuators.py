"""The section `actuators`: what it adds is what MuJoCo compiles of an MJCF that has the same actuators."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import mbmf
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.errors import ConfigError

ROBOT = """<mujoco>
  <default><motor ctrlrange="-3 3"/></default>
  <worldbody>
    <body pos="0 0 1"><joint name="hip" axis="0 1 0" range="-60 60" damping=".1"/>
      <geom size=".05" pos=".3 0 0"/>
      <body pos=".3 0 0"><joint name="knee" axis="0 1 0"/><geom size=".04" pos=".2 0 0"/>
        <joint name="slide" type="slide" axis="1 0 0" stiffness="50"/>
        <site name="foot" pos=".2 0 0"/></body></body>
  </worldbody>
  <tendon><fixed name="both"><joint joint="hip" coef="1"/><joint joint="knee" coef="-1"/></fixed></tendon>
  %s
</mujoco>"""
IN_MJCF = """<actuator>
    <motor name="own" joint="knee" gear="2"/>
    <position name="hip" joint="hip" kp="30" kv="2" inheritrange="0.9" forcerange="-20 20"/>
    <position name="critical" joint="knee" kp="12" dampratio="1" timeconst="0.05" ctrlrange="-1 2"/>
    <velocity name="slide" joint="slide" kv="5" gear="3"/>
    <motor name="thrust" site="foot" gear="0 0 4 0 0 0.5"/>
    <motor name="both" tendon="both" ctrlrange="-1 1"/>
  </actuator>"""
IN_TASK = [
    {
        **{"kind": "position", "joint": "hip", "kp": 30, "kv": 2, "inheritrange": 0.9},
        "forcerange": [-20, 20],
    },
    {
        **{"kind": "position", "joint": "knee", "name": "critical", "kp": 12, "dampratio": 1},
        **{"timeconst": 0.05, "ctrlrange": [-1, 2]},
    },
    {"kind": "velocity", "joints": ["slide"], "kv": 5, "gear": 3},
    {"kind": "motor", "site": "foot", "name": "thrust", "gear": [0, 0, 4, 0, 0, 0.5]},
    {"kind": "motor", "tendon": "both", "ctrlrange": [-1, 1]},
]
OWN = '<actuator><motor name="own" joint="knee" gear="2"/></actuator>'


def _task(file: Path, **more: Any) -> dict[str, Any]:
    return {
        **{"name": "t", "model": {"file": str(file)}, "physics_steps": 3},
        "state": [{"source": "qpos"}, {"source": "qvel"}],
        "reward": [{"term": "action", "weight": -1}],
        **more,
    }


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    file = tmp_path / "robot.xml"
    file.write_text(ROBOT % OWN)
    return file


def test_added_actuators_are_those_of_an_mjcf_that_has_them(robot: Path) -> None:
    whole = robot.with_name("whole.xml")
    whole.write_text(ROBOT % IN_MJCF)
    added, wanted = mbmf.load_task(_task(robot, actuators=IN_TASK)), mbmf.load_task(_task(whole))
    assert added.identity.actions == ("own", "hip", "critical", "slide", "thrust", "both")
    assert added.identity.robot == wanted.identity.robot
    assert added.model.na == 1
    # the default ctrlrange of the MJCF's motors holds, as it does for those in it
    np.testing.assert_array_equal(added.model.actuator_ctrlrange, wanted.model.actuator_ctrlrange)
    simulators = [mbmf.Simulator(task, 2, seed=3) for task in (added, wanted)]
    data, rng = mujoco.MjData(wanted.model), np.random.default_rng(0)
    low, high = wanted.model.actuator_ctrlrange.T
    limited = wanted.model.actuator_ctrllimited.astype(bool)
    for _ in range(20):
        action = rng.uniform(-1, 1, 6)
        for simulator in simulators:
            simulator.step(np.stack([action, -action]))
        np.testing.assert_array_equal(simulators[0].get_state(), simulators[1].get_state())
        data.ctrl[:] = np.where(limited, (low + high) / 2 + (high - low) / 2 * action, action)
        for _ in range(3):
            mujoco.mj_step(wanted.model, data)
        np.testing.assert_array_equal(simulators[0].states[0], [*data.qpos, *data.qvel])
    assert np.abs(data.qpos).max() > 0.05


@pytest.mark.parametrize(
    "default", ['kp="9" kv="3"', 'kp="9" dampratio="0.7" timeconst="0.1"', 'inheritrange="1"']
)
@pytest.mark.parametrize("own", ["", 'kv="2"', 'dampratio="1"', 'timeconst="0.02"'])
def test_the_mjcfs_defaults_hold_for_servos(tmp_path: Path, default: str, own: str) -> None:
    file, whole = tmp_path / "robot.xml", tmp_path / "whole.xml"
    robot = ROBOT.replace('<motor ctrlrange="-3 3"/>', f"<position {default}/>")
    file.write_text(robot % "")
    whole.write_text(robot % f'<actuator><position name="hip" joint="hip" kp="30" {own}/></actuator>')
    given = {key: float(value.strip('"')) for key, value in (word.split("=") for word in own.split())}
    servo = {"kind": "position", "joint": "hip", "kp": 30, **given}
    added, wanted = mbmf.load_task(_task(file, actuators=[servo])), mbmf.load_task(_task(whole))
    assert added.identity.robot == wanted.identity.robot


def test_added_actuators_are_part_of_what_files_are_of(robot: Path, tmp_path: Path) -> None:
    task = mbmf.load_task(_task(robot, actuators=IN_TASK))
    assert mbmf.load_task(task.to_data()) == task
    again = pickle.loads(pickle.dumps(task))
    assert again == task
    assert again.core.mjb == task.core.mjb
    stiffer = [{**IN_TASK[0], "kp": 31}, *IN_TASK[1:]]
    other = mbmf.load_task(_task(robot, actuators=stiffer))
    assert "actuators" in task.identity.differences(other.identity)
    data = mbmf.collect_random(task, 3, 20, seed=0)
    with pytest.raises(mbmf.errors.DataError, match="actuators are other ones"):
        mbmf.DynamicsModel(other, hidden=(8,)).fit(data, epochs=1)

    # the folder of an export has them in its robot, and its task file is of that
    model = mbmf.DynamicsModel(task, hidden=(8,))
    model.fit(data, epochs=1)
    folder = save_bundle(tmp_path / "out", task, model, horizon=3, candidates=20, seed=0)
    assert load_bundle(folder, task).task.naction == 6
    exported = mbmf.load_task(folder / "task.yaml")
    assert exported.identity.actions == task.identity.actions


def test_overrides_reach_added_actuators(robot: Path) -> None:
    task = mbmf.load_task(_task(robot, actuators=IN_TASK, overrides={"actuators": {"hip": {"gear": 7}}}))
    assert task.model.actuator("hip").gear[0] == 7
    assert task.model.actuator("critical").gear[0] == 1


def test_a_urdf_can_be_driven(tmp_path: Path) -> None:
    """The example's URDF beside an MJCF with the same bodies, written out by MuJoCo, and MJCF's actuators."""
    folder = Path(__file__).parents[2] / "examples" / "robots"
    task = mbmf.load_task(folder / "arm.yaml")
    assert task.identity.actions == ("shoulder", "elbow")
    spec = mujoco.MjSpec.from_file(str(folder / "arm.urdf"))
    spec.compile()
    text = spec.to_xml().replace(
        "</mujoco>",
        '<actuator><position name="shoulder" joint="shoulder" kp="30" kv="3" inheritrange="1"/>'
        '<position name="elbow" joint="elbow" kp="10" kv="1" inheritrange="1"/></actuator></mujoco>',
    )
    model = mujoco.MjModel.from_xml_string(text)
    for name in ("gear", "gainprm", "biasprm", "ctrlrange", "forcerange", "dyntype", "trnid"):
        np.testing.assert_array_equal(
            getattr(task.model, f"actuator_{name}"), getattr(model, f"actuator_{name}")
        )
    np.testing.assert_allclose(task.model.actuator_ctrlrange, [[-1.5, 1.5], [-2.2, 2.2]])
    with pytest.raises(ConfigError, match=r"must have an actuator.*the section actuators adds some"):
        mbmf.load_task(_task(folder / "arm.urdf"))


MOTOR = {"kind": "motor", "joint": "hip"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ([], r"actuators must be a list of 1 to 10000 items"),
        ([{"kind": "positio", "joint": "hip"}], r"actuators\[0\]\.kind must be a kind .*nearest: position"),
        ([{"joint": "hip"}], r"actuators\[0\]\.kind must be given"),
        ([{"kind": "motor"}], r"actuators\[0\] must be a mapping with one of joint, joints, tendon and site"),
        ([{**MOTOR, "tendon": "both"}], r"one of joint, joints, tendon and site"),
        ([{**MOTOR, "joint": "hipp"}], r"actuators\[0\]\.joint must be .*nearest: hip.*got 'hipp'"),
        ([MOTOR, {"kind": "motor", "tendon": "bot"}], r"actuators\[1\]\.tendon must be .*nearest: both"),
        ([{"kind": "motor", "site": "food"}], r"actuators\[0\]\.site must be .*nearest: foot"),
        ([{**MOTOR, "name": "own"}], r"actuators\[0\]\.name must be another .*got 'own'"),
        ([MOTOR, MOTOR], r"actuators\[1\]\.name must be another .*got 'hip'"),
        ([{"kind": "motor", "joints": ["hip", "knee"], "name": "x"}], r"a name only where it drives one"),
        ([{"kind": "position", "joint": "hip"}], r"actuators\[0\]\.kp must be given"),
        ([{"kind": "position", "joint": "hip", "kp": 0}], r"kp must be a finite number above 0"),
        ([{"kind": "position", "site": "foot", "kp": 1}], r"a site has no length"),
        ([{"kind": "velocity", "site": "foot", "kv": 1}], r"a site has no length"),
        (
            [{"kind": "position", "joint": "hip", "kp": 1, "kv": 1, "dampratio": 1}],
            "one of kv and dampratio",
        ),
        (
            [{"kind": "position", "joint": "hip", "kp": 1, "inheritrange": 1, "ctrlrange": [-1, 1]}],
            "at most one of ctrlrange and inheritrange",
        ),
        ([{**MOTOR, "kp": 1}], r"actuators\[0\]\.kp must be a known key"),
        ([{**MOTOR, "gear": [1] * 7}], r"gear must be a finite number or a list of at most 6"),
        ([{**MOTOR, "gear": float("nan")}], r"gear must be a finite number"),
        ([{**MOTOR, "ctrlrange": [1, -1]}], r"ctrlrange must be a list \[low, high\]"),
        # what only MuJoCo knows, in its words: the knee has no range
        (
            [{"kind": "position", "joint": "knee", "kp": 1, "inheritrange": 1}],
            "model must be MJCF that compiles.*range",
        ),
    ],
)
def test_a_wrong_actuator_is_told(robot: Path, section: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mbmf.load_task(_task(robot, actuators=section))
