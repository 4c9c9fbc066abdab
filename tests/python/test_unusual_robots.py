"""Robots that few have: other words for orientations, no names, delays, plugins, attached parts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import mbmf
from mbmf.cli.main import main
from mbmf.control.bundle import save_bundle
from mbmf.errors import ConfigError, DataError

SLIDE = """<joint name="x" type="slide" damping="1"/><geom name="ball" size=".1"/>"""
MOTOR = """<actuator><motor name="m" joint="x" ctrlrange="0 13" ctrllimited="true"/></actuator>"""


def load(folder: Path, xml: str, encoding: str = "utf-8", **keys: Any) -> mbmf.Task:
    (folder / "robot.xml").write_bytes(f"<mujoco>{xml}</mujoco>".encode(encoding))
    task: dict[str, Any] = {
        "name": "robot",
        "model": {"file": str(folder / "robot.xml")},
        "state": [{"source": "qpos"}],
        "reward": [{"term": "action", "weight": -1}],
    }
    return mbmf.load_task(task | keys)


def body(inside: str, more: str = "") -> str:
    return f'<worldbody><body name="b" {more}>{SLIDE}{inside}</body></worldbody>{MOTOR}'


@pytest.mark.parametrize("given", ['euler="0 0 40"', 'zaxis="1 1 0"', 'axisangle="1 0 0 30"', ""])
def test_an_orientation_is_overridden_however_it_was_given(given: str, tmp_path: Path) -> None:
    inside = f'<geom name="g" type="box" size=".1 .2 .3" {given}/><site name="s" {given}/>'
    turned = [0.6, 0.8, 0, 0]
    task = load(
        tmp_path,
        body(inside, given),
        overrides={
            "bodies": {"b": {"quat": turned}},
            "geoms": {"g": {"quat": turned}},
            "sites": {"s": {"quat": turned}},
        },
    )
    for part in (task.model.body("b"), task.model.site("s"), task.model.geom("g")):
        np.testing.assert_allclose(part.quat, turned, atol=1e-9)


@pytest.mark.parametrize(
    ("inside", "overrides", "message"),
    [
        (
            '<geom name="g" type="capsule" size=".1" fromto="0 0 0 1 0 0"/>',
            {"geoms": {"g": {"pos": [0, 0, 1]}}},
            "geoms.g.pos must be left out where the MJCF has `fromto`",
        ),
        (
            '<inertial pos="0 0 0" mass="1" fullinertia="1 1 1 .1 0 0"/>',
            {"bodies": {"b": {"iquat": [1, 0, 0, 0]}}},
            "bodies.b.iquat must be left out of bodies whose MJCF has `fullinertia`",
        ),
    ],
)
def test_an_override_that_mujoco_would_not_see_is_refused(
    inside: str, overrides: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, body(inside), overrides=overrides)


HEAVY = '<inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>'
STILL = '<joint name="still" type="slide" range="0 1" limited="false" springdamper="1 1"/>'
SERVO = '<actuator><position name="s" joint="x" kp="10" dampratio="1"/></actuator>'


@pytest.mark.parametrize(
    ("xml", "overrides", "message"),
    [
        (body(HEAVY), {"geoms": {"ball": {"mass": 5}}}, "geoms of a body whose MJCF says its inertia"),
        (body(HEAVY), {"geoms": {"density": 5}}, "geoms of a body whose MJCF says its inertia"),
        (body('<geom size=".1" mass="1"/>'), {"geoms": {"density": 5}}, "left out of geoms that have a mass"),
        (
            '<compiler inertiafromgeom="true"/>' + body(HEAVY),
            {"bodies": {"b": {"mass": 5}}},
            "left out where the MJCF takes all inertia from geoms",
        ),
        (
            '<compiler settotalmass="14"/>' + body(""),
            {"geoms": {"ball": {"mass": 5}}},
            "MJCF scales all masses to a sum, settotalmass=14",
        ),
        (body(STILL), {"joints": {"still": {"damping": 2}}}, "left out where the MJCF has `springdamper`"),
        (
            body(STILL),
            {"joints": {"still": {"range": [0, 2]}}},
            'where the MJCF has limited="false" .set limited: true beside it.',
        ),
        (body("") + SERVO, {"actuators": {"s": {"gainprm": 50}}}, "left out of servos with a `dampratio`"),
        (body(""), {"option": {"gravity": 0}}, "option.gravity must be a list of 3 finite numbers, got 0"),
        (body(""), {"bodies": {"b": {"pos": [1, 2]}}}, r"bodies.b.pos must be a list of 3 .* got \(1, 2\)"),
    ],
)
def test_an_override_without_its_effect_is_refused(
    xml: str, overrides: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, xml, overrides=overrides)


def test_overrides_that_go_together_are_taken(tmp_path: Path) -> None:
    joint = {"range": [0, 2], "limited": True, "damping": 2, "springdamper": [0, 0]}
    servo = {"gainprm": 50, "biasprm": [0, -50, 1]}
    mass = {"ball": {"mass": 5}}
    xml = body(STILL) + SERVO
    overrides = {"joints": {"still": joint}, "actuators": {"s": servo}, "geoms": mass}
    model = load(tmp_path, xml, overrides=overrides).model
    assert model.joint("still").range.tolist() == [0, 2]
    assert model.dof_damping[model.joint("still").dofadr[0]] == 2
    assert model.actuator("s").gainprm[0] == 50
    assert model.body("b").mass[0] == 5


@pytest.mark.parametrize("nthread", [1, 3])
def test_sensors_of_energy_are_of_the_state(tmp_path: Path, nthread: int) -> None:
    """A step, maybe another simulation's, leaves MuJoCo's energies marked as computed."""
    xml = '<option timestep="0.01"><flag energy="enable"/></option>' + body("")
    xml += '<sensor><e_kinetic name="ek"/><e_potential name="ep"/></sensor>'
    state = [
        {"source": "qpos"},
        {"source": "qvel"},
        {"source": "sensor", "sensor": ["ek", "ep"]},
        {"source": "sensor", "sensor": "ek", "transform": "rate"},
        {"source": "qacc"},
    ]
    task = load(tmp_path, xml, state=state, reset={"default": {"qvel": {"normal": 1}}})
    simulator = mbmf.Simulator(task, nsim=4, nthread=nthread)
    before = simulator.states[:, 2].copy()
    for _ in range(5):
        simulator.step(np.full((4, 1), 0.5))
        for state_row, old in zip(simulator.states, before, strict=True):
            data = mujoco.MjData(task.model)
            data.qpos[:], data.qvel[:] = state_row[0], state_row[1]
            mujoco.mj_forward(task.model, data)
            assert state_row[2:4] == pytest.approx(data.sensordata, rel=1e-12)
            assert state_row[4] == pytest.approx((data.sensordata[0] - old) / task.dt, rel=1e-9)
        before = simulator.states[:, 2].copy()


def test_a_keyframe_whose_name_is_not_utf8(tmp_path: Path) -> None:
    xml = body("") + '<keyframe><key name="h\u00f6he" qpos="0.1"/></keyframe>'
    with pytest.raises(ConfigError, match="names of the MJCF must be in UTF-8"):
        load(tmp_path, xml, encoding="latin-1", start={"keyframe": "h\u00f6he"})


def test_numbers_that_the_compiler_changes_are_no_names(tmp_path: Path) -> None:
    xml = '<compiler discardvisual="true"/>' + body(
        '<geom size=".2" contype="0" conaffinity="0"/><geom size=".3"/>'
    )
    with pytest.raises(ConfigError, match=r"geoms\.2 must be a name, since .* gives other numbers"):
        load(tmp_path, xml, overrides={"geoms": {"2": {"mass": 3}}})
    assert load(tmp_path, xml, overrides={"geoms": {"ball": {"mass": 3}}}).model.geom("ball").type[0] == 2


def test_distances_that_mujoco_has_not_are_refused(tmp_path: Path) -> None:
    xml = '<asset><hfield name="h" nrow="4" ncol="4" size="1 1 1 1"/></asset>' + body(
        '<geom name="ground" type="hfield" hfield="h"/>'
    )
    state = [{"source": "qpos"}, {"source": "geom_distance", "geoms": ["ball", "ground"]}]
    with pytest.raises(ConfigError, match="two geoms whose distance MuJoCo measures"):
        load(tmp_path, xml, state=state)


def test_a_time_to_start_at_is_refused_beside_delays(tmp_path: Path) -> None:
    xml = body("").replace('name="m"', 'name="m" delay="0.02" nsample="4"')
    assert load(tmp_path, xml).model.nhistory > 0
    with pytest.raises(ConfigError, match=r"reset\.default\.time must be left out where an actuator"):
        load(tmp_path, xml, reset={"default": {"time": [1, 2]}})


def test_actions_become_the_actuators_controls(tmp_path: Path) -> None:
    task = load(tmp_path, body(""))
    for action, control in ((-1, 0), (0, 6.5), (1, 13), (5, 13)):
        np.testing.assert_allclose(task.to_control([action]), [control])
    simulator = mbmf.Simulator(task, 1, 1)
    simulator.step([[0.25]])
    np.testing.assert_allclose(simulator.mujoco_data(0).ctrl, task.to_control([0.25]))
    with pytest.raises(ValueError, match="action must be finite"):
        task.to_control([np.nan])
    with pytest.raises(ValueError, match=r"action must be of shape \(1,\), got \(2,\)"):
        task.to_control([0, 0])


def test_a_plugin_that_is_not_there_is_named(tmp_path: Path) -> None:
    xml = f"""<extension><plugin plugin="mujoco.pid"/></extension>
    <worldbody><body name="b">{SLIDE}</body></worldbody>
    <actuator><plugin name="m" joint="x" plugin="mujoco.pid" ctrlrange="-1 1" ctrllimited="true"
    actdim="0"><config key="kp" value="4"/></plugin></actuator>"""
    task = load(tmp_path, xml)
    model = mbmf.DynamicsModel(task, hidden=(4,))
    model.fit(mbmf.collect_random(task, 2, 10, seed=0), epochs=1)
    save_bundle(tmp_path / "out", task, model, horizon=3, candidates=10)
    program = f"""
