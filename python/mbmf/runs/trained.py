"""What a run of ``mbmf mb`` learned: its task and one of its dynamics models."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from mbmf.arguments import whole_number
from mbmf.dynamics.model import DynamicsModel
from mbmf.errors import DataError
from mbmf.policies.policy import GaussianPolicy
from mbmf.runs.configuration import recorded_task
from mbmf.runs.run import Run
from mbmf.tasks.identity import OVERRIDE
from mbmf.tasks.task import Task
from mbmf.values.value import ValueFunction
from mbmf.words import printed


@dataclasses.dataclass(frozen=True)
class Trained:
    """A learned model, where it is from, and the run's seed.

    Attributes:
      task, model: of the run, as that iteration plans.
      seed: of the run.
      iteration: whose model it is.
      path: the model's file.
      value: what ended the horizon of that iteration's plans; None: nothing did.
      policy: what proposed candidates to them; None: nothing did.
    """

    task: Task
    model: DynamicsModel
    seed: int
    iteration: int
    path: Path
    value: ValueFunction | None = None
    policy: GaussianPolicy | None = None


def load_trained(
    run_path: str | os.PathLike[str], iteration: int | None = None, *, allow_other_task: bool = False
) -> Trained:
    """The task and the model of a run's directory (``runs/run_1``); that of its last iteration by default.

    allow_other_task: take the robot as it is by now, whatever it was, and the task without functions that
        were given to `load_task`.

    Raises DataError, which names the file, if there is no such run or model, its robot is another by now, or
    its reward or cost is such a function, which a run cannot keep; ValueError where ``iteration`` is no
    number of one.
    """
    if iteration is not None:
        iteration = whole_number("iteration", iteration, 0)
    run = Run(Path(run_path))
    config = run.config()
    where = run.path / "config.yaml"
    if config.get("algorithm") != "model_based" or not isinstance(config.get("task"), dict):
        raise DataError(
            f"{where}: run must be one of mbmf mb, got one of {printed(str(config.get('algorithm')))}"
        )
    lost = config.get("functions")
    if lost and not allow_other_task:
        raise DataError(
            f"{where}: reward and cost must be terms, or functions that the task's file names "
            "(reward_function, cost_function), to load the run, got functions given to load_task: "
            f"{printed(str(lost))}; {OVERRIDE} takes the task without them"
        )
    task = recorded_task(config, run.path, allow_other_task=allow_other_task)
    path = planning_model(run, task, iteration)
    if path is None or not path.is_file():
        which = "a dynamics model" if iteration is None else f"the model of iteration {iteration}"
        raise DataError(f"{run.path / 'models'}: {which} must exist, got none")
    seed = run.seed()
    model = DynamicsModel.load(path, task, allow_other_task=allow_other_task)
    for file in (where, path):
        run.check(file)
    number = int(path.stem.removeprefix("iteration_"))
    value = load_value(run, task, number, allow_other_task=allow_other_task)
    policy = load_policy(run, task, number, allow_other_task=allow_other_task)
    return Trained(task.at_iteration(number), model, seed, number, path, value, policy)


def planning_model(run: Run, task: Task, wanted: int | None = None) -> Path | None:
    """The run's latest model, or where it was stopped before the value or the policy were there that go with
    it, the one before; None without any.

    wanted: the iteration whose model it must be. Raises DataError if what goes with it is not there.
    """
    path = run.latest_model() if wanted is None else run.model(wanted)
    if path is None or not path.is_file():
        return path
    if run.config().get("use_existing_dynamics_model"):
        return path  # no iteration of this run trained it
    number, finished = int(path.stem.removeprefix("iteration_")), len(run.metrics())
    sections = (("value", task.config.value, run.value), ("policy", task.config.policy, run.proposing_policy))
    for name, section, file in sections:
        # the first iteration has neither; what a finished one has not, it did without
        begins = section is not None and number >= max(section.first_iteration, 2)
        if begins and number > finished and not file(number).is_file():
            if wanted is not None:
                raise DataError(
                    f"{file(number)}: the {name} of iteration {number} must be there, got a run that was "
                    "stopped before: go on with it by mbmf mb --resume, or take an earlier iteration"
                )
            return run.model(finished)
    return path


def load_value(
    run: Run, task: Task, iteration: int, *, allow_other_task: bool = False
) -> ValueFunction | None:
    """What ended the horizon of an iteration's plans in a run; None: nothing did.

    Raises DataError, which names the file, if it is damaged, or gone though the run wrote it.
    """
    path = run.value(iteration)
    run.check(path)
    if not path.is_file():
        return None
    return ValueFunction.load(path, task, allow_other_task=allow_other_task)


def load_policy(
    run: Run, task: Task, iteration: int, *, allow_other_task: bool = False
) -> GaussianPolicy | None:
    """What proposed candidates to an iteration's plans in a run; None: nothing did.

    Raises as `load_value`.
    """
    path = run.proposing_policy(iteration)
    run.check(path)
    if not path.is_file():
        return None
    return GaussianPolicy.load(path, task, allow_other_task=allow_other_task)
