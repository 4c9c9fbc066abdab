"""Random-shooting model-predictive control (paper, section IV-C)."""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mbmf import _core
from mbmf.arguments import MAX_SEED, MAX_THREADS, number, whole_number
from mbmf.tasks.task import Task, check_path_start

FloatArray = npt.NDArray[np.float64]

PathLike = str | Path | npt.ArrayLike | Task

_warned_of_threads: list[int] = []
_NOT_TIMED = "with a planner through the simulator or with a Python cost function, got something else"


class HasCore(Protocol):
    """A dynamics model with a compiled form, such as :class:`mbmf.DynamicsModel`."""

    @property
    def core(self) -> _core.Dynamics: ...


@dataclasses.dataclass(frozen=True)
class SimulatorModel:
    """The simulator in the place of a learned model: planning with it is the upper bound for one.

    A planner with it starts from integration-state rows (:meth:`mbmf.Simulator.get_state`), since a state
    need not say all that MuJoCo must know.
    """

    task: Task


@dataclasses.dataclass(frozen=True)
class Plan:
    """The best candidate of one search.

    Attributes:
      action: its first action, float32 (naction,), in [-1, 1].
      cost: its planning cost; lower is better.
      actions: its actions, float32 (H, naction).
      states: the states that the model predicts for it, float32 (H + 1, nstate), the first being the present.
      candidate: its index among the K candidates.
      candidates_done: n: the candidates 0 .. n - 1 were searched, all K of them where there was no deadline.
      moved: on a path, whether it moves on from the segment where it begins.
      segment: on a path, the segment of the next plan.
    """

    action: npt.NDArray[np.float32]
    cost: float
    actions: npt.NDArray[np.float32]
    states: npt.NDArray[np.float32]
    candidate: int
    candidates_done: int
    moved: bool = False
    segment: int = 0


