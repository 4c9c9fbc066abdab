"""Model-free learning from end to end on small runs: results, interruptions, refusals."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import mbmf
from mbmf.algorithms import checkpoint, policy_iteration, trpo
from mbmf.algorithms import model_free as mf
from mbmf.cli.drivers import find_policy, read_policy
from mbmf.cli.main import main
from mbmf.errors import ConfigError, DataError, MbmfError
from mbmf.seeds import derive_seed
from mbmf.tasks.agents import agents, load_agent

SMALL = {"hidden": [8, 8], "batch_size": 200, "steps_per_rollout": 40, "iterations": 5}
SECONDS = ("seconds_sampling", "seconds_update", "seconds")


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    config = yaml.safe_load(mbmf.load_task("hopper_forward").to_yaml())
    return mbmf.load_task({**config, "name": "small", "model_free": SMALL})


class Recorder(mf.Silent):
    """Remembers notes, and may interrupt at the n-th event: a report of the sampler, or an iteration."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.notes: list[str] = []
        self.records: list[dict[str, Any]] = []
        self._at = interrupt_at

    def iteration(self, record: Any) -> None:
        self.records.append(record)
        if len(self.records) == self._at:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


def learn(
    path: Path,
    task: mbmf.Task,
    observer: mf.Observer | None = None,
    *,
    seed: int = 0,
    nthread: int = 1,
    resume: bool = False,
    max_steps: int | None = None,
    stop_at_reward: float | None = None,
    **changes: Any,
) -> dict[str, Any]:
    settings = mf.settings_of(task, **changes)
    limits = mf.Limits(settings.iterations, max_steps, stop_at_reward)
    with mf.open_run(path, task, settings, limits, seed=seed, nthread=nthread, resume=resume) as run:
        return mf.model_free(task, run, settings, limits, seed=seed, nthread=nthread, observer=observer)


