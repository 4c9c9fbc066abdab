"""Plans of random shooting, as bits: what `golden/plans.json` holds and test_golden.py makes again.

The file was written by the planner as it was before searches became objects of their own. Run this to
write it anew, which only a change of what random shooting means can ask for:

    for isa in portable avx2 avx512; do MBMF_FORCE_ISA=$isa python tests/python/golden_plans.py; done
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import mbmf
from mbmf import _core

FILE = Path(__file__).parent / "golden" / "plans.json"
PRESETS = (
    "swimmer_forward",
    "cheetah_forward",
    "hopper_forward",
    "ant_forward",
    "swimmer_trajfollow",
    "cheetah_trajfollow",
    "ant_trajfollow",
)
CANDIDATES = 301


def digest(array: Any) -> str:
    """Of shape, type and bits."""
    values = np.ascontiguousarray(array)
    head = f"{values.dtype.str}{values.shape}".encode()
    return hashlib.sha256(head + values.tobytes()).hexdigest()[:32]


def make_dynamics(task: mbmf.Task, activation: str, hidden: tuple[int, ...]) -> _core.Dynamics:
    """A network of fixed random weights, whose states stay near the start for some steps."""
    rng = np.random.default_rng(7)
    ns, na = task.nstate, task.naction
    sizes = (ns + na, *hidden, ns)
    weights, biases = [], []
    for columns, rows in itertools.pairwise(sizes):
        weights.append((rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32))
        biases.append((0.1 * rng.standard_normal(rows)).astype(np.float32))
    return _core.Dynamics(
        ns,
        na,
        weights,
        biases,
        activation,
        0.1 * rng.standard_normal(ns),
        rng.uniform(0.5, 2, ns),
        np.zeros(na),
        np.full(na, 0.577),
        0.002 * rng.standard_normal(ns),
        rng.uniform(0.01, 0.02, ns),
    )


def describe(plan: mbmf.Plan) -> dict[str, Any]:
    return {
        "candidate": plan.candidate,
        "done": plan.candidates_done,
        "cost": float(plan.cost).hex(),
        "actions": digest(plan.actions),
        "first": [float(x).hex() for x in plan.action],
        "states": digest(plan.states),
        "moved": plan.moved,
        "segment": plan.segment,
    }


def start_of(task: mbmf.Task) -> tuple[np.ndarray, np.ndarray]:
    """A state, and the simulator's row of it."""
    simulator = _core.Simulator(task.core, 1, 1, 3)
    simulator.start(None, _core.ResetKind.CONTROL, np.array([5], np.uint64))
    return simulator.states[0].copy(), simulator.get_state(None)[0].copy()


def plans_of(preset: str, nthread: int) -> dict[str, Any]:
    task = mbmf.load_task(preset)
    found: dict[str, Any] = {}
    state, row = start_of(task)
    on_path: dict[str, Any] = {} if task.path is None else {"segment": 1, "origin": (0.1, -0.2)}
    for name, activation, hidden in (("relu", "relu", (500,)), ("tanh", "tanh", (48, 70))):
        dynamics = make_dynamics(task, activation, hidden)
        planner = mbmf.RandomShooting(task, dynamics, candidates=CANDIDATES, seed=11, nthread=nthread)
        found[f"{name} plan"] = describe(planner.plan(state, episode=2, step=3, **on_path))
        limited = planner.plan(state, episode=2, step=3, candidates=77, predict=False, **on_path)
        found[f"{name} 77"] = describe(limited)
        n = 3
        states = np.stack([state + 0.01 * i for i in range(n)])
        batch: dict[str, Any] = {}
        if task.path is not None:
            batch = {"segments": np.arange(n), "origins": 0.1 * np.arange(2 * n).reshape(n, 2)}
        actions, costs = planner.plan_batch(states, np.arange(n), np.arange(n) + 4, **batch)
        found[f"{name} batch"] = {"actions": digest(actions), "costs": digest(costs)}
        warm = mbmf.RandomShooting(
            task, dynamics, candidates=CANDIDATES, seed=11, nthread=nthread, warm_start=True
        )
        found[f"{name} warm"] = [describe(warm.plan(state, **on_path)) for _ in range(3)]
        found[f"{name} sample"] = digest(planner.core.sample(1, 2**33 + 5, 100, 150))
        episodes = mbmf.collect_mpc(task, planner, 2, 4, seed=9, action_noise=0.01)
        found[f"{name} episodes"] = {
            "actions": digest(episodes.actions),
            "states": digest(episodes.states),
            "rewards": digest(episodes.rewards),
            "lengths": episodes.lengths.tolist(),
        }
    through = mbmf.RandomShooting(
        task, mbmf.SimulatorModel(task), horizon=4, candidates=33, seed=11, nthread=nthread
    )
    found["simulator plan"] = describe(through.plan(row, episode=2, step=3, **on_path))
    actions, costs = through.plan_batch(np.stack([row, row]), np.arange(2), np.arange(2))
    found["simulator batch"] = {"actions": digest(actions), "costs": digest(costs)}
    return found


def cost_function(task: mbmf.Task) -> mbmf.Task:
    def cost(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return (states[:, :, 0] ** 2).sum(axis=1) + 0.1 * (actions**2).sum(axis=(1, 2))

    return mbmf.load_task("swimmer_forward", cost=cost)


def plans_with_python(nthread: int) -> dict[str, Any]:
    task = cost_function(mbmf.load_task("swimmer_forward"))
    state, _ = start_of(task)
    dynamics = make_dynamics(task, "relu", (48,))
    planner = mbmf.RandomShooting(task, dynamics, candidates=CANDIDATES, seed=11, nthread=nthread)
    actions, costs = planner.plan_batch(np.stack([state, state]), np.arange(2), np.arange(2))
    episodes = mbmf.collect_mpc(task, planner, 2, 4, seed=9, action_noise=0.01)
    return {
        "plan": describe(planner.plan(state, episode=2, step=3)),
        "batch": {"actions": digest(actions), "costs": digest(costs)},
        "episodes": {"actions": digest(episodes.actions), "states": digest(episodes.states)},
    }


def compute(nthread: int) -> dict[str, Any]:
    found = {preset: plans_of(preset, nthread) for preset in PRESETS}
    found["python cost"] = plans_with_python(nthread)
    return found


if __name__ == "__main__":
    everything = json.loads(FILE.read_text()) if FILE.exists() else {}
    one, two = compute(1), compute(2)
    if one != two:
        sys.exit("one thread and two differ")
    everything[_core.isa()] = one
    FILE.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
