"""Imitation from end to end on a small run: what is learned from, labels, interruptions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.algorithms import imitation, imitation_learner
from mbmf.algorithms.cloning import Cloning, examples_of
from mbmf.cluster.sampler import Here
from mbmf.errors import ConfigError, DataError
from mbmf.runs import parts
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from mbmf.seeds import derive_seed
from recorder import Recorder
from run_numbers import numbers_of
from small_imitation import imitate
from small_mb_run import IMITATION, MODEL_BASED, make_run, task_config


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task(task_config())


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("mb") / "run_1", task_config(), seed=4)


@pytest.fixture(scope="module")
def source(controller: Path, task: mbmf.Task) -> ModelBasedResult:
    with Run.read(controller) as run:
        return ModelBasedResult.load(run, task)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, task: mbmf.Task, source: ModelBasedResult
) -> tuple[Path, Recorder]:
    """A run without interruption, and what it told."""
    path, observer = tmp_path_factory.mktemp("whole") / "imitation", Recorder()
    imitate(path, task, source, observer)
    return path, observer


def test_a_run_learns_from_what_the_method_says(
    whole: tuple[Path, Recorder], task: mbmf.Task, source: ModelBasedResult
) -> None:
    path, observer = whole
    numbers = numbers_of(path)
    records = numbers["metrics"]
    # behaviour cloning, and once again after each of the two aggregations
    assert [record["iteration"] for record in records] == [1, 2, 3]
    labelled = [record["steps_labelled"] for record in records]
    assert labelled == [60, 60, 0]
    before = [0, labelled[0], labelled[0] + labelled[1]]
    saved = source.rollouts.nsteps
    assert [record["points"] for record in records] == [saved - 20 + steps for steps in before]
    assert [record["steps_total"] for record in records] == [source.steps + saved + each for each in before]
    for record, (told, tests, rollouts) in zip(records, observer.iterations, strict=True):
        assert record["points_validation"] == 20
        assert record["returns"] == tests.returns.tolist()
        assert record["reward_mean"] == pytest.approx(np.mean(tests.returns))
        assert told["iteration"] == record["iteration"]
        assert (rollouts is None) == (record["iteration"] == 3)
        assert np.isfinite([record["loss_train"], record["loss_validation"]]).all()
    assert numbers["summary"]["steps_total"] == records[-1]["steps_total"]
    assert numbers["summary"]["mpc_reward_mean"] == pytest.approx(source.rollouts.returns.mean())
    policy, steps = imitation.load_policy(Run(path), task)
    assert steps == records[-1]["steps_total"]
    assert policy.hidden == (8, 8)


def test_patience_ends_a_training_at_the_lowest_held_out_loss(
    tmp_path: Path, source: ModelBasedResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = IMITATION | {"epochs": 400, "learning_rate": 0.1, "iterations": 1}
    patient = mbmf.load_task(task_config(imitation=settings | {"patience": 3}))
    imitate(tmp_path / "patient", patient, source)
    records = numbers_of(tmp_path / "patient")["metrics"]
    assert all(record["epochs"] == record["best_epoch"] + 3 < 400 for record in records)
    # a run of just so many passes is the same; what follows them is lost
    best = records[0]["best_epoch"]
    plain = mbmf.load_task(task_config(imitation=settings | {"epochs": best}))
    imitate(tmp_path / "plain", plain, source)
    same = numbers_of(tmp_path / "plain")["metrics"][0]
    for name in ("loss_train", "loss_validation", "returns"):
        assert same[name] == records[0][name]
    later = mbmf.load_task(task_config(imitation=settings | {"epochs": best + 3}))
    imitate(tmp_path / "later", later, source)
    assert numbers_of(tmp_path / "later")["metrics"][0]["loss_validation"] >= same["loss_validation"]
    # interrupted between its trainings it ends with the same numbers
    with monkeypatch.context() as patch:
        patch.setattr(imitation_learner.Learner, "_label", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            imitate(tmp_path / "again", patient, source)
    imitate(tmp_path / "again", patient, source, resume=True)
    assert numbers_of(tmp_path / "again") == numbers_of(tmp_path / "patient")


def _interrupt(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def test_each_visited_state_is_labelled_with_what_mpc_would_do(
    whole: tuple[Path, Recorder], task: mbmf.Task, source: ModelBasedResult
) -> None:
    path, observer = whole
    seed = derive_seed(0, imitation_learner._PLAN)
    planner = mbmf.RandomShooting(task, source.model, horizon=4, candidates=20, seed=seed, nthread=1)
    for iteration in (1, 2):
        rollouts = mbmf.Episodes.load(path / f"rollouts/iteration_{iteration}.npz", task=task)
        told = observer.iterations[iteration - 1][2]
        assert told is not None
        np.testing.assert_array_equal(told.states, rollouts.states)
        for e, length in enumerate(rollouts.lengths):
            number = 2 * (iteration - 1) + e
            for step in range(length):
                action = planner.plan(rollouts.states[e, step], episode=number, step=step).action
                np.testing.assert_array_equal(action, rollouts.actions[e, step])
            assert np.ptp(rollouts.actions[e, :length], axis=0).min() > 0.1


def test_rollouts_are_of_the_policy_with_noise_from_its_iteration_on(
    whole: tuple[Path, Recorder], task: mbmf.Task, source: ModelBasedResult, tmp_path: Path
) -> None:
    # the policy as the first iteration left it
    observer = Recorder()
    settings = imitation.settings_of(task)
    with imitation.open_run(tmp_path / "run", task, source, settings, seed=0) as run:
        learner = imitation_learner.Learner(
            task, run, source, settings, 0, Here(1), stage=observer.stage, note=observer.note
        )
        for iteration in (1, 2):
            _, _, rollouts = learner.iterate(iteration)
            assert rollouts is not None
            batches = [
                mbmf.collect_policy(
                    task,
                    learner._policy,
                    episodes=2,
                    seed=derive_seed(0, imitation_learner._ROLLOUTS),
                    first_episode=2 * (iteration - 1),
                    max_episode_steps=30,
                    std=std,
                    kind="control",
                    keep_states=True,
                ).to_episodes(task)
                for std in (0.0, 0.05)
            ]
            same = [np.array_equal(each.states, rollouts.states) for each in batches]
            assert same == [iteration == 1, iteration == 2]
            assert rollouts.observations is not None
            # the policy learns from its own observations: the model's states without the centre of mass
            nobservation = task.nobservation
            assert nobservation == 11
            np.testing.assert_allclose(rollouts.observations, rollouts.states[..., :nobservation], rtol=1e-6)
            examples = examples_of(rollouts)
            assert examples.observations.shape == (rollouts.nsteps, nobservation)
            second = int(rollouts.lengths[0])
            np.testing.assert_array_equal(
                examples.observations[second], rollouts.observations[1, 0].astype(np.float32)
            )
            np.testing.assert_array_equal(examples.actions[second], rollouts.actions[1, 0])


def test_numbers_depend_on_the_seed_and_not_on_threads(
    tmp_path: Path, task: mbmf.Task, source: ModelBasedResult, whole: tuple[Path, Recorder]
) -> None:
    imitate(tmp_path / "threads", task, source, nthread=2)
    assert numbers_of(tmp_path / "threads") == numbers_of(whole[0])
    imitate(tmp_path / "seed", task, source, seed=1)
    assert numbers_of(tmp_path / "seed")["metrics"] != numbers_of(whole[0])["metrics"]


def test_an_interruption_anywhere_ends_with_the_same_numbers(
    tmp_path: Path,
    task: mbmf.Task,
    source: ModelBasedResult,
    whole: tuple[Path, Recorder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # every event of the first iteration, some of the others
    for at in (*range(0, 9, 2), 13, whole[1].events - 1):
        path = tmp_path / f"event_{at}"
        with pytest.raises(KeyboardInterrupt):
            imitate(path, task, source, Recorder(at))
        imitate(path, task, source, resume=True)
        assert numbers_of(path) == numbers_of(whole[0]), f"interrupted at event {at}"
    # between the checkpoint and the metrics, and before the checkpoint
    for name in ("mbmf.runs.run.Run.append_metrics", "mbmf.algorithms.imitation_checkpoint.save"):
        path = tmp_path / name
        with monkeypatch.context() as patch:
            patch.setattr(name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                imitate(path, task, source)
        imitate(path, task, source, resume=True)
        assert numbers_of(path) == numbers_of(whole[0])
        assert not (path / "unfinished").exists()


def interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


def test_a_policy_that_saw_other_observations_is_refused(
    task: mbmf.Task, whole: tuple[Path, Recorder]
) -> None:
    """Fine-tuning would take from it what it acts by."""
    assert task.model_free is not None
    names = task.observation_names
    less = mbmf.load_task(
        task_config(model_free={**task.model_free.model_dump(), "inputs": {names[0]: "nothing"}})
    )
    with pytest.raises(DataError, match=rf"inputs must leave out .* nothing, got \['{names[0]}'\]"):
        imitation.load_policy(Run(whole[0]), less)
    same = dict.fromkeys(names, "as it is")
    same = mbmf.load_task(task_config(model_free={**task.model_free.model_dump(), "inputs": same}))
    imitation.load_policy(Run(whole[0]), same)


def test_an_interruption_while_mpc_labels_loses_what_is_being_labelled(
    tmp_path: Path,
    task: mbmf.Task,
    source: ModelBasedResult,
    whole: tuple[Path, Recorder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit, labels, done = Cloning.fit, Here.labels, list[str]()

    def counted_fit(*args: Any, **kwargs: Any) -> Any:
        done.append("fit")
        return fit(*args, **kwargs)

    def counted_labels(sampler: Here, planner: Any, episodes: mbmf.Episodes, **kwargs: Any) -> Any:
        if done.count("label") == 1 and "stop" not in done:
            done.append("stop")
            raise KeyboardInterrupt
        done.append("label")
        assert len(episodes) == 1
        return labels(sampler, planner, episodes, **kwargs)

    monkeypatch.setattr(Cloning, "fit", counted_fit)
    monkeypatch.setattr(Here, "labels", counted_labels)
    monkeypatch.setattr(parts, "_PART", 0.0)  # an episode at a time
    for damage in (False, True):
        path = tmp_path / f"damaged_{damage}"
        done.clear()
        with pytest.raises(KeyboardInterrupt):
            imitate(path, task, source)
        assert done == ["fit", "label", "stop"]
        kept = sorted(file.name.partition("_")[0] for file in (path / "unfinished/labels_1").iterdir())
        assert kept == ["0", "trained"]
        if damage:
            for file in (path / "unfinished/labels_1").iterdir():
                file.write_bytes(file.read_bytes()[:-1])
        imitate(path, task, source, resume=True)
        # two iterations have two labelled rollouts each, the last has none
        again = ["fit", "label"] if damage else []
        assert done[3:] == [*again, "label", "fit", "label", "label", "fit"]
        assert numbers_of(path) == numbers_of(whole[0])
        assert not (path / "unfinished").exists()


def test_a_finished_run_is_left_as_it_is(
    task: mbmf.Task, source: ModelBasedResult, whole: tuple[Path, Recorder]
) -> None:
    before, observer = numbers_of(whole[0]), Recorder()
    imitate(whole[0], task, source, observer, resume=True)
    assert observer.iterations == []
    assert numbers_of(whole[0]) == before


def test_rollouts_that_diverged_are_not_learned_from(
    tmp_path: Path, task: mbmf.Task, source: ModelBasedResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_episodes = mbmf.PolicyBatch.to_episodes

    def first_diverges(batch: mbmf.PolicyBatch, of: mbmf.Task) -> mbmf.Episodes:
        episodes = to_episodes(batch, of)
        return dataclasses.replace(episodes, diverged=np.arange(len(episodes)) == 0)

    monkeypatch.setattr(mbmf.PolicyBatch, "to_episodes", first_diverges)
    observer = Recorder()
    imitate(tmp_path / "run", task, source, observer)
    record, tests, labelled = observer.iterations[0]
    assert record["diverged"] == 1
    assert record["reward_mean"] == pytest.approx(tests.returns[1])
    assert labelled is not None
    assert len(labelled) == record["rollouts_labelled"] == 1
    assert "1 of 2 rollouts diverged and are left out" in observer.notes[0]


@pytest.mark.parametrize(
    ("points", "wanted", "count"),
    [(1400, 700, 700), (1399, 700, 139), (60_000, 10_000, 10_000), (10, 700, 1)],
)
def test_how_much_is_held_out(points: int, wanted: int, count: int) -> None:
    assert imitation_learner.validation_count(points, wanted) == count


def test_what_is_refused(tmp_path: Path, task: mbmf.Task, source: ModelBasedResult) -> None:
    with pytest.raises(DataError, match="saved rollouts must have at least 10 points to imitate, got 9"):
        imitation_learner.validation_count(9, 700)
    for section, message in (
        ("imitation", "task small: imitation must be given for imitation, got nothing"),
        ("model_free", "task small: model_free must be given for imitation"),
    ):
        with pytest.raises(ConfigError, match=message):
            imitation.settings_of(mbmf.load_task(task_config(**{section: None})))
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        imitate(path, task, source, Recorder(interrupt_at=8))
    with pytest.raises(DataError, match="imitation must be finished to use its policy, got 1 iterations"):
        imitation.load_policy(Run(path), task)
    # another seed, other settings, another model-based run
    other = mbmf.load_task(task_config(imitation={**IMITATION, "epochs": 5}))
    longer = dataclasses.replace(source, steps=source.steps + 1)
    for args, message in (
        ((task, source, 1), "seed must be 1 to resume the run with this command, got 0"),
        ((other, source, 0), r"settings\.epochs must be 5"),
        ((task, longer, 0), "steps_before must be"),
    ):
        with pytest.raises(DataError, match=message):
            imitate(path, args[0], args[1], seed=args[2], resume=True)
    # settings of other stages may differ
    other = mbmf.load_task(task_config(model_based={**MODEL_BASED, "epochs": 7}, fine_tune=None))
    imitate(path, other, source, resume=True)


def test_damaged_files_are_named(tmp_path: Path, task: mbmf.Task, source: ModelBasedResult) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        imitate(path, task, source, Recorder(interrupt_at=9))
    checkpoint = path / "policy/checkpoint.safetensors"
    contents = checkpoint.read_bytes()
    policy = (path / "policy/policy.safetensors").read_bytes()
    for damaged, message in (
        (contents[:100], "checkpoint file must be a whole safetensors file"),
        (policy, "file must be a checkpoint of mbmf, got another kind"),
    ):
        checkpoint.write_bytes(damaged)
        with pytest.raises(DataError, match=message):
            imitate(path, task, source, resume=True)
    checkpoint.write_bytes(contents)
    rollouts = path / "rollouts/iteration_1.npz"
    contents = rollouts.read_bytes()
    rollouts.write_bytes(contents[: len(contents) // 2])
    with pytest.raises(DataError, match=r"iteration_1\.npz: must be a whole file of Episodes\.save"):
        imitate(path, task, source, resume=True)
    rollouts.write_bytes(contents)
    imitate(path, task, source, resume=True)


def test_episodes_of_a_batch_are_its_steps() -> None:
    task = mbmf.load_task(task_config(healthy=[{"source": "qpos", "joint": "rootz", "above": 1.1}]))
    policy = mbmf.GaussianPolicy(task, (8,), std=2.0)
    batch = mbmf.collect_policy(task, policy, 150, keep_states=True, max_episode_steps=25)
    episodes = batch.to_episodes(task)
    assert len(set(batch.lengths.tolist())) > 1
    states, actions, after = episodes.transitions()
    assert batch.states is not None
    np.testing.assert_array_equal(states, batch.states)
    np.testing.assert_array_equal(actions, np.clip(batch.actions, -1, 1))
    assert np.abs(batch.actions).max() > 1
    np.testing.assert_allclose(episodes.returns, batch.returns, rtol=1e-12)
    assert batch.final_states is not None
    np.testing.assert_array_equal(after[np.cumsum(batch.lengths) - 1], batch.final_states)
    np.testing.assert_array_equal(examples_of(episodes).observations, batch.observations)
    with pytest.raises(ValueError, match="states must be kept"):
        mbmf.collect_policy(task, policy, 10).to_episodes(task)


@pytest.mark.parametrize("name", ["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"])
def test_settings_of_the_presets(name: str) -> None:
    task = mbmf.load_task(name)
    assert imitation.settings_of(task) == task.imitation
    fewer = imitation.settings_of(task, epochs=4)
    assert fewer == task.imitation.model_copy(update={"epochs": 4})
    with pytest.raises(ConfigError, match=r"imitation\.epochs must be an integer from 1 to 1000000, got 0"):
        imitation.settings_of(task, epochs=0)
