"""Pictures of a MuJoCo model, with or without a display.

`mujoco.Renderer` takes its OpenGL from the environment variable MUJOCO_GL as it was when mujoco was first
imported. This one chooses when it is made, so that a machine without a display, or with one that is not
there, renders off-screen (EGL) whatever was imported before.
"""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import functools
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmf import opengl
from mbmf.arguments import check_size
from mbmf.errors import MbmfError

_MAX_GEOMS = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A line through the scene, drawn as tubes.

    Attributes:
        points: metres in the world, (n, 3); two or more, else nothing is drawn.
        color: red, green, blue and opacity, 0 to 1.
        radius: of the tubes, metres.
    """

    points: NDArray[np.float64]
    color: tuple[float, float, float, float]
    radius: float


class RenderError(MbmfError):
    """This machine, or this task, cannot be rendered. Callers say so in one line and go on."""


class Renderer:
    """Draws an MjData of ``model`` with the model's first camera, or one that follows its centre.

    Args:
        model: copied; later changes to it are not seen.
        width, height: of the picture, in pixels (even numbers, as videos need them).
        shadows: draw shadows and reflections; four times slower where there is no GPU.

    It draws in the thread that made it, as OpenGL does. A process that was forked from one that had rendered
    cannot: OpenGL's own threads are not there. Start such processes by spawn or forkserver.

    Raises RenderError where there is no OpenGL to render with.
    """

    def __init__(self, model: Any, width: int = 480, height: int = 360, *, shadows: bool = False) -> None:
        check_size(width, height)
        self._model = copy.copy(model)
        self._model.vis.global_.offwidth, self._model.vis.global_.offheight = width, height
        self._context = self._draw = None
        self._thread = threading.get_ident()
        _check_process()
        _living.add(self)
        try:
            self._context = _make_context(width, height)
            self._context.make_current()
            self._draw = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
        # what a missing or broken OpenGL raises differs by library and driver
        except Exception as error:
            self.close()
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RenderError(
                f"cannot render here: {reason} (without a display this needs EGL: on Debian, the packages "
                "libegl1 and libgl1-mesa-dri)"
            ) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._draw)
        self._scene = mujoco.MjvScene(self._model, _MAX_GEOMS)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = shadows
        self._options = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        if self._model.ncam:
            self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        else:
            mujoco.mjv_defaultFreeCamera(self._model, self._camera)
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._shape = (height, width, 3)

    def render(self, data: Any, lines: Sequence[Line] = ()) -> NDArray[np.uint8]:
        """Draws ``data``, whose positions must be current (mj_forward), and ``lines``.

        Returns the picture: RGB, uint8 (height, width, 3).
        """
        _check_process()
        if self._context is None or self._draw is None:
            raise ValueError("the renderer is closed")
        if threading.get_ident() != self._thread:
            raise RenderError("a renderer must be used by the thread that made it, got a call of another")
        self._context.make_current()
        if not self._model.ncam and self._model.nbody > 1:
            self._camera.lookat[:] = data.subtree_com[1]
        mujoco.mjv_updateScene(
            self._model, data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        draw_lines(self._scene, lines)
        mujoco.mjr_render(self._rectangle, self._scene, self._draw)
        picture = np.empty(self._shape, dtype=np.uint8)
        mujoco.mjr_readPixels(picture, None, self._rectangle, self._draw)
        return np.ascontiguousarray(picture[::-1])  # OpenGL's rows go upwards

    def close(self) -> None:
        """Frees the OpenGL context; may be called more than once."""
        if self._draw is not None and self._context is not None:
            self._context.make_current()
            self._draw.free()
        if self._context is not None:
            self._context.free()
        self._context = self._draw = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def draw_lines(scene: Any, lines: Sequence[Line]) -> None:
    """Adds lines to an MjvScene, as far as it has room for them."""
    for line in lines:
        color = np.array(line.color, np.float32)
        for start, end in zip(line.points[:-1], line.points[1:], strict=True):
            if scene.ngeom >= scene.maxgeom:
                return
            geom = scene.geoms[scene.ngeom]
            capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
            mujoco.mjv_initGeom(geom, capsule, np.zeros(3), np.zeros(3), np.zeros(9), color)
            mujoco.mjv_connector(geom, capsule, line.radius, start, end)
            scene.ngeom += 1


# of the renderers of this process, and the process that was the first to render
_living: weakref.WeakSet[Renderer] = weakref.WeakSet()
_first_process: int | None = None
# what must never be freed, as that would wait for threads that a fork left behind
_kept: list[Any] = []


def _check_process() -> None:
    global _first_process
    _first_process = _first_process or os.getpid()
    if _first_process != os.getpid():
        raise RenderError(
            "cannot render in a process that was forked from one that had rendered: start it by spawn or "
            "forkserver"
        )


def _forget() -> None:
    """Lets a forked child end: what its parent renders with is neither used nor freed."""
    for renderer in list(_living):
        for thing in (renderer._context, renderer._draw):
            if thing is not None:
                _kept.append(thing)
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
        renderer._context = renderer._draw = None
    egl = sys.modules.get("mujoco.egl")
    if egl is not None:
        egl.EGL_DISPLAY = None  # type: ignore[attr-defined]  # at the end it would be terminated


os.register_at_fork(after_in_child=_forget)


def _make_context(width: int, height: int) -> Any:
    """An OpenGL context: what MUJOCO_GL asks for, or else the first that there is. Raises Exception."""
    if opengl.wanted() in opengl.OFF:
        raise RuntimeError(f"MUJOCO_GL={os.environ['MUJOCO_GL']} switches pictures off")
    makers = {"egl": _egl, "osmesa": _osmesa, "glfw": _window}
    if sys.platform != "linux":
        makers = {"": _default}
    first = {"glx": "glfw"}.get(opengl.wanted(), opengl.wanted())
    failure: Exception | None = None
    for name in sorted(makers, key=lambda name: name != first):
        if name == "osmesa" and first != name:
            continue  # it and EGL exclude each other in a process
        try:
            return makers[name](width, height)
        # what a missing or broken OpenGL raises differs by library and driver
        except Exception as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _egl(width: int, height: int) -> Any:
    if not opengl.is_there("egl"):
        raise RuntimeError("there is no EGL")
    from mujoco.egl import GLContext

    return GLContext(width, height)


def _osmesa(width: int, height: int) -> Any:
    if not opengl.is_there("osmesa"):
        raise RuntimeError("MUJOCO_GL=osmesa, but there is no OSMesa")
    from mujoco.osmesa import GLContext

    return GLContext(width, height)


def _window(width: int, height: int) -> Any:
    reason = no_window()
    if reason is not None:
        raise RuntimeError(reason)
    from mujoco.glfw import GLContext

    return GLContext(width, height)


def _default(width: int, height: int) -> Any:
    from mujoco.gl_context import GLContext

    return GLContext(width, height)


_OPEN_A_WINDOW = """
import glfw
if not glfw.init():
    raise SystemExit(1)
glfw.window_hint(glfw.VISIBLE, 0)
raise SystemExit(0 if glfw.create_window(64, 64, "", None, None) else 1)
"""


def no_window() -> str | None:
    """Why no window can be opened here, or None.

    A display that is named but not there (ssh, tmux) would end the process, so another one tries.
    """
    if sys.platform != "linux":
        return None
    display = (os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", ""))
    if not any(display):
        return "there is no display"
    if not _opens(display):
        return f"the display {next(filter(None, display))} cannot be used"
    return None


@functools.cache
def _opens(display: tuple[str, str]) -> bool:
    """Whether a window opens on the displays of X and Wayland."""
    try:
        tried = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _OPEN_A_WINDOW],
            capture_output=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0
