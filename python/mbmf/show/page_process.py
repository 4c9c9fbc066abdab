"""The page beside `mbmf control`, in a process of its own that runs only when nothing else wants to."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf.errors import MbmfError

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.tasks.task import Task

_PLANS = 10
_PICTURES = 10  # a second
_START = 60.0  # seconds that it may take


class PageProcess:
    """Shows the robot that a control loop drives; plans are made again there, with one thread.

    Args:
      task, model: of the loop; the task with its search.
      seed: of the plans.
      host, port: of the page, as `mbmf.show.page.check_page` found them good.

    Raises MbmfError where it does not come up.
    """

    def __init__(self, task: Task, model: DynamicsModel, seed: int, host: str, port: int) -> None:
        from mbmf.simulation.simulator import Simulator

        context = multiprocessing.get_context("spawn")
        size = Simulator(task, nthread=1).state_size
        # the latest row, and behind it how many there were
        self._latest = context.Array("d", size + 1)
        self._pipe, theirs = context.Pipe()
        arguments = (task, model, seed, host, port, self._latest, theirs)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        try:
            if not self._pipe.poll(_START):
                raise EOFError
            self.url: str = self._pipe.recv()
        except EOFError:
            self.close()
            raise MbmfError(f"the page's process must come up within {_START:.0f} s, got none") from None

    def show(self, row: npt.NDArray[np.float64]) -> None:
        """Hands over the latest state row; never waits."""
        lock = self._latest.get_lock()
        if lock.acquire(block=False):
            try:
                values: npt.NDArray[np.float64] = np.ctypeslib.as_array(self._latest.get_obj())
                values[:-1] = row
                values[-1] += 1
            finally:
                lock.release()

    def wanted_path(self) -> str | None:
        """The path that was chosen on the page since the last call, if any."""
        found = None
        with contextlib.suppress(EOFError, OSError):
            while self._pipe.poll():
                found = self._pipe.recv()
        return found

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.join(5)


def _serve(task: Task, model: DynamicsModel, seed: int, host: str, port: int, latest: Any, pipe: Any) -> None:
    """The process: draws the latest row until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import mujoco

    from mbmf.errors import CoreError
    from mbmf.planning.make import make_planner
    from mbmf.show.driven import candidates, paths
    from mbmf.show.page import Page, described
    from mbmf.simulation.simulator import Simulator

    page = Page(task, host, port)
    planner = make_planner(task, model, seed=seed, nthread=1)
    simulator = Simulator(task, nthread=1)
    data, scratch = mujoco.MjData(task.model), mujoco.MjData(task.model)
    whole = mujoco.mjtState.mjSTATE_INTEGRATION.value

    def follow(name: str) -> None:
        planner.set_path(name)
        pipe.send(name)

    page.path_choice(paths(task), follow)
    drawn = [_PLANS]
    page.plan_count(_PLANS, lambda value: drawn.append(int(value)))
    _run_when_idle()  # only now: the loop waits for the page, also on a machine that has much to do
    pipe.send(page.url)
    number = 0.0
    while True:
        page.take()
        with latest.get_lock():
            row = np.array(latest.get_obj())
        if row[-1] == number:
            time.sleep(0.02)
            continue
        number = row[-1]
        simulator.set_state(row[None, :-1])
        mujoco.mj_setState(task.model, data, row[:-1], whole)
        mujoco.mj_forward(task.model, data)
        found = None
        if drawn[-1]:
            try:
                _, found = candidates(planner, scratch, simulator.states[0], drawn[-1])
            except CoreError as error:
                page.say(str(error))
        page.show(data, found)
        if found is not None:
            page.say(f"at {data.time:.2f} s; {described(found)}")
        time.sleep(1 / _PICTURES)


def _run_when_idle() -> None:
    """Lets every thread of this process run only when nothing else wants to, and those that they start."""
    with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
