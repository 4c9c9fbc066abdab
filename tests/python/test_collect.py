"""Collecting episodes: exactness, determinism, progress and interruption."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf import _core


def same(a: mbmf.Episodes, b: mbmf.Episodes) -> bool:
    return all(
        np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a)
    )


@pytest.mark.parametrize("preset", ["cheetah_forward", "ant_forward"])
def test_random_episodes_are_simulator_steps_at_any_number_of_threads(preset: str) -> None:
    task = mbmf.load_task(preset)
    episodes = mbmf.collect_random(task, 5, 60, seed=3, nthread=1, first_episode=7)
    for nthread in (2, 3, 7):
        assert same(mbmf.collect_random(task, 5, 60, seed=3, nthread=nthread, first_episode=7), episodes)
    assert not same(mbmf.collect_random(task, 5, 60, seed=4, first_episode=7), episodes)
    tail = mbmf.collect_random(task, 2, 60, seed=3, first_episode=10)
    assert same(tail, episodes.select([3, 4]))
    assert (episodes.lengths == 60).all()
    assert not episodes.terminated.any()
    assert (episodes.observations is None) == (preset == "cheetah_forward")

    # the same through the simulator
    simulator = _core.Simulator(task.core, 5, 1, 3)
    simulator.start(None, _core.ResetKind.RANDOM, np.arange(7, 12, dtype=np.uint64))
    for t in range(60):
        np.testing.assert_array_equal(simulator.states, episodes.states[:, t])
        simulator.step(None, episodes.actions[:, t].astype(np.float64))
        np.testing.assert_array_equal(simulator.rewards, episodes.rewards[:, t])
    np.testing.assert_array_equal(simulator.states, episodes.states[:, 60])
    if episodes.observations is not None:
        np.testing.assert_array_equal(simulator.observations, episodes.observations[:, 60])


def test_random_actions_are_uniform_and_their_own_everywhere() -> None:
    task = mbmf.load_task("hopper_forward")
    episodes = mbmf.collect_random(task, 20, 100)
    actions = episodes.actions.reshape(-1)
    assert len(np.unique(actions)) > 0.99 * len(actions)
    assert actions.min() >= -1
    assert actions.max() < 1
    np.testing.assert_allclose([actions.mean(), actions.std()], [0, 3**-0.5], atol=0.02)
    # the bounds of the task do not end random episodes: this hopper has fallen
    assert (episodes.states[:, :, 0].min(axis=1) < 0.7).any()


def test_progress_is_called_and_its_errors_come_out() -> None:
    task = mbmf.load_task("hopper_forward")
    calls: list[int] = []
    mbmf.collect_random(task, 4, 100, progress=calls.append)
    assert calls[-1] == 400
    assert calls == sorted(calls)

    def fail(steps: int) -> None:
        raise RuntimeError(f"after {steps}")

    with pytest.raises(RuntimeError, match="after"):
        mbmf.collect_random(task, 1000, 1000, progress=fail)
    with pytest.raises(mbmf.CoreError, match="stopped"):
        mbmf.collect_random(task, 1000, 1000, progress=lambda steps: False)


def test_ctrl_c_stops_a_collection_soon(tmp_path: Path) -> None:
    script = tmp_path / "collect.py"
    script.write_text(
        textwrap.dedent("""
        import mbmf
        task = mbmf.load_task("swimmer_forward")
        print("ready", flush=True)
        try:
            mbmf.collect_random(task, 400, 1000)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert process.communicate(timeout=20)[0] == "interrupted\n"
    assert process.returncode == 0
    assert time.monotonic() - begin < 5


def small_planner(task: mbmf.Task, seed: int = 0) -> mbmf.RandomShooting:
    """A planner with a model that is not trained: enough to choose actions."""
    rng = np.random.default_rng(0)
    width = task.nstate + task.naction
    weights = [rng.normal(size=(8, width)), rng.normal(size=(task.nstate, 8))]
    ones, zeros = np.ones(task.nstate), np.zeros(task.nstate)
    dynamics = _core.Dynamics(
        task.nstate,
        task.naction,
        [w.astype(np.float32) * 0.1 for w in weights],
        [np.zeros(w.shape[0], np.float32) for w in weights],
        "relu",
        *(zeros, ones, np.zeros(task.naction), np.ones(task.naction), zeros, ones * 0.1),
    )
    return mbmf.RandomShooting(task, dynamics, horizon=3, candidates=50, seed=seed, nthread=2)


def test_mpc_episodes_execute_the_plan_with_noise_and_store_it_without() -> None:
    task = mbmf.load_task("cheetah_forward")
    planner = small_planner(task)
    quiet = mbmf.collect_mpc(task, planner, 3, 20, seed=1, first_episode=5)
    noisy = mbmf.collect_mpc(task, planner, 3, 20, seed=1, first_episode=5, action_noise=0.1)
    np.testing.assert_array_equal(quiet.states[:, 0], noisy.states[:, 0])
    np.testing.assert_array_equal(quiet.actions[:, 0], noisy.actions[:, 0])
    assert (quiet.states[:, 1] != noisy.states[:, 1]).any()
    for t in (0, 7):
        plan = planner.plan(noisy.states[1, t], episode=6, step=t)
        np.testing.assert_array_equal(noisy.actions[1, t], plan.action)