import sys
from mbmf.control.bundle import load_bundle
assert "mujoco" not in sys.modules
try:
    load_bundle({str(tmp_path / "out")!r})
except Exception as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "it has a plugin that this program has not loaded" in ran.stdout


def test_an_attached_robot_that_cannot_be_exported_says_so(tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * 0.2
    text = "\n".join(f"v {x} {y} {z}" for x, y, z in corners)
    (tmp_path / "arm" / "hull.obj").write_text(text)
    (tmp_path / "arm.xml").write_text(
        '<mujoco model="arm"><compiler meshdir="arm"/><asset><mesh name="hull" file="hull.obj"/></asset>'
        '<worldbody><body name="a"><geom type="mesh" mesh="hull"/></body></worldbody></mujoco>'
    )
    xml = (
        '<asset><model name="arm" file="arm.xml"/></asset><worldbody><body name="b">'
        f'{SLIDE}<attach model="arm" body="a" prefix="p_"/></body></worldbody>{MOTOR}'
    )
    task = load(tmp_path, xml)
    model = mbmf.DynamicsModel(task, hidden=(4,))
    model.fit(mbmf.collect_random(task, 2, 10, seed=0), epochs=1)
    for other in (False, True):
        if other:
            # another mesh of that name, where MuJoCo would not look
            (tmp_path / "hull.obj").write_text("\n".join(f"v {x} {y} {z}" for x, y, z in 5 * corners))
        with pytest.raises(
            DataError, match=r"must be (where its own MJCF says|the same when MuJoCo writes it)"
        ):
            save_bundle(tmp_path / "out", task, model, horizon=3, candidates=10)


def test_names_in_another_encoding_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names of the MJCF must be in UTF-8"):
        load(tmp_path, body("").replace('"x"', '"gélenk"'), encoding="latin-1")


def test_names_with_brackets_are_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "robot.xml").write_text(f"<mujoco>{body('')}</mujoco>".replace('"x"', '"hip[left]"'))
    out = tmp_path / "robot.yaml"
    assert main(["new", str(out), "--from", str(tmp_path / "robot.xml")]) == 0
    capsys.readouterr()
    assert main(["check", str(out), "--episodes=1"]) == 0
    assert "qpos.hip[left]" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["torso[0]", "leg #1", "a, b", "a: b", "a{b}", "🤖", ".5", ".inf", "x y"])
def test_a_draft_of_unusual_names_loads(name: str, tmp_path: Path) -> None:
    spec = mujoco.MjSpec()
    free = spec.worldbody.add_body(name=name)
    free.add_freejoint(name=f"{name} j")
    free.add_geom(size=[0.1, 0, 0])
    arm = free.add_body(name=f"{name}2")
    arm.add_joint(name="x")
    arm.add_geom(size=[0.1, 0, 0])
    motor = spec.add_actuator(name=f"{name} m", target="x", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.ctrlrange = [-1, 1]
    spec.compile()
    (tmp_path / "robot.xml").write_text(spec.to_xml())
    out = tmp_path / "robot.yaml"
    assert main(["new", str(out), "--from", str(tmp_path / "robot.xml")]) == 0
    assert f"subtree_linvel.{name}.x" in mbmf.load_task(out).state_names
