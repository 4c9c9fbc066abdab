"""What a model-based run refuses before any of its files is touched.

Networks that do not fit into memory; data and models of the run that do not fit the task.
"""

from __future__ import annotations

from mbmf.dynamics.model import DynamicsModel
from mbmf.errors import DataError
from mbmf.nn.memory import check_network, check_training
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.run import Run
from mbmf.tasks.learning import ModelBasedConfig
from mbmf.tasks.task import Task
from mbmf.words import show

# settings of a trained model that a task may not say otherwise
_OF_A_MODEL = (
    *("hidden", "activation", "members", "probabilistic", "elites", "particles", "propagate", "risk"),
    *("inputs", "outputs"),
)


def check_memory(task: Task, settings: ModelBasedConfig, *, trains_model: bool) -> None:
    """Raises DataError if the task's networks cannot be trained here.

    trains_model: the dynamics model is trained, not taken from the run.
    """
    if trains_model:
        data, dynamics = settings.random_train, task.dynamics
        model = DynamicsModel(task, **dynamics.model)
        points, keeps_best = data.episodes * data.steps, dynamics.patience is not None
        check_training(model.sizes, model.members, dynamics.batch_size, points, keeps_best=keeps_best)
    if task.config.value is not None:
        check_network("value.hidden", (task.nstate, *task.config.value.hidden, 1))
    if task.config.policy is not None:
        check_network("policy.hidden", (task.nobservation, *task.config.policy.hidden, task.naction))


def check_random_data(run: Run, task: Task, settings: ModelBasedConfig) -> None:
    """Raises DataError if the run's random data cannot be read or are not what the task says.

    That is of another task, or of other numbers of episodes or steps than the settings have.
    """
    recorded = run.config().get("task")
    of_run = recorded.get("model_based") if isinstance(recorded, dict) else None
    for name in ("random_train", "random_validation"):
        data = getattr(settings, name)
        found = of_run.get(name) if isinstance(of_run, dict) else None
        if data is not None and found is not None and found != data.model_dump(exclude_none=True):
            raise DataError(
                f"{run.path}: model_based.{name} must be {show(found)}, as the data there are, got "
                f"{show(data.model_dump(exclude_none=True))}"
            )
    for name in ("train",) if settings.random_validation is None else ("train", "validation"):
        Episodes.load(run.data(name), task=task, allow_other_task=run.allow_other_task)


def reused_model(run: Run, task: Task) -> DynamicsModel:
    """The run's latest model. Raises DataError if there is none, it is damaged, or it is of another task."""
    path = run.latest_model()
    if path is None:
        raise DataError(f"{run.path / 'models'}: a dynamics model must exist to be used, got none")
    return DynamicsModel.load(path, task, allow_other_task=run.allow_other_task)


def check_helps(run: Run, task: Task) -> None:
    """Raises DataError if the run's value or policy, used as they are, are not what the task says."""
    recorded = run.config().get("task")
    for name in ("value", "policy"):
        section = getattr(task.config, name)
        found = recorded.get(name) if isinstance(recorded, dict) else None
        if section is None or not isinstance(found, dict):
            continue
        for key, want in section.model_dump(mode="json").items():
            # how many a policy proposes is the planner's affair
            if key != "proposals" and found.get(key, want) != want:
                raise DataError(
                    f"{run.path}: {name}.{key} must be {show(found[key])}, as the {name} there was learned, "
                    f"for it to be used, got {show(want)}"
                )


def check_model(model: DynamicsModel, run: Run, task: Task) -> None:
    """Raises DataError if the run's model is not what the task's section says."""
    wanted = DynamicsModel(task, **task.dynamics.model).settings
    for name in _OF_A_MODEL:
        found, want = getattr(model.settings, name), getattr(wanted, name)
        if found != want:
            raise DataError(
                f"{run.latest_model()}: dynamics.{name} must be {show(want)}, as of task {task.name}, "
                f"for the model to be used, got {show(found)}"
            )
