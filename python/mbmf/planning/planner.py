"""Model-predictive control (paper, section IV-C): a search over action sequences, rolled through a model."""

from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf import _core
from mbmf.arguments import (
    MAX_SEED,
    MAX_THREADS,
    a_task,
    finite_numbers,
    float64_array,
    number,
    numbers,
    whole_number,
    whole_numbers,
)
from mbmf.planning.learned import model_core, policy_core, proposals_of, value_core
from mbmf.planning.plan import (
    FloatArray,
    HasCore,
    PathLike,
    Plan,
    PlanMemory,
    Round,
    Sequences,
    SimulatorModel,
)
from mbmf.tasks.searches import default_candidates, search_values, shown_values
from mbmf.tasks.task import Task, check_path_start

if TYPE_CHECKING:
    from mbmf.planning.own import Search
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.values.value import ValueFunction

# how far an episode of `Planner.act` is
_BEGUN = ("_memory", "_episode", "_step", "_segment", "_origin")
# what the core was made with
_OF_SEARCH = ("search", "settings", "horizon", "candidates", "seed", "nthread")
_FIXED = ("task", "core", *_OF_SEARCH, "value", "policy", "proposals")
_warned_of_threads: list[int] = []


class Planner:
    """A search and what rolls its candidates: a learned model, the simulator, or a model and a Python cost.

    Use one of :class:`mbmf.RandomShooting`, :class:`mbmf.CEM`, :class:`mbmf.ICEM`, :class:`mbmf.MPPI`, or
    :func:`mbmf.make_planner` for what the task's file says; this class takes a search of your own.

    A plan is a pure function of (model, task, state, seed, episode, step, memory): the same bits at any
    number of threads. The search runs in C++ without the GIL. A Python cost function makes it slower.

    A planner is for one thread at a time: a call while another one runs raises :class:`mbmf.CoreError`, and
    so does one in a forked child.

    Args:
      task: the task whose planning cost is minimised.
      model: a :class:`mbmf.DynamicsModel` of that task's robot, state and dt (its weights as they are now);
        a model's ``core``, of which only the sizes are compared; or a :class:`SimulatorModel`; with the last,
        every state below is an integration-state row (state_size,).
      search: the name of a search, or a :class:`mbmf.Search`.
      horizon: H, control steps, 1 to 10000; the task file's if not given.
      candidates: of the first round, at least 1; if not given the task file's, where that is for this search,
        or the search's default.
      seed: 0 to 2^64 - 1.
      nthread: threads; 0: one for every CPU.
      path: to follow in place of the task's; see :meth:`set_path`.
      settings: of the search, by name (docs/planning.md); defaults where not given.
      value: what a candidate's last state is worth, taken off its cost; None: nothing.
      policy: whose actions, rolled through the model, are some candidates of the first round (its parameters
        as they are now); it must be of the task, and see what the model predicts. None: all are drawn.
      proposals: how many of the candidates; if not given the task file's (`policy`), or 8.

    Raises:
      ValueError: an argument is out of range, the model is of other sizes, or nobody gives H.

    Example:
      >>> planner = mbmf.ICEM(task, model, horizon=30)
      >>> planner.reset(episode=0)
      >>> action = planner.act(state)
    """

    core: _core.Planner

    def __init__(
        self,
        task: Task,
        model: HasCore | _core.Dynamics | SimulatorModel,
        search: str | Search = "random_shooting",
        horizon: int | None = None,
        candidates: int | None = None,
        seed: int = 0,
        nthread: int = 0,
        path: PathLike | None = None,
        settings: Mapping[str, Any] | None = None,
        value: ValueFunction | None = None,
        policy: GaussianPolicy | None = None,
        proposals: int | None = None,
    ) -> None:
        a_task("task", task)
        if path is not None:
            task = path if isinstance(path, Task) else task.with_path(path)
        self.search = search if isinstance(search, str) else type(search).__name__
        of_file = task.planner
        if horizon is None:
            horizon = of_file.horizon
        if horizon is None:
            raise ValueError(
                f"horizon must be given for {task.name}: its file has none (planner or model_based)"
            )
        if candidates is None:
            if not isinstance(search, str):
                candidates = search.candidates
            else:
                candidates = of_file.candidates if search == of_file.search else default_candidates(search)
        self.task = task
        self.horizon = whole_number("horizon", horizon)
        self.candidates = whole_number("candidates", candidates)
        self.seed = whole_number("seed", seed, 0, MAX_SEED)
        self.nthread = whole_number("nthread", nthread, 0, MAX_THREADS)
        _warn_of_threads(self.nthread)
        shown: dict[str, Any] = {}
        values: dict[str, float] = {}
        made: Any = search
        if isinstance(search, str):
            values = search_values(search, settings or {})
            shown = shown_values(search, values)
        else:
            from mbmf.planning.own import adapted

            if settings:
                raise ValueError(f"settings must not be given with a search of your own, got {settings!r}")
            made = adapted(search, self.horizon, task.naction, self.candidates, self.seed)
        self.settings = shown
        self._dynamics: _core.Dynamics | None = None
        if isinstance(model, SimulatorModel):
            a_task("model.task", model.task)
            difference = model.task.identity.differences(task.identity, observations=False)
            if difference:
                raise ValueError(
                    f"model must be the simulator of task {task.name}, where the core plans, got {difference}"
                )
            if task.cost_function is not None:
                raise ValueError(
                    f"the cost of {task.name} must be terms of its file to plan in the simulator"
                )
        else:
            self._dynamics = model if isinstance(model, _core.Dynamics) else model_core(model, task)
        self.proposals = proposals_of(proposals, policy, task, self.candidates)
        self.core = _core.Planner(
            task.core,
            self._dynamics,
            made,
            self.horizon,
            self.candidates,
            self.seed,
            self.nthread,
            values,
            task.cost_function,
            None if value is None else value_core(value, task),
            None if policy is None else policy_core(policy, task, simulated=self._dynamics is None),
            self.proposals,
        )
        self.value, self.policy = copy.copy(value), copy.copy(policy)
        self._own_search = not isinstance(search, str)
        # for copies: the search, its settings, and the model as it is now
        snapshot = copy.copy(model) if hasattr(model, "core") else model
        self._made_of = search, snapshot, None if settings is None else dict(settings)
        self._memory = self.core.make_memory()
        self._episode = 0
        self._step = 0
        self._segment = 0
        self._origin: list[float] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and name in self.__dict__:
            how = "set_path follows another path" if name == "task" else "make another planner"
            raise AttributeError(f"{name} of a planner must stay as it is: {how}")
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies, here or in other processes, which plan the same bits with threads of their own."""
        search, model, settings = self._made_of
        if isinstance(model, _core.Dynamics):
            raise TypeError(
                "planner must be one of a DynamicsModel to be copied or pickled, got one of its core"
            )
        made_of = self.task, model, search, self.horizon, self.candidates, self.seed, self.nthread
        # a shallow copy must not go on in the same memory
        begun = copy.deepcopy({name: getattr(self, name) for name in _BEGUN})
        named = settings, self.value, self.policy, self.proposals or None
        return _copy, (type(self), (*made_of, None, *named), begun)

    @property
    def dynamics(self) -> _core.Dynamics | None:
        """The compiled model; None where the planner plans through the simulator."""
        return self._dynamics

    @property
    def proposals_left_out(self) -> int:
        """The policy's proposals, of all plans so far, that were no candidates since they were not finite."""
        return self.core.proposals_left_out

    @property
    def own_search(self) -> bool:
        """Whether the search is an object of the user's."""
        return self._own_search

    @property
    def memory(self) -> PlanMemory:
        """What the last plan left for the next: of :meth:`act`, and of :meth:`plan` where it counts steps."""
        return self._memory

    def __repr__(self) -> str:
        return (
            f"<mbmf planner: {self.search}, {self.candidates} candidates of {self.horizon} steps, "
            f"task {self.task.name}>"
        )

    def make_memory(self) -> PlanMemory:
        """An empty memory, for a planner whose episodes you keep yourself."""
        return self.core.make_memory()

    def reset(self, episode: int = 0) -> None:
        """Starts anew: the next :meth:`act` is step 0 of ``episode``, at the path's beginning."""
        self._episode = whole_number("episode", episode, 0, MAX_SEED)
        self._step = 0
        self._memory = self.core.make_memory()
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
        self.__dict__["task"] = task
        self._begin_path()

    @property
    def segment(self) -> int:
        """The segment of the path where the next :meth:`act` begins."""
        return self._segment

    def act(self, state: npt.ArrayLike, *, deadline: float | None = None) -> npt.NDArray[np.float32]:
        """The action for a state (nstate,): float32 (naction,). Each call counts as a step of the episode.

        The planner keeps what the search remembers and, on a path, the segment from call to call, beginning
        at the path's first.
        """
        if self.task.path is None:
            return self.plan(state, deadline=deadline, predict=False).action
        origin = self._origin
        if origin is None:
            origin = self._position(state) if self.task.path.relative else [0.0, 0.0]
        plan = self.plan(state, deadline=deadline, predict=False, segment=self._segment, origin=origin)
        # only now: a state that was refused is not where the path begins
        self._segment, self._origin = plan.segment, origin
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
        memory: PlanMemory | None = None,
    ) -> Plan:
        """Searches from a state (nstate,).

        A plan within limits is the plan of exactly its candidates_done candidates, bit for bit.

        Args:
          state: the present state, finite.
          episode: which episode's random numbers; that of :meth:`reset` if not given.
          step: which step's. If neither is given the calls are counted, and the planner's own memory is used.
          deadline: seconds from the call within which it returns, with the best so far. A few candidates are
            searched, in time or not.
          candidates: at most so many in all, over the rounds; all if not given.
          predict: whether Plan.states is wanted; if not it is of shape (0, nstate).
          segment: on a path, the segment where the robot is; :attr:`Plan.segment` is that of the next plan.
          origin: on a path, what is added to the waypoints, metres (2,).
          memory: of the plan before in the same episode, and then of this one. If not given and ``episode``
            or ``step`` is, the plan begins an episode and leaves nothing.

        Raises:
          ValueError: the state is of another size or not finite, the segment or the origin cannot be, or the
            memory is of another planner, task or horizon.
          mbmf.CoreError: no candidate has a finite cost.
        """
        begin = time.monotonic_ns()
        if episode is None and step is None:
            episode, step = self._episode, self._step
            self._step += 1
            memory = self._memory if memory is None else memory
        episode = self._episode if episode is None else whole_number("episode", episode, 0, MAX_SEED)
        step = 0 if step is None else whole_number("step", step, 0, MAX_SEED)
        row = numbers("state", state, np.float64)
        at = check_path_start(segment, origin)
        limits: dict[str, Any] = {"predict": predict, "memory": memory}
        if deadline is not None:
            limits["deadline"] = begin + int(1e9 * number("deadline", deadline, 0, 1e6))
        if candidates is not None:
            limits["candidates"] = whole_number("candidates", candidates, 1, self.core.most_candidates)
        return _plan(self.core.plan(row, episode, step, *at, **limits))

    def trace(
        self,
        state: npt.ArrayLike,
        episode: int = 0,
        step: int = 0,
        *,
        segment: int = 0,
        origin: npt.ArrayLike = (0.0, 0.0),
        memory: PlanMemory | None = None,
    ) -> tuple[Plan, list[Round]]:
        """A plan and its rounds, with every candidate and its cost: to look at, slower than :meth:`plan`."""
        row = numbers("state", state, np.float64)
        at = check_path_start(segment, origin)
        episode = whole_number("episode", episode, 0, MAX_SEED)
        step = whole_number("step", step, 0, MAX_SEED)
        found, rounds = self.core.trace(row, episode, step, *at, memory=memory)
        return _plan(found), [Round(*each) for each in rounds]

    def roll(
        self,
        state: npt.ArrayLike,
        sequences: npt.ArrayLike,
        *,
        segment: int = 0,
        origin: npt.ArrayLike = (0.0, 0.0),
    ) -> FloatArray:
        """The planning costs of action sequences (n, H, naction) in [-1, 1] from a state: float64 (n,)."""
        row = numbers("state", state, np.float64)
        rows = numbers("sequences", sequences, np.float32)
        return self.core.roll(row, rows, *check_path_start(segment, origin))

    def plan_batch(
        self,
        states: npt.ArrayLike,
        episodes: npt.ArrayLike | None = None,
        steps: npt.ArrayLike | None = None,
        *,
        segments: npt.ArrayLike | None = None,
        origins: npt.ArrayLike | None = None,
        memories: Sequence[PlanMemory] | None = None,
    ) -> tuple[Sequences, FloatArray]:
        """Searches from many states (n, nstate), each as :meth:`plan` would.

        Args:
          states: finite.
          episodes: (n,) whole numbers; all 0 if not given.
          steps: (n,) whole numbers; 0 .. n - 1 if not given.
          segments, origins: on a path, (n,) and (n, 2) as for :meth:`plan`; zeros if not given.
          memories: one for each state, as for :meth:`plan`; their ``segment`` is that of the next plan. If
            not given each plan begins an episode.

        Returns:
          first actions, float32 (n, naction), and costs, float64 (n,).
        """
        rows = numbers("states", states, np.float64)
        finite_numbers("states", rows, np.float32)
        n = rows.shape[0] if rows.ndim else 0
        episode_ids = np.zeros(n, np.uint64) if episodes is None else _indices("episodes", episodes)
        step_ids = np.arange(n, dtype=np.uint64) if steps is None else _indices("steps", steps)
        on = None if segments is None else whole_numbers("segments", segments, (n,), 0, 10**9, np.int32)
        at = None if origins is None else float64_array("origins", origins, (n, 2))
        kept = None if memories is None else list(memories)
        if kept is not None and len({id(memory) for memory in kept}) < len(kept):
            raise ValueError("memories must be one object for each state, got one twice")
        actions, costs, _ = self.core.plan_batch(rows, episode_ids, step_ids, on, at, kept)
        return actions, costs

    def _begin_path(self) -> None:
        self._segment, self._origin = 0, None

    def _position(self, start: npt.ArrayLike) -> list[float]:
        """x and y of a state, or of an integration-state row."""
        state = finite_numbers("state", start, np.float64)
        if self._dynamics is None and state.shape == (self.core.start_size,):
            simulator = _core.Simulator(self.task.core, 1, 1, 0)
            simulator.set_state(None, state[None])
            state = simulator.states[0]
        indices = self.task.path_indices
        assert indices is not None
        if state.ndim != 1 or len(state) <= max(indices):
            raise ValueError(f"state must be of shape ({self.core.start_size},), got {state.shape}")
        return [float(state[i]) for i in indices]


