"""A robot that a run's model drives, step by step, while somebody looks and changes how it is planned."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
import numpy.typing as npt

from mbmf.planning.make import make_planner
from mbmf.show.overlays import centres_of_mass
from mbmf.simulation.simulator import Simulator
from mbmf.tasks.paths import SHAPES
from mbmf.tasks.searches import PlannerSettings, default_candidates
from mbmf.tasks.settings import changed_task

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.plan import Plan
    from mbmf.planning.planner import Planner
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.tasks.task import Task
    from mbmf.values.value import ValueFunction

#: unit vectors of pushes
DIRECTIONS = {
    "forward (+x)": (1.0, 0.0, 0.0),
    "back (-x)": (-1.0, 0.0, 0.0),
    "left (+y)": (0.0, 1.0, 0.0),
    "right (-y)": (0.0, -1.0, 0.0),
    "up (+z)": (0.0, 0.0, 1.0),
}
#: candidates whose end is shown, evenly over the round's costs
ENDS = 60


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What a plan chose among, in the world.

    Attributes:
      ways: of the centre of mass, the plan's and then the best others' of the last round, each (n, 3).
      ends: where candidates of that round end, from the cheapest to the dearest, float64 (m, 3).
      costs: of all finite ones of the round, sorted, float64 (k,).
      done: candidates that the plan rolled, over all rounds.
    """

    ways: list[npt.NDArray[np.float64]]
    ends: npt.NDArray[np.float64]
    costs: npt.NDArray[np.float64]
    done: int


def weights(task: Task) -> dict[str, tuple[str, float]]:
    """The terms that plans are made with: by key of the task file, what the term is called and its weight.

    None where the cost is a Python function.
    """
    if task.cost_function is not None:
        return {}
    config = task.config
    first = "reward" if config.cost is None and config.path is None else "cost"
    found = {}
    for section in (first, "terminal_cost"):
        for place, term in enumerate(getattr(config, section) or ()):
            states = getattr(term, "state", None)
            of = f" of {', '.join(map(str, states))}" if isinstance(states, tuple | list) else ""
            found[f"{section}[{place}].weight"] = (f"{section} {place}: {term.term}{of}", term.weight)
    return found


def candidates(
    planner: Planner,
    data: mujoco.MjData,
    state: npt.NDArray[np.float64],
    count: int,
    *,
    episode: int = 0,
    step: int = 0,
    **at: Any,
) -> tuple[Plan, Candidates]:
    """A plan, and what it chose among: ``count`` ways. ``data`` is of the robot, to work with. The
    planner has a learned model.

    ``at``: segment, origin, memory, as `mbmf.Planner.plan` takes them.
    """
    plan, rounds = planner.trace(state, episode, step, **at)
    last = rounds[-1]
    order = [k for k in np.argsort(last.costs, kind="stable").tolist() if np.isfinite(last.costs[k])]
    others = [k for k in order if k != plan.candidate][: count - 1]
    spread = [order[k] for k in np.unique(np.linspace(0, len(order) - 1, ENDS).astype(int))]
    actions = np.concatenate([plan.actions[None], last.sequences[[*others, *spread]]])
    start = np.repeat(np.ascontiguousarray(state, np.float32)[None], len(actions), axis=0)
    assert planner.dynamics is not None
    states = planner.dynamics.open_loop(start, np.ascontiguousarray(actions), planner.nthread)
    shown = 1 + len(others)
    ways = centres_of_mass(planner.task, states[:shown], data)
    ends = [way[-1] for way in centres_of_mass(planner.task, states[shown:, -1:], data) if len(way)]
    return plan, Candidates(ways, np.array(ends).reshape(-1, 3), last.costs[order], plan.candidates_done)


