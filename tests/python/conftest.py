"""Fixtures that several tests share."""

from __future__ import annotations

import os
import signal

import mujoco
import pytest

# a background job of a shell ignores Ctrl-C and passes that on; tests that press it need it heard
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def rendering() -> None:
    """Skips a test where nothing can be rendered; with MBMF_REQUIRE_RENDERING set, as in CI, it fails."""
    from mbmf.renderer import Renderer, RenderError

    try:
        Renderer(mujoco.MjModel.from_xml_string("<mujoco/>")).close()
    except RenderError as error:
        if os.environ.get("MBMF_REQUIRE_RENDERING"):
            raise
        pytest.skip(str(error))
