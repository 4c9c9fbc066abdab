"""Names and numbers of joints, bodies, ..., states: exact ones win, and what could mean two is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import mbmf
from mbmf.errors import ConfigError


def load(folder: Path, robot: str, actuators: str = '<motor joint="{0}"/>', **keys: Any) -> mbmf.Task:
    """A task of a robot: what is in its worldbody, and what in its actuators."""
    path = folder / "robot.xml"
    path.write_text(f"<mujoco><worldbody>{robot}</worldbody><actuator>{actuators}</actuator></mujoco>")
    task = {"name": "t", "model": {"file": str(path)}, "state": [{"source": "qpos"}], **keys}
    return mbmf.load_task({"reward": [{"term": "action", "weight": -1}], **task})


def hinge(name: str, inside: str = "") -> str:
    named = f'name="{name}"' if name else ""
    return f'<body><joint {named} axis="0 1 0"/><geom size=".1" pos=".2 0 0"/>{inside}</body>'


def targets(task: mbmf.Task) -> list[str]:
    """The states that the only term of a reward is of."""
    return [task.state_names[i] for i in task.core.spec.reward[0].index]


def linear(state: str) -> list[dict[str, Any]]:
    return [{"term": "linear", "state": state}]


MOTOR = '<motor joint="arm"/>'


def test_a_state_wins_over_what_it_is_the_leading_part_of(tmp_path: Path) -> None:
    robot = hinge("arm") + hinge("arm.tip") + hinge("arm.tip.x")
    for name, wanted in (
        ("qpos.arm", ["qpos.arm"]),
        ("qpos.arm.tip", ["qpos.arm.tip"]),
        ("qpos", ["qpos.arm", "qpos.arm.tip", "qpos.arm.tip.x"]),
    ):
        assert targets(load(tmp_path, robot, MOTOR, reward=linear(name))) == wanted


def test_a_joint_wins_over_what_it_is_the_leading_part_of(tmp_path: Path) -> None:
    robot = '<body><joint name="arm" type="ball"/><geom size=".1"/></body>' + hinge("arm.tip")
    motor = '<motor joint="arm.tip"/>'
    task = load(tmp_path, robot, motor, reward=linear("qpos.arm"))
    assert targets(task) == ["qpos.arm.qw", "qpos.arm.qx", "qpos.arm.qy", "qpos.arm.qz"]
    some = [{"source": "qpos", "joints": "arm.tip"}, {"source": "qvel"}]
    # the state has nothing of the joint arm: the other joint's number is not meant
    with pytest.raises(ConfigError, match=r"reward\[0\]\.state must be .*got 'qpos\.arm'"):
        load(tmp_path, robot, motor, state=some, reward=linear("qpos.arm"))
    cosine = [{**channel, "transform": "cos"} for channel in some]
    with pytest.raises(ConfigError, match=r"reward\[0\]\.state must be .*got 'cos\.qpos\.arm'"):
        load(tmp_path, robot, motor, state=cosine, reward=linear("cos.qpos.arm"))
    assert targets(load(tmp_path, robot, motor, state=some, reward=linear("qpos.arm.tip"))) == [
        "qpos.arm.tip"
    ]


def test_a_leading_part_that_no_joint_is_named_stands_for_all(tmp_path: Path) -> None:
    robot = hinge("left.hip") + hinge("left.knee") + hinge("right.hip")
    task = load(tmp_path, robot, '<motor joint="left.hip"/>', reward=linear("qpos.left"))
    assert targets(task) == ["qpos.left.hip", "qpos.left.knee"]


def test_names_that_end_with_a_dot_stay_apart(tmp_path: Path) -> None:
    assert load(tmp_path, hinge("a") + hinge("a."), '<motor joint="a"/>').state_names == ["qpos.a", "qpos.a."]


def test_a_position_that_two_joints_have_is_not_set(tmp_path: Path) -> None:
    robot = '<body><freejoint name="a"/><geom size=".1"/></body>' + hinge("a.x")
    state = [{"source": "qpos", "joints": "a.x"}]
    actuator = '<motor joint="a.x"/>'
    with pytest.raises(
        ConfigError, match=r"reset\.default\.set\.a\.x must be a name of one .*joints a and a\.x"
    ):
        load(tmp_path, robot, actuator, state=state, reset={"default": {"set": {"a.x": 1}}})
    task = load(tmp_path, robot, actuator, state=state, reset={"default": {"set": {"a.y": 1}}})
    assert mbmf.Simulator(task).get_state()[0, 2] == 1  # time, x, y


def test_a_wrong_reset_is_reported_once_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, hinge("arm"), MOTOR, reset={"default": {"set": {"arn": 1}}})
    assert str(error.value).count("must be") == 1
    assert "reset.default.set.arn must be a position of a joint (arm" in str(error.value)


def test_unnamed_elements_go_by_their_number_everywhere(tmp_path: Path) -> None:
    robot = hinge("arm") + hinge("")
    task = load(
        tmp_path,
        robot,
        MOTOR,
        state=[{"source": "qpos", "joints": [1]}, {"source": "qvel", "joint": 1}],
        overrides={"joints": {1: {"damping": 2}}},
        reset={"default": {"set": {1: 0.5}}},
    )
    assert task.state_names == ["qpos.1", "qvel.1"]
    np.testing.assert_array_equal(task.model.dof_damping, [0, 2])
    assert mbmf.Simulator(task).states[0, 0] == 0.5
    assert mbmf.load_task({**task.to_data()}) == task
    with pytest.raises(ConfigError, match=r"state\[0\]\.joints must be .*\(arm, 1\), got '0'"):
        load(tmp_path, robot, MOTOR, state=[{"source": "qpos", "joints": [0]}])
    with pytest.raises(ConfigError, match=r"joints must be a name \(or a number, of what has none\)"):
        load(tmp_path, robot, MOTOR, state=[{"source": "qpos", "joints": [True]}])


def test_an_override_that_could_mean_two_elements_is_an_error(tmp_path: Path) -> None:
    robot = '<body><freejoint/><geom size=".1"/></body>' + hinge("0")
    state, actuator = [{"source": "time"}], '<motor joint="0"/>'
    with pytest.raises(
        ConfigError, match=r"overrides\.joints\.0 must be .*name of one and the number of another"
    ):
        load(tmp_path, robot, actuator, state=state, overrides={"joints": {"0": {"damping": 1}}})
    load(tmp_path, robot, actuator, state=state, overrides={"joints": {"damping": 1}})


def test_a_free_base_is_damped_only_by_its_name(tmp_path: Path) -> None:
    robot = f'<body><freejoint name="base"/><geom size=".1"/>{hinge("arm")}</body>'
    task = load(tmp_path, robot, MOTOR, overrides={"joints": {"damping": 5, "armature": 1}})
    np.testing.assert_array_equal(task.model.dof_damping, [0, 0, 0, 0, 0, 0, 5])
    np.testing.assert_array_equal(task.model.dof_armature, [0, 0, 0, 0, 0, 0, 1])
    task = load(tmp_path, robot, MOTOR, overrides={"joints": {"damping": 5, "base": {"damping": 2}}})
    np.testing.assert_array_equal(task.model.dof_damping, [2, 2, 2, 2, 2, 2, 5])


@pytest.mark.parametrize(("kind", "attribute"), [("actuators", "ctrlrange"), ("joints", "range")])
def test_ranges_are_in_order(tmp_path: Path, kind: str, attribute: str) -> None:
    for value in ([1, -1], 1):
        with pytest.raises(
            ConfigError, match=rf"{kind}\.{attribute} must be a list \[low, high\], low below"
        ):
            load(tmp_path, hinge("arm"), MOTOR, overrides={kind: {attribute: value}})
    load(tmp_path, hinge("arm"), MOTOR, overrides={kind: {attribute: [-1, 1]}})


@pytest.mark.parametrize("name", ["body_pos", "geoms"])
def test_name_collision(tmp_path: Path, name: str) -> None:
    """An unnamed element whose number is another one's name: one of the two would be left out."""
    robot = (
        '<body><geom size=".1"/></body><body name="1"><joint name="arm"/><geom size=".1" name="0"/></body>'
    )
    if name == "geoms":
        with pytest.raises(ConfigError, match=r"overrides\.geoms\.0 must be"):
            load(tmp_path, robot, MOTOR, overrides={"geoms": {"0": {"friction": 1}}})
    else:
        with pytest.raises(ConfigError, match="body number 1 must have a name"):
            load(tmp_path, robot, MOTOR, state=[{"source": "body_pos", "body": "1"}])


