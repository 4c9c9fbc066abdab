"""Episodes in MuJoCo's interactive viewer, or as videos where there is no display."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from mbmf.show.video import Overlay, recover_positions, save_episode_video
from mbmf.simulation import mujoco_log
from mbmf.simulation.renderer import Renderer, RenderError, draw_lines

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

Note = Callable[[str], None]


def has_display() -> bool:
    """Whether a window can be expected to open here."""
    if sys.platform == "linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def announce(task: Task, folder: Path, note: Note) -> None:
    """Says, before hours of work, where what is to be seen will be seen; videos would go to ``folder``."""
    if has_display():
        note("what is visualised is shown in the viewer, which closes by itself")
        return
    try:
        with Renderer(task.model):
            note(f"there is no display: what is visualised will be videos in {folder}")
    except RenderError as error:
        note(str(error))


def show_episode(
    task: Task,
    episodes: Episodes,
    index: int,
    path: Path,
    note: Note,
    overlays: Sequence[Overlay] = (),
) -> None:
    """Plays an episode in the viewer where there is a display, else writes a video to ``path``.

    ``note`` is told which, in one line, or why neither was possible.
    """
    reason = "there is no display"
    if has_display():
        try:
            play_episode(task, episodes, index, overlays)
        except RenderError as error:
            reason = str(error)
        else:
            note(f"{path.stem} was shown in the viewer")
            return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_episode_video(task, episodes, index, path, overlays=overlays)
    except RenderError as error:
        note(f"no video of {path.stem}: {error}")
    else:
        note(f"{reason}: {path.stem} is a video, {path}")


def play_episode(task: Task, episodes: Episodes, index: int, overlays: Sequence[Overlay] = ()) -> None:
    """Plays an episode in MuJoCo's viewer, in real time, until its end or until the window is closed.

    Raises RenderError where no window opens, or the task's state does not hold the pose.
    """
    positions = recover_positions(task, episodes.states[index, : int(episodes.lengths[index]) + 1])
    data = mujoco.MjData(task.model)
    try:
        from mujoco.viewer import launch_passive

        window = launch_passive(task.model, data, show_left_ui=False, show_right_ui=False)
    # what a missing display or OpenGL raises differs by platform and driver
    except Exception as error:
        raise RenderError(f"no window opens here ({error})") from error
    with window:
        if task.model.ncam:
            window.cam.type, window.cam.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        begin = time.perf_counter()
        for step, row in enumerate(positions):
            if not window.is_running():
                return
            with window.lock():
                data.qpos[:] = row
                data.time = step * task.dt
                with mujoco_log.quiet():
                    mujoco.mj_forward(task.model, data)
                if window.user_scn is not None:
                    window.user_scn.ngeom = 0
                    draw_lines(window.user_scn, [line for overlay in overlays for line in overlay(step)])
            window.sync()
            time.sleep(max(0.0, begin + (step + 1) * task.dt - time.perf_counter()))


def predicted_episode(
    task: Task, model: DynamicsModel, episodes: Episodes, index: int = 0, steps: int = 100
) -> Episodes:
    """What the model predicts of an episode, open loop with its actions from its first state.

    It ends before a state that is not finite.
    """
    steps = min(steps, int(episodes.lengths[index]))
    actions = np.ascontiguousarray(episodes.actions[index : index + 1, :steps], np.float32)
    states = model.core.open_loop(episodes.states[index, :1].astype(np.float32), actions)[0]
    finite = np.isfinite(states).all(axis=1)
    steps = steps if finite.all() else int(np.argmin(finite)) - 1
    one = episodes.select([index])
    return dataclasses.replace(
        one,
        states=states[None, : steps + 1].astype(np.float64),
        actions=one.actions[:, :steps],
        rewards=np.zeros((1, steps)),
        lengths=np.array([steps], np.int32),
        terminated=np.zeros(1, np.bool_),
        observations=None,
        path=None,
    )
