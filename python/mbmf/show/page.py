"""A page in the browser (viser): a robot, what its plans chose among, and what may be changed."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import logging
import queue
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf.errors import ConfigError
from mbmf.show.driven import DIRECTIONS, Candidates
from mbmf.tasks.searches import SearchOption, search_kind, search_kinds

if TYPE_CHECKING:
    import mujoco

    from mbmf.tasks.searches import PlannerSettings
    from mbmf.tasks.task import Task

_BEST = (26, 217, 77)
_OTHERS = (64, 140, 255)
_WORST = (230, 60, 40)
_WIDTH = 0.012  # metres
# of a slider without limits of its own, beside its default
_TIMES = 4


def check_page(host: str, port: int) -> None:
    """Raises ConfigError where no page can be served: the extra is missing, or the port is not to be had."""
    try:
        import mjviser  # noqa: F401
        import viser  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"a page in the browser needs the package {error.name}, which is not installed: "
            'pip install "mbmf[view]"'
        ) from None
    if not 1 <= port <= 65_535:
        raise ConfigError(f"a page's port must be from 1 to 65535, got {port}")
    # viser itself would take the next one in silence
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"a page's host and port must be free ones of this machine, got {host}:{port}: "
                f"{error.strerror}"
            ) from None


class Page:
    """A page, served by threads of its own; what is done there waits in `changes` until `take` is called.

    Args:
      task: whose robot is shown.
      host, port: where, as `check_page` found them good.
    """

    def __init__(self, task: Task, host: str, port: int) -> None:
        import viser
        from mjviser import ViserMujocoScene

        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
        self.changes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # browsers open connections that they do not use
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
        # it prints its addresses
        with contextlib.redirect_stdout(io.StringIO()):
            self._server = viser.ViserServer(host=host, port=port, label=task.name, verbose=False)
        self._server.scene.set_up_direction("+z")
        # it writes its own colours into the model
        self._scene = ViserMujocoScene(self._server, copy.copy(task.model), num_envs=1)
        size = _size(task.model)

        def look(client: Any) -> None:
            client.camera.position = (0.6 * size, -3.0 * size, 1.8 * size)
            client.camera.look_at = (0.0, 0.0, 0.0)

        self._server.on_client_connect(look)

        self._text = self._server.gui.add_markdown("")
        self._message = self._server.gui.add_markdown("")
        self._lines: Any = None
        self._points: Any = None
        self._search: Any = None

    def show(self, data: mujoco.MjData, found: Candidates | None) -> None:
        """Draws the robot and what its plan chose among: plan green, others blue, ends green to red."""
        self._scene.update_from_mjdata(data)
        segments = np.zeros((0, 2, 3), np.float32)
        colors = np.zeros((0, 2, 3), np.uint8)
        ends = np.zeros((0, 3), np.float32)
        if found is not None:
            pieces = [np.stack([way[:-1], way[1:]], axis=1) for way in found.ways]
            segments = np.concatenate(pieces).astype(np.float32)
            colors = np.full(segments.shape, _OTHERS, np.uint8)
            colors[: len(pieces[0])] = _BEST
            ends = found.ends.astype(np.float32)
        rank = np.linspace(0, 1, len(ends))[:, None]
        shades = ((1 - rank) * _BEST + rank * _WORST).astype(np.uint8)
        # below the frame that mjviser moves against the robot, which stays in the middle
        scene = self._server.scene
        with self._server.atomic():
            self._lines = scene.add_line_segments("/fixed_bodies/plans", segments, colors, thickness=_WIDTH)
            self._points = scene.add_point_cloud("/fixed_bodies/ends", ends, shades, point_size=3 * _WIDTH)

    def say(self, text: str) -> None:
        """Writes the lines at the top, Markdown."""
        self._text.content = text

    def take(self) -> None:
        """Does what was asked for on the page since the last call; what cannot be is said there."""
        while not self.changes.empty():
            change = self.changes.get()
            try:
                change()
            # whatever a setting is refused with belongs on the page: the robot goes on as before
            except ValueError as error:
                self._message.content = f"**{error}**"
            else:
                self._message.content = ""

    def buttons(
        self, pause: Callable[[bool], None], restart: Callable[[], None], push: Callable[[str, float], None]
    ) -> None:
        """Offers to pause, to begin anew, and to push the robot (a direction, and by how many m/s)."""
        gui = self._server.gui
        self._on_change(gui.add_checkbox("pause", False), pause)
        again = gui.add_button("start again")
        again.on_click(lambda _: self.changes.put(restart))
        with gui.add_folder("push"):
            where = gui.add_dropdown("direction", tuple(DIRECTIONS))
            speed = gui.add_slider("by m/s", 0.1, 5.0, 0.1, 1.0)
            button = gui.add_button("push")
            button.on_click(lambda _: self.changes.put(lambda: push(where.value, speed.value)))

    def path_choice(self, names: Sequence[str], follow: Callable[[str], None]) -> None:
        """Offers paths to switch to; nothing where there are none."""
        if names:
            self._on_change(self._server.gui.add_dropdown("path", tuple(names)), follow)

    def plan_count(self, count: int, choose: Callable[[int], None]) -> None:
        """Offers how many plans are drawn."""
        self._on_change(self._server.gui.add_slider("plans drawn", 0, 50, 1, min(count, 50)), choose)

    def weight_sliders(
        self, terms: Mapping[str, tuple[str, float]], weigh: Callable[[str, float], None]
    ) -> None:
        """Offers the weights of terms (`mbmf.show.driven.weights`): from 0 to four times what each is."""
        if not terms:
            return
        with self._server.gui.add_folder("weights of terms"):
            for key, (name, weight) in terms.items():
                most = _TIMES * weight if weight else 1.0
                low, high = sorted((0.0, most))
                handle = self._server.gui.add_slider(name, low, high, (high - low) / 200, weight)
                self._on_change(handle, functools.partial(weigh, key))

    def planner_sliders(
        self, settings: PlannerSettings, horizon: int, plan_with: Callable[..., None]
    ) -> None:
        """Offers searches, the horizon, the number of candidates, and the options of the search."""
        gui = self._server.gui
        folder = gui.add_folder("planner")

        def fill(search: str, candidates: int, given: Mapping[str, Any]) -> None:
            kind = search_kind(search)
            options = gui.add_folder(search)
            with options:
                most = min(max(_TIMES * candidates, 100), kind.most_candidates)
                slider = gui.add_slider("candidates", 1, most, 1, candidates)
                self._on_change(slider, lambda value: plan_with(candidates=int(value)))
                for name, option in kind.options.items():
                    handle = self._option(option, given.get(name, option.default))
                    self._on_change(handle, functools.partial(_set, plan_with, name))
            self._search = options

        def change(search: str) -> None:
            plan_with(search=search)
            self._search.remove()
            with folder:
                fill(search, search_kind(search).candidates, {})

        with folder:
            self._on_change(
                gui.add_dropdown("search", tuple(search_kinds()), initial_value=settings.search), change
            )
            slider = gui.add_slider("horizon", 1, max(_TIMES * horizon, 50), 1, horizon)
            self._on_change(slider, lambda value: plan_with(horizon=int(value)))
            fill(settings.search, settings.candidates, settings.settings)

    def _option(self, option: SearchOption, value: Any) -> Any:
        """What an option of a search is changed with."""
        gui = self._server.gui
        if isinstance(value, bool):
            return gui.add_checkbox(option.name, value, hint=option.meaning)
        if option.words:
            return gui.add_dropdown(option.name, option.words, initial_value=value, hint=option.meaning)
        number = int if option.whole else float
        low = number(option.low)
        high = min(number(option.high), number(max(_TIMES * value, low + _TIMES)))
        step = 1 if option.whole else (high - low) / 200
        if option.low_open:
            low = min(low + step, value)
        return gui.add_slider(option.name, low, high, step, number(value), hint=option.meaning)

    def _on_change(self, handle: Any, change: Callable[[Any], None]) -> None:
        handle.on_update(lambda _: self.changes.put(lambda: change(handle.value)))

    def close(self) -> None:
        """Ends the server."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()


def _set(plan_with: Callable[..., None], name: str, value: Any) -> None:
    plan_with(**{name: value})


def _size(model: mujoco.MjModel) -> float:
    """How far the robot reaches from its middle at the start, metres."""
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    own = np.flatnonzero(model.geom_bodyid > 0)
    if not len(own):
        return 1.0
    reach = np.linalg.norm(data.geom_xpos[own] - data.subtree_com[1], axis=1) + model.geom_rbound[own]
    return float(reach.max())


def described(found: Candidates) -> str:
    """Costs and spread of what a plan chose among, a line."""
    if not len(found.costs):
        return "no candidate has a finite cost"
    spread: npt.NDArray[np.float64] = found.ends.std(axis=0) if len(found.ends) else np.zeros(3)
    best, middle, worst = found.costs[0], np.median(found.costs), found.costs[-1]
    return (
        f"{found.done} candidates; cost: best {best:.4g}, median {middle:.4g}, worst {worst:.4g}; "
        f"ends spread by {np.linalg.norm(spread):.2g} m"
    )
