"""Policy optimisation on half cheetah, a batch of 50,000 steps, 64-64 tanh policy, 2 threads.

- update: value baseline, advantages and TRPO step on a batch that is there; `fisher_product_ms` (extra_info)
  is one of its ten products of the Fisher matrix with a vector;
- iteration: collecting the batch and the update, in turn with one iteration of SB3-contrib's TRPO (needs
  sb3-contrib, in the extra `bench`), in Gymnasium's HalfCheetah-v5 with one physics step per control step as
  here, 8 environments in one process (its faster way: subprocesses take nearly four times as long). The same
  batch, network, discount, divergence, conjugate gradients and line search, Fisher products over the full
  batch; its value network gets 100 gradient steps of 5,000. It collects with one PyTorch thread, which for
  its 8 observations at a time is faster than two. `ratio` (extra_info): its median time over ours;
  `collection_ratio`: the same of collecting alone.

First, an update must improve the surrogate within the bound of the divergence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import mbmf
from mbmf.algorithms import model_free
from mbmf.algorithms.baseline import Baseline
from mbmf.algorithms.checkpoint import Counters
from mbmf.algorithms.policy_iteration import Iteration
from mbmf.algorithms.trpo import Batch, Objective
from mbmf.cluster.sampler import Here
from mbmf.nn.network_passes import MeanNetwork
from mbmf.nn.training import torch_threads
from mbmf.nn.workers import Workers

STEPS, EPISODE_STEPS, NTHREAD, ENVIRONMENTS = 50_000, 1000, 2, 8


@pytest.fixture
def workers() -> Iterator[Workers]:
    with torch_threads(1), Workers(NTHREAD) as threads:
        yield threads


def make_iteration(seed: int = 0) -> Iteration:
    """The first iteration of a run; every call of its methods is one of another policy."""
    task = mbmf.load_task("cheetah_forward")
    settings = model_free.settings_of(task, batch_size=STEPS, steps_per_rollout=EPISODE_STEPS)
    policy = mbmf.GaussianPolicy(task, settings.hidden)
    return Iteration(task, policy, Baseline.zero(task.nobservation), Counters(), settings, seed)


def check(iteration: Iteration) -> None:
    record = iteration.record
    assert record["steps"] == STEPS
    assert 0 < record["kl"] <= 0.05
    assert record["loss_after"] < record["loss_before"]


def fisher_product_ms(iteration: Iteration, workers: Workers) -> float:
    policy, batch = iteration._policy, iteration._batch
    assert batch.log_probs is not None
    network = MeanNetwork((policy.nobservation, *policy.hidden, policy.naction))
    observations, actions, means = map(torch.from_numpy, (batch.observations, batch.actions, batch.means))
    hidden = [torch.from_numpy(layer) for layer in batch.hidden or ()]
    none = torch.zeros(batch.nsteps)
    objective = Objective(
        network,
        torch.from_numpy(policy.parameter_vector()),
        Batch(observations, actions, means, none, none, hidden),
        workers.nthread,
    )
    vector = torch.randn(network.nparameter + policy.naction, dtype=torch.float64)
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        objective.fisher_product(vector)
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times))


def test_update(benchmark: Any, workers: Workers) -> None:
    iteration = make_iteration()
    iteration.sample(Here(NTHREAD), model_free.Silent().sampling)
    before = iteration._policy.parameter_vector()
    iteration.improve(workers)
    check(iteration)

    def again() -> None:
        iteration._policy.set_parameter_vector(before)

    benchmark.pedantic(iteration.improve, args=(workers,), setup=again, rounds=10, warmup_rounds=1)
    benchmark.extra_info["fisher_product_ms"] = round(fisher_product_ms(iteration, workers), 1)


def make_other() -> Any:
    """SB3-contrib's TRPO with the settings of ours."""
    trpo = pytest.importorskip("sb3_contrib").TRPO
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env("HalfCheetah-v5", ENVIRONMENTS, seed=0, env_kwargs={"frame_skip": 1})
    return trpo(
        "MlpPolicy",
        env,
        n_steps=STEPS // ENVIRONMENTS,
        batch_size=5000,
        n_critic_updates=10,
        gamma=0.995,
        gae_lambda=1.0,
        target_kl=0.05,
        cg_max_steps=10,
        cg_damping=1e-5,
        line_search_shrinking_factor=0.8,
        line_search_max_iter=15,
        policy_kwargs={"net_arch": [64, 64]},
        seed=0,
        device="cpu",
    )


def make_callback(collecting: list[float]) -> Any:
    """A callback of SB3: one PyTorch thread for collecting, whose seconds it notes, all for the update."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Callback(BaseCallback):  # type: ignore[misc]
        def _on_rollout_start(self) -> None:
            torch.set_num_threads(1)
            self._begin = time.perf_counter()

        def _on_rollout_end(self) -> None:
            collecting.append(time.perf_counter() - self._begin)
            torch.set_num_threads(NTHREAD)

        def _on_step(self) -> bool:
            return True

    return Callback()


def test_iteration(benchmark: Any, workers: Workers) -> None:
    other, times, collecting, sampling = make_other(), [], [], []
    callback = make_callback(collecting)

    def run_other() -> None:
        begin = time.perf_counter()
        other.learn(STEPS, callback, reset_num_timesteps=False)
        times.append(time.perf_counter() - begin)
        torch.set_num_threads(1)

    ours = make_iteration()

    def run_ours() -> None:
        begin = time.perf_counter()
        ours.sample(Here(NTHREAD), model_free.Silent().sampling)
        sampling.append(time.perf_counter() - begin)
        ours.improve(workers)

    run_ours()
    check(ours)
    rounds = 7 if benchmark.enabled else 1
    benchmark.pedantic(run_ours, setup=run_other, rounds=rounds)
    check(ours)
    if benchmark.enabled:
        median = benchmark.stats["median"]
        benchmark.extra_info["steps_per_second"] = round(STEPS / median)
        benchmark.extra_info["other_steps_per_second"] = round(STEPS / float(np.median(times)))
        benchmark.extra_info["ratio"] = round(float(np.median(times)) / median, 1)
        benchmark.extra_info["collection_ratio"] = round(
            float(np.median(collecting) / np.median(sampling)), 1
        )
