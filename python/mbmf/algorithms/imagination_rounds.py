"""Rounds of a policy's updates in the model: between two of them it acts, and the model learns from that.

One round is `mbmf.algorithms.imagination`. A policy finds what its model gets wrong, and leaves the states
that MPC showed it; so the model is fitted to real episodes of it, and the updates go on (Kurutach et al.,
"Model-ensemble trust-region policy optimization", 2018, algorithm 2).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mbmf.algorithms import checkpoint, dynamics_stage
from mbmf.algorithms.imagination import Imagined, improve_in_model
from mbmf.dynamics.model import DynamicsModel
from mbmf.errors import DataError
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes
from mbmf.runs import parts
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Record, Run
from mbmf.tasks.learning import ImaginedConfig
from mbmf.tasks.task import Task
from mbmf.words import counted

# what is kept of the rounds until the run's summary is written: the updates' policies, the latest model
KEPT = "imagined"
# one thread makes a run's numbers independent of the number of CPUs
_TRAINING_THREADS = 1


class Rounds:
    """What grows from round to round: the policy, the model, and the episodes that both have seen.

    Args:
        policy: that imitates; it is improved in place.
        labelled: rollouts of imitation, whose actions are not those that were executed.
        steps: control steps so far.
        updates_seed, fit_seed: of a round's updates and of the fit after it, from its number, 1 on.
        act: (round, how many, deviation, title) -> real episodes of the policy.
        stage, note: an observer's functions (`mbmf.algorithms.imitation.Observer`).
    """

    def __init__(
        self,
        task: Task,
        run: Run,
        source: ModelBasedResult,
        policy: GaussianPolicy,
        labelled: Sequence[Episodes],
        settings: ImaginedConfig,
        *,
        steps: int,
        updates_seed: Callable[[int], int],
        fit_seed: Callable[[int], int],
        nthread: int,
        act: Callable[[int, int, float, str], Episodes],
        stage: Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]],
        note: Callable[[str], None],
    ) -> None:
        self._task, self._run, self._source, self._policy = task, run, source, policy
        self._labelled, self._settings = list(labelled), settings
        self._updates_seed, self._fit_seed, self._nthread = updates_seed, fit_seed, nthread
        self._act, self._stage, self._note = act, stage, note
        self._steps = steps
        if settings.rounds > 1:
            # the fits see all rollouts of MPC, also those that came after its last fit
            assert source.random is not None
            driven = sum(batch.nsteps for batch in source.driven) - source.rollouts.nsteps
            self._steps += max(0, source.random.nsteps + driven - source.steps)
        self._model = copy.copy(source.model)  # which fits leave as it is
        self._acted: list[Episodes] = []

    def run(self) -> Record:
        """All rounds, or those that are left; returns what the summary says of them."""
        wanted = self._settings.rounds
        updates = self._resume()
        records = [self._record(i + 1, done) for i, done in enumerate(updates)]
        for number in range(len(updates) + 1, wanted + 1):
            title = "imagine" if wanted == 1 else f"imagine, round {number} of {wanted}"
            updates.append(self._update(number, title))
            if number < wanted:
                self._learn(number, title)
            records.append(self._record(number, updates[-1]))
            self._tell(records[-1], updates[-1], title)
        summary: Record = {
            "imagined_rewards": [updates[0].rewards[0], updates[-1].rewards[-1]],
            "imagined_diverged": sum(done.diverged for done in updates),
            "imagined_skipped": sum(done.skipped for done in updates),
        }
        if wanted > 1:
            summary |= {"imagined_rounds": records, "steps_total": self._steps}
        return summary

    def _resume(self) -> list[Imagined]:
        """What the rounds did after which the model was fitted already, and all that is left of them."""
        for number in range(self._settings.rounds - 1, 0, -1):
            model = self._kept(f"model_{number}")
            files = [self._kept(f"updates_{i}") for i in range(1, number + 1)]
            acted = [self._run.rollouts(f"acted_{i}") for i in range(1, number + 1)]
            if model is None or None in files or not all(file.is_file() for file in acted):
                continue
            allow = self._run.allow_other_task
            self._model = DynamicsModel.load(model, self._task, allow_other_task=allow)
            for file in acted:
                self._acted.append(Episodes.load(file, task=self._task, allow_other_task=allow))
            return [self._load_updates(file) for file in files if file is not None]
        return []

    def _load_updates(self, file: Path) -> Imagined:
        """What updates did, from their file; the policy is then the one that they left."""
        _, counters, record = checkpoint.load(file, self._policy)
        return Imagined(record["rewards"], record["diverged"], counters.skipped)

    def _update(self, number: int, title: str) -> Imagined:
        everything = [*self._source.driven, *self._labelled, *self._acted]
        # states of what diverged are absurd long before
        driven = [batch.select(~batch.diverged & (batch.lengths > 0)) for batch in everything]
        beginnings = np.concatenate([batch.states[:, 0] for batch in driven])
        if not len(beginnings):
            raise DataError(f"{self._run.path}: episodes must be there to imagine others from, got none")
        states = [batch.states[e, :n] for batch in driven for e, n in enumerate(batch.lengths)]
        settings, name = self._settings, f"updates_{number}"
        if number == 1 and settings.first_iterations is not None:
            settings = settings.model_copy(update={"iterations": settings.first_iterations})
        with self._stage(title, settings.iterations) as progress:
            return improve_in_model(
                self._source.planned,  # whose bounds of alive may be the schedule's
                self._policy,
                self._model,
                beginnings,
                np.concatenate(states),
                settings,
                seed=self._updates_seed(number),
                nthread=self._nthread,
                progress=progress,
                allow_other_task=self._run.allow_other_task,
                begun=self._kept(name),
                keep=lambda write: parts.keep_file(self._run, KEPT, name, ".safetensors", write),
            )

    def _learn(self, number: int, title: str) -> None:
        """The policy acts, and the model learns from all that it has seen."""
        acted = self._act(number, self._settings.episodes, self._settings.std, f"{title}: act")
        with self._run.writing(self._run.rollouts(f"acted_{number}")) as path:
            acted.save(path)
        self._acted.append(acted)
        assert self._source.random is not None
        dynamics_stage.fit(
            self._model,
            self._task.dynamics,
            self._source.random,
            [batch.select(~batch.diverged) for batch in (*self._source.driven, *self._acted)],
            first=False,
            seed=self._fit_seed(number),
            nthread=_TRAINING_THREADS,
            stage=self._stage,
            title=f"{title}: train",
        )
        parts.keep_file(self._run, KEPT, f"model_{number}", ".safetensors", self._model.save)
        earlier = self._kept(f"model_{number - 1}")
        if earlier is not None:
            earlier.unlink()

    def _record(self, number: int, updates: Imagined) -> Record:
        """What the summary says of a round."""
        record: Record = {
            "round": number,
            "imagined_rewards": [updates.rewards[0], updates.rewards[-1]],
        }
        if number > len(self._acted):  # the last one
            return record | {"steps_total": self._steps}
        acted = self._acted[number - 1]
        self._steps += acted.nsteps
        good = acted.returns[~acted.diverged]
        return record | {
            "steps_total": self._steps,
            "reward_mean": float(good.mean()) if len(good) else None,
            "reward_std": float(good.std()) if len(good) else None,
            "returns": [float(value) for value in acted.returns],
            "episode_length_mean": float(acted.lengths.mean()),
            "diverged": int(acted.diverged.sum()),
        }

    def _tell(self, record: Record, updates: Imagined, title: str) -> None:
        first, last = ("nothing" if x is None else f"{x:.3g}" for x in record["imagined_rewards"])
        text = (
            f"{title}: {counted(len(updates.rewards), 'update')} in the model, {first} to {last} a step there"
        )
        if "reward_mean" in record:
            earned = record["reward_mean"]
            earned = "all diverged" if earned is None else f"earn {earned:.2f}"
            episodes = counted(self._settings.episodes, "real episode")
            text += f"; {episodes} {earned}, {record['steps_total']} control steps in all"
        self._note(text)
        if updates.diverged or updates.skipped:
            diverged, skipped = counted(updates.diverged, "episode"), counted(updates.skipped, "update")
            self._note(
                f"in the model {diverged} diverged and are left out, {skipped} did not change the policy, "
                "whose numbers would not have been finite"
            )

    def _kept(self, name: str) -> Path | None:
        return parts.kept_file(self._run, KEPT, name, ".safetensors")
