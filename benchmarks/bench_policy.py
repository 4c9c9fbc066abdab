"""Steps per second of `mbmf.collect_policy`, beside `mujoco.batch.Batch` with random actions.

Same model and threads; rounds of the two alternate. The baseline steps physics and nothing else; the
collection also evaluates the policy, draws its noise, reads observations, computes rewards and
log-probabilities, checks bounds and keeps it all. The policy is a new one of deviation 1, so its actions are
random too. `ratio` (extra_info) is collection over baseline, the median over rounds; a round of the baseline
takes as many steps as the collection. First, the collection's last episode must
be the same alone on one thread, and end where the simulator's own steps of its actions do.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf import _core
from mbmf.cli.bench import NSIM, SimulatorPair

STEPS = {"cheetah_forward": 50_000, "hopper_forward": 20_000, "ant_forward": 10_000}
ROUNDS = 7


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("preset", STEPS)
def test_collect_policy(benchmark: Any, preset: str, nthread: int) -> None:
    task = mbmf.load_task(preset)
    policy = mbmf.GaussianPolicy(task)
    # without timing, a small batch shows that this still works
    wanted = STEPS[preset] if benchmark.enabled else 200
    longest = task.episode_steps if benchmark.enabled else 50

    def collect() -> mbmf.PolicyBatch:
        return mbmf.collect_policy(task, policy, wanted, nthread=nthread, max_episode_steps=longest)

    steps = check(task, policy, collect())
    pair = SimulatorPair(task, nthread)

    ratios: list[float] = []
    baseline = 0.0

    def time_baseline() -> None:
        nonlocal baseline
        begin = time.perf_counter()
        for _ in range(steps // NSIM):
            pair.step_baseline()
        baseline = (time.perf_counter() - begin) / (steps // NSIM * NSIM)

    def run() -> None:
        begin = time.perf_counter()
        collect()
        ratios.append(baseline * steps / (time.perf_counter() - begin))

    time_baseline()
    benchmark.pedantic(run, setup=time_baseline, rounds=ROUNDS)
    if benchmark.enabled:
        benchmark.extra_info["steps_per_second"] = round(steps / benchmark.stats["median"])
        benchmark.extra_info["ratio"] = round(statistics.median(ratios), 3)


def check(task: mbmf.Task, policy: mbmf.GaussianPolicy, batch: mbmf.PolicyBatch) -> int:
    """The batch's steps; fails unless its last episode is that of one thread and of the simulator."""
    number, length = batch.next_episode - 1, int(batch.lengths[-1])
    alone = mbmf.collect_policy(
        task, policy, episodes=1, nthread=1, first_episode=number, max_episode_steps=length, keep_states=True
    )
    assert alone.final_states is not None
    last = slice(int(batch.starts[-1]), None)
    np.testing.assert_array_equal(batch.actions[last], alone.actions)
    np.testing.assert_array_equal(batch.rewards[last], alone.rewards)
    simulator = _core.Simulator(task.core, 1, 1, 0)
    simulator.start(None, _core.ResetKind.DEFAULT, np.array([number], np.uint64))
    for action in alone.actions:
        simulator.step(None, action[None].astype(np.float64))
    np.testing.assert_array_equal(simulator.states[0], alone.final_states[0])
    return batch.nsteps
