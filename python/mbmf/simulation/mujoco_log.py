"""MuJoCo's warnings: without this it writes them to MUJOCO_LOG.TXT, in whatever the working directory is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mujoco


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """MuJoCo's warnings of a state that is absurd go nowhere within the block; who simulates knows of it."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
