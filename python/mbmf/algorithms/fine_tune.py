"""Fine-tuning: policy optimisation that starts from a policy which imitates MPC (the paper's MBMF, section
V-B)."""

from __future__ import annotations

from pathlib import Path

from mbmf.algorithms import model_free
from mbmf.algorithms.model_free import Limits, Observer
from mbmf.cluster.sampler import Sampler
from mbmf.policies.policy import GaussianPolicy, fingerprint
from mbmf.runs.run import Record, Run
from mbmf.tasks.learning import FineTuneConfig, ModelFreeConfig
from mbmf.tasks.task import Task


def settings_of(
    task: Task,
    *,
    std: float | None = None,
    batch_size: int | None = None,
    iterations: int | None = None,
    gae_lambda: float | None = None,
) -> ModelFreeConfig:
    """The task's settings for this algorithm: fine_tune's before model_free's, and before both what is given
    here. Raises ConfigError."""
    own = task.fine_tune or FineTuneConfig()
    return model_free.settings_of(
        task,
        "fine_tune",
        initial_std=own.std_on_mlp_policy if std is None else std,
        batch_size=own.batch_size if batch_size is None else batch_size,
        iterations=own.iterations if iterations is None else iterations,
        gae_lambda=own.gae_lambda if gae_lambda is None else gae_lambda,
        fit_baseline_first=own.fit_baseline_first,
    )


def run_name(std: float, number: int) -> str:
    """The folder, within that of the model-based run, of fine-tuning with this initial deviation."""
    return f"mbmf_std{std:g}_{number}"


def open_run(
    path: Path,
    task: Task,
    policy: GaussianPolicy,
    settings: ModelFreeConfig,
    limits: Limits,
    *,
    steps_before: int,
    seed: int = 0,
    nthread: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    allow_other_task: bool = False,
) -> Run:
    """The run directory for these options; see `mbmf.runs.run.Run` for what is refused.

    A run may be continued from the same ``policy`` only, with other limits or another number of threads.
    """
    start = {
        "std_on_mlp_policy": settings.initial_std,
        "steps_before": steps_before,
        "imitation_policy": fingerprint(policy),
    }
    return model_free.open_run(
        path,
        task,
        settings,
        limits,
        seed=seed,
        nthread=nthread,
        resume=resume,
        overwrite=overwrite,
        allow_other_task=allow_other_task,
        algorithm="fine_tune",
        start=start,
    )


def fine_tune(
    task: Task,
    policy: GaussianPolicy,
    run: Run,
    settings: ModelFreeConfig,
    limits: Limits,
    *,
    steps_before: int,
    seed: int = 0,
    nthread: int = 0,
    observer: Observer | None = None,
    sampler: Sampler | None = None,
) -> Record:
    """Runs, or goes on with, fine-tuning of ``policy`` in place, after setting its deviations.

    ``steps_before``: control steps that the policy cost; the run's counts go on from there. Returns the run's
    summary. Raises as `mbmf.algorithms.model_free.optimize`.
    """
    policy.set_std(settings.initial_std)
    return model_free.optimize(
        task,
        policy,
        run,
        settings,
        limits,
        seed=seed,
        nthread=nthread,
        steps_before=steps_before,
        observer=observer,
        sampler=sampler,
    )
