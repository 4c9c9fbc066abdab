"""What was learned, as the core takes it for a planner of a task: checked to be of that task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbmf import _core
from mbmf.arguments import of_class, whole_number
from mbmf.planning.plan import HasCore
from mbmf.tasks.policy_section import PolicyConfig
from mbmf.tasks.task import Task
from mbmf.words import show, some

if TYPE_CHECKING:
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.values.value import ValueFunction


def model_core(model: HasCore, task: Task, *, alone: bool = False) -> _core.Dynamics:
    """What the core rolls. Raises ValueError if the model is of another robot, other states or another dt.

    Also where its task has other references, if it predicts ``alone``, without the terms of ``task``.
    """
    other = getattr(model, "task", None)
    if isinstance(other, Task):
        difference = other.identity.differences(task.identity, observations=False)
        if difference:
            raise ValueError(
                f"model must be of the robot, states and dt of task {task.name}, got {difference}; its core "
                "is taken all the same"
            )
        # alone it reads the references of its own task
        if (alone or task.cost_function is not None) and other.config.references != task.config.references:
            raise ValueError(
                f"model must be of a task with the references of task {task.name}, got others: "
                "DynamicsModel.load(path, task) gives it these"
            )
    core = getattr(model, "core", None)
    if not isinstance(core, _core.Dynamics):
        raise TypeError(
            "model must be a DynamicsModel, a SimulatorModel(task) or what has a model of the core, got "
            f"{show(model)}"
        )
    return core


def value_core(value: ValueFunction, task: Task) -> _core.Value:
    """What the core takes off candidates. Raises ValueError if it is another robot's, or there is a path."""
    from mbmf.values.value import ValueFunction

    of_class("value", value, ValueFunction, "mbmf.ValueFunction(task)")
    if task.path is not None:
        raise ValueError(
            f"value must not be given for a task that follows a path, as {task.name} does: what is to come "
            "there depends on the path, not on the state alone"
        )
    difference = value.task.identity.differences(task.identity, observations=False)
    if difference:
        raise ValueError(f"value must be of the robot, states and dt of task {task.name}, got {difference}")
    return value.core


def policy_core(policy: GaussianPolicy, task: Task, *, simulated: bool) -> _core.GaussianPolicy:
    """What proposes to the core's searches. Raises ValueError if it is another task's, if there is a path, or
    if a learned model does not predict what it sees."""
    from mbmf.policies.policy import GaussianPolicy

    of_class("policy", policy, GaussianPolicy, "mbmf.GaussianPolicy(task)")
    if task.path is not None:
        raise ValueError(
            f"policy must not be given for a task that follows a path, as {task.name} does: what to do there "
            "depends on the path, which it does not see"
        )
    names = list(task.observation_names)
    if (policy.nobservation, policy.naction) != (len(names), task.naction):
        raise ValueError(
            f"policy must see {len(names)} numbers and give {task.naction} actions, as task {task.name}, got "
            f"one of {policy.task_name} with {policy.nobservation} and {policy.naction}"
        )
    if policy.observation_names != names:
        pairs = zip(names, policy.observation_names, strict=True)
        at, want, found = next((i, a, b) for i, (a, b) in enumerate(pairs) if a != b)
        raise ValueError(
            f"policy must see {want} at {at}, as task {task.name} observes it, got one of "
            f"{policy.task_name}, which sees {found}"
        )
    difference = policy.identity.differences(task.identity) if policy.identity is not None else ""
    if difference:
        raise ValueError(f"policy must be of the robot and dt of task {task.name}, got {difference}")
    weights = policy.arrays()[0]
    hidden = [names[i] for i in task.core.unpredicted_observations if weights[:, i].any()]
    if hidden and not simulated:
        raise ValueError(
            f"policy must see only what a model predicts, the states of task {task.name}, and have weights "
            f"of 0 for the rest, got others for {some(hidden)}"
        )
    return policy.core


def proposals_of(given: int | None, policy: GaussianPolicy | None, task: Task, candidates: int) -> int:
    """How many candidates the policy proposes; the core says whether there may be so many."""
    if policy is None:
        if given is not None:
            raise ValueError(f"proposals must be given with a policy, got {given} without one")
        return 0
    if given is not None:
        return whole_number("proposals", given)
    return min(candidates, (task.config.policy or PolicyConfig()).proposals)
