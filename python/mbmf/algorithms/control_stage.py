"""Model-based learning's control: episodes of MPC in a run, an iteration's and those saved for imitation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mbmf.cluster.sampler import Sampler
from mbmf.dynamics.model import DynamicsModel
from mbmf.planning.make import make_planner
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes
from mbmf.runs import parts
from mbmf.runs.run import Record, Run
from mbmf.tasks.learning import ModelBasedConfig
from mbmf.tasks.task import Task
from mbmf.values.value import ValueFunction

SAVE_CHUNK = 10
MAX_ATTEMPTS_PER_ROLLOUT = 10
# of episodes whose numbers are those of iterations, should the run get more: kept apart
_SAVING = "saving"


class Learned(NamedTuple):
    """What plans are made with."""

    model: DynamicsModel
    value: ValueFunction | None
    policy: GaussianPolicy | None


@dataclass(frozen=True, kw_only=True)
class Control:
    """Makes a run's episodes of MPC with the task's search.

    Attributes:
        plan_seed, seed: of the candidates' noise, and of all else in the episodes.
        stage, note: an observer's functions (`mbmf.algorithms.model_based.Observer`).
    """

    task: Task
    run: Run
    settings: ModelBasedConfig
    plan_seed: int
    seed: int
    sampler: Sampler
    stage: Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]
    note: Callable[[str], None]

    def episodes(
        self, learned: Learned, count: int, first_episode: int, title: str, *, kind: str = "control"
    ) -> Episodes:
        """Episodes, each of which has a number of its own in the run, which all its noise derives from.

        What is finished of them stays on the disk, with those of its ``kind``, until `forget`.
        """
        planner = make_planner(
            self.task,
            learned.model,
            seed=self.plan_seed,
            nthread=self.sampler.threads,
            value=learned.value,
            policy=learned.policy,
        )
        steps = self.settings.steps_per_rollout
        with self.stage(title, count * steps) as progress:
            found = parts.collect_in_parts(
                self.run,
                _name(kind, first_episode),
                self.task,
                count,
                lambda first, count, before: self.sampler.mpc(
                    self.task,
                    planner,
                    count,
                    steps,
                    seed=self.seed,
                    first_episode=first_episode + first,
                    action_noise=self.settings.action_noise,
                    progress=lambda steps: progress(before + steps),
                ),
                at_once=self.sampler.in_pieces,
            )
        if planner.proposals_left_out:  # here; other processes' planners have counts of their own
            left_out = f"{planner.proposals_left_out} proposals of the policy were not finite"
            self.note(f"{title}: {left_out} and are left out")
        return found

    def forget(self, first_episode: int, *, kind: str = "control") -> None:
        """Removes what `episodes` left on the disk: the run has them in a file of its own."""
        parts.forget(self.run, _name(kind, first_episode))

    def save(self, learned: Learned, wanted: int) -> Record:
        """Saves rollouts for imitation: those whose return exceeds the task's minimum, until enough.

        Returns the run's summary. They are collected in chunks, a file each, and saved together in the end.
        Gives up, with what there is, after `MAX_ATTEMPTS_PER_ROLLOUT` attempts for each rollout wanted.
        """
        first = self.settings.iterations * self.settings.rollouts_per_iteration
        kept: list[Episodes] = []
        chunks: list[Path] = []
        saved = attempts = diverged = 0
        start = time.perf_counter()
        while saved < wanted and attempts < MAX_ATTEMPTS_PER_ROLLOUT * wanted:
            path = self.run.rollouts(f"{_SAVING}_{attempts}")
            count = min(SAVE_CHUNK, wanted)
            if path.exists():
                batch = Episodes.load(path, task=self.task, allow_other_task=self.run.allow_other_task)
            else:
                title = f"rollouts to save ({saved} of {wanted})"
                batch = self.episodes(learned, count, first + attempts, title, kind=_SAVING)
                with self.run.writing(path) as new:
                    batch.save(new)
                self.forget(first + attempts, kind=_SAVING)
            chunks.append(path)
            good = ~batch.diverged & (batch.returns > self.settings.min_return)
            kept.append(batch.select(np.flatnonzero(good)[: wanted - saved]))
            saved += len(kept[-1])
            attempts += count
            diverged += int(batch.diverged.sum())
        if saved < wanted:
            self.note(
                f"only {saved} of {wanted} rollouts had a return above {self.settings.min_return:g} in "
                f"{attempts} attempts: these are saved, no more are tried (model_based.min_return sets the "
                "limit)"
            )
        returns = np.zeros(0)
        if saved:
            episodes = Episodes.concatenate(kept)
            returns = episodes.returns
            with self.run.writing(self.run.rollouts("saved")) as path:
                episodes.save(path)
        else:
            self.run.remove(self.run.rollouts("saved"))  # of the model of fewer iterations
        summary = {
            "rollouts_wanted": wanted,
            "rollouts_saved": saved,
            "attempts": attempts,
            "diverged": diverged,
            "min_return": self.settings.min_return,
            "reward_mean": float(returns.mean()) if saved else None,
            "reward_std": float(returns.std()) if saved else None,
            "seconds": time.perf_counter() - start,
        }
        self.run.write_summary(summary)
        for path in chunks:
            path.unlink(missing_ok=True)
        return summary


def _name(kind: str, first_episode: int) -> str:
    """What the unfinished episodes from this one on are called."""
    return f"{kind}_{first_episode}"
