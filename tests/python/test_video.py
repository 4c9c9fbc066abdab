from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
import yaml

import mbmf
from mbmf.show.video import save_episode_video
from mbmf.simulation.poses import episode_poses, likely_positions, pose_is_known, recover_positions, set_pose
from mbmf.simulation.renderer import Renderer, RenderError

PRESETS = ["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"]


def without_positions() -> Any:
    """A task whose state says nothing about where the robot is."""
    config = yaml.safe_load(mbmf.load_task("swimmer_forward").to_yaml())
    config["state"] = [{"source": "subtree_linvel", "body": "torso"}]
    del config["model_based"]
    return config


@pytest.mark.parametrize("preset", PRESETS)
def test_positions_are_recovered_exactly(preset: str) -> None:
    task = mbmf.load_task(preset)
    simulator = mbmf.Simulator(task, nsim=3, seed=1)
    simulator.reset(kind="random")
    states, positions = [simulator.states.copy()], [simulator.get_state()[:, 1 : 1 + task.model.nq]]
    rng = np.random.default_rng(0)
    for _ in range(40):
        simulator.step(rng.uniform(-1, 1, (3, task.naction)))
        states.append(simulator.states.copy())
        positions.append(simulator.get_state()[:, 1 : 1 + task.model.nq])
    assert np.abs(positions[-1][:, 0] - positions[0][:, 0]).max() > 1e-3  # it did move along x
    recovered = recover_positions(task, np.concatenate(states))
    np.testing.assert_allclose(recovered, np.concatenate(positions), rtol=0, atol=1e-9)


def test_positions_from_cosine_and_sine() -> None:
    config = yaml.safe_load(mbmf.load_task("swimmer_forward").to_yaml())
    del config["model_based"]
    joints = ["slider1", "slider2", "free_body_rot", "motor1_rot"]
    config["state"] = [
        {"source": "qpos", "joints": joints},
        {"source": "qpos", "joints": ["motor2_rot"], "transform": "cos"},
        {"source": "qpos", "joints": ["motor2_rot"], "transform": "sin"},
        {"source": "subtree_linvel", "body": "torso"},
    ]
    task = mbmf.load_task(config)
    angle = -1.2
    states = np.array([[1, 2, 0.5, 0.25, np.cos(angle), np.sin(angle), 0, 0, 0]])
    np.testing.assert_allclose(recover_positions(task, states), [[1, 2, 0.5, 0.25, angle]], atol=1e-12)


def test_state_without_positions_cannot_be_rendered() -> None:
    task = mbmf.load_task(without_positions())
    with pytest.raises(
        RenderError, match="cannot render the task swimmer_forward: its state does not hold the pose of"
    ):
        recover_positions(task, np.zeros((1, task.nstate)))


def test_joints_that_the_state_leaves_out_are_found_from_bodies() -> None:
    """The target of the reacher is on two slide joints; a state has where it is, not the joints."""
    config = mbmf.load_task("swimmer_forward").to_data()
    for section in ("model_based", "model_free", "imitation", "fine_tune", "agent", "cost", "overrides"):
        config.pop(section, None)
    config |= {"name": "reach", "model": {"asset": "reacher.xml"}}
    config["reset"] = {"default": {"qpos": {"normal": 1}}}
    config["state"] = [
        {"source": "qpos", "joints": ["joint0"]},
        {"source": "body_rotation", "body": "body1"},
        {"source": "body_pos", "body": "target", "index": [0, 1]},
    ]
    config["reward"] = [{"term": "constant", "weight": 1}]
    task = mbmf.load_task(config)
    simulator = mbmf.Simulator(task, nsim=5, seed=1)
    simulator.reset()
    recovered = recover_positions(task, simulator.states.copy())
    true = simulator.get_state()[:, 1 : 1 + task.model.nq]
    assert np.abs(true[:, 1:]).min() > 1e-3
    error = recovered - true
    error[:, 1] = (error[:, 1] + np.pi) % (2 * np.pi) - np.pi  # an angle
    np.testing.assert_allclose(error, 0, atol=1e-8)


