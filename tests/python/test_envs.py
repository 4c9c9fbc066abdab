"""The Gymnasium environments: Gymnasium's own checks, and the vector one against single ones."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import mbmf
from mbmf.simulation.envs import TaskEnv, TaskVectorEnv
from mbmf.simulation.registration import ENVIRONMENTS, register_environments

IDS = list(ENVIRONMENTS)


@pytest.mark.parametrize("name", IDS)
def test_passes_gymnasiums_checker_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="compiler attribute 'settotalmass'")
        env = gymnasium.make(name)
        check_env(env.unwrapped, skip_render_check=True)
    assert isinstance(env.unwrapped, TaskEnv)
    preset, steps = ENVIRONMENTS[name]
    assert env.unwrapped.task.name == preset
    assert env.unwrapped.task.episode_steps == steps
    assert env.spec is not None
    assert env.spec.max_episode_steps == steps


def test_registering_again_changes_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register_environments()


@pytest.mark.usefixtures("rendering")
def test_renders() -> None:
    env = gymnasium.make("mbmf/Swimmer-v0", render_mode="rgb_array", width=64, height=48)
    check_env(env.unwrapped)
    env.reset(seed=0)
    picture: Any = env.render()
    assert picture.shape == (48, 64, 3)
    assert picture.std() > 5
    for _ in range(20):
        env.step(env.action_space.sample())
    assert (np.asarray(env.render()) != picture).any()
    env.close()
    vector = gymnasium.make_vec("mbmf/Swimmer-v0", num_envs=2, render_mode="rgb_array", width=64, height=48)
    vector.reset(seed=0)
    frames = vector.render()
    assert frames is not None
    assert len(frames) == 2
    vector.close()
    assert gymnasium.make("mbmf/Swimmer-v0").unwrapped.render() is None


def test_observations_are_the_simulators() -> None:
    task = mbmf.load_task("ant_forward")
    env = TaskEnv(task)
    observation, info = env.reset(seed=4)
    simulator = mbmf.Simulator(task, seed=4)
    simulator.reseed(4)
    simulator.reset()
    np.testing.assert_array_equal(observation, simulator.observations[0])
    assert info == {"diverged": False}
    assert env.observation_space.shape == (44,)
    action = np.full(8, 0.5, np.float32)
    observation, reward, terminated, truncated, info = env.step(action)
    simulator.step(action[None])
    np.testing.assert_array_equal(observation, simulator.observations[0])
    assert (reward, terminated, truncated) == (simulator.rewards[0], False, False)
    # without a seed the draws go on
    again, _ = env.reset()
    simulator.reset()
    np.testing.assert_array_equal(again, simulator.observations[0])
    assert not np.array_equal(TaskEnv(task).reset()[0], TaskEnv(task).reset()[0])


def test_clipped_channels_bound_the_space() -> None:
    space = gymnasium.make("mbmf/Hopper-v0").observation_space
    assert isinstance(space, gymnasium.spaces.Box)
    assert space.high[5] == 10
    assert np.isfinite(space.high).all()


def test_an_episode_ends_by_termination_or_time() -> None:
    hopper = gymnasium.make("mbmf/Hopper-v0")
    hopper.reset(seed=0)
    steps, ended = 0, False
    while not ended:
        _, _, ended, truncated, info = hopper.step(np.ones(3, np.float32))
        steps += 1
        assert not truncated
    assert steps < 200
    assert not info["diverged"]
    swimmer = gymnasium.make("mbmf/Swimmer-v0", max_episode_steps=3)
    swimmer.reset(seed=0)
    flags = [swimmer.step(np.zeros(2, np.float32))[2:4] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]


def test_a_start_that_diverges_is_told() -> None:
    data = mbmf.load_task("hopper_forward").to_data()
    task = mbmf.load_task({**data, "reset": {"default": {"qvel": {"uniform": 1e11}}}})
    _, info = TaskEnv(task).reset(seed=0)
    assert info["diverged"]
    _, infos = TaskVectorEnv(task, num_envs=2, nthread=1).reset(seed=0)
    assert infos["diverged"].all()
    assert infos["_error"].all()
    assert infos["error"][0] == info["error"] != ""


@pytest.mark.parametrize("name", ["mbmf/Hopper-v0", "mbmf/HalfCheetah-v0"])
def test_the_vector_environment_is_many_single_ones(name: str) -> None:
    count, limit = 5, 25
    vector = gymnasium.make_vec(name, num_envs=count, max_episode_steps=limit)
    assert isinstance(vector.unwrapped, TaskVectorEnv)
    assert vector.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    task = vector.unwrapped.task
    singles = mbmf.Simulator(task, count, seed=11)
    singles.reseed(11)
    singles.reset()
    observations, _ = vector.reset(seed=11)
    np.testing.assert_array_equal(observations, singles.observations)
    assert observations in vector.observation_space

    rng = np.random.default_rng(0)
    steps, ended = np.zeros(count, int), np.zeros(count, bool)
    terminations = truncations = 0
    for _ in range(80):
        actions = np.clip(rng.uniform(-1, 3, (count, task.naction)), -1, 1).astype(np.float32)
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        for i in range(count):
            if ended[i]:
                # the step after an end: a new episode, whatever the action
                singles.reset([i])
                steps[i] = 0
                assert rewards[i] == 0
                assert not terminated[i]
                assert not truncated[i]
            else:
                singles.step(actions[[i]], ids=[i])
                steps[i] += 1
                assert rewards[i] == singles.rewards[i]
                assert terminated[i] == singles.terminated[i]
                assert truncated[i] == (steps[i] >= limit)
        np.testing.assert_array_equal(observations, singles.observations)
        np.testing.assert_array_equal(infos["diverged"], np.zeros(count, bool))
        ended = terminated | truncated
        terminations += int(terminated.sum())
        truncations += int(truncated.sum())
    assert truncations > 0
    assert (terminations > 0) == (name == "mbmf/Hopper-v0")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_vector_with_a_list_of_seeds_is_gymnasiums_vector_of_single_ones(mode: AutoresetMode) -> None:
    count, limit, seeds = 4, 25, [9, 2**64 - 1, 0, 9]
    ours = gymnasium.make_vec("mbmf/Hopper-v0", count, max_episode_steps=limit, autoreset_mode=mode.value)
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("mbmf/Hopper-v0", max_episode_steps=limit)] * count, autoreset_mode=mode
    )
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"] == mode
    first, _ = ours.reset(seed=seeds)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, theirs.reset(seed=seeds)[0])  # type: ignore[arg-type]
    np.testing.assert_array_equal(first[0], first[3])
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(80):
        actions = np.clip(rng.uniform(-1, 3, (count, 3)), -1, 1).astype(np.float32)
        mine, yours = ours.step(actions), theirs.step(actions)
        for a, b in zip(mine[:4], yours[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        ended = mine[2] | mine[3]
        ends += int(ended.sum())
        assert ("final_obs" in mine[4]) == (mode == AutoresetMode.SAME_STEP and ended.any())
        if "final_obs" in mine[4]:
            for key in ("_final_obs", "_final_info"):
                np.testing.assert_array_equal(mine[4][key], yours[4][key])
            for i in range(count):
                np.testing.assert_array_equal(mine[4]["final_obs"][i], yours[4]["final_obs"][i])
            for key in ("diverged", "_diverged"):
                np.testing.assert_array_equal(mine[4]["final_info"][key], yours[4]["final_info"][key])
        if mode == AutoresetMode.DISABLED and ended.any():
            with pytest.raises(ResetNeeded, match="got none in environments"):
                ours.step(actions)
            again = [ours.reset(options={"reset_mask": ended.copy()})[0]]
            again += [theirs.reset(options={"reset_mask": ended.copy()})[0]]
            np.testing.assert_array_equal(*again)
    assert ends > 8


def test_some_seeds_of_a_list_are_new() -> None:
    vector = TaskVectorEnv("hopper_forward", num_envs=3, nthread=1)
    before, _ = vector.reset(seed=[1, 2, 3])
    later, _ = vector.reset(seed=[1, None, 3], options={"reset_mask": np.array([True, True, False])})
    np.testing.assert_array_equal(later[[0, 2]], before[[0, 2]])
    assert (later[1] != before[1]).any()
    single = TaskEnv("hopper_forward")
    single.reset(seed=2)
    np.testing.assert_array_equal(later[1], single.reset()[0])
    # the third was not reset: its seed was not taken
    np.testing.assert_array_equal(vector.reset()[0][2], mbmf_episode("hopper_forward", 3, 1))


def test_a_seed_is_of_the_masked_environments_alone() -> None:
    mask = np.array([True, False, True])
    vectors = [TaskVectorEnv("hopper_forward", num_envs=3, nthread=1) for _ in range(3)]
    for vector, seed in zip(vectors, (9, 1, 1), strict=True):
        first, _ = vector.reset(seed=seed)
        if seed == 9:
            fresh = first
    again, _ = vectors[1].reset(seed=9, options={"reset_mask": mask})
    np.testing.assert_array_equal(again[mask], fresh[mask])
    unseeded, _ = vectors[2].reset(options={"reset_mask": mask})
    assert (unseeded[mask] != fresh[mask]).any()
    # the one between is where it would have been, now and after its next reset
    np.testing.assert_array_equal(again[1], unseeded[1])
    np.testing.assert_array_equal(
        *[vector.reset(options={"reset_mask": ~mask})[0][1] for vector in vectors[1:]]
    )


def mbmf_episode(task: str, seed: int, episode: int) -> Any:
    """The first observation of a single environment's episode of that number, from 0."""
    env = TaskEnv(task)
    first, _ = env.reset(seed=seed)
    for _ in range(episode):
        first, _ = env.reset()
    return first


