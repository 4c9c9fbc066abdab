"""A search of your own: two methods; the core rolls what they propose, on all threads.

    python examples/own_search.py

A swimmer learns from two minutes of random motion and swims by a search that halves its spread around the
best sequence so far, beside random shooting with the same number of candidates.
"""

from __future__ import annotations

import numpy as np

import mbmf


class Halving(mbmf.Search):
    """Four rounds around the best sequence so far, each half as wide as the one before."""

    rounds = 4
    candidates = 250

    def propose(self, plan):
        noise = plan.rng.standard_normal((self.candidates, plan.horizon, plan.naction))
        sequences = np.clip(plan.mean + 0.8 / 2**plan.number * noise, -1, 1)
        sequences[0] = plan.mean  # never worse than the round, or the step, before
        return sequences

    def update(self, plan, sequences, costs):
        return sequences[np.argmin(costs)]


def main(steps: int = 100, epochs: int = 20) -> dict[str, float]:
    """Returns the mean reward of two rollouts by each search."""
    task = mbmf.load_task("swimmer_forward")
    model = mbmf.DynamicsModel(task, hidden=(200,), seed=0)
    model.fit(mbmf.collect_random(task, episodes=10, steps=80, seed=0), epochs=epochs, seed=0)
    planners = {
        "halving": mbmf.Planner(task, model, Halving(), horizon=20),
        "random shooting": mbmf.RandomShooting(task, model, horizon=20, candidates=1000),
    }
    rewards = {}
    for name, planner in planners.items():
        rewards[name] = float(mbmf.collect_mpc(task, planner, 2, steps, seed=1).returns.mean())
        print(f"{name:16} reward {rewards[name]:6.2f} in {steps} steps")
    return rewards


if __name__ == "__main__":
    main()