def test_what_the_state_does_not_say_is_guessed_and_named() -> None:
    """A hopper whose x is in no state, but its velocity is."""
    config = mbmf.load_task("hopper_forward").to_data()
    for section in ("model_based", "model_free", "imitation", "fine_tune", "agent", "cost", "alive"):
        config.pop(section, None)
    joints = ["rootz", "rooty", "thigh_joint", "leg_joint", "foot_joint"]
    config |= {"healthy": [], "reward": [{"term": "constant", "weight": 1}]}
    config["state"] = [{"source": "qpos", "joints": joints}, {"source": "qvel"}]
    task = mbmf.load_task(config)
    with pytest.raises(RenderError, match="does not hold the pose of rootx"):
        recover_positions(task, np.zeros((1, task.nstate)))
    simulator = mbmf.Simulator(task, seed=1)
    simulator.reset()
    states, truth = [simulator.states[0].copy()], [simulator.get_state()[0, 1]]
    for _ in range(20):
        simulator.step(np.ones((1, 3)))
        states.append(simulator.states[0].copy())
        truth.append(simulator.get_state()[0, 1])
    notes: list[str] = []
    positions = likely_positions(task, np.array(states), task.dt, notes.append)
    assert notes == ["the state of hopper_forward does not say where rootx is: pictures guess it"]
    moved = np.array(truth) - truth[0]
    assert np.abs(moved).max() > 0.02
    assert np.abs(positions[:, 0] - positions[0, 0] - moved).max() < 0.2 * np.abs(moved).max()
    np.testing.assert_array_equal(positions[:, 1:], np.array(states)[:, :5])


MOVED = """<mujoco><worldbody>
  <body name="arm"><joint name="j" axis="0 1 0" damping="1"/><geom size=".05" pos=".3 0 0"/></body>
  <body name="target" pos="0 0 1" mocap="true"><geom size=".05" contype="0" conaffinity="0"/></body>
</worldbody><actuator><motor joint="j"/></actuator></mujoco>"""


def moved_body(tmp_path: Path) -> mbmf.Task:
    """A task with a mocap body that actions move, whose state says nothing of where anything is."""
    (tmp_path / "moved.xml").write_text(MOVED)
    return mbmf.load_task(
        {
            **{"name": "moved", "model": {"file": str(tmp_path / "moved.xml")}, "physics_steps": 5},
            "mocap": {"target": {"move": {"x": {"speed": 1}, "rz": {"speed": 2}}}},
            "state": [{"source": "qvel"}],
            "reward": [{"term": "linear", "state": "qvel.j"}],
            "reset": {"default": {"qpos": {"uniform": 1}}},
        }
    )


