"""Episodes in MuJoCo's interactive viewer, or as videos where there is no display."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from mbmf.show.video import Overlay, save_episode_video
from mbmf.simulation import mujoco_log
from mbmf.simulation.poses import Note, episode_poses, set_pose
from mbmf.simulation.renderer import Renderer, RenderError, draw_lines, no_window

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task


def announce(task: Task, folder: Path, note: Note) -> None:
    """Says, before hours of work, where what is to be seen will be seen; videos would go to ``folder``."""
    reason = no_window()
    if reason is None:
        note("what is visualised is shown in the viewer, which closes by itself")
        return
    try:
        with Renderer(task.model):
            note(f"{reason}: what is visualised will be videos in {folder}")
    except RenderError as error:
        note(str(error))


@contextlib.contextmanager
def never_stopping(what: str, note: Note) -> Iterator[None]:
    """Within the block a picture is made; if that fails ``note`` is told, and whatever it is of goes on.

    With the environment variable MBMF_TRACEBACK the failure comes out.
    """
    try:
        yield
    # no failure of a picture is worth hours of learning
    except Exception as error:
        if os.environ.get("MBMF_TRACEBACK"):
            raise
        note(f"no {what}: {str(error) or type(error).__name__}")


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
    reason = no_window()
    if reason is None:
        try:
            play_episode(task, episodes, index, overlays, note)
        except RenderError as error:
            reason = str(error)
        else:
            note(f"{path.stem} was shown in the viewer")
            return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_episode_video(task, episodes, index, path, overlays=overlays, note=note)
    except RenderError as error:
        note(f"no video of {path.stem}: {error}")
    else:
        note(f"{reason}: {path.stem} is a video, {path}")


def play_episode(
    task: Task, episodes: Episodes, index: int, overlays: Sequence[Overlay] = (), note: Note | None = None
) -> None:
    """Plays an episode in MuJoCo's viewer, in real time, until its end or until the window is closed.

    ``note`` is told of joints that the state does not place, and that are guessed.

    Raises RenderError where no window opens, or the task's state holds nothing of the pose.
    """
    poses = episode_poses(task, episodes, index, note=note)
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
        for step, row in enumerate(poses):
            if not window.is_running():
                return
            with window.lock():
                set_pose(data, row)
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
        poses=None,
        actions=one.actions[:, :steps],
        rewards=np.zeros((1, steps)),
        lengths=np.array([steps], np.int32),
        terminated=np.zeros(1, np.bool_),
        observations=None,
        path=None,
    )
