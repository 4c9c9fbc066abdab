"""Iterations of imitation: a policy is trained on what is there, tested, and MPC labels where it gets to."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator

import numpy as np

from mbmf.algorithms import imitation_checkpoint as checkpoint
from mbmf.algorithms.cloning import Cloning, Examples, examples_of
from mbmf.algorithms.imagination_rounds import KEPT, Rounds
from mbmf.algorithms.policy_inputs import blind, hide, normalize, seen
from mbmf.cluster.sampler import Sampler
from mbmf.errors import DataError
from mbmf.planning.make import make_planner
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes
from mbmf.runs import parts
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Record, Run
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ImitationConfig
from mbmf.tasks.task import Task

# stages whose random numbers derive from the seed
_POLICY, _VALIDATION, _BATCHES, _ROLLOUTS, _TESTS, _PLAN, _IMAGINED, _ACTED, _FIT = range(20, 29)


class Learner:
    """What grows from iteration to iteration: the policy, and the examples that it learns from."""

    def __init__(
        self,
        task: Task,
        run: Run,
        source: ModelBasedResult,
        settings: ImitationConfig,
        seed: int,
        sampler: Sampler,
        *,
        stage: Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]],
        note: Callable[[str], None],
    ) -> None:
        """``stage``, ``note``: an observer's functions (`mbmf.algorithms.imitation.Observer`)."""
        self.settings = settings
        self._task, self._run, self._source = task, run, source
        self._stage, self._note = stage, note
        self._seed, self._sampler = seed, sampler
        assert task.model_free is not None
        self._policy = GaussianPolicy(task, task.model_free.hidden, seed=derive_seed(seed, _POLICY))

        # examples of the saved rollouts, some of which are held out
        self._seen = seen(task)
        saved = self._examples_of(source.rollouts)
        held_out = validation_count(len(saved), self.settings.validation_points)
        if held_out != self.settings.validation_points:
            note(
                f"imitation.validation_points: {self.settings.validation_points} are more than half of the "
                f"{len(saved)} points of the saved rollouts: a tenth is held out, {held_out}"
            )
        rng = np.random.default_rng(derive_seed(seed, _VALIDATION))
        self._examples, self._validation = saved.split(held_out, rng)
        self._steps = source.steps + len(saved)
        blind(self._policy, self._seen)
        if settings.normalize_observations:
            normalize(self._policy, self._examples.observations)
        self._cloning = Cloning.start(self._policy)
        self._labelled: list[Episodes] = []

        # what was done before an interruption
        self.done = 0
        if run.policy("checkpoint").exists():
            self._cloning, record = checkpoint.load(run.policy("checkpoint"), task.name, self._cloning)
            self.done = record["iteration"]
            for i in range(1, min(self.done, self.settings.iterations) + 1):
                self._aggregate(
                    Episodes.load(run.rollouts(i), task=task, allow_other_task=run.allow_other_task)
                )
            run.agree(run.policy("checkpoint"), record)

    def iterate(self, iteration: int) -> tuple[Record, Episodes, Episodes | None]:
        """Trains, tests, and, unless it is the last iteration, collects more to learn from.

        Returns its metrics, the clean test rollouts, and those that MPC labelled; all are on the disk.
        """
        settings = self.settings
        title = f"imitation {iteration} of {settings.iterations + 1}"
        trained = self._train(iteration, title)
        self._cloning.write_to(self._policy)

        # clean test rollouts, which nothing is learned from
        start = time.perf_counter()
        tests = self._drive(_TESTS, iteration, settings.test_rollouts, 0.0, f"{title}: test")
        good = tests.returns[~tests.diverged]
        record: Record = {
            "iteration": iteration,
            "points": len(self._examples),
            "points_validation": len(self._validation),
            "steps_total": self._steps,
            "loss_train": trained["loss_train"],
            "loss_validation": self._cloning.loss(self._validation),
            "reward_mean": float(good.mean()) if len(good) else None,
            "reward_std": float(good.std()) if len(good) else None,
            "returns": [float(value) for value in tests.returns],
            "episode_length_mean": float(tests.lengths.mean()),
            "terminated": int(tests.terminated.sum()),
            "diverged": int(tests.diverged.sum()),
            "seconds_training": trained["seconds"],
            "seconds_tests": time.perf_counter() - start,
        }
        if settings.patience is not None:
            record |= {name: trained[name] for name in ("epochs", "best_epoch")}

        # rollouts of the policy, with what MPC would have done
        labelled = None
        tested = time.perf_counter()
        if iteration <= settings.iterations:
            labelled = self._label(iteration, title)
            with self._run.writing(self._run.rollouts(iteration)) as path:
                labelled.save(path)
            self._aggregate(labelled)
        record["rollouts_labelled"] = len(labelled) if labelled else 0
        record["steps_labelled"] = labelled.nsteps if labelled else 0
        record["seconds_labelling"] = time.perf_counter() - tested

        with self._run.writing(self._run.policy("policy")) as path:
            self._policy.save(path)
        with self._run.writing(self._run.policy("checkpoint")) as path:
            checkpoint.save(path, self._task.name, self._cloning, record)
        self._run.append_metrics(record)
        parts.forget(self._run, _labels_stage(iteration))
        self.done = iteration
        return record, tests, labelled

    def _train(self, iteration: int, title: str) -> Record:
        """Trains the policy, unless an interrupted process did; returns its loss, epochs and seconds."""
        settings, stage = self.settings, _labels_stage(iteration)
        kept = parts.kept_file(self._run, stage, "trained", ".safetensors")
        if kept is not None:
            self._cloning, trained = checkpoint.load(kept, self._task.name, self._cloning)
            return trained
        start = time.perf_counter()
        with self._stage(f"{title}: train", settings.epochs) as progress:
            cloning, history = self._cloning.fit(
                self._examples,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                rng=np.random.default_rng(derive_seed(self._seed, _BATCHES, iteration)),
                held_out=self._validation,
                patience=settings.patience,
                progress=lambda epochs, _: progress(epochs),
            )
        trained = {
            "iteration": iteration,
            "loss_train": history.losses[history.best],
            "epochs": len(history.losses),
            "best_epoch": history.best + 1,
            "seconds": time.perf_counter() - start,
        }
        if iteration <= settings.iterations:
            # labels take longer than all the rest
            parts.keep_file(
                self._run,
                stage,
                "trained",
                ".safetensors",
                lambda path: checkpoint.save(path, self._task.name, cloning, trained),
            )
        self._cloning = cloning
        return trained

    def summarize(self) -> Record:
        """Improves the policy in the model, if so asked; writes it and the summary of the run."""
        self._cloning.write_to(self._policy)
        imagined = self._imagine() if self.settings.imagined is not None else {}
        with self._run.writing(self._run.policy("policy")) as path:
            self._policy.save(path)
        records = self._run.metrics()
        summary = {
            "iterations": len(records),
            "points": records[-1]["points"],
            "steps_total": records[-1]["steps_total"],
            "loss_validation": records[-1]["loss_validation"],
            "reward_mean": records[-1]["reward_mean"],
            "reward_std": records[-1]["reward_std"],
            "mpc_reward_mean": float(self._source.rollouts.returns.mean()),
            "seconds": sum(
                each[f"seconds_{what}"] for each in records for what in ("training", "tests", "labelling")
            ),
        } | imagined
        self._run.write_summary(summary)
        parts.forget(self._run, KEPT)
        return summary

    def _imagine(self) -> Record:
        """Rounds of updates in the model; returns what the summary says of them and of the policy then."""
        settings, start = self.settings.imagined, time.perf_counter()
        assert settings is not None
        std = self._policy.std.copy()
        rounds = Rounds(
            self._task,
            self._run,
            self._source,
            self._policy,
            self._labelled,
            settings,
            steps=self._run.metrics()[-1]["steps_total"],
            updates_seed=lambda number: derive_seed(self._seed, _IMAGINED, number - 1),
            fit_seed=lambda number: derive_seed(self._seed, _FIT, number),
            nthread=self._sampler.threads,
            act=lambda number, count, std, title: self._drive(_ACTED, number, count, std, title),
            stage=self._stage,
            note=self._note,
        )
        done = rounds.run()
        self._policy.set_std(std)
        tests = self._drive(
            _TESTS, self.settings.iterations + 2, self.settings.test_rollouts, 0.0, "imagine: test"
        )
        good = tests.returns[~tests.diverged]
        after = float(good.mean()) if len(good) else None
        tested = "every test rollout diverged" if after is None else f"the tests earn {after:.2f}"
        self._note(f"after the updates in the model {tested}")
        return done | {
            "reward_mean": after,
            "reward_std": float(good.std()) if len(good) else None,
            "cloned_reward_mean": self._run.metrics()[-1]["reward_mean"],
            "seconds_imagined": time.perf_counter() - start,
        }

    def _drive(self, stage: int, iteration: int, count: int, noise: float, title: str) -> Episodes:
        """Episodes of the policy's mean actions, with noise, from the starts that MPC had."""
        longest = self._source.settings.steps_per_rollout
        with self._stage(title, count * longest) as progress:
            batch = self._sampler.policy(
                self._task,
                self._policy,
                episodes=count,
                seed=derive_seed(self._seed, stage),
                first_episode=(iteration - 1) * count,
                max_episode_steps=longest,
                std=noise,
                kind="control",
                keep_states=True,
                progress=progress,
            )
        return batch.to_episodes(self._task)

    def _label(self, iteration: int, title: str) -> Episodes:
        """Rollouts of the policy whose actions are MPC's in place of those that were executed."""
        settings = self.settings
        first = settings.noise_from_iteration
        noise = settings.noise if first is not None and iteration >= first else 0.0
        rollouts = self._drive(_ROLLOUTS, iteration, settings.rollouts_to_label, noise, f"{title}: drive")
        planned = self._source.planner
        planner = make_planner(
            self._source.planned,
            self._source.model,
            planned.search,
            planned.horizon,
            planned.candidates,
            seed=derive_seed(self._seed, _PLAN),
            nthread=self._sampler.threads,
            settings=planned.settings,
            value=self._source.value,
            policy=self._source.policy,
        )
        # what MuJoCo failed in is absurd long before: nothing to learn from
        healthy = rollouts.select(~rollouts.diverged)
        if len(healthy) < len(rollouts):
            lost = len(rollouts) - len(healthy)
            self._note(f"{title}: {lost} of {len(rollouts)} rollouts diverged and are left out")
        number = (iteration - 1) * settings.rollouts_to_label
        if not len(healthy):
            return healthy

        def label(first: int, count: int, before: int) -> Generator[Episodes]:
            some = healthy.select(np.arange(first, first + count))
            labels = self._sampler.labels(
                planner, some, first_episode=number + first, progress=lambda steps: progress(before + steps)
            )
            yield dataclasses.replace(some, actions=labels)

        with self._stage(f"{title}: ask MPC", healthy.nsteps) as progress:
            return parts.collect_in_parts(
                self._run,
                _labels_stage(iteration),
                self._task,
                len(healthy),
                label,
                at_once=self._sampler.in_pieces,
            )

    def _aggregate(self, labelled: Episodes) -> None:
        self._steps += labelled.nsteps
        self._labelled.append(labelled)
        self._examples = self._examples.and_then(self._examples_of(labelled))

    def _examples_of(self, episodes: Episodes) -> Examples:
        examples = examples_of(episodes)
        return Examples(hide(examples.observations, self._seen), examples.actions)


def _labels_stage(iteration: int) -> str:
    """What is kept of an iteration until its rollouts are labelled."""
    return f"labels_{iteration}"


def validation_count(points: int, wanted: int) -> int:
    """How many of the saved points are held out: those wanted, or a tenth where that is more than half.

    Raises DataError if there are fewer than ten points.
    """
    if points < 10:
        raise DataError(f"saved rollouts must have at least 10 points to imitate, got {points}")
    return wanted if 2 * wanted <= points else points // 10
