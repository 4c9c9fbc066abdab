"""Videos of recorded episodes, as MP4, with or without a display.

An episode holds the states of its task, not MuJoCo's. The pose of every step is the recorded
one, or is found again from the states (`mbmf.simulation.poses`).
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmf.simulation import mujoco_log
from mbmf.simulation.poses import Note, episode_poses, set_pose
from mbmf.simulation.renderer import Line, Renderer, RenderError

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

__all__ = ["Overlay", "RenderError", "save_episode_video"]

_MAX_FPS = 50.0

# what to draw into the scene after so many control steps
Overlay = Callable[[int], Sequence[Line]]


def save_episode_video(
    task: Task,
    episodes: Episodes,
    index: int,
    path: str | os.PathLike[str],
    fps: float | None = None,
    *,
    width: int = 480,
    height: int = 360,
    overlays: Sequence[Overlay] = (),
    progress: Callable[[int, int], None] | None = None,
    note: Note | None = None,
) -> Path:
    """Renders episode ``index`` (negative: from the end) to a file and returns its path.

    It is an MP4 file (H.264), or where ``path`` ends in .gif an animated GIF, endlessly repeated.

    Args:
        fps: pictures per second; by default one per control step in real time, fewer where that is above 50.
        width, height: in pixels, even numbers.
        overlays: functions of the control steps so far that give lines to draw into the scene
            (`mbmf.show.overlays`).
        progress: called with the pictures drawn so far and their number.
        note: is told of joints that the task's state does not place, and that are guessed.

    Raises:
        RenderError: nothing can be rendered on this machine, or the task's state holds nothing of the pose.
        ValueError: no such episode, or a size or rate that cannot be.
        OSError: the file cannot be written; one that was there is then as it was.
    """
    if not -len(episodes) <= index < len(episodes):
        raise ValueError(f"index must be an episode of {len(episodes)}, got {index}")
    if fps is not None and not 0 < fps <= sys.float_info.max:
        raise ValueError(f"fps must be a positive number, got {fps}")
    stride = 1 if fps is not None else max(1, math.ceil(1 / (task.dt * _MAX_FPS)))
    poses = episode_poses(task, episodes, index, stride, note)
    target = Path(path)
    with (
        Renderer(task.model, width, height) as renderer,
        # FFmpeg writes to a file beside the target, which takes the target's place when it is whole
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder,
    ):
        unfinished = Path(folder) / f"video{'.gif' if target.suffix == '.gif' else '.mp4'}"
        rate = fps or 1 / (task.dt * stride)
        pictures = _pictures(task.model, poses, stride, renderer, overlays, progress)
        _encode(pictures, unfinished, (width, height), rate)
        os.replace(unfinished, target)
    return target


def _pictures(
    model: Any,
    poses: NDArray[np.float64],
    stride: int,
    renderer: Renderer,
    overlays: Sequence[Overlay],
    progress: Callable[[int, int], None] | None,
) -> Iterator[NDArray[np.uint8]]:
    data = mujoco.MjData(model)
    for i, row in enumerate(poses):
        set_pose(data, row)
        with mujoco_log.quiet():
            mujoco.mj_forward(model, data)
        yield renderer.render(data, [line for overlay in overlays for line in overlay(i * stride)])
        if progress is not None:
            progress(i + 1, len(poses))


def _encode(pictures: Iterator[NDArray[np.uint8]], path: Path, size: tuple[int, int], fps: float) -> None:
    """Feeds the pictures to FFmpeg one by one."""
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise RenderError(
            "cannot make videos here: there is no FFmpeg (`pip install --force-reinstall imageio-ffmpeg` "
            "brings one, or on Debian the package ffmpeg; IMAGEIO_FFMPEG_EXE may name another)"
        ) from None
    options: dict[str, Any] = {"codec": "libx264", "quality": 7, "pix_fmt_out": "yuv420p"}
    if path.suffix == ".gif":
        # one palette for all pictures
        palette = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"
        options = {"codec": "gif", "pix_fmt_out": "pal8", "output_params": ["-filter_complex", palette]}
    # macro_block_size=2 keeps the size as it is; yuv420p is what every player shows
    writer = imageio_ffmpeg.write_frames(
        str(path), size, fps=fps, macro_block_size=2, ffmpeg_log_level="error", **options
    )
    writer.send(None)
    try:
        for picture in pictures:
            writer.send(picture)
    finally:
        writer.close()
