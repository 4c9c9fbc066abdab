"""Rollouts of policies: replayed step by step in mujoco and NumPy, at any number of threads, stopped."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from typing import Any

import mujoco
import numpy as np
import pytest
import torch

import mbmf
from mbmf import _core

PRESETS = ["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"]
ARRAYS = [
    "observations",
    "actions",
    "means",
    "log_probs",
    "rewards",
    "lengths",
    "terminated",
    "truncated",
    "diverged",
    "final_observations",
    "states",
    "final_states",
]


def make_policy(task: mbmf.Task, std: float = 0.5) -> mbmf.GaussianPolicy:
    """A policy that reacts to what it sees."""
    policy = mbmf.GaussianPolicy(task, (20, 30), std=std)
    vector = policy.parameter_vector()
    nlog = task.naction
    vector[:-nlog] += np.random.default_rng(0).normal(0, 0.1, vector.size - nlog)
    policy.set_parameter_vector(vector)
    return policy


def normals(seed: int, episode: int, step: int, count: int) -> list[float]:
    """The standard normal numbers of a step, from the words of Philox: Box-Muller, two words a uniform."""
    stream = 5
    key = _core.philox(
        (seed & 0xFFFFFFFF, seed >> 32), (stream, episode & 0xFFFFFFFF, episode >> 32, 0x6D626D66)
    )
    numbers = []
    for block in range(count):
        word = _core.philox(key[:2], (block, 0, step, 0))
        first, second = ((((high >> 5) << 26) | (low >> 6)) * 2.0**-53 for high, low in (word[:2], word[2:]))
        numbers.append(np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second))
    return numbers


def expected_mean(policy: mbmf.GaussianPolicy, observation: Any) -> Any:
    *arrays, _ = policy.arrays()
    x = observation.astype(np.float64)
    for i, (weight, bias) in enumerate(zip(arrays[::2], arrays[1::2], strict=True)):
        x = weight.astype(np.float64) @ x + bias
        if 2 * i + 2 < len(arrays):
            x = np.tanh(x)
    return x


@pytest.mark.parametrize("preset", PRESETS)
def test_replayed_in_mujoco(preset: str) -> None:
    task = mbmf.load_task(preset)
    policy = make_policy(task)
    seed, number = 2**40 + 7, 2**33 + 5
    steps = 10 if preset == "swimmer_forward" else 80
    batch = mbmf.collect_policy(
        task, policy, episodes=3, seed=seed, first_episode=number, max_episode_steps=steps, keep_states=True
    )
    assert batch.states is not None
    assert batch.log_probs is not None
    simulator = _core.Simulator(task.core, 1, 1, seed)
    low, high = task.model.actuator_ctrlrange.T
    std = np.exp(policy.arrays()[-1].astype(np.float64))
    for e in range(3):
        simulator.start(None, _core.ResetKind.DEFAULT, np.array([number + e], np.uint64))
        data = mujoco.MjData(task.model)
        row = simulator.get_state(None)[0]
        mujoco.mj_setState(task.model, data, row, mujoco.mjtState.mjSTATE_INTEGRATION)
        for t in range(int(batch.lengths[e])):
            i = int(batch.starts[e]) + t
            # what was seen is what the simulator shows, and what was done follows from it
            np.testing.assert_array_equal(batch.states[i], simulator.states[0])
            np.testing.assert_array_equal(batch.observations[i], simulator.observations[0].astype(np.float32))
            mean = expected_mean(policy, batch.observations[i])
            np.testing.assert_allclose(batch.means[i], mean, rtol=2e-6, atol=2e-6)
            noise = np.array(normals(seed, number + e, t, task.naction))
            np.testing.assert_allclose(batch.actions[i], batch.means[i] + std * noise, rtol=3e-7, atol=1e-7)
            log_prob = (-0.5 * noise**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum()
            assert batch.log_probs[i] == pytest.approx(log_prob, abs=1e-5)

            # executed: the action clipped, by MuJoCo and by the simulator
            action = np.clip(batch.actions[i].astype(np.float64), -1, 1)
            limited = task.model.actuator_ctrllimited.astype(bool)
            data.ctrl[:] = np.where(limited, (low + high) / 2 + action * (high - low) / 2, action)
            for _ in range(task.physics_steps):
                mujoco.mj_step(task.model, data)
            simulator.step(None, batch.actions[i : i + 1].astype(np.float64))
            np.testing.assert_allclose(
                simulator.get_state(None)[0][1 : 1 + task.model.nq], data.qpos, atol=1e-12
            )
            assert batch.rewards[i] == simulator.rewards[0]
            assert bool(simulator.terminated[0]) == bool(batch.terminated[e] and t == batch.lengths[e] - 1)
        np.testing.assert_array_equal(
            batch.final_observations[e], simulator.observations[0].astype(np.float32)
        )
        assert bool(batch.truncated[e]) == (not batch.terminated[e])


@pytest.mark.parametrize("preset", ["hopper_forward", "cheetah_forward"])
def test_the_same_bits_at_any_number_of_threads(preset: str) -> None:
    task = mbmf.load_task(preset)
    policy = make_policy(task)

    def collect(nthread: int, seed: int = 1) -> mbmf.PolicyBatch:
        return mbmf.collect_policy(
            task, policy, 700, seed, nthread, max_episode_steps=100, keep_states=True, keep_hidden=True
        )

    first = collect(1)
    for nthread in (2, 3, 7):
        other = collect(nthread)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(other, name), getattr(first, name), name)
        for a, b in zip(other.hidden or (), first.hidden or (), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(collect(2, seed=2).actions[:100], first.actions[:100])


def test_episodes_terminate_and_truncate() -> None:
    hopper, cheetah = mbmf.load_task("hopper_forward"), mbmf.load_task("cheetah_forward")
    falls = mbmf.collect_policy(hopper, make_policy(hopper), 1000)
    assert falls.terminated.all()
    assert not falls.truncated.any()
    assert falls.lengths.max() < 1000
    runs = mbmf.collect_policy(cheetah, make_policy(cheetah), 2500)
    assert runs.truncated.all()
    assert not runs.terminated.any()
    assert list(runs.lengths) == [1000, 1000, 1000]
    # at the limit and fallen, both in one batch; a fall in the last step is a fall
    both = mbmf.collect_policy(hopper, make_policy(hopper), 2000, max_episode_steps=8)
    assert both.terminated.any()
    assert both.truncated.any()
    assert (both.terminated ^ both.truncated).all()
    assert (both.lengths[both.truncated] == 8).all()
    assert (both.lengths[both.terminated] <= 8).all()
    assert (both.lengths[both.terminated] == 8).any()


def test_batches_are_of_whole_episodes_and_continue_each_other() -> None:
    task = mbmf.load_task("hopper_forward")
    policy = make_policy(task)
    batch = mbmf.collect_policy(task, policy, 300, seed=3)
    assert batch.nsteps >= 300 > batch.nsteps - batch.lengths[-1]
    assert batch.nsteps == batch.lengths.sum()
    assert batch.next_episode == len(batch)
    following = mbmf.collect_policy(task, policy, 300, seed=3, first_episode=batch.next_episode)
    both = mbmf.collect_policy(task, policy, episodes=len(batch) + len(following), seed=3)
    assert both.log_probs is not None
    for name in ("actions", "rewards", "log_probs", "lengths", "final_observations"):
        joined = np.concatenate([getattr(batch, name), getattr(following, name)])
        np.testing.assert_array_equal(getattr(both, name), joined)
    again = mbmf.PolicyBatch.concatenate([batch, following])
    np.testing.assert_array_equal(again.rewards, both.rewards)
    first = batch.next_episode
    kept = mbmf.collect_policy(task, policy, 300, keep_states=True, seed=3, first_episode=first)
    with pytest.raises(ValueError, match="kept the same, log_probs, got one with log_probs, states"):
        mbmf.PolicyBatch.concatenate([batch, kept])
    other = mbmf.load_task("swimmer_forward")
    swims = mbmf.collect_policy(other, make_policy(other), episodes=1, first_episode=batch.next_episode)
    with pytest.raises(ValueError, match="batches must be of one task, hopper_forward, got one of swimmer_f"):
        mbmf.PolicyBatch.concatenate([batch, swims])
    with pytest.raises(
        ValueError, match="task must be that of the batch, hopper_forward, got swimmer_forward"
    ):
        kept.to_episodes(other)
    # a step is less than an episode, and gives one
    assert len(mbmf.collect_policy(task, policy, 1)) == 1

    assert batch.times.max() == batch.lengths.max() - 1
    np.testing.assert_array_equal(batch.times[batch.starts], 0)
    for e, (start, length) in enumerate(zip(batch.starts, batch.lengths, strict=True)):
        assert batch.returns[e] == pytest.approx(batch.rewards[start : start + length].sum())


def test_log_probabilities_are_those_of_pytorch() -> None:
    task = mbmf.load_task("cheetah_forward")
    policy = make_policy(task)
    policy.set_std([0.1, 0.3, 1, 2, 0.01, 0.5])
    batch = mbmf.collect_policy(task, policy, 1000, keep_hidden=True)
    assert batch.log_probs is not None
    assert batch.hidden is not None
    with torch.no_grad():
        observations = torch.from_numpy(batch.observations)
        expected = policy.network.distribution(observations).log_prob(torch.from_numpy(batch.actions))
        x = observations
        for layer, values in zip(policy.network.layers[:-1], batch.hidden, strict=True):
            x = torch.tanh(layer(x))
            np.testing.assert_allclose(values, x, atol=2e-6)
    # with a deviation of 0.01, a float32 mean that differs in its last bit is 1e-5 deviations away
    np.testing.assert_allclose(batch.log_probs, expected, atol=1e-3)
    std = np.exp(policy.arrays()[-1].astype(np.float64))
    normal = torch.distributions.Normal(torch.from_numpy(batch.means).double(), torch.from_numpy(std))
    exact = normal.log_prob(torch.from_numpy(batch.actions).double()).sum(dim=1)
    np.testing.assert_allclose(batch.log_probs, exact, atol=1e-10)


def test_noise_of_another_deviation_and_none() -> None:
    task = mbmf.load_task("cheetah_forward")
    policy = make_policy(task)
    clean = mbmf.collect_policy(task, policy, episodes=1, max_episode_steps=30, std=0)
    np.testing.assert_array_equal(clean.actions, clean.means)
    assert clean.log_probs is None
    assert clean.states is None
    assert clean.final_states is None
    assert clean.hidden is None
    noisy = mbmf.collect_policy(task, policy, 2000, std=0.005)
    assert (noisy.actions - noisy.means).std() == pytest.approx(0.005, rel=0.02)


def test_resets() -> None:
    task = mbmf.load_task("cheetah_forward")
    policy = make_policy(task)
    simulator = _core.Simulator(task.core, 1, 1, 9)
    kinds = {
        "default": _core.ResetKind.DEFAULT,
        "random": _core.ResetKind.RANDOM,
        "control": _core.ResetKind.CONTROL,
    }
    seen = []
    for name, kind in kinds.items():
        batch = mbmf.collect_policy(task, policy, 1, 9, max_episode_steps=2, kind=name, keep_states=True)  # type: ignore[arg-type]
        assert batch.states is not None
        simulator.start(None, kind, np.array([0], np.uint64))
        np.testing.assert_array_equal(batch.states[0], simulator.states[0])
        seen.append(batch.states[0])
    assert not np.array_equal(seen[0], seen[2])


@pytest.mark.filterwarnings("ignore:task .* a Python function for the reward")
def test_a_reward_in_python() -> None:
    def reward(states: Any, actions: Any) -> Any:
        return states[:, 14] + 1 - 0.005 * (actions**2).sum(axis=1)

    plain, mine = mbmf.load_task("hopper_forward"), mbmf.load_task("hopper_forward", reward=reward)
    policy = make_policy(plain, std=1.5)
    expected = mbmf.collect_policy(plain, policy, 200)
    batch = mbmf.collect_policy(mine, policy, 200)
    assert (np.abs(batch.actions) > 1).any()
    assert len(batch) > 1
    np.testing.assert_allclose(batch.rewards, expected.rewards, atol=1e-12)
    assert batch.states is None


def test_a_failing_simulation_ends_its_episode_only() -> None:
    # the push is more than MuJoCo takes where the action is beyond 0.4 or so
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='j' type='slide'/><geom size='.1'/></body></worldbody>"
        "<actuator><motor joint='j' gear='1e11'/></actuator></mujoco>"
    )
    spec = _core.TaskSpec()
    spec.name = "fragile"
    spec.state = spec.observation = [_core.Channel(_core.Source.QPOS, 0), _core.Channel(_core.Source.QVEL, 0)]
    spec.reward = [_core.Term(_core.TermKind.CONSTANT, 1.0)]
    spec.start_qpos, spec.start_qvel = [0.0], [0.0]
    size = mujoco.mj_sizeModel(model)
    buffer = np.empty(size, np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    task = _core.Task(buffer.tobytes(), spec)
    zeros = np.zeros
    policy = _core.GaussianPolicy(
        [zeros((1, 2), np.float32)], [zeros(1, np.float32)], np.full(1, -1.2, np.float32)
    )

    def collect(nthread: int) -> dict[str, Any]:
        kind = _core.ResetKind.DEFAULT
        return _core.collect_policy(
            task, policy, 200, 0, 6, 0, 0, nthread, kind, None, False, True, False, None
        )

    batch = collect(2)
    assert batch["diverged"].any()
    assert batch["truncated"].any()
    assert ((batch["lengths"] == 6) == batch["truncated"]).all()
    assert np.isfinite(batch["states"]).all()
    for name, array in collect(1).items():
        np.testing.assert_array_equal(array, batch[name], name)


def test_ctrl_c_and_progress() -> None:
    task = mbmf.load_task("cheetah_forward")
    policy = make_policy(task)

    # a Ctrl-C soon after the start
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    begin = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        mbmf.collect_policy(task, policy, 2**31 - 1)
    assert time.perf_counter() - begin < 20
    timer.join()

    class MyError(Exception):
        pass

    def stop(steps: int) -> None:
        if steps > 100:
            raise MyError

    with pytest.raises(MyError):
        mbmf.collect_policy(task, policy, 2**31 - 1, progress=stop)
    seen: list[int] = []
    batch = mbmf.collect_policy(task, policy, 3000, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == batch.nsteps


def test_arrays_outlive_the_batch_and_memory_does_not_grow() -> None:
    task = mbmf.load_task("hopper_forward")
    policy = make_policy(task)
    actions = mbmf.collect_policy(task, policy, 500, seed=1).actions
    copy = actions.copy()

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def collect() -> None:
        mbmf.collect_policy(task, policy, 2000, keep_hidden=True, keep_states=True)

    for _ in range(10):
        collect()
    before = resident()
    for _ in range(40):
        collect()
    # a batch is 1.3 MB: one left behind each time would be 50 MB
    assert resident() - before < 15e6
    np.testing.assert_array_equal(actions, copy)


def test_bad_arguments() -> None:
    task, other = mbmf.load_task("hopper_forward"), mbmf.load_task("swimmer_forward")
    policy = make_policy(task)

    def call(**changes: Any) -> Any:
        arguments: dict[str, Any] = {"task": task, "policy": policy, "steps": 10, **changes}
        return lambda: mbmf.collect_policy(**arguments)

    table = [
        (call(task=other), "policy must be one of task swimmer_forward, got one of hopper_forward"),
        (call(steps=None), "either steps or episodes must be given, got None and None"),
        (call(episodes=3), "either steps or episodes must be given, got 10 and 3"),
        (call(steps=0), "steps must be at least 1, got 0"),
        (call(steps=2.5), "steps must be a whole number, got 2.5"),
        (call(steps=None, episodes=-1), "episodes must be at least 1, got -1"),
        (call(max_episode_steps=0), "max_episode_steps must be at least 1, got 0"),
        (call(seed=-1), "seed must be from 0 to 18446744073709551615, got -1"),
        (call(first_episode=2**64), "first_episode must be from 0 to 18446744073709551615, got"),
        (call(nthread=1025), "nthread must be from 0 to 1024, got 1025"),
        (call(std=-0.1), "std must be from 0 to 1e+06, got -0.1"),
        (call(std=float("nan")), "std must be from 0 to 1e+06, got nan"),
        (call(kind="best"), "kind must be one of 'default', 'random', 'control', got 'best'"),
    ]
    for function, message in table:
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            function()
