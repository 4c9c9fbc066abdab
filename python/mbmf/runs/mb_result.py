"""What imitation takes from a finished run of ``mbmf mb``: the model that drove the robot, and rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from mbmf.dynamics.model import DynamicsModel
from mbmf.errors import DataError
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.configuration import check_recorded_identity, check_recorded_keyframe
from mbmf.runs.run import Record, Run, first_difference
from mbmf.runs.trained import load_policy, load_value
from mbmf.tasks.learning import ModelBasedConfig
from mbmf.tasks.planner_section import parse_planner, planner_settings
from mbmf.tasks.record import comparable_task
from mbmf.tasks.searches import PlannerSettings
from mbmf.tasks.task import Task
from mbmf.values.value import ValueFunction


@dataclass(frozen=True)
class ModelBasedResult:
    """The outcome of model-based learning.

    Attributes:
        model: of the last iteration.
        settings: of the run: how long a rollout lasts, and more.
        planned: the task, as the last iteration plans it.
        planner: that drove the robot.
        value: what ended its plans' horizon, or None.
        policy: what proposed candidates to it, or None.
        rollouts: the saved ones, at least one.
        driven: with updates in the model, those of all iterations, then the saved ones; else the saved ones.
        random: the random data that the model began with, where rounds of updates in the model go on with its
            training; else None.
        steps: control steps that the model was trained on.
        seed: of the run.
    """

    model: DynamicsModel
    settings: ModelBasedConfig
    planned: Task
    planner: PlannerSettings
    value: ValueFunction | None
    policy: GaussianPolicy | None
    rollouts: Episodes
    driven: tuple[Episodes, ...]
    random: Episodes | None
    steps: int
    seed: int

    @classmethod
    def load(cls, run: Run, task: Task) -> ModelBasedResult:
        """From the run's directory; ``task`` may have other learning sections than the run's.

        Raises DataError, which names the file, if it is no finished run of that task with saved rollouts.
        """
        config = run.config()
        where = run.path / "config.yaml"
        if config.get("algorithm") != "model_based":
            raise DataError(f"{where}: run must be one of mbmf mb, got one of {config.get('algorithm')}")
        recorded = config.get("task")
        if not isinstance(recorded, dict):
            raise DataError(f"{where}: task must be a mapping, got {recorded!r}")
        wanted = comparable_task(task.config.model_dump(exclude_none=True))
        difference = first_difference(comparable_task(recorded), wanted, "task")
        if difference is not None:
            key, found, want = difference
            raise DataError(f"{where}: {key} must be {want!r}, as of task {task.name}, got {found!r}")
        functions = config.get("functions", [])
        if functions != task.unnamed_functions:
            raise DataError(
                f"{where}: functions given to load_task must be {task.unnamed_functions}, as of task "
                f"{task.name}, got {functions}"
            )
        allow = run.allow_other_task
        if not allow:
            check_recorded_identity(config, run.path, task.identity, task.name)
            check_recorded_keyframe(config, run.path, task.keyframe_digest)
        try:
            settings = ModelBasedConfig.model_validate(recorded.get("model_based"))
            planner = planner_settings(parse_planner(recorded.get("planner")), settings)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{where}: task.model_based and task.planner must be a run's, got {error}"
            ) from None

        summary = run.summary()
        records = run.metrics()
        if summary is None or not records:
            raise DataError(
                f"{run.path}: the model-based stage must be finished, got {len(records)} of "
                f"{settings.iterations} iterations and no summary: go on with it by mbmf mb --resume"
            )
        _check_saved(run, summary)
        path = run.latest_model()
        if path is None:
            raise DataError(f"{run.path / 'models'}: a dynamics model must exist, got none")
        rollouts = run.rollouts("saved")
        if not rollouts.is_file():
            raise DataError(f"{rollouts}: saved rollouts must exist, got none")
        model = DynamicsModel.load(path, task, allow_other_task=allow)
        # of the model: where it is an earlier run's, its iteration is that one's
        iteration = int(path.stem.removeprefix("iteration_"))
        value = load_value(run, task, iteration, allow_other_task=allow)
        policy = load_policy(run, task, iteration, allow_other_task=allow)
        saved = Episodes.load(rollouts, task=task, allow_other_task=allow)
        run.check_files()
        driven, random = [saved], None
        if task.imitation is not None and task.imitation.imagined is not None:
            files = [run.rollouts(each["iteration"]) for each in records]
            driven = [*(Episodes.load(file, task=task, allow_other_task=allow) for file in files), saved]
            if task.imitation.imagined.rounds > 1:
                random = _random_data(run, task)
        planned = task.at_iteration(iteration)
        if planned.config.planner is not task.config.planner:
            planner = planned.planner
        steps = int(records[-1]["steps_total"])
        return cls(
            model, settings, planned, planner, value, policy, saved, tuple(driven), random, steps, run.seed()
        )


def _random_data(run: Run, task: Task) -> Episodes:
    """What the model's first fit had. Raises DataError."""
    file = run.data("train")
    if not file.is_file():
        raise DataError(
            f"{file}: random data must be there for imitation.imagined.rounds, whose fits go on with "
            "them, got none"
        )
    episodes = Episodes.load(file, task=task, allow_other_task=run.allow_other_task)
    return episodes.select(~episodes.diverged)


def _check_saved(run: Run, summary: Record) -> None:
    """Raises DataError, with the rule that left them out, if no rollout was saved."""
    if summary["rollouts_saved"] > 0:
        return
    where = f"{run.path}: saved rollouts must be at least one to imitate, got none"
    if summary["rollouts_wanted"] == 0:
        raise DataError(
            f"{where}: none was asked for (mbmf mb --num_rollouts_save_for_mf, or "
            "model_based.rollouts_to_save)"
        )
    low = summary["attempts"] - summary["diverged"]
    raise DataError(
        f"{where}: of {summary['attempts']} rollouts {low} had a return not above model_based.min_return = "
        f"{summary['min_return']:g} and {summary['diverged']} diverged"
    )
