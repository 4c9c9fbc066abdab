"""A real-time control loop: a state comes in, an action goes out, every period (docs/deployment.md)."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mbmf import _core
from mbmf.arguments import MAX_SEED, float64_array, number, of_class, true_or_false, whole_number
from mbmf.tasks.searches import search_values

if TYPE_CHECKING:
    from mbmf.planning.plan import PathLike
    from mbmf.planning.planner import Planner

Mode = Literal["anytime", "fixed", "fitted"]
_MODES = {
    "anytime": _core.PlanMode.ANYTIME,
    "fixed": _core.PlanMode.FIXED,
    "fitted": _core.PlanMode.FITTED,
}


@dataclasses.dataclass(frozen=True)
class Command:
    """What the loop sent last.

    Attributes:
      action: float64 (naction,), in [-1, 1].
      step: the number of the tick from which it acts; -1: nothing was sent yet, and it is the safe action.
      time: that tick, seconds of `time.monotonic`.
      kind: "planned", "held" (a later action of the last plan) or "safe".
      fault: why it was not planned, in words; "" where it was.
      fresh: whether it is new since the last call of `get_action`.
    """

    action: npt.NDArray[np.float64]
    step: int
    time: float
    kind: str
    fault: str
    fresh: bool


class Controller:
    """Plans in a C++ thread of its own, on the monotonic clock; Python is never called from the loop.

    Between two ticks it takes the latest state, plans, and sends the action that is to act from the next tick
    on. A plan that is late is counted and never sent: the last plan's next actions are, for ``hold_steps``
    steps, and then the safe action; so too where the state is missing, older than ``stale_after``, or not
    finite. After an overrun ticks are skipped, not made up for.

    Args:
      planner: whose task, model, search, horizon, candidates, seed and threads are taken; its model as it
        is now. The loop has a planner of its own.
      period: seconds; 0: the task's control step, which is what a model's step is: with another period held
        rows and compensated delays are not to scale.
      mode: "anytime": as many candidates as there is time for, "fixed": always all of them, "fitted": as many
        as took ``share`` of the period so far; at most the planner's number in each.
      share: for "fitted", between 0 and 1.
      margin: seconds before the next tick when a plan is to be there; None: 5 % of the period, at least 0.1
        and at most 1 ms.
      phase: seconds after a tick when the state is taken.
      compensate: plan from where the model expects the robot to be when the action acts, with the actions
        that are under way until then.
      actuation_delay: for ``compensate``: seconds from a tick to when its action acts.
      hold_steps: steps for which the last plan is held.
      stale_after: seconds, at most 10^6; 0: three periods. A state that is said to be of later than so much
        from now counts as of another clock (`time.time` for `time.monotonic`), and is answered likewise.
      safe_action: (naction,) in [-1, 1]; None: the task's.
      episode: whose random numbers the plans use.
      spin: seconds before a tick in which the loop looks at the clock instead of sleeping.
      priority: SCHED_FIFO's, 1 to 99, of the loop and the planner's threads; 0: the normal scheduler.
      cpus: where these threads may run; empty: anywhere.
      lock_memory: keep the process's memory from being paged out. What the system refuses of the last three
        is in `notes` after `start`.
      history: steps whose records are kept, the last ones.

    Raises:
      ValueError: an argument is out of range, the planner plans through the simulator or with a Python cost
        function, or the period is too short for this machine; the message says how long it must be.
    """

    def __init__(
        self,
        planner: Planner,
        period: float = 0.0,
        *,
        mode: Mode = "anytime",
        share: float = 0.7,
        margin: float | None = None,
        phase: float = 0.0,
        compensate: bool = False,
        actuation_delay: float = 0.0,
        hold_steps: int = 3,
        stale_after: float = 0.0,
        safe_action: npt.ArrayLike | None = None,
        episode: int = 0,
        spin: float = 0.0,
        priority: int = 0,
        cpus: Sequence[int] = (),
        lock_memory: bool = False,
        history: int = 65_536,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, got {mode!r}")
        from mbmf.planning.planner import Planner

        of_class("planner", planner, Planner, "mbmf.make_planner")
        if planner.dynamics is None or planner.task.cost_function is not None:
            raise ValueError(
                "planner must be one with a learned model and without a Python cost function, got another"
            )
        if planner.own_search:
            raise ValueError(
                "planner must be one with a search of the core, which runs without Python, got "
                f"{planner.search}"
            )
        options = _core.ControllerOptions()
        for name, value in (
            ("period", period),
            ("share", share),
            ("phase", phase),
            ("actuation_delay", actuation_delay),
            ("stale_after", stale_after),
            ("spin", spin),
        ):
            setattr(options, name, _duration(name, value))
        if margin is not None:
            if not _duration("margin", margin) >= 0:
                raise ValueError(f"margin must be at least 0 s, got {margin}")
            options.margin = float(margin)
        options.mode = _MODES[mode]
        options.compensate = true_or_false("compensate", compensate)
        options.hold_steps = whole_number("hold_steps", hold_steps, 0)
        options.episode = whole_number("episode", episode, 0, MAX_SEED)
        options.history = whole_number("history", history)
        if safe_action is not None:
            options.safe_action = float64_array("safe_action", safe_action, (planner.task.naction,)).tolist()
        thread = _core.ThreadSettings()
        thread.priority = whole_number("priority", priority, 0, 99)
        if isinstance(cpus, int):
            raise ValueError(f"cpus must be a list of numbers of CPUs, got {cpus}")
        thread.cpus = [whole_number("cpus", cpu, 0, 1023) for cpu in cpus]
        thread.lock_memory = true_or_false("lock_memory", lock_memory)
        options.thread = thread
        self.task = planner.task
        self._process = os.getpid()
        self.core = _core.Controller(
            planner.task.core,
            planner.dynamics,
            planner.search,
            planner.horizon,
            planner.candidates,
            planner.seed,
            planner.nthread,
            search_values(planner.search, planner.settings),
            options,
            None if planner.value is None else planner.value.core,
            None if planner.policy is None else planner.policy.core,
            planner.proposals,
        )

    def __repr__(self) -> str:
        return f"<mbmf.Controller: every {1e3 * self.period:g} ms, task {self.task.name}>"

    @property
    def period(self) -> float:
        """Seconds."""
        return self.core.options.period

    @property
    def shortest_period(self) -> float:
        """The shortest period that this machine can keep, seconds, measured when the controller was made."""
        return self.core.shortest_period

    @property
    def running(self) -> bool:
        return os.getpid() == self._process and self.core.running

    @property
    def notes(self) -> list[str]:
        """What the system refused of priority, cpus and lock_memory at the last `start`, a sentence each."""
        return self.core.notes

    def start(self, first: float | None = None) -> None:
        """Starts the loop; statistics start anew. From any thread.

        Args:
          first: tick 0, seconds of `time.monotonic`; now if not given.

        Raises:
          mbmf.CoreError: it runs already.
        """
        self.core.start(None if first is None else int(1e9 * number("first", first, -9e9, 9e9)))

    def stop(self) -> None:
        """Stops the loop when the present step is over; nothing if it does not run. From any thread."""
        self.core.stop()

    def put_state(self, state: npt.ArrayLike, when: float | None = None) -> None:
        """Hands the loop the latest state (nstate,); never waits. From one thread only.

        Args:
          state: any numbers: the loop looks whether they are finite.
          when: when it was measured, seconds of `time.monotonic`; now if not given.
        """
        self._check_process()
        now = time.monotonic_ns() if when is None else int(1e9 * number("when", when, -9e9, 9e9))
        self.core.put_state(float64_array("state", state, (self.task.nstate,)), now)

    def get_action(self) -> Command:
        """What the loop sent last; never waits. From one thread only."""
        self._check_process()
        action, step, at, kind, fault, fresh = self.core.get_action()
        return Command(action, step, 1e-9 * at, kind.name.lower(), _core.fault_text(fault), fresh)

    def set_path(self, path: PathLike) -> None:
        """Goes on along another path of the task, from the next step on; never waits. From one thread only.

        Args:
          path: the name of a path, a CSV file, waypoints (P, 2) in metres, or a task with a path. One that is
            relative begins where the robot is when the step takes its state.

        Raises:
          ConfigError: there is no such path, or the task's robot cannot follow any.
          ValueError: the task follows no path, or the other task is of another robot.
        """
        from mbmf.planning.planner import task_on

        self._check_process()
        task = task_on(path, self.task)
        self.core.set_path(task.core)
        self.task = task

    def statistics(self) -> dict[str, Any]:
        """Counts, and quantiles in seconds, since `start`; at any time, from any thread.

        Keys: steps = planned + held + safe; waiting (of the safe ones, before the first state); late (plans
        that were not sent); skipped (ticks); misses = late + skipped; stale, future, bad_state, no_plan
        (steps with that fault); candidates, fewest, most (of planned steps: mean, least, most); and period,
        compute, jitter (how late the loop woke) and age (of the state), each with mean, p50, p99, p999 and
        max.
        """
        s = self.core.statistics()
        counts = ("steps", "planned", "held", "safe", "waiting", "late", "skipped", "misses")
        faults = ("stale", "future", "bad_state", "no_plan", "fewest", "most")
        found: dict[str, Any] = {name: getattr(s, name) for name in counts + faults}
        found["candidates"] = s.candidates / s.planned if s.planned else 0.0
        for name in ("period", "compute", "jitter", "age"):
            quantiles = getattr(s, name)
            found[name] = {key: getattr(quantiles, key) for key in ("mean", "p50", "p99", "p999", "max")}
        return found

    def records(self) -> dict[str, npt.NDArray[Any]]:
        """The last ``history`` steps, after `stop`: arrays of equal length by name.

        step (tick), wake (s, how late the loop woke), compute (s), age (s, of the state), candidates, segment
        (of the path, where the step began), kind (0 planned, 1 held, 2 safe), fault (as `_core.Fault`).

        Raises:
          mbmf.CoreError: the loop runs.
        """
        self._check_process()
        records: dict[str, npt.NDArray[Any]] = self.core.records()
        return records

    def _check_process(self) -> None:
        """Raises CoreError in a forked child, where no loop runs: its last action would count as new."""
        if os.getpid() != self._process:
            raise _core.Error(
                "a controller must be used in the process that made it, got a call after a fork"
            )

    def __enter__(self) -> Controller:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _duration(name: str, value: Any) -> float:
    """A number, whose range the core knows. Raises ValueError on what is none."""
    if isinstance(value, float) and math.isnan(value):
        return value
    return number(name, value, -math.inf, math.inf)
