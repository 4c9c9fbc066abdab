"""Overrides by class, and flags, beside MJCF that says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import mbmf
from mbmf.errors import ConfigError

ROBOT = """<mujoco>
  <option%s><flag gravity="%s" energy="%s"/></option>
  <default><default class="leg"><joint damping="%s"/><geom friction="%s .005 .0001"/>
    <default class="foot"><geom friction=".9 .005 .0001"/></default></default></default>
  <worldbody>
    <geom type="plane" size="3 3 .1"/>
    <body pos="0 0 1"><freejoint name="root"/><geom size=".1"/>
      <body childclass="leg"><joint name="hip" axis="0 1 0"/><geom name="thigh" size=".05" pos=".3 0 0"/>
        <joint name="slide" type="slide" axis="1 0 0"/>
        <geom name="toe" class="foot" size=".05" pos=".5 0 0"/></body>
      <body><joint name="tail" axis="0 1 0"/><geom name="tip" size=".05" pos="-.3 0 0"/></body></body>
  </worldbody>
  <actuator><motor joint="hip"/></actuator>
</mujoco>"""


def _load(tmp_path: Path, overrides: dict[str, Any], text: tuple[str, ...] = ()) -> mbmf.Task:
    file = tmp_path / "robot.xml"
    file.write_text(ROBOT % (text or ("", "enable", "disable", "1", ".5")))
    return mbmf.load_task(
        {
            **{"name": "t", "model": {"file": str(file)}, "overrides": overrides},
            "state": [{"source": "qpos"}, {"source": "qvel"}],
            "reward": [{"term": "action", "weight": -1}],
        }
    )


def test_flags_and_classes_are_what_the_mjcf_could_say(tmp_path: Path) -> None:
    wanted = _load(tmp_path, {}, ("", "disable", "enable", "3", ".7"))
    task = _load(
        tmp_path,
        {
            "flags": {"gravity": False, "energy": True},
            "classes": {"leg": {"joints": {"damping": 3}, "geoms": {"friction": 0.7}}},
        },
    )
    assert task.identity.robot == wanted.identity.robot
    assert mbmf.load_task(task.to_data()) == task
    np.testing.assert_array_equal(task.model.geom("toe").friction, [0.9, 0.005, 0.0001])  # a class of its own
    assert task.model.joint("tail").damping[0] == 0
    simulators = [mbmf.Simulator(each, 1, seed=0) for each in (task, wanted)]
    for _ in range(10):
        for simulator in simulators:
            simulator.step([[0.5]])
    np.testing.assert_array_equal(simulators[0].states, simulators[1].states)
    assert simulators[0].states[0, 2] == pytest.approx(1, abs=1e-3)  # it does not fall


def test_a_class_goes_after_all_and_before_one(tmp_path: Path) -> None:
    joints = {"damping": 1, "hip": {"damping": 3}}
    model = _load(tmp_path, {"joints": joints, "classes": {"leg": {"joints": {"damping": 2}}}}).model
    assert [model.joint(name).damping[0] for name in ("tail", "slide", "hip")] == [1, 2, 3]
    # elements without a class are of the class main; free joints take what is for them by name alone
    model = _load(tmp_path, {"classes": {"main": {"joints": {"damping": 5}}}}).model
    assert model.joint("tail").damping[0] == 5
    np.testing.assert_array_equal(model.joint("root").damping, np.zeros(6))
    assert model.joint("hip").damping[0] == 1


def test_every_flag_of_this_mujoco_can_be_set(tmp_path: Path) -> None:
    names = [each.removeprefix("mjDSBL_").lower() for each in mujoco.mjtDisableBit.__members__]
    for name in (each for each in names if each != "mjndisable"):
        model = _load(tmp_path, {"flags": {name: False}}).model
        assert model.opt.disableflags == mujoco.mjtDisableBit.__members__[f"mjDSBL_{name.upper()}"].value


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"flags": {"gravit": False}}, r"overrides\.flags must be a flag that this MuJoCo has .*gravity"),
        ({"flags": {"gravity": 0}}, r"overrides\.flags\.gravity must be true or false, got 0"),
        ({"flags": {"passive": False}}, r"overrides\.flags must be a flag that this MuJoCo has"),
        ({"flags": []}, r"overrides\.flags must be a mapping"),
        (
            {"classes": {"lge": {"joints": {"damping": 1}}}},
            r"overrides\.classes must be .*nearest: leg.*got 'lge'",
        ),
        ({"classes": {"leg": {"joints": {"dampin": 1}}}}, r"classes\.leg\.joints\.dampin must be .*damping"),
        ({"classes": {"leg": {"sites": {"size": 1}}}}, r"leg\.sites must be left out, since no sites have"),
        ({"classes": {"leg": {"bodies": {"mass": 1}}}}, r"overrides\.classes\.leg\.bodies must be"),
        ({"classes": {"leg": {"joint": {"damping": 1}}}}, r"classes\.leg\.joint must be .*nearest: joints"),
        ({"classes": {"leg": {}}}, r"overrides\.classes\.leg must be a mapping of kinds"),
        ({"classes": {"leg": {"joints": {"damping": "x"}}}}, r"leg\.joints\.damping must be .*got 'x'"),
    ],
)
def test_a_wrong_override_is_told(tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _load(tmp_path, overrides)


def test_what_mujoco_would_not_see_is_refused(tmp_path: Path) -> None:
    mesh = "0 0 0 1 0 0 0 1 0 0 0 1"
    (tmp_path / "robot.xml").write_text(
        f'''<mujoco><asset><mesh name="m" vertex="{mesh}"/></asset>
        <worldbody><body><joint name="j" axis="0 1 0" range="-50 50"/><geom name="mesh" type="mesh" mesh="m"/>
          <geom name="rod" type="capsule" fromto="0 0 0 .3 0 0" size=".02"/></body></worldbody>
        <actuator><position name="servo" joint="j" inheritrange="1"/>
          <motor name="motor" joint="j" ctrlrange="-1 1"/></actuator></mujoco>'''
    )

    def load(overrides: dict[str, Any]) -> mbmf.Task:
        task = {"name": "t", "model": {"file": str(tmp_path / "robot.xml")}, "overrides": overrides}
        state, reward = [{"source": "qpos"}], [{"term": "action", "weight": -1}]
        return mbmf.load_task({**task, "state": state, "reward": reward})

    for overrides, message in (
        ({"geoms": {"mesh": {"size": [0.5]}}}, "size must be left out of geoms that are meshes"),
        ({"geoms": {"rod": {"size": [0.1, 0.5]}}}, "size must be left out but for the radius"),
        (
            {"actuators": {"servo": {"ctrlrange": [-3, 3]}}},
            "ctrlrange must be left out of actuators with `inh",
        ),
        (
            {"actuators": {"motor": {"ctrlrange": [1, 1]}}},
            r"ctrlrange must be a list \[low, high\], low below",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            load(overrides)
    assert load({"geoms": {"rod": {"size": 0.1}}}).model.geom("rod").size[0] == 0.1
    own = load({"actuators": {"servo": {"ctrlrange": [-3, 3], "inheritrange": 0}}})
    np.testing.assert_array_equal(own.model.actuator("servo").ctrlrange, [-3, 3])
