"""Behaviour cloning: what is learned, and that the policy which comes out computes it."""

from __future__ import annotations

import numpy as np
import pytest

import mbmf
from mbmf.algorithms.cloning import Cloning, Examples
from mbmf.errors import DataError
from mbmf.nn.training import torch_threads

N = 600


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("hopper_forward")


@pytest.fixture(scope="module")
def examples(task: mbmf.Task) -> Examples:
    """Actions that are a function of what was seen."""
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(N, task.nobservation)).astype(np.float32)
    wanted = np.tanh(seen[:, :3] + 0.5 * seen[:, 5:6])
    return Examples(seen, wanted.astype(np.float32))


def fit(cloning: Cloning, examples: Examples, epochs: int, seed: int = 0) -> tuple[Cloning, float]:
    rng = np.random.default_rng(seed)
    with torch_threads(1):
        fitted, history = cloning.fit(examples, epochs=epochs, batch_size=64, learning_rate=3e-3, rng=rng)
        return fitted, history.losses[-1]


def mean_squared_error(policy: mbmf.GaussianPolicy, examples: Examples) -> float:
    """By the C++ core, from raw observations."""
    return float(np.square(policy.mean(examples.observations) - examples.actions).mean())


def test_the_policy_computes_what_was_learned(task: mbmf.Task, examples: Examples) -> None:
    policy = mbmf.GaussianPolicy(task, (16, 16), seed=1, std=0.3)
    start = Cloning.start(policy)
    before = mean_squared_error(policy, examples)
    cloning, loss = fit(start, examples, epochs=60)
    cloning.write_to(policy)
    # the function can be learned, and the C++ core computes it
    assert loss < 0.05 * before
    assert mean_squared_error(policy, examples) == pytest.approx(cloning.loss(examples), rel=1e-4)
    assert policy.std == pytest.approx(np.full(task.naction, 0.3))


def test_two_fits_are_one_with_all_their_epochs(task: mbmf.Task, examples: Examples) -> None:
    start = Cloning.start(mbmf.GaussianPolicy(task, (8,)))
    rng = np.random.default_rng(0)
    options = {"batch_size": 64, "learning_rate": 1e-3}
    with torch_threads(1):
        half, _ = start.fit(examples, epochs=2, rng=rng, **options)
        both, loss = half.fit(examples, epochs=3, rng=rng, **options)
        whole, loss_whole = start.fit(examples, epochs=5, rng=np.random.default_rng(0), **options)
    assert loss.losses[-1] == loss_whole.losses[-1]
    assert both.mlp.updates == whole.mlp.updates == 5 * (N // 64)
    for one, other in zip(both.mlp.layers, whole.mlp.layers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_split_and_join(examples: Examples) -> None:
    train, held_out = examples.split(100, np.random.default_rng(3))
    assert (len(train), len(held_out)) == (N - 100, 100)
    joined = train.and_then(held_out)
    order, reference = np.lexsort(joined.observations.T), np.lexsort(examples.observations.T)
    np.testing.assert_array_equal(joined.observations[order], examples.observations[reference])
    np.testing.assert_array_equal(joined.actions[order], examples.actions[reference])
    other, _ = examples.split(100, np.random.default_rng(4))
    assert not np.array_equal(other.observations, train.observations)


def test_what_is_refused(task: mbmf.Task, examples: Examples) -> None:
    with pytest.raises(DataError, match="observations and actions must be of one length, got 3 and 2"):
        Examples(examples.observations[:3], examples.actions[:2])
    start = Cloning.start(mbmf.GaussianPolicy(task, (8,)))
    bad = Examples(examples.observations, examples.actions * np.float32(1e30))
    with pytest.raises(DataError, match=r"diverged.*learning_rate must be smaller, got 0\.003"):
        fit(start, bad, epochs=2)
