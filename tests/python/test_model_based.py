"""Model-based learning from end to end on a small task: results, interruptions, refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.algorithms import control_stage
from mbmf.algorithms import model_based as mb
from mbmf.cluster import sampler
from mbmf.errors import ConfigError, DataError
from mbmf.tasks.settings import changed_task
from recorder import Recorder
from run_numbers import numbers_of
from small_mb_run import cheetah_task


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return cheetah_task()


def learn(
    path: Path, task: mbmf.Task, observer: mb.Observer | None = None, resume: bool = False, **options: Any
) -> dict[str, Any]:
    chosen = mb.Options(**{"nthread": 1, **options})
    with mb.open_run(path, task, chosen, resume=resume, other_iterations=resume) as run:
        return mb.model_based(task, run, chosen, observer)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, task: mbmf.Task) -> dict[str, Any]:
    """The numbers of a run without interruption."""
    path = tmp_path_factory.mktemp("whole") / "run_0"
    learn(path, task)
    return numbers_of(path)


def test_a_run_has_the_data_that_the_method_says(whole: dict[str, Any]) -> None:
    metrics = whole["metrics"]
    assert [record["iteration"] for record in metrics] == [1, 2, 3]
    assert [record["points_old"] for record in metrics] == [240, 240, 240]
    # two of three rollouts of 40 steps are learned from, and nothing before the first
    assert [record["points_new"] for record in metrics] == [0, 80, 160]
    assert [record["steps_total"] for record in metrics] == [240, 320, 400]
    assert metrics[0]["loss_new"] is None
    assert metrics[1]["loss_new"] > 0
    for record in metrics:
        assert list(record["validation_error"]) == ["1", "5", "10", "50", "100"]
        assert len(record["returns"]) == 3
        assert record["reward_mean"] == pytest.approx(np.mean(record["returns"]))
        assert record["reward_std"] == pytest.approx(np.std(record["returns"]))
        assert record["episode_length_mean"] == 40
    assert metrics[2]["loss_old"] < metrics[0]["loss_old"]
    assert sorted(key for key in whole if key.endswith(".npz")) == [
        "data/train.npz",
        "data/validation.npz",
        "rollouts/iteration_1.npz",
        "rollouts/iteration_2.npz",
        "rollouts/iteration_3.npz",
        "rollouts/saved.npz",
    ]
    assert whole["summary"]["rollouts_saved"] == 12


def test_no_two_episodes_are_alike(tmp_path: Path, task: mbmf.Task) -> None:
    learn(tmp_path / "run", task)
    starts = []
    for name in ("iteration_1", "iteration_2", "iteration_3", "saved"):
        starts += list(mbmf.Episodes.load(tmp_path / "run" / "rollouts" / f"{name}.npz", task).states[:, 0])
    for name in ("train", "validation"):
        starts += list(mbmf.Episodes.load(tmp_path / "run" / "data" / f"{name}.npz", task).states[:, 0])
    assert len(np.unique(np.array(starts), axis=0)) == 3 * 3 + 12 + 4 + 2


def test_numbers_depend_on_the_seed_and_not_on_threads(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]
) -> None:
    learn(tmp_path / "threads", task, nthread=3)
    assert numbers_of(tmp_path / "threads") == whole
    learn(tmp_path / "seed", task, seed=1)
    other = numbers_of(tmp_path / "seed")
    for name in whole:
        assert other[name] != whole[name] or name == "summary"


@pytest.mark.slow
def test_an_interruption_anywhere_ends_with_the_same_numbers(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]
) -> None:
    counter = Recorder()
    learn(tmp_path / "count", task, counter)
    # at every beginning and end of every stage
    assert counter.events == 2 * (2 + 3 * 3 + 2) + 3
    for at in range(counter.events):
        path = tmp_path / f"run_{at}"
        with pytest.raises(KeyboardInterrupt):
            learn(path, task, Recorder(interrupt_at=at))
        lines = Recorder()
        learn(path, task, lines, resume=True)
        assert numbers_of(path) == whole, f"interrupted at event {at}"
        # no stage before the interrupted iteration is done again
        done = max(0, (at - 4) // 7)
        assert not any(
            stage.startswith(f"iteration {i}:") for i in range(1, done + 1) for stage in lines.stages
        )


def with_iterations(task: mbmf.Task, iterations: int) -> mbmf.Task:
    return changed_task(task, [f"model_based.iterations={iterations}"])


class InterruptsSaving(Recorder):
    """Interrupts the run in the second of the rollouts that are saved."""

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        def progress(done: int) -> None:
            if title.startswith("rollouts to save") and done > 40:
                raise KeyboardInterrupt

        with super().stage(title, total):
            yield progress


@pytest.mark.parametrize(
    "first",
    [Recorder(), *(Recorder(interrupt_at=at) for at in (8, 12, 17, 20)), InterruptsSaving()],
    ids=["finished", "training", "controlling", "over", "second chunk", "saving"],
)
def test_a_run_goes_on_beyond_its_iterations(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any], first: Recorder
) -> None:
    """Finished, or interrupted in its second iteration or in the midst of saving rollouts: all is as if the
    run had begun with three iterations."""
    path = tmp_path / "run"
    with contextlib.suppress(KeyboardInterrupt):
        learn(path, with_iterations(task, 2), first)
    assert (path / "summary.json").exists() == (first.events == 22)
    if isinstance(first, InterruptsSaving):
        assert list(path.glob("unfinished/*_6/*.npz"))
    with pytest.raises(KeyboardInterrupt):
        learn(path, task, Recorder(interrupt_at=2), resume=True)
    assert not (path / "summary.json").exists()
    assert (path / "rollouts/saved.npz").exists() == (first.events == 22)
    assert yaml.safe_load((path / "config.yaml").read_text())["task"]["model_based"]["iterations"] == 3
    learn(path, task, resume=True)
    assert numbers_of(path) == whole


def test_a_run_ends_sooner_but_not_before_what_is_done(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]
) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        learn(path, with_iterations(task, 5), Recorder(interrupt_at=12))
    before = {file: file.read_bytes() for file in path.glob("*.*")}
    with pytest.raises(
        DataError, match=r"iterations must be the run's, 5, or more than the 1 that are done, got 1"
    ):
        learn(path, with_iterations(task, 1), resume=True)
    assert {file: file.read_bytes() for file in path.glob("*.*")} == before
    learn(path, task, resume=True)
    assert numbers_of(path) == whole


def test_a_run_that_something_began_from_keeps_its_iterations(tmp_path: Path, task: mbmf.Task) -> None:
    path, options = tmp_path / "run", mb.Options(nthread=1)
    learn(path, with_iterations(task, 1))
    before = {file: file.read_bytes() for file in path.rglob("*.*")}
    # of what does not ask for it, reproduce and sweep
    with pytest.raises(DataError, match=r"model_based\.iterations must be 3 to resume .*, got 1"):
        mb.open_run(path, task, options, resume=True)
    (path / "imitation").mkdir()
    (path / "imitation/config.yaml").write_text("algorithm: imitation\n")
    with pytest.raises(DataError, match="iterations must be 1, as when imitation began from the run, got 3"):
        learn(path, task, resume=True)
    assert {file: file.read_bytes() for file in path.rglob("*.*") if "imitation" not in str(file)} == before


def test_rollouts_of_fewer_iterations_are_not_kept(tmp_path: Path, task: mbmf.Task) -> None:
    first = learn(tmp_path / "run", with_iterations(task, 1))
    assert first["rollouts_saved"] == 12
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_stage, "MAX_ATTEMPTS_PER_ROLLOUT", 0)
        second = learn(tmp_path / "run", with_iterations(task, 2), resume=True)
    assert second["rollouts_saved"] == 0
    assert not (tmp_path / "run/rollouts/saved.npz").exists()
    learn(tmp_path / "run", with_iterations(task, 2), resume=True)


def test_every_stage_interrupted_in_turn_ends_with_the_same_numbers(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]
) -> None:
    path, resume = tmp_path / "run", False
    for _ in range(20):
        try:
            learn(path, task, Recorder(interrupt_at=8 if resume else 3), resume=resume)
        except KeyboardInterrupt:
            resume = True
        else:
            break
    assert numbers_of(path) == whole


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    """The real thing: SIGKILL in the midst of control, three times, then --resume of the same command."""
    task = cheetah_task(candidates=3000, steps_per_rollout=150, rollouts_to_save=4)
    file = tmp_path / "small.yaml"
    file.write_text(task.to_yaml())
    command = [
        sys.executable,
        "-m",
        "mbmf.cli.main",
        "mb",
        f"--yaml_file={file}",
        "--run_num=7",
        "--nthread=1",
    ]
    for wait_for in (
        "models/iteration_1.safetensors",
        "models/iteration_2.safetensors",
        "models/iteration_3.safetensors",
    ):
        process = subprocess.Popen(
            [
                *command,
                f"--runs_dir={tmp_path / 'killed'}",
                *(["--resume"] if (tmp_path / "killed").exists() else []),
            ],
            stdout=subprocess.DEVNULL,
        )
        target = tmp_path / "killed" / "run_7" / wait_for
        deadline = time.monotonic() + 300
        while not target.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert target.exists()
        assert not (target.parents[1] / "rollouts" / f"{target.stem}.npz").exists()
    for name, extra in (("killed", ["--resume"]), ("whole", ["--print-minimal"])):
        subprocess.run(
            [*command, f"--runs-dir={tmp_path / name}", *extra], check=True, stdout=subprocess.DEVNULL
        )
    assert numbers_of(tmp_path / "killed" / "run_7") == numbers_of(tmp_path / "whole" / "run_7")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, task: mbmf.Task) -> None:
    learn(tmp_path / "run", task)
    before = numbers_of(tmp_path / "run")
    recorder = Recorder()
    summary = learn(tmp_path / "run", task, recorder, resume=True)
    assert recorder.stages == []
    assert summary["rollouts_saved"] == 12
    assert numbers_of(tmp_path / "run") == before


def test_only_rollouts_above_the_minimum_return_are_saved(tmp_path: Path, whole: dict[str, Any]) -> None:
    task = cheetah_task(rollouts_to_save=200)
    learn(tmp_path / "all", task)
    returns = mbmf.Episodes.load(tmp_path / "all" / "rollouts" / "saved.npz", task).returns
    limit = float(np.median(returns[:20]))
    picky = cheetah_task(min_return=limit, rollouts_to_save=8)
    summary = learn(tmp_path / "picky", picky)
    saved = mbmf.Episodes.load(tmp_path / "picky" / "rollouts" / "saved.npz", picky).returns
    assert np.array_equal(saved, returns[returns > limit][:8])
    assert summary["attempts"] > 8
    assert not list((tmp_path / "picky" / "rollouts").glob("saving_*"))


def test_it_gives_up_when_no_rollout_is_good_enough(tmp_path: Path) -> None:
    recorder = Recorder()
    summary = learn(tmp_path / "run", cheetah_task(min_return=1e6), recorder, num_rollouts_save_for_mf=2)
    assert (summary["rollouts_saved"], summary["attempts"], summary["reward_mean"]) == (0, 20, None)
    assert "only 0 of 2 rollouts had a return above 1e+06 in 20 attempts" in recorder.notes[-1]
    assert not (tmp_path / "run" / "rollouts" / "saved.npz").exists()


def test_no_rollouts_are_saved_if_none_are_wanted(tmp_path: Path, task: mbmf.Task) -> None:
    summary = learn(tmp_path / "run", task, num_rollouts_save_for_mf=0)
    assert (summary["rollouts_saved"], summary["attempts"]) == (0, 0)


def test_existing_data_are_used(tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]) -> None:
    learn(tmp_path / "run", task)
    recorder = Recorder()
    with mb.open_run(tmp_path / "run", task, mb.Options(seed=5, use_existing_training_data=True)) as run:
        mb.model_based(task, run, mb.Options(seed=5, use_existing_training_data=True), recorder)
    assert not any("random data" in stage for stage in recorder.stages)
    numbers = numbers_of(tmp_path / "run")
    assert numbers["data/train.npz"] == whole["data/train.npz"]
    assert numbers["metrics"] != whole["metrics"]


def test_an_existing_model_is_used_and_not_trained(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]
) -> None:
    learn(tmp_path / "run", task)
    recorder = Recorder()
    options = {"use_existing_training_data": True, "use_existing_dynamics_model": True}
    learn(tmp_path / "run", task, recorder, **options)
    assert not any("train" in stage for stage in recorder.stages)
    numbers = numbers_of(tmp_path / "run")
    for i in (1, 2, 3):
        assert numbers[f"models/iteration_{i}.safetensors"] == whole[f"models/iteration_{i}.safetensors"]
    # from the first iteration on the rollouts are of the last model
    assert numbers["rollouts/iteration_3.npz"] == whole["rollouts/iteration_3.npz"]
    assert numbers["rollouts/iteration_1.npz"] != whole["rollouts/iteration_1.npz"]
    assert [record["loss_old"] for record in numbers["metrics"]] == [None] * 3
    # steps are those that the model learned from: 240 random ones and two iterations' rollouts
    assert [record["steps_total"] for record in numbers["metrics"]] == [400] * 3


def test_diverged_episodes_are_counted_and_not_learned_from(
    tmp_path: Path, task: mbmf.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(collect: Callable[..., mbmf.Episodes], first_ones: set[int]) -> Callable[..., mbmf.Episodes]:
        def spoiled(*args: Any, **kwargs: Any) -> mbmf.Episodes:
            episodes = collect(*args, **kwargs)
            numbers = kwargs["first_episode"] + np.arange(len(episodes))
            return dataclasses.replace(episodes, diverged=np.isin(numbers, list(first_ones)))

        return spoiled

    # of the data, of each iteration, and of each chunk of rollouts to save
    monkeypatch.setattr(sampler, "collect_random", spoil(mbmf.collect_random, {0}))
    monkeypatch.setattr(sampler, "collect_mpc", spoil(mbmf.collect_mpc, {0, 3, 6, 9, 19}))
    recorder = Recorder()
    summary = learn(tmp_path / "run", task, recorder)
    metrics = numbers_of(tmp_path / "run")["metrics"]
    assert [record["points_old"] for record in metrics] == [180] * 3
    assert [record["points_new"] for record in metrics] == [0, 40, 80]
    assert [record["diverged"] for record in metrics] == [1] * 3
    assert "train.npz: 1 of 4 episodes diverged and are left out" in recorder.notes[0]
    assert (summary["rollouts_saved"], summary["attempts"], summary["diverged"]) == (12, 20, 2)


def test_an_interruption_loses_one_episode(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in any call that collects: the next process goes on with the episode that was lost."""
    real = {"collect_random": mbmf.collect_random, "collect_mpc": mbmf.collect_mpc}
    path = tmp_path / "run"
    done: list[tuple[str, int]] = []

    def interrupted_once(name: str) -> Callable[..., mbmf.Episodes]:
        def collect(*args: Any, **kwargs: Any) -> mbmf.Episodes:
            at = (f"{name} {kwargs['seed']}", kwargs["first_episode"])
            if at not in done:
                done.append(at)
                raise KeyboardInterrupt
            return real[name](*args, **kwargs)

        return collect

    for name in real:
        monkeypatch.setattr(sampler, name, interrupted_once(name))
    for attempt in range(100):
        try:
            learn(path, task, resume=attempt > 0)
        except KeyboardInterrupt:
            unfinished = list(path.glob("unfinished/*/*.npz"))
            assert len(done) == attempt + 1
            # what was collected in the stage is there, but for what was interrupted
            stage = {first for name, first in done if name == done[-1][0]}
            assert (len(stage) > 1) <= (len(unfinished) > 0 or done[-1][1] in (0, 3, 6, 9, 19))
        else:
            break
    assert 10 < len(done) < 40
    assert not list(path.glob("unfinished/*"))
    assert numbers_of(path) == whole


