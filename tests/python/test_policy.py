"""Gaussian policies: against PyTorch, without PyTorch, and through files that are right and wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import mbmf
from mbmf.errors import DataError

HIDDEN = [(64, 64), (), (7,), (100, 33, 5)]


@pytest.fixture(scope="module")
def cheetah() -> mbmf.Task:
    return mbmf.load_task("cheetah_forward")


def randomized(policy: mbmf.GaussianPolicy, seed: int = 0) -> mbmf.GaussianPolicy:
    """The policy with weights of the size that training makes."""
    rng = np.random.default_rng(seed)
    vector = policy.parameter_vector()
    policy.set_parameter_vector(vector + rng.normal(0, 0.2, vector.shape))
    return policy


def observations(policy: mbmf.GaussianPolicy, n: int = 500) -> Any:
    return np.random.default_rng(1).normal(0, 2, (n, policy.nobservation)).astype(np.float32)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_means_are_those_of_pytorch(cheetah: mbmf.Task, hidden: tuple[int, ...]) -> None:
    policy = randomized(mbmf.GaussianPolicy(cheetah, hidden))
    given = observations(policy)
    plain = torch.nn.Sequential()
    for weight, bias in zip(policy.arrays()[:-1:2], policy.arrays()[1:-1:2], strict=True):
        layer = torch.nn.Linear(*weight.shape[::-1])
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
        plain.extend([layer, torch.nn.Tanh()])
    with torch.no_grad():
        expected = plain[:-1](torch.from_numpy(given)).numpy()
        np.testing.assert_allclose(policy.network(torch.from_numpy(given)).numpy(), expected, atol=1e-6)
    assert np.abs(expected).max() > 0.5
    # float32 sums of up to 100 numbers in another order
    np.testing.assert_allclose(policy.mean(given), expected, rtol=2e-6, atol=5e-6)
    for nthread in (2, 3, 7):
        np.testing.assert_array_equal(policy.mean(given, nthread), policy.mean(given))


def test_distribution(cheetah: mbmf.Task) -> None:
    policy = mbmf.GaussianPolicy(cheetah)
    policy.set_std([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    given = torch.from_numpy(observations(policy))
    normal = policy.network.distribution(given)
    actions = normal.sample()
    mean, std = policy.mean(given.numpy()).astype(np.float64), policy.std.astype(np.float64)
    z = (actions.numpy() - mean) / std
    expected = (-0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(normal.log_prob(actions).detach().numpy(), expected, rtol=1e-5, atol=1e-4)


def test_the_parameters_are_the_same_before_and_after_pytorch(cheetah: mbmf.Task) -> None:
    policy = randomized(mbmf.GaussianPolicy(cheetah, std=0.5))
    before, given = policy.parameter_vector(), observations(policy)
    mean = policy.mean(given)
    shapes = [tuple(parameter.shape) for parameter in policy.parameters()]
    assert shapes == [(64, 24), (64,), (64, 64), (64,), (6, 64), (6,), (6,)]
    np.testing.assert_array_equal(policy.parameter_vector(), before)
    np.testing.assert_array_equal(policy.mean(given), mean)
    vector = torch.nn.utils.parameters_to_vector(policy.parameters()).detach().numpy()
    np.testing.assert_array_equal(vector, before)

    policy.set_parameter_vector(2 * before)
    np.testing.assert_array_equal(policy.parameter_vector(), 2 * before)
    policy.set_std(0.25)
    np.testing.assert_allclose(policy.std, 0.25, rtol=1e-6)
    np.testing.assert_array_equal(policy.network.log_std.detach().numpy(), policy.arrays()[-1])


def test_a_network_of_float64_is_saved_as_float32(cheetah: mbmf.Task, tmp_path: Path) -> None:
    policy = randomized(mbmf.GaussianPolicy(cheetah))
    before, means = policy.parameter_vector(), policy.mean(observations(policy))
    policy.network.double()
    np.testing.assert_array_equal(policy.parameter_vector(), before)
    policy.save(tmp_path / "policy.safetensors")
    loaded = mbmf.GaussianPolicy.load(tmp_path / "policy.safetensors", cheetah)
    np.testing.assert_array_equal(loaded.mean(observations(policy)), means)


def test_core_follows_an_optimizer(cheetah: mbmf.Task) -> None:
    policy = mbmf.GaussianPolicy(cheetah, (8,))
    given = observations(policy)
    first, before = policy.core, policy.mean(given)
    assert policy.core is first
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    policy.network(torch.from_numpy(given)).square().sum().backward()
    optimizer.step()
    assert policy.core is not first
    assert np.abs(policy.mean(given) - before).max() > 1e-3
    assert policy.core is policy.core
    # the old one is as it was
    np.testing.assert_array_equal(first.mean(given), before)


def test_initial_weights(cheetah: mbmf.Task) -> None:
    policy = mbmf.GaussianPolicy(cheetah, seed=3, std=0.7)
    weights = policy.arrays()[:-1:2]
    assert [weight.shape for weight in weights] == [(64, 24), (64, 64), (6, 64)]
    for weight, scale in zip(weights, (1, 1, 0.01), strict=True):
        assert weight.std() == pytest.approx(scale * np.sqrt(2 / sum(weight.shape)), rel=0.2)
    assert not np.concatenate(policy.arrays()[1:-1:2]).any()
    np.testing.assert_allclose(policy.std, 0.7, rtol=1e-6)
    again, other = mbmf.GaussianPolicy(cheetah, seed=3, std=0.7), mbmf.GaussianPolicy(cheetah, seed=4)
    np.testing.assert_array_equal(again.parameter_vector(), policy.parameter_vector())
    assert (other.arrays()[0] != policy.arrays()[0]).all()


def test_act(cheetah: mbmf.Task) -> None:
    policy = randomized(mbmf.GaussianPolicy(cheetah))
    given = 3 * observations(policy)
    mean = policy.mean(given)
    assert (np.abs(mean) > 1).any()
    np.testing.assert_array_equal(policy.act(given), np.clip(mean, -1, 1))
    action = policy(list(given[5].astype(float)))
    assert action.shape == (6,)
    assert action.dtype == np.float32
    np.testing.assert_array_equal(action, np.clip(mean[5], -1, 1))

    policy = mbmf.GaussianPolicy(cheetah, std=0.25)
    many = np.repeat(np.zeros((1, 24)), 4000, axis=0)
    noise = policy.act(many, np.random.default_rng(0)) - policy.mean(many)
    np.testing.assert_allclose(noise.std(axis=0), 0.25, rtol=0.1)
    np.testing.assert_array_equal(
        policy.act(many, np.random.default_rng(1)), policy.act(many, np.random.default_rng(1))
    )


def test_drives_a_gymnasium_environment_without_pytorch(cheetah: mbmf.Task, tmp_path: Path) -> None:
    randomized(mbmf.GaussianPolicy(cheetah)).save(tmp_path / "policy.safetensors")
    code = f"""