class Driven:
    """A simulation, and the planner that drives it; the planner may be changed between steps.

    Args:
      task, model, value, policy: of the run.
      seed: of the starts and the plans.
      nthread: of the planner; 0: one for every CPU.

    Rewards are the task's, whatever weights are planned with.
    """

    def __init__(
        self,
        task: Task,
        model: DynamicsModel,
        seed: int = 0,
        nthread: int = 0,
        value: ValueFunction | None = None,
        policy: GaussianPolicy | None = None,
    ) -> None:
        self.task = task
        self.paused = False
        self.plans = 10
        self.episode = -1
        self._model, self._seed, self._nthread = model, seed, nthread
        self._value, self._policy = value, policy
        self._weights: dict[str, float] = {}
        self._path: str | None = None
        self.settings = task.planner
        self.planner: Planner
        self._simulator = Simulator(task, nthread=1, seed=seed)
        self._data = mujoco.MjData(task.model)
        self._scratch = mujoco.MjData(task.model)
        self._push: npt.NDArray[np.float64] | None = None
        self._make()
        self.restart()

    @property
    def data(self) -> mujoco.MjData:
        """The robot as it is now, after mj_forward."""
        row = self._simulator.get_state()[0]
        mujoco.mj_setState(self.task.model, self._data, row, mujoco.mjtState.mjSTATE_INTEGRATION.value)
        mujoco.mj_forward(self.task.model, self._data)
        return self._data

    @property
    def state(self) -> npt.NDArray[np.float64]:
        """As the model sees it, float64 (nstate,)."""
        state: npt.NDArray[np.float64] = self._simulator.states[0]
        return state

    def restart(self) -> None:
        """Begins the next episode."""
        self.episode += 1
        self.steps, self.reward = 0, 0.0
        self._simulator.start_episodes([self.episode], "control")
        self._begin()

    def plan_with(self, **changes: Any) -> None:
        """Plans with another search (and its defaults), horizon or number of candidates, or other settings
        of the search, by name. Raises ValueError, and goes on as before, where that cannot be."""
        before = self.settings
        search = changes.pop("search", before.search)
        own = (
            before
            if search == before.search
            else PlannerSettings(search, None, default_candidates(search), {})
        )
        self.settings = PlannerSettings(
            search,
            changes.pop("horizon", before.horizon),
            changes.pop("candidates", own.candidates),
            {**own.settings, **changes},
        )
        try:
            self._make()
        except Exception:
            self.settings = before
            raise

    def weigh(self, key: str, weight: float) -> None:
        """Plans with another weight of a term: a key of `weights`."""
        before = dict(self._weights)
        self._weights[key] = weight
        try:
            self._make()
        except Exception:
            self._weights = before
            raise

    def follow(self, path: str) -> None:
        """Goes on along another of the named paths, from where the robot is."""
        before, self._path = self._path, path
        try:
            self._make()
        except Exception:
            self._path = before
            raise
        self._begin()

    def push(self, direction: str, speed: float) -> None:
        """Pushes the robot during the next step, so that all of it would be faster by ``speed``, m/s."""
        self._push = speed * np.array(DIRECTIONS[direction])

    def step(self) -> Candidates | None:
        """A control step; what the plan chose among where `plans` is above 0.

        An episode ends where the robot leaves the healthy bounds: the next one begins.
        """
        action, found = self._plan()
        pushed = self._push is not None
        if self._push is not None:
            self._force(self.task.model.body_mass[:, None] * self._push / self.task.dt)
            self._push = None
        self._simulator.step(action[None].astype(np.float64))
        self.reward += float(self._simulator.rewards[0])
        self.steps += 1
        ended = bool(self._simulator.terminated[0])
        if pushed:
            self._force(np.zeros((self.task.model.nbody, 3)))
        if ended:
            self.restart()
        return found

    def _force(self, forces: npt.NDArray[np.float64]) -> None:
        """Sets the forces on all bodies, newtons (nbody, 3), for the steps to come."""
        data = self.data
        data.xfrc_applied[:, :3] = forces
        whole = mujoco.mjtState.mjSTATE_INTEGRATION.value
        row = np.empty(mujoco.mj_stateSize(self.task.model, whole))
        mujoco.mj_getState(self.task.model, data, row, whole)
        self._simulator.set_state(row[None])

    def _make(self) -> None:
        """The planner, as everything says by now. It begins with an empty memory."""
        task = changed_task(self.task, [f"{key}={weight!r}" for key, weight in self._weights.items()])
        if self._path is not None:
            task = task.with_path(self._path)
        settings = self.settings
        # neither knows a path
        helps: dict[str, Any] = {} if task.path else {"value": self._value, "policy": self._policy}
        self.planner = make_planner(
            task,
            self._model,
            settings.search,
            settings.horizon,
            settings.candidates,
            self._seed,
            self._nthread,
            settings=settings.settings,
            **helps,
        )
        self._memory = self.planner.make_memory()

    def _begin(self) -> None:
        """The path, if there is one, begins where the robot is."""
        self._segment, self._origin = 0, (0.0, 0.0)
        self._memory = self.planner.make_memory()
        path, axes = self.planner.task.path, self.task.path_indices
        if path is not None and axes is not None and path.relative:
            self._origin = (float(self.state[axes[0]]), float(self.state[axes[1]]))

    def _plan(self) -> tuple[npt.NDArray[np.float32], Candidates | None]:
        at: dict[str, Any] = {"segment": self._segment, "origin": self._origin, "memory": self._memory}
        if not self.plans:
            plan = self.planner.plan(self.state, self.episode, self.steps, predict=False, **at)
            self._segment = plan.segment
            return plan.action, None
        plan, found = candidates(
            self.planner,
            self._scratch,
            self.state,
            self.plans,
            episode=self.episode,
            step=self.steps,
            **at,
        )
        self._segment = plan.segment
        return plan.action, found


def paths(task: Task) -> list[str]:
    """The named paths that the task's robot may follow, its own first; none where it follows no path."""
    if task.path is None:
        return []
    return [task.path.name, *(name for name in SHAPES if name != task.path.name)]