def test_a_damaged_part_is_collected_again(tmp_path: Path, task: mbmf.Task) -> None:
    from mbmf.runs.parts import collect_in_parts

    asked: list[tuple[int, int]] = []
    lost = [3]

    def collect(first: int, count: int, steps: int) -> Generator[mbmf.Episodes]:
        asked.append((first, count))
        if lost and first >= lost[0]:
            lost.clear()
            raise KeyboardInterrupt
        assert steps == 5 * first
        yield mbmf.collect_random(task, count, 5, seed=3, first_episode=first)

    with mb.open_run(tmp_path / "run", task, mb.Options()) as run:
        with pytest.raises(KeyboardInterrupt):
            collect_in_parts(run, "train", task, 8, collect)
        assert asked == [(0, 1), (1, 2), (3, 4)]
        (part,) = (run.path / "unfinished/train").iterdir()
        contents = part.read_bytes()
        for damaged in (contents[:-9], contents[:50] + b"x" + contents[51:], contents):
            part.write_bytes(damaged)
            asked.clear()
            episodes = collect_in_parts(run, "train", task, 8, collect)
            assert asked[0] == ((3, 1) if damaged == contents else (0, 1))
            expected = mbmf.collect_random(task, 8, 5, seed=3)
            np.testing.assert_array_equal(episodes.states, expected.states)
            np.testing.assert_array_equal(episodes.rewards, expected.rewards)


def test_data_that_all_diverged_are_refused(
    tmp_path: Path, task: mbmf.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(*args: Any, **kwargs: Any) -> mbmf.Episodes:
        episodes = mbmf.collect_random(*args, **kwargs)
        return dataclasses.replace(episodes, diverged=np.ones(len(episodes), bool))

    monkeypatch.setattr(sampler, "collect_random", diverged)
    with pytest.raises(DataError, match=r"train\.npz: episodes must not diverge, got all 4 diverged"):
        learn(tmp_path / "run", task)


def test_settings_that_cannot_work_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    short = cheetah_task(random_validation={"episodes": 2, "steps": 100})
    with pytest.raises(
        ConfigError, match=r"random_validation.steps must be more than 100 for the .*, got 100"
    ):
        learn(tmp_path / "run", short)
    config = yaml.safe_load(short.to_yaml())
    del config["model_based"]
    with pytest.raises(ConfigError, match="model_based must be given for model-based learning, got nothing"):
        learn(tmp_path / "run", mbmf.load_task(config))
    assert not (tmp_path / "run").exists()
