"""Planners at their limits: many sequences, no memory left, no thread left, memories that others write."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf

TASK = """
import numpy as np, mbmf, resource
task = mbmf.load_task("gym_hopper")
data = mbmf.collect_random(task, episodes=1, steps=60, seed=0)
model = mbmf.DynamicsModel(task, hidden=(20,))
model.fit(data, epochs=1, batch_size=16)
def limit(more):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    room = resource.RLIM_INFINITY if more is None else used + int(more * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
"""
# a batch needs room for the candidates of 32 plans
NO_MEMORY = """
planner = mbmf.MPPI(task, model, horizon=2, candidates=200000, nthread=2)
states, episodes = data.states[0, :32], np.arange(32)
plan = planner.plan(states[3], episode=3, step=0)
failed = 0
for more in (5, 20, 60, 100, 150):
    limit(more)
    try:
        planner.plan_batch(states, episodes=episodes, steps=0 * episodes)
    except MemoryError:
        failed += 1
    limit(None)
    assert planner.plan(states[3], episode=3, step=0).cost == plan.cost
_, costs, *_ = planner.plan_batch(states, episodes=episodes, steps=0 * episodes)
assert costs[3] == plan.cost
assert failed > 2, failed
"""
NO_MEMORY_FOR_SIMULATIONS = """
task = mbmf.load_task("gym_ant")
planner = mbmf.RandomShooting(task, mbmf.SimulatorModel(task), 5, 64, nthread=4)
state = mbmf.Simulator(task, nsim=1, nthread=1).get_state()
states, episodes = np.repeat(state, 32, 0), np.arange(32)
plan = planner.plan(state[0], episode=3, step=0)
for more in (0, 0.3, 1, 4):
    limit(more)
    try:
        planner.plan_batch(states, episodes=episodes, steps=0 * episodes)
    except (MemoryError, mbmf.CoreError):
        pass
    limit(None)
    for _ in range(5):
        assert planner.plan(state[0], episode=3, step=0).cost == plan.cost
"""
NO_THREADS = """
planner = mbmf.ICEM(task, model, horizon=5, nthread=1)
limit(500)
try:
    mbmf.ICEM(task, model, horizon=5, nthread=200)
except mbmf.CoreError as error:
    assert str(error).startswith("nthread must be at most what the system can start, got 200: "), error
else:
    raise AssertionError("200 threads in 500 MiB")
planner.plan(data.states[0, 0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space")
@pytest.mark.parametrize(
    "script",
    [NO_MEMORY, NO_MEMORY_FOR_SIMULATIONS, NO_THREADS],
    ids=["memory", "memory for simulations", "threads"],
)
def test_what_runs_out_is_an_error_after_which_planners_go_on(script: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TASK + script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def small(name: str = "gym_hopper", **settings: Any) -> tuple[mbmf.Task, mbmf.Episodes, mbmf.DynamicsModel]:
    task = mbmf.load_task(name)
    data = mbmf.collect_random(task, episodes=1, steps=60, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(20,), **settings)
    model.fit(data, epochs=1, batch_size=16)
    return task, data, model


def test_each_of_many_sequences_has_its_noise() -> None:
    """Whatever the clock and the threads do: the noise is of the sequence's position."""
    task, data, model = small("gym_half_cheetah", members=2, probabilistic=True)
    sequences = np.random.default_rng(0).uniform(-1, 1, (5000, 6, task.naction)).astype(np.float32)
    costs = [
        mbmf.RandomShooting(task, model, 6, 10, nthread=nthread).roll(data.states[0, 0], part)
        for nthread, part in ((1, sequences), (2, sequences), (1, sequences[:1500]))
    ]
    assert (costs[0] == costs[1]).all()
    assert (costs[0][:1500] == costs[2]).all()
    # the same sequence elsewhere has other noise
    swapped = np.concatenate([sequences[1:2], sequences[:1]])
    again = mbmf.RandomShooting(task, model, 6, 10, nthread=1).roll(data.states[0, 0], swapped)
    assert (again[::-1] != costs[0][:2]).all()


def test_some_plans_of_a_batch_may_have_no_memory() -> None:
    task, data, model = small()
    planner = mbmf.ICEM(task, model, 5, 40, nthread=1)
    states, episodes = data.states[0, :2], np.arange(2)
    memory = planner.make_memory()
    with_none = planner.plan_batch(states, episodes, 0 * episodes, memories=[memory, None])  # type: ignore[list-item]
    assert memory.filled
    without = planner.plan_batch(states, episodes, 0 * episodes)
    assert (with_none[0] == without[0]).all()


def test_a_deadline_of_long_ago_is_over() -> None:
    task, data, model = small()
    core = mbmf.RandomShooting(task, model, 5, 50_000, nthread=1).core
    for deadline in (-(2**63), -(2**62), 0):
        assert 0 < core.plan(data.states[0, 0], 0, 0, deadline=deadline)[4] < 1000


def test_a_memory_may_be_written_while_plans_are_made_with_it() -> None:
    task, data, model = small()
    planners = [mbmf.ICEM(task, model, 20, 40, nthread=1, seed=seed) for seed in range(2)]
    memory, over, wrong = planners[0].make_memory(), threading.Event(), []

    def plan(planner: mbmf.Planner) -> None:
        while not over.is_set():
            try:
                planner.plan(data.states[0, 0], 0, 0, memory=memory)
            except ValueError as error:  # one that was half written by then
                wrong.append(str(error))

    threads = [threading.Thread(target=plan, args=(planner,)) for planner in planners]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        for count in (3, 1000, 1):
            memory.kept = np.zeros((count, 20, 3), np.float32)
            memory.mean = np.zeros((20, 3), np.float32)
            memory.search = "icem" * count
    over.set()
    for thread in threads:
        thread.join()
    assert all(message.startswith("memory must ") for message in wrong)


def test_states_past_the_end_of_a_simulation_are_not_numbers(tmp_path: Path) -> None:
    """A plan may fall, which ends its costs; what it leads to may diverge after that."""
    (tmp_path / "robot.xml").write_text(
        "<mujoco><option timestep='0.02'/><worldbody><body><joint name='x' type='slide'/><geom size='.1'/>"
        "</body></worldbody><actuator><motor joint='x' gear='1e11'/></actuator></mujoco>"
    )
    task = mbmf.load_task(
        {
            "name": "slider",
            "model": {"file": str(tmp_path / "robot.xml")},
            "physics_steps": 5,
            "state": [{"source": "qpos"}, {"source": "qvel"}],
            "reward": [{"term": "constant", "weight": 1}],
            "alive": [{"state": "qpos.x", "above": -1, "below": 1}],
        }
    )
    planner = mbmf.RandomShooting(task, mbmf.SimulatorModel(task), 60, 20, nthread=1)
    plan = planner.plan(mbmf.Simulator(task, nsim=1, nthread=1).get_state()[0])
    known = np.isfinite(plan.states).all(axis=1)
    assert np.isfinite(plan.cost)
    assert 1 < known.sum() < len(known)
    assert np.isnan(plan.states[~known]).all()
    assert not known[known.sum() :].any()


def test_a_controller_of_a_task_whose_goal_is_a_rotation(tmp_path: Path) -> None:
    (tmp_path / "robot.xml").write_text(
        "<mujoco><worldbody><body><joint name='b' type='ball' damping='1'/>"
        "<geom size='.1 .2' type='capsule'/></body></worldbody>"
        "<actuator><motor joint='b' gear='1 0 0 0 0 0' ctrlrange='-1 1'/></actuator></mujoco>"
    )
    task = mbmf.load_task(
        {
            "name": "turn",
            "model": {"file": str(tmp_path / "robot.xml")},
            "physics_steps": 5,
            "state": [{"source": "qpos"}, {"source": "qvel"}, {"source": "goal"}],
            "goals": {"attitude": {"rotation": 1.0}},
            "reward": [
                {"term": "rotation", "state": "qpos.b", "target_state": "goal.attitude", "weight": -1}
            ],
        }
    )
    model = mbmf.DynamicsModel(task, hidden=(8,))
    model.fit(mbmf.collect_random(task, episodes=2, steps=60, seed=0), epochs=1, batch_size=16)
    controller = mbmf.Controller(mbmf.ICEM(task, model, horizon=4), period=0.05)
    assert 0 < controller.shortest_period < 0.05
