"""A program whose daemon threads are within calls of ours when it ends: `python daemon_threads.py 0.2 plan fit`.

It ends after so many seconds, by exit status 7.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable

import numpy as np

import mbmf
from test_planner import make_model, start_state

TASK = mbmf.load_task("swimmer_forward")
MODEL, _ = make_model(TASK)
STATE = start_state(TASK)
STATES = np.repeat(STATE[None].astype(np.float32), 20_000, axis=0)


class Own(mbmf.Search):
    """Random shooting, in Python."""

    def propose(self, plan: mbmf.planning.own.SearchRound) -> np.ndarray:
        return plan.rng.uniform(-1, 1, (50, plan.horizon, plan.naction))

    def update(self, plan, sequences, costs):  # type: ignore[no-untyped-def]
        return sequences[np.argmin(costs)]


def busy_cost(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return states[:, -1, 0] + sum(0.0 for _ in range(3000))


def busy_progress(steps: int) -> bool:
    return sum(range(30_000)) > 0


def make(kind: str) -> Callable[[], object]:
    """A call that lasts some milliseconds, to be repeated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        costly = mbmf.load_task("swimmer_forward", cost=busy_cost)
    simulator, zeros = mbmf.Simulator(TASK, nsim=20, nthread=2), np.zeros((20, TASK.naction))
    actions, policy = np.zeros((len(STATES), TASK.naction), np.float32), mbmf.GaussianPolicy(TASK, (16,))
    planner = mbmf.RandomShooting(TASK, MODEL, horizon=5, candidates=50, nthread=1)
    with_cost = mbmf.Planner(costly, MODEL, "random_shooting", 10, 99)
    own, learned = mbmf.Planner(TASK, MODEL, Own(), 10), mbmf.DynamicsModel(TASK, hidden=(30,))
    data = mbmf.collect_random(TASK, 5, 100)
    return {
        "plan": lambda: planner.plan(STATE),
        "cost": lambda: with_cost.plan(STATE),
        "search": lambda: own.plan(STATE),
        "long plan": lambda: mbmf.RandomShooting(TASK, MODEL, horizon=10, candidates=10**8).plan(STATE),
        "predict": lambda: MODEL.predict(STATES, actions),
        "mean": lambda: policy.mean(STATES),
        "step": lambda: simulator.step(zeros),
        "collect_random": lambda: mbmf.collect_random(TASK, 20, 50, progress=busy_progress),
        "collect_mpc": lambda: mbmf.collect_mpc(TASK, planner, 5, 30),
        "collect_policy": lambda: mbmf.collect_policy(TASK, policy, steps=2000, max_episode_steps=100),
        "fit": lambda: learned.fit(data, epochs=3, batch_size=10),
    }[kind]


def repeat(call: Callable[[], object], ready: threading.Semaphore) -> None:
    ready.release()
    while True:
        call()


def main() -> None:
    seconds, kinds = float(sys.argv[1]), sys.argv[2:]
    ready = threading.Semaphore(0)
    for kind in kinds:
        threading.Thread(target=repeat, args=(make(kind), ready), daemon=True).start()
    for _ in kinds:
        ready.acquire()
    time.sleep(seconds)
    sys.exit(7)


if __name__ == "__main__":
    main()