def test_poses_that_the_states_do_not_say_are_recorded(tmp_path: Path) -> None:
    """Those of the rows that the simulator had: for MPC and policies, kept in files, selected and joined."""
    task = moved_body(tmp_path)
    assert not pose_is_known(task)
    data = mbmf.collect_random(task, 2, 10, seed=0)
    assert data.poses is None
    model = mbmf.DynamicsModel(task, hidden=(4,))
    model.fit(data, epochs=1)
    planner = mbmf.RandomShooting(task, model, horizon=2, candidates=10, seed=0)
    policy = mbmf.GaussianPolicy(task, hidden=(4,), seed=0)
    batch = mbmf.collect_policy(task, policy, episodes=3, max_episode_steps=6, seed=3, keep_states=True)
    for kind, episodes in (
        ("control", mbmf.collect_mpc(task, planner, episodes=3, steps=6, seed=3)),
        ("default", mbmf.PolicyBatch.concatenate([batch.first(2), *_rest(task, policy)]).to_episodes(task)),
    ):
        assert episodes.poses is not None
        episodes.save(tmp_path / "episodes.npz")
        again = mbmf.Episodes.load(tmp_path / "episodes.npz", task)
        joined = mbmf.Episodes.concatenate([again.select([2]), again])
        simulator = mbmf.Simulator(task, 3, seed=3)
        simulator.start_episodes([0, 1, 2], kind)
        shown = [episode_poses(task, joined, 1 + e) for e in range(3)]
        np.testing.assert_array_equal(shown[2], episode_poses(task, joined, 0))
        kinds = mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_MOCAP_POS
        kinds |= mujoco.mjtState.mjSTATE_MOCAP_QUAT
        want, whole = np.empty(8), mujoco.mjtState.mjSTATE_INTEGRATION
        for step in range(7):
            for e, row in enumerate(simulator.get_state()):
                mujoco.mj_extractState(task.model, row, int(whole), want, int(kinds))
                np.testing.assert_array_equal(shown[e][step], want)
            if step < 6:
                simulator.step(episodes.actions[:, step].astype(np.float64))
        assert np.ptp([pose[-1] for pose in shown], axis=0)[[0, 1, 4]].min() > 0  # each moved by itself
    data = mujoco.MjData(task.model)
    set_pose(data, shown[0][-1])
    np.testing.assert_array_equal([*data.qpos, *data.mocap_pos[0], *data.mocap_quat[0]], shown[0][-1])
    # batches of which one has none, such as random data, have none together
    assert mbmf.Episodes.concatenate([again, mbmf.collect_random(task, 1, 3)]).poses is None


def _rest(task: mbmf.Task, policy: mbmf.GaussianPolicy) -> list[mbmf.PolicyBatch]:
    options = {"max_episode_steps": 6, "seed": 3, "keep_states": True, "first_episode": 2}
    return [mbmf.collect_policy(task, policy, episodes=1, **options)]


def test_poses_of_other_robots_are_refused(tmp_path: Path) -> None:
    task = moved_body(tmp_path)
    policy = mbmf.GaussianPolicy(task, hidden=(4,), seed=0)
    episodes = _rest(task, policy)[0].to_episodes(task)
    assert episodes.poses is not None
    dataclasses.replace(episodes, poses=episodes.poses[:, :, 1:].copy()).save(tmp_path / "other.npz")
    with pytest.raises(mbmf.errors.DataError, match=r"poses must be of 8 numbers, got 7"):
        mbmf.Episodes.load(tmp_path / "other.npz", task, allow_other_task=True)
    with pytest.raises(mbmf.errors.DataError, match=r"poses must be of shape \(1, 7, 8\), got \(1, 6, 8\)"):
        dataclasses.replace(episodes, poses=episodes.poses[:, 1:].copy())
    with pytest.raises(mbmf.errors.DataError, match="poses must be finite"):
        dataclasses.replace(episodes, poses=np.full_like(episodes.poses, np.nan))


@pytest.mark.usefixtures("rendering")
def test_a_video_shows_recorded_poses(tmp_path: Path) -> None:
    """Without a word of a guess, although the states say nothing of the pose."""
    task = moved_body(tmp_path)
    policy = mbmf.GaussianPolicy(task, hidden=(4,), seed=0)
    episodes, notes = _rest(task, policy)[0].to_episodes(task), []
    save_episode_video(task, episodes, 0, tmp_path / "a.mp4", width=64, height=48, note=notes.append)
    assert not notes
    assert (tmp_path / "a.mp4").stat().st_size > 0
    without = dataclasses.replace(episodes, poses=None)
    with pytest.raises(RenderError, match="its state does not hold the pose of j"):
        save_episode_video(task, without, 0, tmp_path / "b.mp4", width=64, height=48)


