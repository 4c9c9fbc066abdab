"""A plan's rollouts through an ensemble in mbrl-lib, beside a whole plan of ours: one line of JSON.

    pip install mbrl termcolor
    python benchmarks/mbrl_beside.py --threads 2

HalfCheetah (`gym_half_cheetah`), 5 members of 3 or 4 layers of 200, SiLU, variances, 40 + 32 + 25 candidates
of 30 steps, a particle a member. mbrl-lib rolls them with its own `ModelEnv.evaluate_action_sequences` and
`GaussianMLP`, each particle with one member to the end (`fixed_model`), the reward in PyTorch; it draws no
candidates and searches for nothing, which is to its favour. It has the faster of one thread and all. Rounds
alternate; medians. Its weights are others, so that costs are not compared: only the work is the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import gymnasium
import numpy as np
import torch
from mbrl.models import GaussianMLP, ModelEnv, OneDTransitionRewardModel

import mbmf
from bench_ensemble import COUNTS, HORIZON, MEMBERS, Case


class MbrlLib:
    """The same ensemble as mbrl-lib makes it: random weights, the arithmetic is the same."""

    def __init__(self, depth: int) -> None:
        environment = gymnasium.make("HalfCheetah-v5", exclude_current_positions_from_observation=True)
        # the state of our task: the observation and the speed, which the reward is made of
        self.states, self.actions = 18, 6
        network = GaussianMLP(
            self.states + self.actions,
            self.states,
            "cpu",
            num_layers=depth,
            ensemble_size=MEMBERS,
            hid_size=200,
            propagation_method="fixed_model",
            activation_fn_cfg={"_target_": "torch.nn.SiLU"},
        )
        model = OneDTransitionRewardModel(network, normalize=True, learned_rewards=False)
        self.env = ModelEnv(
            environment,
            model,
            lambda actions, states: torch.zeros(len(states), 1, dtype=torch.bool),
            lambda actions, states: states[:, -1:] - 0.1 * actions.square().sum(1, keepdim=True),
            torch.Generator(),
        )

    def plan(self, threads: int) -> None:
        """What rolling one plan's candidates takes."""
        torch.set_num_threads(threads)
        for count in COUNTS:
            candidates = torch.rand(count, HORIZON, self.actions) * 2 - 1
            returns = self.env.evaluate_action_sequences(candidates, np.zeros(self.states), MEMBERS)
            assert returns.shape == (count,)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--depth", type=int, default=3, choices=[3, 4], help="hidden layers")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    case, theirs = Case(options.depth), MbrlLib(options.depth)
    planner = mbmf.ICEM(
        case.task,
        case.dynamics("tsinf"),
        horizon=HORIZON,
        candidates=COUNTS[0],
        nthread=options.threads,
    )
    ours: list[float] = []
    times: dict[int, list[float]] = {threads: [] for threads in {1, options.threads}}
    for _ in range(options.rounds):
        begin = time.perf_counter()
        planner.act(case.start)
        ours.append(time.perf_counter() - begin)
        for threads, found in times.items():
            begin = time.perf_counter()
            theirs.plan(threads)
            found.append(time.perf_counter() - begin)
    median = statistics.median(ours)
    best = min(statistics.median(found) for found in times.values())
    row = {
        "depth": options.depth,
        "threads": options.threads,
        "mbmf_ms": round(1e3 * median, 1),
        "mbrl_lib_ms": round(1e3 * best, 1),
        "ratio": round(best / median, 1),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