class RandomShooting:
    """Draws K action sequences of length H, rolls a model forward and takes the first action of the cheapest.

    A plan is a pure function of (model, task, state, seed, episode, step): the same bits at any thread count.
    The search runs in C++ without the GIL. A Python cost function makes it NumPy's, slower.

    Args:
      task: the task whose planning cost is minimised.
      model: a :class:`mbmf.DynamicsModel` of that task (its weights as they are now), its ``core``, or a
        :class:`SimulatorModel`; with the last, every state below is an integration-state row (state_size,).
      horizon: H, control steps, 1 to 10000; the task preset's if not given.
      candidates: K, 1 to 10^8; the task preset's if not given.
      seed: 0 to 2^64 - 1.
      nthread: threads; 0: one for every CPU.
      warm_start: candidate 0 of every :meth:`plan` is the last plan, one step later, in place of random
        actions. :meth:`reset` forgets it, and :meth:`plan_batch` does not know it.
      path: to follow in place of the task's; see :meth:`set_path`.

    Raises:
      ValueError: an argument is out of range, the model is of other sizes, or neither it nor the task
        gives H and K.
    """

    def __init__(
        self,
        task: Task,
        model: HasCore | _core.Dynamics | SimulatorModel,
        horizon: int | None = None,
        candidates: int | None = None,
        seed: int = 0,
        nthread: int = 0,
        warm_start: bool = False,
        path: PathLike | None = None,
    ) -> None:
        if path is not None:
            task = path if isinstance(path, Task) else task.with_path(path)
        preset = task.model_based
        if (horizon is None or candidates is None) and preset is None:
            raise ValueError(
                f"horizon and candidates must be given for {task.name}: its file has no model_based section"
            )
        self.task = task
        self.horizon = whole_number("horizon", preset.horizon if horizon is None and preset else horizon)
        self.candidates = whole_number(
            "candidates", preset.candidates if candidates is None and preset else candidates
        )
        self.seed = whole_number("seed", seed, 0, MAX_SEED)
        self.nthread = whole_number("nthread", nthread, 0, MAX_THREADS)
        _warn_of_threads(self.nthread)
        self.core: _core.Planner
        if isinstance(model, SimulatorModel):
            if task.cost_function is not None:
                raise ValueError(
                    f"the cost of {task.name} must be terms of its file to plan in the simulator"
                )
            self._dynamics = None
            self.core = _core.SimulatorShooting(
                task.core, self.horizon, self.candidates, self.seed, self.nthread
            )
        else:
            self._dynamics = model if isinstance(model, _core.Dynamics) else model.core
            self.core = _core.RandomShooting(
                task.core, self._dynamics, self.horizon, self.candidates, self.seed, self.nthread
            )
        if warm_start and (self._dynamics is None or task.cost_function is not None):
            raise ValueError("warm_start must be False " + _NOT_TIMED)
        self.warm_start = warm_start
        self._last: npt.NDArray[np.float32] | None = None
        self._episode = 0
        self._step = 0
        self._segment = 0
        self._origin: list[float] | None = None

    @property
    def dynamics(self) -> _core.Dynamics | None:
        """The compiled model; None where the planner plans through the simulator."""
        return self._dynamics

    def reset(self, episode: int = 0) -> None:
        """Starts anew: the next :meth:`act` is step 0 of ``episode``, at the path's beginning."""
        self._episode = whole_number("episode", episode, 0, MAX_SEED)
        self._step = 0
        self._last = None
        self._begin_path()

    def set_path(self, path: PathLike) -> None:
        """Follows another path from the next :meth:`act` on, which begins where the robot then is.

        The model stays, and so do H, K and the count of steps. Takes milliseconds; with a task made before
        (:meth:`mbmf.Task.with_path`), less.

        Args:
          path: the name of a path, a CSV file, waypoints (P, 2) in metres, or a task with a path.

        Raises:
          ConfigError: there is no such path, or the task's robot cannot follow any.
          ValueError: the other task is of another robot.
        """
        task = task_on(path, self.task)
        self.core.set_task(task.core)
        self.task = task
        self._begin_path()

    @property
    def segment(self) -> int:
        """The segment of the path where the next :meth:`act` begins."""
        return self._segment

    def act(self, state: npt.ArrayLike, *, deadline: float | None = None) -> npt.NDArray[np.float32]:
        """The action for a state (nstate,): float32 (naction,). Each call counts as a step of the episode.

        On a path the planner keeps the segment from call to call, beginning at the path's first.
        """
        if self.task.path is None:
            return self.plan(state, deadline=deadline, predict=deadline is None).action
        if self._origin is None:
            self._origin = self._position(state) if self.task.path.relative else [0.0, 0.0]
        at: dict[str, Any] = {"segment": self._segment, "origin": self._origin}
        plan = self.plan(state, deadline=deadline, predict=deadline is None, **at)
        self._segment = plan.segment
        return plan.action

    def plan(
        self,
        state: npt.ArrayLike,
        episode: int | None = None,
        step: int | None = None,
        *,
        deadline: float | None = None,
        candidates: int | None = None,
        predict: bool = True,
        segment: int = 0,
        origin: npt.ArrayLike = (0.0, 0.0),
    ) -> Plan:
        """Searches from a state (nstate,).

        A plan within limits is the plan of exactly its candidates_done candidates, bit for bit.

        Args:
          state: the present state, finite.
          episode: which episode's random numbers; that of :meth:`reset` if not given.
          step: which step's; if neither is given the calls are counted.
          deadline: seconds from the call within which it returns, with the best candidate so far. At least a
            vector of candidates is searched, in time or not.
          candidates: at most so many candidates; all K if not given.
          predict: whether Plan.states is wanted; if not it is of shape (0, nstate).
          segment: on a path, the segment where the robot is; :attr:`Plan.segment` is that of the next plan.
          origin: on a path, what is added to the waypoints, metres (2,).

        Raises:
          ValueError: the state is of another size or not finite, or the segment or the origin cannot be.
          mbmf.CoreError: no candidate has a finite cost.
        """
        begin = time.monotonic_ns()
        if episode is None and step is None:
            episode, step = self._episode, self._step
            self._step += 1
        episode = self._episode if episode is None else whole_number("episode", episode, 0, MAX_SEED)
        step = 0 if step is None else whole_number("step", step, 0, MAX_SEED)
        row = np.ascontiguousarray(state, dtype=np.float64)
        at = check_path_start(segment, origin)
        timed = deadline is not None or candidates is not None
        if self._dynamics is not None and self.task.cost_function is not None:
            if timed:
                raise ValueError("deadline and candidates must be None " + _NOT_TIMED)
            return self._plan_with(self._dynamics, row, episode, step)
        if self._dynamics is None or (not timed and predict and not self.warm_start):
            if timed:
                raise ValueError("deadline and candidates must be None " + _NOT_TIMED)
            candidate, cost, actions, states, moved, after = self.core.plan(row, episode, step, *at)
            return Plan(actions[0], cost, actions, states, candidate, self.candidates, moved, after)
        limits: dict[str, Any] = {"predict": predict, "segment": at[0], "origin": at[1]}
        if deadline is not None:
            limits["deadline"] = begin + int(1e9 * number("deadline", deadline, 0, 1e6))
        if candidates is not None:
            limits["candidates"] = whole_number("candidates", candidates, 1, self.candidates)
        if self._last is not None:
            limits["warm"] = np.concatenate([self._last[1:], self._last[-1:]])
        found = self.core.plan_within(row, episode, step, **limits)
        candidate, cost, actions, states, done, moved, after = found
        if self.warm_start:
            self._last = actions
        return Plan(actions[0], cost, actions, states, candidate, done, moved, after)

    def plan_batch(
        self,
        states: npt.ArrayLike,
        episodes: npt.ArrayLike | None = None,
        steps: npt.ArrayLike | None = None,
        *,
        segments: npt.ArrayLike | None = None,
        origins: npt.ArrayLike | None = None,
    ) -> tuple[npt.NDArray[np.float32], FloatArray]:
        """Searches from many states (n, nstate), each as :meth:`plan` would.

        Args:
          states: finite.
          episodes: (n,) whole numbers; all 0 if not given.
          steps: (n,) whole numbers; 0 .. n - 1 if not given.
          segments, origins: on a path, (n,) and (n, 2) as for :meth:`plan`; zeros if not given.

        Returns:
          first actions, float32 (n, naction), and costs, float64 (n,).
        """
        rows = np.ascontiguousarray(states, dtype=np.float64)
        n = rows.shape[0] if rows.ndim else 0
        episode_ids = np.zeros(n, np.uint64) if episodes is None else _indices("episodes", episodes)
        step_ids = np.arange(n, dtype=np.uint64) if steps is None else _indices("steps", steps)
        if self._dynamics is None or self.task.cost_function is None:
            on = None if segments is None else _indices("segments", segments).astype(np.int32)
            at = None if origins is None else np.ascontiguousarray(origins, dtype=np.float64)
            return self.core.plan_batch(rows, episode_ids, step_ids, on, at)
        plans = [
            self._plan_with(self._dynamics, row, int(episode), int(step))
            for row, episode, step in zip(rows, episode_ids, step_ids, strict=True)
        ]
        actions = np.array([plan.action for plan in plans], np.float32).reshape(n, self.task.naction)
        return actions, np.array([plan.cost for plan in plans])

    def _begin_path(self) -> None:
        self._segment, self._origin = 0, None

    def _position(self, start: npt.ArrayLike) -> list[float]:
        """x and y of a state, or of an integration-state row."""
        state = np.ascontiguousarray(start, dtype=np.float64)
        if self._dynamics is None and state.shape == (self.core.start_size,):
            simulator = _core.Simulator(self.task.core, 1, 1, 0)
            simulator.set_state(None, state[None])
            state = simulator.states[0]
        indices = self.task.path_indices
        assert indices is not None
        if state.ndim != 1 or len(state) <= max(indices):
            raise ValueError(f"state must be of shape ({self.core.start_size},), got {state.shape}")
        return [float(state[i]) for i in indices]

    def _plan_with(self, dynamics: _core.Dynamics, state: FloatArray, episode: int, step: int) -> Plan:
        """The same search with a Python cost function, a few thousand candidates at a time."""
        if state.shape != (self.task.nstate,) or not np.isfinite(state).all():
            raise ValueError(f"state must be finite and of shape ({self.task.nstate},), got {state}")
        best_cost, best = np.inf, -1
        per_call = max(1, 2_000_000 // (self.horizon * (self.task.nstate + self.task.naction)))
        for first in range(0, self.candidates, per_call):
            count = min(per_call, self.candidates - first)
            actions = self.core.sample(episode, step, first, count)
            start = np.broadcast_to(state.astype(np.float32), (count, self.task.nstate))
            predicted = dynamics.open_loop(np.ascontiguousarray(start), actions, self.nthread)
            costs = self.task.cost(predicted, actions)
            costs = np.where(np.isfinite(costs), costs, np.inf)
            k = int(np.argmin(costs))
            if costs[k] < best_cost:
                best_cost, best = float(costs[k]), first + k
        if best < 0:
            raise _core.Error(f"no candidate has a finite cost at step {step} of episode {episode}")
        actions = self.core.sample(episode, step, best, 1)
        predicted = dynamics.open_loop(state.astype(np.float32)[None], actions, 1)
        return Plan(actions[0, 0], best_cost, actions[0], predicted[0], best, self.candidates)


def task_on(path: PathLike, task: Task) -> Task:
    """The task with another path to follow. Raises as `RandomShooting.set_path`."""
    other = path if isinstance(path, Task) else task.with_path(path)
    if not other.same_robot(task):
        raise ValueError(f"path must be one of task {task.name}, got one of {other.name}")
    return other


def _warn_of_threads(nthread: int) -> None:
    """Warns, once a process, of more threads than there are CPUs: they only take turns."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if nthread > cpus and not _warned_of_threads:
        _warned_of_threads.append(nthread)
        warnings.warn(f"nthread should be at most the {cpus} CPUs here, got {nthread}: slower", stacklevel=3)


def _indices(name: str, values: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise ValueError(
            f"{name} must be one-dimensional whole numbers that are not negative, got {values!r}"
        )
    return np.ascontiguousarray(array, dtype=np.uint64)