def test_gymnasiums_wrappers_take_the_vector() -> None:
    vector = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        TaskVectorEnv("hopper_forward", 3, max_episode_steps=5, autoreset_mode="SameStep", nthread=1)
    )
    vector.reset(seed=0)
    total = np.zeros(3)
    for _ in range(5):
        _, rewards, _, truncated, infos = vector.step(np.zeros((3, 3), np.float32))
        total += rewards
    assert truncated.all()
    np.testing.assert_allclose(infos["episode"]["r"], total)
    np.testing.assert_array_equal(infos["episode"]["l"], [5, 5, 5])


def test_a_copy_goes_on_with_its_own_seeds() -> None:
    vector = TaskVectorEnv("hopper_forward", num_envs=2, nthread=1)
    vector.reset(seed=[5, 6])
    copied = copy.deepcopy(vector.simulator)
    vector.reset()
    copied.reset()
    np.testing.assert_array_equal(copied.observations, vector.simulator.observations)


def test_some_of_a_vector_are_reset() -> None:
    vector = TaskVectorEnv("hopper_forward", num_envs=3, nthread=1)
    before, _ = vector.reset(seed=0)
    mask = np.array([False, True, False])
    after, _ = vector.reset(options={"reset_mask": mask, "kind": "control"})
    assert ((after != before).any(axis=1) == mask).all()
    other, _ = vector.reset(seed=1)
    assert (other != before).any(axis=1).all()
    again, _ = vector.reset(seed=0)
    np.testing.assert_array_equal(again, before)