def _copy(kind: type[Planner], made_of: tuple[Any, ...], begun: dict[str, Any]) -> Planner:
    """What `Planner.__reduce__` took apart."""
    planner = kind.__new__(kind)
    Planner.__init__(planner, *made_of)
    vars(planner).update(begun)
    return planner


def _plan(found: Any) -> Plan:
    candidate, cost, actions, states, done, moved, after, rounds, proposals = found
    return Plan(actions[0], cost, actions, states, candidate, done, moved, after, rounds, proposals)


def task_on(path: PathLike, task: Task) -> Task:
    """The task with another path to follow. Raises as `Planner.set_path`."""
    other = path if isinstance(path, Task) else task.with_path(path)
    if not other.same_robot(task):
        raise ValueError(f"path must be one of task {task.name}, got one of {other.name}")
    return other


def _warn_of_threads(nthread: int) -> None:
    """Warns, once a process, of more threads than there are CPUs: they only take turns."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if nthread > cpus and not _warned_of_threads:
        _warned_of_threads.append(nthread)
        warnings.warn(f"nthread should be at most the {cpus} CPUs here, got {nthread}: slower", stacklevel=4)


def _indices(name: str, values: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise ValueError(
            f"{name} must be one-dimensional whole numbers that are not negative, got {values!r}"
        )
    return np.ascontiguousarray(array, dtype=np.uint64)