import sys
import gymnasium, mbmf
policy = mbmf.GaussianPolicy.load({str(tmp_path / "policy.safetensors")!r})
env = gymnasium.make("mbmf/HalfCheetah-v0")
observation, _ = env.reset(seed=0)
for _ in range(20):
    observation, *_ = env.step(policy(observation))
assert "torch" not in sys.modules
print(policy)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout == "<mbmf.GaussianPolicy cheetah_forward: 24-64-64-6>\n", result.stderr


def test_save_and_load(cheetah: mbmf.Task, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    policy = randomized(mbmf.GaussianPolicy(cheetah, (7, 9), std=0.4))
    policy.save(path)
    for loaded in (mbmf.GaussianPolicy.load(path), mbmf.GaussianPolicy.load(path, cheetah)):
        np.testing.assert_array_equal(loaded.parameter_vector(), policy.parameter_vector())
        assert (loaded.task_name, loaded.hidden) == ("cheetah_forward", (7, 9))
        assert loaded.observation_names == cheetah.observation_names
    # what is loaded can be trained
    assert sum(parameter.numel() for parameter in loaded.parameters()) == policy.parameter_vector().size
    with torch.no_grad():
        policy.network.log_std += 1
    policy.save(path)
    np.testing.assert_array_equal(
        mbmf.GaussianPolicy.load(path).parameter_vector(), policy.parameter_vector()
    )
    assert [file.name for file in tmp_path.iterdir()] == ["policy.safetensors"]


def test_a_policy_that_is_not_finite_is_not_saved(cheetah: mbmf.Task, tmp_path: Path) -> None:
    policy = mbmf.GaussianPolicy(cheetah)
    path = tmp_path / "policy.safetensors"
    policy.save(path)
    before = path.read_bytes()
    vector = policy.parameter_vector()
    vector[10] = np.nan
    policy.set_parameter_vector(vector)
    with pytest.raises(ValueError, match=r"^weight of layer 0 must be finite, got nan at entry 10$"):
        policy.save(path)
    assert path.read_bytes() == before


def rewrite(path: Path, header: dict[str, Any], tensors: dict[str, Any]) -> None:
    """The policy file with some entries of the header and some tensors changed; None takes one away."""
    with safe_open(path, framework="numpy") as file:
        old = json.loads(file.metadata()["mbmf"])
    new = {name: value for name, value in {**load_file(path), **tensors}.items() if value is not None}
    save_file(new, path, {"mbmf": json.dumps({**old, **header})})


@pytest.mark.parametrize(
    ("header", "tensors", "message"),
    [
        ({"format": "mbmf-dynamics"}, {}, "file must be a policy of mbmf, got another kind of"),
        ({"format_version": 2}, {}, "format_version must be 1, got 2"),
        ({"task": 3}, {}, "task must be of type str, got 3"),
        ({"hidden": "64"}, {}, "hidden must be of type list, got '64'"),
        ({"hidden": [0]}, {}, "nobservation, hidden and naction must be from 1 to 65536, got [24, 0, 6]"),
        (
            {"hidden": [True]},
            {},
            "nobservation, hidden and naction must be from 1 to 65536, got [24, True, 6]",
        ),
        ({"observation_names": ["x"]}, {}, "observation_names must be "),
        ({"hidden": [8]}, {}, "weight.0 must be float32 (8, 24), got float32 (7, 24)"),
        ({"naction": 5}, {}, "naction must be 6, as of task cheetah_forward, got 5"),
        ({"task": "mine"}, {}, "task must be 'cheetah_forward', as of task cheetah_forward, got 'mine'"),
        ({}, {"bias.1": None}, "got bias.1 missing and none unknown"),
        ({}, {"more": np.zeros(1)}, "got none missing and more unknown"),
        ({}, {"bias.0": np.zeros(7)}, "bias.0 must be float32 (7,), got float64 (7,)"),
        ({}, {"bias.0": np.full(7, np.inf, np.float32)}, "bias.0 must be finite, got NaN or infinity"),
        ({}, {"log_std": np.full(6, 90, np.float32)}, "log_std must be from -80 to 80, got [90. 90."),
    ],
)
def test_wrong_files(
    cheetah: mbmf.Task, tmp_path: Path, header: dict[str, Any], tensors: dict[str, Any], message: str
) -> None:
    path = tmp_path / "policy.safetensors"
    mbmf.GaussianPolicy(cheetah, (7,)).save(path)
    rewrite(path, header, tensors)
    with pytest.raises(DataError) as caught:
        mbmf.GaussianPolicy.load(path, cheetah)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_files_of_another_kind(cheetah: mbmf.Task, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    with pytest.raises(DataError, match="policy file must exist, got none"):
        mbmf.GaussianPolicy.load(path)
    mbmf.GaussianPolicy(cheetah).save(path)
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="policy file must be a whole safetensors file, got"):
            mbmf.GaussianPolicy.load(path)
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(DataError, match="policy file must be a whole safetensors file, got"):
        mbmf.GaussianPolicy.load(path)
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(
        DataError, match="file must be a policy of mbmf, got another kind of safetensors file"
    ):
        mbmf.GaussianPolicy.load(path)
    path.write_bytes(whole)
    swimmer = mbmf.load_task("swimmer_forward")
    with pytest.raises(DataError, match="task must be 'swimmer_forward', as of task swimmer_forward, got"):
        mbmf.GaussianPolicy.load(path, swimmer)


def test_bad_arguments(cheetah: mbmf.Task) -> None:
    policy = mbmf.GaussianPolicy(cheetah, (4,))
    table: list[tuple[Any, str]] = [
        (lambda: mbmf.GaussianPolicy(cheetah, (0,)), "hidden must be from 1 to 65536, got 0"),
        (lambda: mbmf.GaussianPolicy(cheetah, (2.5,)), "hidden must be a whole number, got 2.5"),  # type: ignore[arg-type]
        (
            lambda: mbmf.GaussianPolicy(cheetah, seed=-1),
            "seed must be from 0 to 18446744073709551615, got -1",
        ),
        (lambda: mbmf.GaussianPolicy(cheetah, std=0), "std must be positive and finite, got 0"),
        (lambda: policy.set_std(-1.0), "std must be positive and finite, got -1.0"),
        (lambda: policy.set_std(np.inf), "std must be positive and finite, got inf"),
        (lambda: policy.set_std([1, 2]), "std must be a number or of shape (6,), got (2,)"),
        (lambda: policy.set_parameter_vector(np.zeros(3)), "vector must be of shape (136,), got (3,)"),
        (lambda: policy.act(np.zeros(5)), "observation must be of shape (24,) or (N, 24), got (5,)"),
        (lambda: policy.act(np.full(24, np.nan)), "observation must be finite, got NaN or infinity"),
        (lambda: policy("left"), "observation must be an array of numbers, got 'left'"),
        (lambda: policy.mean(np.zeros((3, 5))), "observations must be a C-contiguous float32 array of shape"),
        (lambda: policy.mean(np.zeros((3, 24)), nthread=-1), "nthread must be from 0 to 1024, got -1"),
    ]
    for call, message in table:
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            call()


def test_a_file_holds_its_task(cheetah: mbmf.Task, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    mbmf.GaussianPolicy(cheetah, (4,)).save(path)
    policy = mbmf.GaussianPolicy.load(path)
    task = policy.load_task()
    assert task == cheetah
    env = mbmf_env(task)
    observation, _ = env.reset(seed=0)
    observation, reward, *_ = env.step(policy(observation))
    assert np.isfinite(reward)

    # files of before the task was in them
    before = mbmf.GaussianPolicy.load(path)
    before.task_config = None
    before.save(path)
    again = mbmf.GaussianPolicy.load(path, cheetah)
    with pytest.raises(DataError, match="policy of cheetah_forward: it must hold the task, got none"):
        again.load_task()


def mbmf_env(task: mbmf.Task) -> Any:
    from mbmf.simulation.envs import TaskEnv

    return TaskEnv(task)
