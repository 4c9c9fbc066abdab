"""A task tried: what it gives with no action and with random ones, and what of that looks like a mistake."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmf.dynamics.validation import HORIZONS
from mbmf.rollouts.baseline import collect_actions
from mbmf.seeds import derive_seed
from mbmf.simulation.simulator import Simulator

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

_ACTIONS = 31  # the stage whose random numbers are the actions
_LARGE = 1e3
# how much a timestep may take off a speed, of RK4 on x' = -x
_RK4 = 2.78


@dataclass(frozen=True)
class Trial:
    """What a task gave.

    Attributes:
        still, random: episodes with the actions 0, and with uniform ones.
        low, high, deviation: of each state, with random actions, float64 (nstate,).
        steps_per_second: control steps, on all threads.
        odd: what looks wrong, a line each.
    """

    still: Episodes
    random: Episodes
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    deviation: NDArray[np.float64]
    steps_per_second: float
    odd: list[str]


def try_task(task: Task, episodes: int, steps: int, seed: int = 0, nthread: int = 0) -> Trial:
    """Tries a task in so many episodes of at most so many control steps. Raises ValueError."""
    still = collect_actions(task, np.zeros((steps, episodes, task.naction), np.float32), seed, nthread)
    rng = np.random.default_rng(derive_seed(seed, _ACTIONS))
    actions = rng.uniform(-1, 1, (steps, episodes, task.naction)).astype(np.float32)
    begin = time.perf_counter()
    random = collect_actions(task, actions, seed, nthread)
    seconds = time.perf_counter() - begin
    real = np.arange(random.states.shape[1]) <= random.lengths[:, None]
    states = random.states[real]
    odd = [*_odd_ends(still, random, steps), *_odd_rewards(still, random), *_odd_states(task, states)]
    odd += [*_odd_damping(task), *_odd_actuators(task, seed), *_odd_ranges(task), *_odd_settings(task)]
    return Trial(
        still,
        random,
        states.min(axis=0),
        states.max(axis=0),
        states.std(axis=0),
        random.nsteps / max(seconds, 1e-9),
        odd,
    )


def _odd_ends(still: Episodes, random: Episodes, steps: int) -> list[str]:
    odd = []
    for name, episodes in (("no action", still), ("random actions", random)):
        if episodes.diverged.any():
            odd.append(
                f"with {name} {episodes.diverged.sum()} of {len(episodes)} episodes diverge: a smaller "
                "timestep, more damping or weaker actuators (overrides)?"
            )
        if episodes.terminated.all() and episodes.lengths.max(initial=0) <= min(3, steps):
            odd.append(f"with {name} every episode ends within 3 steps: are the bounds of healthy right?")
    return odd


def _odd_rewards(still: Episodes, random: Episodes) -> list[str]:
    rewards = np.concatenate([each.rewards[:, :1].ravel() for each in (still, random)])
    real = np.arange(random.rewards.shape[1]) < random.lengths[:, None]
    rewards = np.concatenate([rewards, random.rewards[real]])
    if rewards.size and np.ptp(rewards) == 0:
        return [f"the reward is always {rewards[0]:g}: nothing can be learned from it"]
    return []


def _odd_states(task: Task, states: NDArray[np.float64]) -> list[str]:
    odd = []
    still = [
        name for name, range_ in zip(task.state_names, np.ptp(states, axis=0), strict=True) if range_ == 0
    ]
    if still:
        odd.append(f"these states never change: {', '.join(still)}")
    turning = _turning(task, np.abs(states).max(axis=0))
    if turning:
        odd.append(
            f"these angles turn round and round: {', '.join(turning)}; channels with transform: cos and sin "
            "have no end"
        )
    size = np.abs(states).max(axis=0)
    large = [
        f"{name} ({value:.3g})" for name, value in zip(task.state_names, size, strict=True) if value > _LARGE
    ]
    if large:
        odd.append(f"these states become very large: {', '.join(large)}")
    return odd


def _turning(task: Task, size: NDArray[np.float64]) -> list[str]:
    """The angles among the states that go beyond a whole turn."""
    return [
        name
        for name, unit, most in zip(task.state_names, task.state_units, size, strict=True)
        if name.startswith("qpos.") and unit == "rad" and most > 2 * np.pi
    ]


def _odd_damping(task: Task) -> list[str]:
    """The joints whose damping RK4 cannot integrate: it rocks them ever more, until a limit holds them."""
    model = task.model
    if model.opt.integrator != mujoco.mjtIntegrator.mjINT_RK4:
        return []  # the others take damping implicitly
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    rate = model.opt.timestep * model.dof_damping / np.diag(inertia)
    joints = {int(model.dof_jntid[dof]) for dof in np.flatnonzero(rate > _RK4)}
    names = [model.joint(joint).name or f"number {joint}" for joint in sorted(joints)]
    if not names:
        return []
    return [
        "these joints have more damping than RK4 can take with their inertia and a timestep of "
        f"{model.opt.timestep:g} s, and move of themselves: {', '.join(names)}; less damping, a smaller "
        "timestep, or the integrator implicitfast (overrides)?"
    ]


def _odd_actuators(task: Task, seed: int) -> list[str]:
    """The actuators that change nothing of the state within ten control steps."""
    # up and down: one of them may be at a limit
    actions = np.vstack([np.eye(task.naction), -np.eye(task.naction), np.zeros((1, task.naction))])
    simulator = Simulator(task, nsim=len(actions), seed=seed)
    simulator.start_episodes(np.zeros(len(actions), int), "control")
    for _ in range(10):
        simulator.step(actions)
    moved = np.abs(simulator.states[:-1] - simulator.states[-1]).max(axis=1)
    same = moved.reshape(2, task.naction).max(axis=0) < 1e-9
    names = [task.identity.actions[i] for i in np.flatnonzero(same)]
    return [f"these actuators change no state: {', '.join(names)}"] if names else []


def _odd_ranges(task: Task) -> list[str]:
    """The actuators whose controls have no limits."""
    model = task.model
    unlimited = np.flatnonzero(model.actuator_ctrllimited == 0)
    names = [task.identity.actions[i] for i in unlimited]
    ignored = [
        f"{name} ({low:g} to {high:g})"
        for name, (low, high) in zip(names, model.actuator_ctrlrange[unlimited], strict=True)
        if (low, high) != (0, 0)
    ]
    if ignored:
        return [
            f"the control ranges of these actuators do not count: {', '.join(ignored)}; they are limited by "
            "ctrllimited, and the lower end comes first"
        ]
    if names:
        text = "these actuators have no control range, and take actions of -1 to 1 as they are: "
        return [text + ", ".join(names)]
    return []


def _odd_settings(task: Task) -> list[str]:
    missing = [name for name in ("model_based", "model_free", "imitation") if getattr(task, name) is None]
    odd = []
    if "model_based" in missing:
        odd.append("there is no section model_based: mbmf mb needs it")
    elif missing:
        odd.append(f"there is no section {' and no '.join(missing)}: mbmf mbmf needs them")
    settings = task.model_based
    validation = None if settings is None else settings.random_validation
    if validation is not None and validation.steps <= max(HORIZONS):
        odd.append(
            f"mbmf mb needs episodes of more than {max(HORIZONS)} steps to validate the model, got "
            f"model_based.random_validation.steps = {validation.steps}"
        )
    if settings is not None and settings.horizon * task.dt < 0.1:
        odd.append(
            f"a plan looks {settings.horizon * task.dt:g} s ahead (model_based.horizon = "
            f"{settings.horizon}): is that enough to see what an action leads to?"
        )
    return odd