def test_the_first_reset_of_a_vector_is_of_all() -> None:
    vector = TaskVectorEnv("hopper_forward", num_envs=3, nthread=1)
    with pytest.raises(ResetNeeded, match="first reset must be of all environments, got none of 1, 2"):
        vector.reset(seed=1, options={"reset_mask": np.array([True, False, False])})
    with pytest.raises(ResetNeeded):
        vector.step(np.zeros((3, 3), np.float32))
    vector.reset(seed=1, options={"reset_mask": np.ones(3, np.bool_)})


def was_reset(env: Any) -> Any:
    env.reset(seed=0)
    return env


@pytest.mark.parametrize("more", [{}, {"num_envs": 2}])
def test_bad_arguments_are_named_when_it_is_made(more: dict[str, Any]) -> None:
    made = TaskVectorEnv if more else TaskEnv
    with pytest.raises(ValueError, match=r"kind must be one of .* got 'contrl'"):
        made("hopper_forward", reset_kind="contrl", **more)
    with pytest.raises(ValueError, match="width must be a positive even number, got 101"):
        made("hopper_forward", render_mode="rgb_array", width=101, **more)
    env = made("hopper_forward", **more)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(env.action_space.shape, np.float32))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TaskEnv("hopper_forward", render_mode="human"),
            "render_mode must be 'rgb_array' or None, got 'human'",
        ),
        (lambda: TaskVectorEnv("hopper_forward", num_envs=0), "num_envs must be at least 1, got 0"),
        (
            lambda: TaskVectorEnv("hopper_forward", max_episode_steps=0),
            "max_episode_steps must be at least 1, got 0",
        ),
        (
            lambda: was_reset(TaskEnv("hopper_forward")).step(np.zeros(2, np.float32)),
            r"action must be of shape \(3,\), got \(2,\)",
        ),
        (lambda: TaskEnv("hopper_forward").reset(options={"kind": "hard"}), "kind must be one of"),
        (
            lambda: was_reset(TaskVectorEnv("hopper_forward", num_envs=2)).step(np.zeros((1, 3), np.float32)),
            r"actions must be of shape \(2, 3\), got \(1, 3\)",
        ),
        (
            lambda: TaskVectorEnv("hopper_forward", num_envs=2).reset(
                options={"reset_mask": np.zeros(2, bool)}
            ),
            "reset_mask must be a mask",
        ),
        (
            lambda: TaskVectorEnv("hopper_forward", num_envs=2, autoreset_mode="same step"),
            "autoreset_mode must be one of 'NextStep', 'SameStep', 'Disabled', got 'same step'",
        ),
        (
            lambda: TaskVectorEnv("hopper_forward", num_envs=2).reset(seed=[1]),
            "seed must have one seed for each of 2 environments, got 1",
        ),
        (
            lambda: TaskVectorEnv("hopper_forward", num_envs=2).reset(seed=[1, -1]),
            r"seed\[1\] must be from 0 to 18446744073709551615, got -1",
        ),
        (
            lambda: TaskVectorEnv("hopper_forward", num_envs=2).reset(seed="ab"),
            "seed must be a whole number or a list of them, got 'ab'",
        ),
        (
            lambda: mbmf.Simulator(mbmf.load_task("hopper_forward"), 2).reseed(-1, [0]),
            "seed must be .* got -1",
        ),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_gymnasium_knows_the_ids_after_importing_the_package() -> None:
    for name in IDS:
        assert name in gymnasium.registry