def in_a_process(code: str, **environment: str) -> str:
    """What Python code prints, with these variables and no others of the display and OpenGL."""
    unset = {"MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY", "PYOPENGL_PLATFORM"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=kept | environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("value", ["osmesa", "egl", "nonsense", "off"])
def test_learning_needs_no_opengl(value: str) -> None:
    """`import mujoco` fails where MUJOCO_GL names an OpenGL that is not there."""
    code = """
import ctypes, os
load = ctypes.CDLL
def without_opengl(name=None, *args, **options):
    if name and ("OSMesa" in name or "EGL" in name):
        raise OSError(name)
    return load(name, *args, **options)
ctypes.CDLL = without_opengl
import mbmf
print(mbmf.load_task("swimmer_forward").nstate, os.environ["MUJOCO_GL"])
"""
    assert in_a_process(code, MUJOCO_GL=value) == f"16 {value}"


@pytest.mark.usefixtures("rendering")
@pytest.mark.parametrize(
    "environment",
    [
        {"DISPLAY": ":97"},
        {"WAYLAND_DISPLAY": "wayland-9"},
        {"MUJOCO_GL": "nonsense"},
        {"MUJOCO_GL": "osmesa"},
    ],
)
def test_renders_whatever_the_environment_names(environment: dict[str, str]) -> None:
    code = """
import mbmf, mujoco
from mbmf.simulation.renderer import Renderer, no_window
with Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 64, 48):
    print(no_window())
"""
    display = next((value for name, value in environment.items() if "DISPLAY" in name), None)
    expected = f"the display {display} cannot be used" if display else "there is no display"
    assert in_a_process(code, **environment) == expected


@pytest.mark.usefixtures("rendering")
@pytest.mark.parametrize(("preset", "fps"), [("swimmer_forward", 1 / 0.15), ("cheetah_forward", 50.0)])
def test_video_plays_in_real_time(preset: str, fps: float, tmp_path: Path) -> None:
    task = mbmf.load_task(preset)
    episodes = mbmf.collect_random(task, episodes=2, steps=20, seed=0, nthread=1)
    path = save_episode_video(task, episodes, -1, tmp_path / "episode.mp4", width=128, height=96)
    assert path == tmp_path / "episode.mp4"
    assert list(tmp_path.iterdir()) == [path]
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    frames = [np.frombuffer(frame, np.uint8) for frame in reader]
    assert meta["size"] == (128, 96)
    assert meta["fps"] == pytest.approx(fps, rel=0.01)
    assert len(frames) / fps == pytest.approx(20 * task.dt, abs=1.01 / fps)
    assert frames[0].std() > 10  # something is in the picture
    assert not np.array_equal(frames[0], frames[-1])  # and it moves


@pytest.mark.usefixtures("rendering")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": 1}, "index must be an episode of 1, got 1"),
        ({"fps": 0.0}, "fps must be a positive number, got 0.0"),
        ({"width": 101}, "width must be a positive even number, got 101"),
    ],
)
def test_video_bad_input(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, episodes=1, steps=2, seed=0, nthread=1)
    with pytest.raises(ValueError, match=message):
        save_episode_video(task, episodes, **{"index": 0, "path": tmp_path / "episode.mp4", **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("rendering")
def test_renders_without_a_display_after_mujoco_was_imported() -> None:
    """mujoco.Renderer cannot: it looks at MUJOCO_GL when mujoco is imported."""
    code = """
import mujoco
from mbmf.simulation.renderer import Renderer
ball = "<mujoco><worldbody><light pos='0 0 3'/><geom size='1'/></worldbody></mujoco>"
model = mujoco.MjModel.from_xml_string(ball)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with Renderer(model, 64, 48) as renderer:
    picture = renderer.render(data)
print(picture.shape, picture.dtype, picture.std() > 1)
"""
    assert in_a_process(code) == "(48, 64, 3) uint8 True"


def test_what_cannot_be_rendered_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(width: int, height: int) -> None:
        raise RuntimeError("no EGL device\nand a lot more")

    monkeypatch.setattr("mbmf.simulation.renderer._make_context", broken)
    with pytest.raises(RenderError) as caught:
        Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"))
    assert str(caught.value).startswith("cannot render here: no EGL device (")
    assert "\n" not in str(caught.value)
