"""Model-based learning's policy: it imitates the planner, and proposes candidates to its searches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np

from mbmf.algorithms.iteration import latest_episodes
from mbmf.algorithms.policy_inputs import blind, hide
from mbmf.errors import DataError
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.run import Record, Run
from mbmf.runs.trained import load_policy
from mbmf.tasks.task import Task
from mbmf.words import some


def existing(task: Task, run: Run) -> GaussianPolicy | None:
    """What belongs to the run's latest model, or None; also where the task is another one, without policy."""
    iteration = run.latest_iteration()
    if iteration is None or task.config.policy is None:
        return None
    return load_policy(run, task, iteration, allow_other_task=run.allow_other_task)


def begins(task: Task, iteration: int, rollouts: list[Episodes]) -> bool:
    """Whether this iteration has a policy, from the rollouts before it."""
    settings = task.config.policy
    return settings is not None and iteration >= settings.first_iteration and bool(rollouts)


def learn(
    task: Task,
    run: Run,
    iteration: int,
    rollouts: list[Episodes],
    *,
    seed: int,
    fit_seed: int,
    nthread: int,
    stage: Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]],
    note: Callable[[str], None],
) -> tuple[GaussianPolicy | None, Record]:
    """The policy for this iteration's plans, and what the metrics say of it.

    It goes on from that of the iteration before, as its file has it, and imitates the actions of the latest
    episodes of control; so a run that was interrupted has the same. Where the training fails all candidates
    are drawn, ``note`` is told, and the next iteration begins with a new policy.

    stage, note: an observer's functions (`mbmf.algorithms.model_based.Observer`).
    """
    # PyTorch, which a finished run is told of without
    from mbmf.algorithms.cloning import Cloning, Examples, examples_of
    from mbmf.nn.training import torch_threads

    settings = task.config.policy
    assert settings is not None
    start = time.perf_counter()
    episodes = latest_episodes(rollouts, settings.episodes)
    # what no model predicts the policy cannot see in plans
    seen = np.ones(task.nobservation, bool)
    seen[task.core.unpredicted_observations] = False
    examples = examples_of(episodes.select(~episodes.diverged))
    examples = Examples(hide(examples.observations, seen), examples.actions)
    policy = load_policy(run, task, iteration - 1, allow_other_task=run.allow_other_task)
    if policy is None:
        if not seen.all():
            names = [name for name, sees in zip(task.observation_names, seen, strict=True) if not sees]
            note(
                f"iteration {iteration}: the policy that proposes does not see {some(names)}: no state is "
                "that, with the same clip, so that the model does not predict it"
            )
        policy = GaussianPolicy(task, settings.hidden, seed=seed)
        blind(policy, seen)
    policy.set_std(settings.std)
    with stage(f"iteration {iteration}: policy", settings.epochs) as progress, torch_threads(nthread):
        try:
            if not len(examples):
                raise DataError("episodes must have a step without divergence to imitate, got none")
            cloning, history = Cloning.start(policy).fit(
                examples,
                epochs=settings.epochs,
                batch_size=min(settings.batch_size, len(examples)),
                learning_rate=settings.learning_rate,
                rng=np.random.default_rng(fit_seed),
                progress=lambda epochs, _: progress(epochs),
            )
        except DataError as error:
            note(f"iteration {iteration}: no policy proposes candidates: {error}")
            return None, {"policy_loss": None}
    cloning.write_to(policy)
    with run.writing(run.proposing_policy(iteration)) as path:
        policy.save(path)
    return policy, {"policy_loss": history.losses[-1], "seconds_policy": time.perf_counter() - start}