def test_a_python_cost_collects_what_the_same_terms_do() -> None:
    plain = mbmf.load_task("hopper_forward")
    with pytest.warns(UserWarning, match="slower"):
        python = mbmf.load_task("hopper_forward", cost=plain.cost)
    for noise in (0.0, 0.05):
        expected = mbmf.collect_mpc(
            plain, small_planner(plain), 3, 30, seed=2, first_episode=1, action_noise=noise
        )
        calls: list[int] = []
        got = mbmf.collect_mpc(
            python,
            small_planner(python),
            3,
            30,
            seed=2,
            first_episode=1,
            action_noise=noise,
            progress=calls.append,
        )
        assert same(got, expected)
        assert calls[-1] == got.nsteps
    assert expected.terminated.any()


def test_a_python_reward_is_computed_after_the_collection() -> None:
    with pytest.warns(UserWarning, match="slower"):
        task = mbmf.load_task(
            "hopper_forward",
            reward=lambda states, actions: states[:, 0] + actions[:, 1],
            cost=lambda s, a: s[:, 0, 0],
        )
    episodes = mbmf.collect_random(task, 2, 10)
    expected = episodes.states[:, 1:, 0] + episodes.actions[:, :, 1].astype(np.float64)
    np.testing.assert_array_equal(episodes.rewards, expected)


BAD_CALLS: list[tuple[Callable[[mbmf.Task], Any], str]] = [
    (lambda t: mbmf.collect_random(t, 0, 5), "episodes must be at least 1, got 0"),
    (lambda t: mbmf.collect_random(t, 5, -1), "steps must be at least 1, got -1"),
    (lambda t: mbmf.collect_random(t, 5, 2.0), "steps must be a whole number, got 2.0"),  # type: ignore[arg-type]
    (lambda t: mbmf.collect_random(t, 5, 2, seed=-1), "seed must be from 0 to"),
    (lambda t: mbmf.collect_random(t, 5, 2, nthread=2000), "nthread must be from 0 to 1024, got 2000"),
    (lambda t: mbmf.collect_random(t, 5, 2, first_episode=-3), "first_episode must be from 0 to"),
    (lambda t: mbmf.collect_mpc(t, small_planner(t), 0, 2), "episodes must be at least 1, got 0"),
    (lambda t: mbmf.collect_mpc(t, small_planner(t), 1, 2, action_noise=-1), "action_noise must be from 0"),
    (
        lambda t: mbmf.collect_mpc(t, small_planner(t), 1, 2, action_noise=np.nan),
        "action_noise must be from 0",
    ),
    (
        lambda t: mbmf.collect_mpc(t, small_planner(mbmf.load_task("cheetah_forward")), 1, 2),
        "planner must be one of task hopper_forward, got one of cheetah_forward",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_arguments_are_named(call: Callable[[mbmf.Task], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(mbmf.load_task("hopper_forward"))


def test_an_episode_without_a_finite_candidate_ends_and_the_others_go_on() -> None:
    """It ended the whole collection, and with it the run."""
    task = mbmf.load_task("swimmer_forward")
    zeros, ones = np.zeros(task.nstate), np.ones(task.nstate)

    def planner_up_to(limit: float) -> mbmf.RandomShooting:
        """Its model predicts no change, and nothing finite where the first coordinate is above ``limit``."""
        first = np.zeros((8, task.nstate + task.naction), np.float32)
        first[0, 0] = 1e6
        last = np.zeros((task.nstate, 8), np.float32)
        last[:, 0] = 3e38
        dynamics = _core.Dynamics(
            task.nstate,
            task.naction,
            weights=[first, last],
            biases=[-limit * first[:, 0], zeros.astype(np.float32)],
            activation="relu",
            state_mean=zeros,
            state_std=ones,
            action_mean=np.zeros(task.naction),
            action_std=np.ones(task.naction),
            delta_mean=zeros,
            delta_std=ones,
        )
        return mbmf.RandomShooting(task, dynamics, horizon=3, candidates=20, seed=0)

    whole = mbmf.collect_mpc(task, planner_up_to(1e3), 4, 8, seed=1)
    coordinate = whole.states[:, :, 0]
    limit = float(np.median(coordinate[:, 4]))
    assert np.abs(coordinate - limit).min() > 1e-6
    found = mbmf.collect_mpc(task, planner_up_to(limit), 4, 8, seed=1)
    for e in range(4):
        over = np.flatnonzero(coordinate[e, :8] > limit)
        length = over[0] if len(over) else 8
        assert found.lengths[e] == length
        assert found.diverged[e] == (length < 8)
        assert np.array_equal(found.states[e, : length + 1], whole.states[e, : length + 1])
        assert np.array_equal(found.actions[e, :length], whole.actions[e, :length])
    assert 0 < found.diverged.sum() < 4
    with pytest.warns(UserWarning, match="all 2 episodes ended in their first step"):
        assert mbmf.collect_mpc(task, planner_up_to(-1e3), 2, 3).nsteps == 0