def test_activations_are_those_of_actuators_not_of_controls(tmp_path: Path) -> None:
    """Actuators with two controls, or with none: the others' activations are all there, in their places."""
    lag = '<general name="lag" joint="arm" dyntype="filter" dynprm="1"/>'
    two = '<pid name="two" joint="arm" kp="1" ki="1"/>'
    task = load(tmp_path, hinge("arm"), two + lag, state=[{"source": "act"}])
    assert (task.model.nactuator, task.model.nu, task.model.na) == (2, 3, 2)
    assert task.state_names == ["act.two", "act.lag"]
    assert task.identity.actions == ("two.0", "two.1", "lag")
    simulator, data = mbmf.Simulator(task), mujoco.MjData(task.model)
    actions = np.array([0.3, -0.2, 0.7])
    for _ in range(5):
        simulator.step(actions[None])
        data.ctrl[:] = actions
        mujoco.mj_step(task.model, data)
    np.testing.assert_array_equal(simulator.states[0], data.act)
    assert (data.act != 0).all()


@pytest.mark.filterwarnings("ignore:.*has no factors of its own")
def test_own_paths_win_over_those_that_are_spelt_alike() -> None:
    config = mbmf.load_task("swimmer_trajfollow").to_data()
    own = [[0, 0], [1, 1], [2, 1]]
    config["path"]["paths"] |= {"zig-zag": {"waypoints": own}, "Zig_Zag": {"waypoints": own[::-1]}}
    for name, points in (("zig-zag", own), ("Zig_Zag", own[::-1])):
        path = mbmf.load_task(config, path=name).path
        assert path is not None
        assert (path.name, path.waypoints.tolist()) == (name, points)


# --- small ones


def test_a_robot_that_diverges_at_once_is_said(tmp_path: Path) -> None:
    task = load(tmp_path, hinge("arm"), '<motor joint="arm" gear="1e12"/>')
    with pytest.warns(
        UserWarning, match=r"all 3 episodes diverged in their first step \(MuJoCo warned: .*QACC"
    ):
        assert mbmf.collect_random(task, 3, 50).nsteps == 0


def test_hidden_may_be_one_size(tmp_path: Path) -> None:
    task = load(tmp_path, hinge("arm"), MOTOR)
    for hidden in (5, np.int64(5), [np.int64(5)]):
        assert mbmf.DynamicsModel(task, hidden=hidden).hidden == (5,)
        assert mbmf.GaussianPolicy(task, hidden=hidden).hidden == (5,)
    for wrong in (0, True, 2.0):
        with pytest.raises(ValueError, match="hidden must be"):
            mbmf.DynamicsModel(task, hidden=wrong)
