"""MuJoCo's Python package chooses OpenGL when it is imported, by MUJOCO_GL, and fails without that one.

Learning needs no OpenGL. So mujoco is imported without it in that case; pictures look for another one
(`mbmf.simulation.renderer`).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys

_LIBRARIES = {
    "egl": ("libEGL.so.1", "libEGL.so"),
    "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"),
}
OFF = ("disable", "disabled", "off", "false", "0")
_SAFE = ("", "glfw", "glx", "enable", "enabled", "on", "true", "1", *OFF)


def wanted() -> str:
    """What MUJOCO_GL says."""
    return os.environ.get("MUJOCO_GL", "").lower().strip()


def is_there(name: str) -> bool:
    """Whether the library of an OpenGL, egl or osmesa, can be loaded."""
    for library in _LIBRARIES.get(name, ()):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False


def import_mujoco() -> None:
    """Imports mujoco where MUJOCO_GL would let that fail; else leaves it to whoever needs it."""
    if sys.platform != "linux" or "mujoco" in sys.modules or wanted() in _SAFE or is_there(wanted()):
        return
    before = os.environ["MUJOCO_GL"]
    os.environ["MUJOCO_GL"] = "disable"
    try:
        importlib.import_module("mujoco")
    finally:
        os.environ["MUJOCO_GL"] = before
