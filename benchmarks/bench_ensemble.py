"""Plans of iCEM with a probabilistic ensemble, beside the same rollouts in PyTorch.

HalfCheetah (`gym_half_cheetah`), 5 members of 3 and of 4 layers of 200, SiLU, one particle a member (TS-inf),
40 + 32 + 25 candidates, 30 steps. Weights are random: the arithmetic is the same. The baseline does what a
good user of PyTorch would: one baddbmm a layer for all members, normalisation folded in, inference mode, the
noise drawn by torch.randn, the cost added while rolling; it draws its candidates and searches for nothing. It
has the threads that are fastest. Rounds alternate. First, both must give the same costs of the same
candidates by the members' means.

extra_info: `ratio_torch` (its median time over ours), `peak_share`: the networks' arithmetic, and nothing
else, as a share of the multiply-add peak.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import numpy as np
import pytest
import torch

import mbmf
from mbmf import _core
from mbmf.nn.training import torch_threads

ROUNDS, COUNTS, HORIZON, MEMBERS = 20, (40, 32, 25), 30, 5


class Case:
    """An ensemble for the half cheetah, as the core and as plain PyTorch take it."""

    def __init__(self, depth: int) -> None:
        self.task = mbmf.load_task("gym_half_cheetah")
        rng = np.random.default_rng(0)
        n, naction = self.task.nstate, self.task.naction
        self.angle = self.task.state_names.index("qpos.rooty")
        sizes = [
            n + naction,
            *[200] * depth,
            2 * n,
        ]  # one state more is seen by its sine and cosine, one is not
        self.weights, self.biases = [], []
        for cols, rows in itertools.pairwise(sizes):
            self.weights.append((rng.normal(size=(MEMBERS, rows, cols)) / np.sqrt(cols)).astype(np.float32))
            self.biases.append(rng.normal(size=(MEMBERS, rows)).astype(np.float32) * 0.1)
        self.start = rng.normal(size=n) * 0.1
        self.flops = 2 * sum(w.size for w in self.weights) * HORIZON * sum(COUNTS)
        self.scale = 0.05

    def dynamics(self, propagate: str) -> _core.Dynamics:
        n, naction = self.task.nstate, self.task.naction
        inputs = ["value"] * n
        inputs[self.angle], inputs[-1] = "sine_cosine", "nothing"
        outputs = ["difference"] * (n - 1) + ["value"]
        return _core.Dynamics(
            n,
            naction,
            self.weights,
            self.biases,
            "silu",
            np.zeros(n),
            np.ones(n),
            np.zeros(naction),
            np.ones(naction),
            np.zeros(n),
            np.full(n, self.scale),
            inputs=inputs,
            outputs=outputs,
            log_variance_min=np.full(n, -8.0),
            log_variance_max=np.full(n, -2.0),
            propagate=propagate,
        )


class TorchRollouts:
    """The costs of candidates by the ensemble, all members in one product."""

    def __init__(self, case: Case) -> None:
        self.case = case
        last = torch.from_numpy(case.weights[-1]).clone(), torch.from_numpy(case.biases[-1]).clone()
        n = case.task.nstate
        for tensor in last:
            tensor[:, :n] *= case.scale
        self.layers = [
            (torch.from_numpy(w).mT.contiguous(), torch.from_numpy(b)[:, None])
            for w, b in zip(case.weights[:-1], case.biases[:-1], strict=True)
        ]
        self.layers.append((last[0].mT.contiguous(), last[1][:, None]))

    def costs(self, actions: torch.Tensor, noisy: bool) -> torch.Tensor:
        """(K,) of actions (H, K, A)."""
        n, angle = self.case.task.nstate, self.case.angle
        count = actions.shape[1]
        state = torch.from_numpy(self.case.start.astype(np.float32)).expand(MEMBERS, count, n).clone()
        cost = torch.zeros(MEMBERS, count)
        for action in actions:
            cost += 0.1 * action.square().sum(-1) - state[..., -1]
            x = torch.cat(
                [
                    state[..., :angle],
                    state[..., angle : angle + 1].sin(),
                    state[..., angle : angle + 1].cos(),
                    state[..., angle + 1 : -1],
                    action.expand(MEMBERS, *action.shape),
                ],
                -1,
            )
            for weight, bias in self.layers[:-1]:
                x = torch.nn.functional.silu(torch.baddbmm(bias, x, weight), inplace=True)
            mean, raw = torch.baddbmm(self.layers[-1][1], x, self.layers[-1][0]).chunk(2, -1)
            following = state + mean
            following[..., -1] = mean[..., -1]
            if noisy:
                variance = torch.nn.functional.softplus(-2.0 - raw).neg_().add_(-2.0)
                variance = torch.nn.functional.softplus(variance + 8.0).sub_(8.0)
                following += torch.exp(0.5 * variance) * self.case.scale * torch.randn_like(mean)
            state = following
        cost += 0.1 * actions[-1].square().sum(-1) - state[..., -1]
        return cost.mean(0)

    def plan(self, nthread: int) -> None:
        """What rolling one plan's candidates takes."""
        torch.set_num_threads(nthread)
        with torch.inference_mode():
            for count in COUNTS:
                self.costs(torch.rand(HORIZON, count, self.case.task.naction).mul_(2).sub_(1), noisy=True)


def check(case: Case, baseline: TorchRollouts) -> None:
    planner = mbmf.RandomShooting(case.task, case.dynamics("expectation"), horizon=HORIZON, candidates=64)
    actions = planner.core.sample(0, 0, 0, 64)
    ours = planner.core.costs(case.start, 0, 0)
    theirs = baseline.costs(torch.from_numpy(actions).movedim(1, 0), noisy=False).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * np.abs(theirs).max())
    assert np.ptp(ours) > 1e-2


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("depth", [3, 4])
def test_plan(benchmark: Any, depth: int, nthread: int) -> None:
    case = Case(depth)
    baseline = TorchRollouts(case)
    check(case, baseline)
    planner = mbmf.ICEM(
        case.task, case.dynamics("tsinf"), horizon=HORIZON, candidates=COUNTS[0], nthread=nthread
    )
    assert planner.plan(case.start, episode=0, step=0).candidates_done == sum(COUNTS)
    times: dict[int, list[float]] = {threads: [] for threads in {1, nthread}}
    peaks = []

    def time_baseline() -> None:
        for threads, found in times.items():
            begin = time.perf_counter()
            baseline.plan(threads)
            found.append(time.perf_counter() - begin)
        peaks.append(_core.multiply_add_peak(nthread, 0.05))
        planner.act(case.start)

    with torch_threads(1):
        benchmark.pedantic(
            lambda: planner.act(case.start), setup=time_baseline, rounds=ROUNDS if benchmark.enabled else 1
        )
    if benchmark.enabled:
        median = benchmark.stats["median"]
        benchmark.extra_info["isa"] = _core.isa()
        benchmark.extra_info["peak_share"] = round(case.flops * 1e-9 / median / statistics.median(peaks), 3)
        benchmark.extra_info["ratio_torch"] = round(
            min(statistics.median(found) for found in times.values()) / median, 2
        )
