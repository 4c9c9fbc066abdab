from __future__ import annotations

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
from mbmf.show.video import recover_positions, save_episode_video
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
    unset = {"MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY", "PYOPENGL_PLATFORM"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert result.stdout.strip() == "(48, 64, 3) uint8 True", result.stderr


def test_what_cannot_be_rendered_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(width: int, height: int) -> None:
        raise RuntimeError("no EGL device\nand a lot more")

    monkeypatch.setattr("mbmf.simulation.renderer._context_class", lambda: broken)
    with pytest.raises(RenderError) as caught:
        Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"))
    assert str(caught.value).startswith("cannot render here: no EGL device (")
    assert "\n" not in str(caught.value)
