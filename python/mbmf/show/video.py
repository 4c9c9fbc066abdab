"""Videos of recorded episodes, as MP4, with or without a display.

An episode holds the states of its task, not MuJoCo's. The pose of every step is found again from the states
that are positions; a slide joint that the state leaves out (how far a hopper has come, say) from the centre
of mass.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmf import _core
from mbmf.simulation import mujoco_log
from mbmf.simulation.renderer import Line, Renderer, RenderError
from mbmf.tasks.build import build_spec

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

__all__ = ["Overlay", "RenderError", "recover_positions", "save_episode_video"]

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
) -> Path:
    """Renders episode ``index`` (negative: from the end) to an MP4 file (H.264) and returns its path.

    Args:
        fps: pictures per second; by default one per control step in real time, fewer where that is above 50.
        width, height: in pixels, even numbers.
        overlays: functions of the control steps so far that give lines to draw into the scene
            (`mbmf.show.overlays`).
        progress: called with the pictures drawn so far and their number.

    Raises:
        RenderError: nothing can be rendered on this machine, or the task's state does not hold the pose.
        ValueError: no such episode, or a size or rate that cannot be.
        OSError: the file cannot be written; one that was there is then as it was.
    """
    if not -len(episodes) <= index < len(episodes):
        raise ValueError(f"index must be an episode of {len(episodes)}, got {index}")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a positive number, got {fps}")
    length = int(episodes.lengths[index])
    stride = 1 if fps is not None else max(1, math.ceil(1 / (task.dt * _MAX_FPS)))
    positions = recover_positions(task, episodes.states[index, : length + 1 : stride])
    target = Path(path)
    with (
        Renderer(task.model, width, height) as renderer,
        # FFmpeg writes to a file beside the target, which takes the target's place when it is whole
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder,
    ):
        unfinished = Path(folder) / "video.mp4"
        rate = fps or 1 / (task.dt * stride)
        pictures = _pictures(task.model, positions, stride, renderer, overlays, progress)
        _encode(pictures, unfinished, (width, height), rate)
        os.replace(unfinished, target)
    return target


def recover_positions(task: Task, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """The joint positions qpos (n, nq) that the task's states (n, nstate) were read from.

    A position is taken from its own state dimension, or from its cosine and sine; the slide joints that are
    left are solved for, so that the centres of mass in the state are met. Raises RenderError if positions
    stay unknown.
    """
    model, spec = task.model, build_spec(task.config, task.model, task.name).spec
    where = {
        (channel.source, channel.transform, channel.address): column
        for column, channel in enumerate(spec.state)
        if math.isinf(channel.low) and math.isinf(channel.high)
    }
    positions = np.tile(np.asarray(spec.start_qpos, dtype=np.float64), (len(states), 1))
    missing = []
    for address in range(model.nq):
        plain, cosine, sine = (
            where.get((_core.Source.QPOS, transform, address))
            for transform in (_core.Transform.IDENTITY, _core.Transform.COS, _core.Transform.SIN)
        )
        if plain is not None:
            positions[:, address] = states[:, plain]
        elif cosine is not None and sine is not None:
            positions[:, address] = np.arctan2(states[:, sine], states[:, cosine])
        else:
            missing.append(address)
    if missing:
        joints = [_joint_of(model, address) for address in missing]
        centres = {
            address: column
            for (source, transform, address), column in where.items()
            if source == _core.Source.SUBTREE_COM and transform == _core.Transform.IDENTITY
        }
        if not centres or any(model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_SLIDE for joint in joints):
            names = ", ".join(model.joint(joint).name or f"joint {joint}" for joint in joints)
            raise RenderError(
                f"cannot render the task {task.name}: its state does not hold the pose of {names}"
            )
        dofs = [int(model.jnt_dofadr[joint]) for joint in joints]
        _solve_slides(model, positions, missing, dofs, centres, states)
    return positions


def _joint_of(model: Any, address: int) -> int:
    """The joint that qpos ``address`` belongs to."""
    return int(np.searchsorted(model.jnt_qposadr, address, side="right")) - 1


def _solve_slides(
    model: Any,
    positions: NDArray[np.float64],
    addresses: list[int],
    dofs: list[int],
    centres: dict[int, int],
    states: NDArray[np.float64],
) -> None:
    """Sets the slide joints at ``addresses``. A centre of mass is linear in them: one least-squares step."""
    data = mujoco.MjData(model)
    jacobian = np.empty((3, model.nv))
    for row, state in zip(positions, states, strict=True):
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        gradient, error = [], []
        for address, column in centres.items():
            body, axis = divmod(address, 3)
            mujoco.mj_jacSubtreeCom(model, data, jacobian, body)
            gradient.append(jacobian[axis, dofs])
            error.append(state[column] - data.subtree_com[body, axis])
        row[addresses] += np.linalg.lstsq(np.array(gradient), np.array(error), rcond=None)[0]


def _pictures(
    model: Any,
    positions: NDArray[np.float64],
    stride: int,
    renderer: Renderer,
    overlays: Sequence[Overlay],
    progress: Callable[[int, int], None] | None,
) -> Iterator[NDArray[np.uint8]]:
    data = mujoco.MjData(model)
    for i, row in enumerate(positions):
        data.qpos[:] = row
        with mujoco_log.quiet():
            mujoco.mj_forward(model, data)
        yield renderer.render(data, [line for overlay in overlays for line in overlay(i * stride)])
        if progress is not None:
            progress(i + 1, len(positions))


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
    # macro_block_size=2 keeps the size as it is; yuv420p is what every player shows
    writer = imageio_ffmpeg.write_frames(
        str(path), size, fps=fps, codec="libx264", quality=7, macro_block_size=2, pix_fmt_out="yuv420p"
    )
    writer.send(None)
    try:
        for picture in pictures:
            writer.send(picture)
    finally:
        writer.close()