def numbers_of(path: Path) -> dict[str, Any]:
    """Everything that a run computed, without the seconds that it took."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((path / "summary.json").read_text())
    for record in [*lines, summary]:
        for name in SECONDS:
            record.pop(name, None)
    return {"metrics": lines, "summary": summary, "policy": (path / "policy/policy.safetensors").read_bytes()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, task: mbmf.Task) -> dict[str, Any]:
    """The numbers of a run without interruption."""
    path = tmp_path_factory.mktemp("whole") / "run"
    learn(path, task)
    return numbers_of(path)


def test_a_run_records_what_it_did(whole: dict[str, Any], task: mbmf.Task) -> None:
    records = whole["metrics"]
    assert [record["iteration"] for record in records] == [1, 2, 3, 4, 5]
    assert [r["steps_total"] for r in records] == np.cumsum([r["steps"] for r in records]).tolist()
    for record in records:
        # the fewest whole episodes that fill the batch, which this robot ends by falling
        assert 200 <= record["steps"] < 240
        assert record["terminated"] > 0
        assert record["episode_length_mean"] == pytest.approx(record["steps"] / record["episodes"])
        assert record["reward_min"] <= record["reward_mean"] <= record["reward_max"]
        assert record["reward_std"] > 0
        assert 0 < record["kl"] <= 0.05
        assert record["loss_after"] < record["loss_before"]
        assert 0 < record["step_fraction"] <= 1
        assert record["skipped"] is None
    # the first baseline expects nothing
    assert records[0]["explained_variance"] == 0 != records[1]["explained_variance"]
    assert records[0]["policy_std"] == 1 != records[1]["policy_std"]
    assert whole["summary"]["stopped"] == "5 iterations are done"
    assert whole["summary"]["steps_total"] == records[-1]["steps_total"]


def test_the_policy_is_left_for_use(tmp_path: Path, task: mbmf.Task) -> None:
    learn(tmp_path / "run", task, iterations=2)
    policy = mbmf.GaussianPolicy.load(tmp_path / "run/policy/policy.safetensors", task)
    assert policy.hidden == (8, 8)
    fresh = mbmf.GaussianPolicy(task, (8, 8), seed=derive_seed(0, mf._POLICY))
    assert not np.array_equal(policy.parameter_vector(), fresh.parameter_vector())
    assert policy(np.zeros(task.nobservation)).shape == (task.naction,)


def test_learning_earns_more(tmp_path: Path) -> None:
    task = mbmf.load_task("cheetah_forward")
    learn(tmp_path / "run", task, batch_size=6000, steps_per_rollout=200, iterations=8, nthread=2)
    records = numbers_of(tmp_path / "run")["metrics"]
    rewards = [record["reward_mean"] for record in records]
    assert records[-1]["explained_variance"] > 0.1
    # an untrained policy earns about -65 in 200 steps, with a deviation of 35 over its 30 episodes
    assert rewards[-1] > rewards[0] + 30


def test_numbers_depend_on_the_seed_and_not_on_threads(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]
) -> None:
    learn(tmp_path / "threads", task, nthread=3)
    assert numbers_of(tmp_path / "threads") == whole
    learn(tmp_path / "seed", task, seed=1)
    assert numbers_of(tmp_path / "seed")["metrics"] != whole["metrics"]


def test_an_interruption_anywhere_ends_with_the_same_numbers(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in (1, 3):
        path = tmp_path / f"after_{at}"
        with pytest.raises(KeyboardInterrupt):
            learn(path, task, Recorder(interrupt_at=at))
        assert (path / "policy/policy.safetensors").exists()
        again = Recorder()
        learn(path, task, again, resume=True)
        assert [record["iteration"] for record in again.records] == list(range(at + 1, 6))
        assert numbers_of(path) == whole
    # between the checkpoint and the metrics, and before the checkpoint
    for name in ("mbmf.runs.run.Run.append_metrics", "mbmf.algorithms.checkpoint.save"):
        path = tmp_path / name
        with monkeypatch.context() as patch:
            patch.setattr(name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                learn(path, task)
        assert not (path / "metrics.jsonl").exists()
        learn(path, task, resume=True)
        assert numbers_of(path) == whole


def interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


def test_time_limits_are_told_apart_from_ends(
    task: mbmf.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bootstrap_truncated the baseline's value follows what ran out of time, and 0 what ended."""
    seen: list[tuple[Any, Any, Any]] = []

    def watched(rewards: Any, values: Any, lengths: Any, *more: Any) -> Any:
        seen.append((rewards.copy(), lengths.copy(), more[-1]))
        return original(rewards, values, lengths, *more)

    original = policy_iteration.generalized_advantages
    monkeypatch.setattr(policy_iteration, "generalized_advantages", watched)
    recorded = mbmf.load_task(task.to_data() | {"model_free": SMALL | {"bootstrap_truncated": True}})
    learn(tmp_path / "with", recorded)
    ran_out = [lengths == SMALL["steps_per_rollout"] for _, lengths, _ in seen]
    assert 0 < sum(map(np.sum, ran_out)) < sum(map(len, ran_out))  # both kinds there were
    assert (seen[0][2] == 0).all()  # nothing is expected before the first fit
    assert any((final != 0).any() for _, _, final in seen)
    for out, (_, _, final) in zip(ran_out, seen, strict=True):
        assert (final[~out] == 0).all()
    seen.clear()
    learn(tmp_path / "without", task)
    assert all(final is None for _, _, final in seen)
    with_it, without = (numbers_of(tmp_path / name) for name in ("with", "without"))
    assert with_it != without
    # a run is continued with the same setting alone
    with pytest.raises(MbmfError, match="bootstrap_truncated"):
        learn(tmp_path / "without", recorded, resume=True)


