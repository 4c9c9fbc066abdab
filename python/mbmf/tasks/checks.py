"""What is checked of a task beyond its file and its robot: that what it says fits together."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from mbmf.errors import ConfigError
from mbmf.words import one_of, show, some

if TYPE_CHECKING:
    from mbmf.tasks.functions import RewardFunction
    from mbmf.tasks.schema import TaskConfig
    from mbmf.tasks.task import Task


def check_functions(
    config: TaskConfig, file: str, reward: RewardFunction | None, cost: RewardFunction | None
) -> None:
    """Raises ConfigError where there is no reward, or no cost to plan with."""
    if reward is None and config.reward is None:
        raise ConfigError(
            f"{file}: reward must be given (terms, reward_function, or load_task's reward), got nothing"
        )
    if cost is not None and config.path is not None:
        raise ConfigError(f"{file}: cost must be terms of the file for a task that follows paths")
    if reward is not None and cost is None and config.cost is None and config.path is None:
        raise ConfigError(
            f"{file}: cost must be given (terms, cost_function, or load_task's cost) where reward is a "
            "function, got nothing"
        )


def warn_of_cheap_death(task: Task, file: str) -> None:
    """Warns where a candidate that leaves the bounds of ``alive`` pays less than one that stays."""
    from mbmf import _core

    if not task.config.alive or task.config.dying_cost > 0 or task.cost_function is not None:
        return
    start = _core.Simulator(task.core, 1, 1, 0).states[0].astype(np.float32)
    rest = np.zeros((1, 1, task.naction), np.float32)
    cost = float(task.core.cost(np.stack([start, start])[None], rest, 0, [0.0, 0.0])[0])
    if cost > 0:
        warnings.warn(
            f"{file}: dying_cost should be above 0 where costs are: at rest they are {cost / 2:.3g} a "
            "step, and a plan that leaves `alive` pays nothing more",
            stacklevel=4,
        )


def warn_of_sparse_jacobians(task: Task, file: str) -> None:
    """Warns where this MuJoCo has a defect."""
    from mbmf import _core

    if task.core.is_sparse and _core.mujoco_version() == "4.0.0":
        warnings.warn(
            f"{file}: the model uses sparse constraint Jacobians, in which MuJoCo 4.0.0 has a defect; "
            "overrides: {option: {jacobian: dense}} avoids them",
            stacklevel=4,
        )


def check_planner(task: Task, file: str) -> None:
    """Raises ConfigError on settings of the search that do not fit together."""
    from mbmf import _core
    from mbmf.tasks.searches import search_values

    planned = task.planner
    if task.config.planner is None or planned.horizon is None:
        return
    values = search_values(planned.search, planned.settings)
    try:
        _core.check_search(task.core, planned.search, planned.horizon, planned.candidates, values)
    except ValueError as error:
        raise ConfigError(f"{file}: planner.{error}") from None


def check_dynamics(task: Task, file: str) -> None:
    """Raises ConfigError on settings of the learned dynamics that do not fit together."""
    from mbmf.tasks.dynamics_section import dynamics_problems

    problems = dynamics_problems(task.config.dynamics, task.config.model_based, task.state_names)
    lines = [f"{file}: {problem}" for problem in problems]
    if lines:
        raise ConfigError("\n".join(lines))


def check_model_free(task: Task, file: str) -> None:
    """Raises ConfigError on inputs of the policy that name no observation, or leave it none."""
    inputs = {} if task.model_free is None else task.model_free.inputs
    for name in inputs:
        if name not in task.observation_names:
            known = one_of(name, task.observation_names, "observations")
            raise ConfigError(f"{file}: model_free.inputs must name {known}, got {show(name)}")
    if all(inputs.get(name) == "nothing" for name in task.observation_names):
        raise ConfigError(f"{file}: model_free.inputs must leave an observation to see, got nothing for all")


def check_value(task: Task, file: str) -> None:
    """Raises ConfigError on a learned value of a task that follows a path."""
    if task.config.value is not None and task.config.path is not None:
        raise ConfigError(
            f"{file}: value must not be given for a task that follows a path: what is to come depends on "
            "the path there, not on the state alone"
        )


def unpredicted(task: Task) -> list[str]:
    """What is observed, and no model of the states predicts."""
    return [task.observation_names[i] for i in task.core.unpredicted_observations]


def check_policy(task: Task, file: str) -> None:
    """Raises ConfigError on a policy that cannot propose candidates to the task's planner."""
    if task.config.policy is None:
        return
    if task.config.path is not None:
        raise ConfigError(
            f"{file}: policy must not be given for a task that follows a path: what to do depends on the "
            "path there, which it does not see"
        )
    if task.config.policy.proposals > task.planner.candidates:
        raise ConfigError(
            f"{file}: policy.proposals must be at most the planner's {task.planner.candidates} candidates, "
            f"got {task.config.policy.proposals}"
        )
    if len(task.core.unpredicted_observations) == task.nobservation:
        raise ConfigError(
            f"{file}: policy must not be given where the model predicts nothing of what is observed, got no "
            "observation that follows from the states"
        )


def check_imagination(task: Task, file: str) -> None:
    """Raises ConfigError on updates of a policy in a model that cannot say all that they need."""
    if task.imitation is None or task.imitation.imagined is None:
        return
    left_out = f"{file}: imitation.imagined must not be given where"
    if task.reward_function is not None:
        raise ConfigError(f"{left_out} the reward is a function: it is asked about simulations only")
    if task.config.reward_state:
        raise ConfigError(f"{left_out} the reward reads reward_state, which a model does not predict")
    hidden = unpredicted(task)
    if hidden:
        raise ConfigError(
            f"{left_out} the observation has more than the model predicts, the states, got "
            f"{some(hidden)} in it"
        )
    if not task.core.ends_are_predicted:
        raise ConfigError(
            f"{left_out} healthy bounds more than the states, and no alive says where an episode ends in "
            "a model"
        )