def test_the_first_baseline_may_be_fitted_to_its_own_batch(
    task: mbmf.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fit_baseline_first the first values are ridge regression's, by NumPy; all later ones as ever."""
    seen: list[tuple[Any, ...]] = []

    def watched(rewards: Any, values: Any, lengths: Any, *more: Any) -> Any:
        seen.append((rewards, values, lengths))
        return original(rewards, values, lengths, *more)

    original, batches = policy_iteration.generalized_advantages, []
    fitted = policy_iteration.BaselineData

    def data(observations: Any, times: Any, workers: Any) -> Any:
        batches.append((observations, times))
        return fitted(observations, times, workers)

    monkeypatch.setattr(policy_iteration, "generalized_advantages", watched)
    monkeypatch.setattr(policy_iteration, "BaselineData", data)
    learn(tmp_path / "without", task)
    assert (seen[0][1] == 0).all()
    seen.clear()
    batches.clear()
    with pytest.raises(ConfigError, match=r"model_free\.fit_baseline_first must be true or false, got 'yes'"):
        mbmf.load_task(task.to_data() | {"model_free": SMALL | {"fit_baseline_first": "yes"}})
    first = mbmf.load_task(task.to_data() | {"model_free": SMALL | {"fit_baseline_first": True}})
    learn(tmp_path / "with", first)
    (rewards, values, lengths), (observations, times) = seen[0], batches[0]
    returns, end = np.empty(len(rewards)), 0
    for length in lengths:
        total = 0.0
        for t in range(end + length - 1, end - 1, -1):
            returns[t] = total = rewards[t] + 0.995 * total
        end += length
    clipped, t = np.clip(observations.astype(np.float64), -10, 10), times[:, None] / 100
    x = np.hstack([clipped, clipped**2, t, t**2, t**3, np.ones_like(t)])
    c = np.linalg.solve(x.T @ x + 1e-5 * np.eye(x.shape[1]), x.T @ returns)
    np.testing.assert_allclose(values, x @ c, rtol=1e-6, atol=1e-6)
    records = numbers_of(tmp_path / "with")["metrics"]
    assert records[0]["explained_variance"] > 0
    assert records != numbers_of(tmp_path / "without")["metrics"]


def test_limits_stop_a_run_and_higher_ones_continue_it(
    tmp_path: Path, task: mbmf.Task, whole: dict[str, Any]
) -> None:
    path = tmp_path / "run"
    first = whole["metrics"][0]
    most = first["steps"] - 1
    at_first = f"{first['steps']} steps were taken, max_steps is {most}"
    assert learn(path, task, max_steps=most)["stopped"] == at_first
    assert learn(path, task, max_steps=first["steps"], resume=True)["iterations"] == 1
    reward = max(record["reward_mean"] for record in whole["metrics"][:3])
    stopped = learn(path, task, stop_at_reward=reward, resume=True)
    assert "the reward is at least" in stopped["stopped"]
    assert stopped["reward_mean"] == stopped["best_reward_mean"] == reward
    learn(path, task, resume=True)
    assert numbers_of(path) == whole


def test_a_finished_run_that_goes_on_is_not_finished(tmp_path: Path, task: mbmf.Task) -> None:
    """Its summary is of the end before."""
    path = tmp_path / "run"
    learn(path, task, iterations=2)
    assert (mf.Run(path).summary() or {})["stopped_at_reward"] is False

    class Stops(mf.Silent):
        def iteration(self, record: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(path, task, Stops(), resume=True, iterations=5)
    assert len(mf.Run(path).metrics()) == 3
    assert mf.Run(path).summary() is None
    learn(path, task, resume=True, iterations=3)
    assert (mf.Run(path).summary() or {})["iterations"] == 3


def test_updates_that_are_not_finite_are_skipped(
    tmp_path: Path, task: mbmf.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, calls = trpo.trpo_step, []

    def sometimes(network: Any, theta: torch.Tensor, *args: Any) -> trpo.Step:
        calls.append(theta.clone())
        if len(calls) in (2, 3):
            return trpo.Step(theta, math.nan, math.nan, 0.0, 0.0, "surrogate loss nan")
        return good(network, theta, *args)

    monkeypatch.setattr(policy_iteration, "trpo_step", sometimes)
    observer = Recorder()
    summary = learn(tmp_path / "run", task, observer)
    assert summary["skipped"] == 2
    assert observer.notes == [
        f"iteration {i}: update skipped, the policy stays as it was: surrogate loss nan "
        f"({i - 1} skipped so far)"
        for i in (2, 3)
    ]
    assert torch.equal(calls[1], calls[2])
    assert torch.equal(calls[2], calls[3])
    assert not torch.equal(calls[3], calls[4])
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["loss_before"] is None
    assert json.loads(lines[1])["skipped"] == "surrogate loss nan"


def test_several_updates_in_a_row_that_are_not_finite_end_a_run(
    tmp_path: Path, task: mbmf.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(tmp_path / "run", task, iterations=2)
    before = mbmf.GaussianPolicy.load(tmp_path / "run/policy/policy.safetensors").parameter_vector()
    monkeypatch.setattr(
        policy_iteration,
        "trpo_step",
        lambda network, theta, *_: trpo.Step(theta, math.inf, 0.0, 0.0, 0.0, "infinite"),
    )
    with pytest.raises(MbmfError, match="5 updates in a row were not finite, the last: infinite"):
        learn(tmp_path / "run", task, iterations=20, resume=True)
    # one whose observer ends the work after every iteration, as slices of several runs do, is ended too
    shutil.copytree(tmp_path / "run", tmp_path / "sliced")
    with pytest.raises(MbmfError, match="6 updates in a row were not finite"):
        learn(tmp_path / "sliced", task, Recorder(1), iterations=20, resume=True)
    after = mbmf.GaussianPolicy.load(tmp_path / "run/policy/policy.safetensors").parameter_vector()
    np.testing.assert_array_equal(after, before)
    monkeypatch.undo()
    assert learn(tmp_path / "run", task, iterations=8, resume=True)["iterations"] == 8


def test_episodes_that_diverged_are_left_out(task: mbmf.Task) -> None:
    policy = mbmf.GaussianPolicy(task, (8, 8))
    batch = mbmf.collect_policy(task, policy, 100, keep_hidden=True, max_episode_steps=40)
    assert policy_iteration.without_diverged(batch) is batch
    bad = dataclasses.replace(batch, diverged=np.arange(len(batch)) == 1)
    left = policy_iteration.without_diverged(bad)
    assert len(left) == len(batch) - 1
    assert left.nsteps == batch.nsteps - batch.lengths[1]
    np.testing.assert_array_equal(left.returns, np.delete(batch.returns, 1))
    second = slice(batch.starts[1], batch.starts[2])
    np.testing.assert_array_equal(left.observations, np.delete(batch.observations, second, axis=0))
    assert left.hidden is not None
    assert [len(layer) for layer in left.hidden] == [left.nsteps] * 2


# --- the command


def test_agents_by_number_and_name() -> None:
    found = [(agent.number, agent.names, agent.preset) for agent in agents()]
    assert found == [
        (1, ("ant",), "ant_forward"),
        (2, ("swimmer",), "swimmer_forward"),
        (4, ("half_cheetah", "cheetah"), "cheetah_forward"),
        (6, ("hopper",), "hopper_forward"),
    ]
    for which, name in (("4", "half_cheetah"), ("Half-Cheetah", "half_cheetah"), ("cheetah", "half_cheetah")):
        assert load_agent(which)[0] == name
    assert load_agent("swimmer_forward")[0] == "swimmer"
    assert load_agent("swimmer_forward")[1].name == "swimmer_forward"


def mf_command(folder: Path, *flags: str) -> int:
    return main(["mf", f"--which_agent={folder / 'small.yaml'}", f"--runs_dir={folder / 'runs'}", *flags])


@pytest.fixture
def folder(tmp_path: Path, task: mbmf.Task) -> Path:
    config = yaml.safe_load(task.to_yaml())
    config.pop("agent")
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def test_command_shows_each_iteration(
    folder: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert mf_command(folder, "--num_trpo_iters=2", "--num_workers_trpo=1") == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split() for line in lines if line.split()[:1] in (["1/2"], ["2/2"])]
    for row, record in zip(shown, whole["metrics"][:2], strict=True):
        assert row[0] == f"{record['iteration']}/2"
        assert f"{record['reward_mean']:.2f}" in row
    assert "left" in lines[0]
    assert "Stopped after 2 iterations: 2 iterations are done." in " ".join(lines)
    assert mf_command(folder, "--resume") == 0
    run = folder / "runs" / "mf_small_1"
    assert numbers_of(run)["metrics"] == whole["metrics"]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["settings"]["kl_step"] == 0.05
    assert config["limits"]["iterations"] == 2


@pytest.mark.slow
def test_the_policy_of_a_killed_run_is_that_of_its_last_iteration(folder: Path) -> None:
    def killed(*flags: str) -> None:
        """Before its policy is written."""
        command = [f"--which_agent={folder / 'small.yaml'}", f"--runs_dir={folder / 'runs'}", *flags]
        code = (
            "import os; from mbmf.policies.policy import GaussianPolicy; from mbmf.cli.main import main\n"
            f"GaussianPolicy.save = lambda *given: os._exit(9)\nmain(['mf', *{command}])"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9

    killed("--save_trpo_run_num=2", "--num_trpo_iters=1")
    with pytest.raises(DataError, match=r"policy must be there, got a run that was killed .* by --resume"):
        find_policy(folder / "runs/mf_small_2")
    assert mf_command(folder, "--num_trpo_iters=1", "--print_minimal") == 0
    file = folder / "runs/mf_small_1/policy/policy.safetensors"
    first = read_policy(file)
    killed("--num_trpo_iters=2", "--resume")
    written, last = mbmf.GaussianPolicy.load(file), read_policy(file)
    assert np.array_equal(written.parameter_vector(), first.parameter_vector())
    assert not np.array_equal(last.parameter_vector(), first.parameter_vector())
    assert mf_command(folder, "--resume", "--num_trpo_iters=2", "--print_minimal") == 0
    ended = mbmf.GaussianPolicy.load(file)
    assert np.array_equal(last.parameter_vector(), ended.parameter_vector())


def test_command_says_how_to_continue(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_iteration, "trpo_step", interrupt)
    assert mf_command(folder, "--seed=3") == 130
    flags = f"--which_agent={folder / 'small.yaml'} --seed=3 --runs_dir={folder / 'runs'} --resume"
    assert f"Interrupted. To continue:\n  mbmf mf {flags}" in capsys.readouterr().err
    monkeypatch.undo()
    # its seed is the run's own
    assert mf_command(folder, "--resume", "--print_minimal") == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed=-1"], "--seed must be at least 0, got -1"),
        (["--num_workers_trpo=-1"], "--num_workers_trpo must be at least 0, got -1"),
        (["--max_steps=0"], "--max_steps must be at least 1, got 0"),
        (["--stop_at_reward=nan"], "--stop_at_reward must be a number, got nan"),
        (["--num_trpo_iters=0"], "model_free.iterations must be an integer from 1 to 1000000, got 0"),
        (
            ["--gae_lambda=1.5"],
            "model_free.gae_lambda must be a finite number at least 0 and at most 1, got 1.5",
        ),
        (["--std=0"], "--std must be above 0 and at most 1e+06, got 0"),
        (
            ["--batch_size=39"],
            "model_free.batch_size must be at least one episode, steps_per_rollout = 40, got 39",
        ),
        (
            ["--set", "model_based.epochs=3"],
            "--set must be without model_based: model-free learning does not",
        ),
        (["--resume"], "run must exist, got none"),
        (["--resume", "--overwrite"], "overwrite must not be given together with resume"),
        (
            ["--which_agent=3"],
            "--which_agent must be an agent's number or name (1 ant, 2 swimmer, 4 half_cheetah or cheetah, "
            "6 hopper), a preset, or a path ending in .yaml, got '3'",
        ),
        (["--which_agent=hoper"], "nearest: hopper"),
    ],
)
def test_bad_input(flags: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mf_command(folder, *flags) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_a_task_without_settings_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "small.yaml"
    config = yaml.safe_load(file.read_text())
    config.pop("model_free")
    file.write_text(yaml.safe_dump(config))
    assert mf_command(folder) == 2
    assert "task small: model_free must be given" in capsys.readouterr().err


def test_a_run_is_continued_with_the_same_settings_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mf_command(folder, "--num_trpo_iters=1") == 0
    before = numbers_of(folder / "runs/mf_small_1")
    capsys.readouterr()
    for flag, message in (
        ("--seed=1", "seed must be 1 to resume the run with this command, got 0"),
        ("--batch_size=300", "settings.batch_size must be 300"),
        ("--std=0.5", "settings.initial_std must be 0.5"),
        ("--gae_lambda=0.5", "settings.gae_lambda must be 0.5"),
    ):
        assert mf_command(folder, "--resume", flag) == 2
        assert message in capsys.readouterr().err
    assert mf_command(folder) == 2
    assert "run directory must be new" in capsys.readouterr().err
    assert numbers_of(folder / "runs/mf_small_1") == before


def test_a_damaged_checkpoint_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mf_command(folder, "--num_trpo_iters=1") == 0
    file = folder / "runs/mf_small_1/policy/checkpoint.safetensors"
    contents = file.read_bytes()
    policy = (folder / "runs/mf_small_1/policy/policy.safetensors").read_bytes()
    for damaged in (contents[: len(contents) // 2], b"", policy):
        file.write_bytes(damaged)
        capsys.readouterr()
        assert mf_command(folder, "--resume") == 2
        assert "checkpoint.safetensors" in capsys.readouterr().err
    file.write_bytes(contents)
    assert mf_command(folder, "--resume", "--num_trpo_iters=2") == 0


def test_a_checkpoint_of_another_policy_is_refused(task: mbmf.Task, tmp_path: Path) -> None:
    learn(tmp_path / "run", task, iterations=1)
    file = tmp_path / "run/policy/checkpoint.safetensors"
    with pytest.raises(DataError, match=r"weight\.0 must be"):
        checkpoint.load(file, mbmf.GaussianPolicy(task, (9, 8)))
    with pytest.raises(DataError, match="task must be 'swimmer_forward', got 'small'"):
        checkpoint.load(file, mbmf.GaussianPolicy(mbmf.load_task("swimmer_forward"), (8, 8)))


def test_settings_name_what_is_wrong(task: mbmf.Task) -> None:
    with pytest.raises(ConfigError, match=r"model_free\.discount must be a finite number at least 0"):
        mf.settings_of(task, discount=2)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_numbers(folder: Path) -> None:
    """`kill -9` ten times, each at a random moment of an iteration, resumed each time."""
    iterations, kills = 60, 10
    learn(folder / "whole", mbmf.load_task(folder / "small.yaml"), iterations=iterations)
    command = ["mf", f"--which_agent={folder / 'small.yaml'}", f"--runs_dir={folder / 'runs'}"]
    command += [f"--num_trpo_iters={iterations}", "--num_workers_trpo=2"]
    path, moments = folder / "runs/mf_small_1", random.Random(0)
    # processes that need not import everything each time
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tyro", "torch.utils.tensorboard", "mbmf.cli.mf", "mbmf.algorithms.model_free"]
    )
    for _ in range(kills):
        resume = ["--resume"] if (path / "config.yaml").exists() else []
        process = context.Process(target=main, args=([*command, *resume],))
        before = checkpoint_time(path)
        process.start()
        while checkpoint_time(path) == before and process.is_alive():
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert main([*command, "--resume"]) == 0
    assert numbers_of(path) == numbers_of(folder / "whole")


def checkpoint_time(path: Path) -> int:
    try:
        return (path / "policy/checkpoint.safetensors").stat().st_mtime_ns
    except FileNotFoundError:
        return 0
