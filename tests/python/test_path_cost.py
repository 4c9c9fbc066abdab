"""The cost of following paths against plain NumPy (path_oracle.py), for every robot and path of the paper."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mbmf
from mbmf import _core
from path_oracle import CASES, ROBOTS, Case, path_cost, project
from test_planner import make_model, numpy_predict, sample, start_state

IDS = [f"{case.agent}-{case.path}" for case in CASES]


def states_near(case: Case, segment: int, count: int, horizon: int, seed: int) -> npt.NDArray[np.float32]:
    """Candidates that wander along and across the path from a segment on, (count, horizon + 1, nstate)."""
    rng = np.random.default_rng(seed)
    nstate = {"swimmer": 16, "cheetah": 24, "ant": 41}[case.agent]
    robot, points = ROBOTS[case.agent], np.array(case.points)
    states = rng.normal(size=(count, horizon + 1, nstate)) * 0.6
    position = (
        segment
        + rng.uniform(-0.3, 1.2, (count, 1))
        + np.cumsum(rng.uniform(-0.1, 0.5, (count, horizon + 1)), axis=1)
    )
    for axis, index in ((0, robot.x), (1, robot.y)):
        along = np.interp(position, np.arange(len(points)), points[:, axis])
        states[:, :, index] = along + rng.normal(size=(count, horizon + 1)) * rng.choice([0.02, 0.3, 0.9])
    if robot.heading is not None:
        states[:, :, robot.heading] = rng.uniform(-10, 10, (count, horizon + 1))
    if robot.z is not None:
        states[:, :, robot.z] = rng.uniform(0.2, 0.8, (count, horizon + 1))
    return states.astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_task_cost_equals_numpy(case: Case) -> None:
    task = mbmf.load_task(f"{case.agent}_trajfollow", path=case.path)
    moved = 0
    for segment in (0, 1, 2, 3, 5, len(case.points) - 2):
        states = states_near(case, segment, 60, 8, seed=segment)
        actions = np.zeros((60, 8, task.naction), np.float32)
        want = path_cost(case, states, segment)
        np.testing.assert_allclose(task.cost(states, actions, segment=segment), want, rtol=1e-9, atol=1e-9)
        origin = np.array([0.25, -1.5])
        moved += int((path_cost(case, states, segment, origin) != want).sum())
        np.testing.assert_allclose(
            task.cost(states, actions, segment=segment, origin=origin),
            path_cost(case, states, segment, origin),
            rtol=1e-9,
            atol=1e-9,
        )
    assert moved > 100  # the origin matters


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_planner_equals_numpy(case: Case) -> None:
    task = mbmf.load_task(f"{case.agent}_trajfollow", path=case.path)
    model, arrays = make_model(task, scale=0.08)
    robot, points = ROBOTS[case.agent], np.array(case.points)
    count, horizon, origin = 600, 7, np.array([0.3, -0.2])
    planner = mbmf.RandomShooting(task, model, horizon=horizon, candidates=count, seed=9, nthread=2)
    actions = sample(9, 1, 4, count, horizon, task.naction)
    for segment in (0, 3, 6):
        state = start_state(task)
        state[[robot.x, robot.y]] = origin + points[segment : segment + 2].T @ [0.4, 0.6] + [0.02, 0.05]
        states = [np.repeat(state[None], count, axis=0)]
        for t in range(horizon):
            states.append(numpy_predict(arrays, states[-1], actions[:, t].astype(np.float64)))
        predicted = np.stack(states, axis=1).astype(np.float32)
        want = path_cost(case, predicted, segment, origin)
        got = planner.core.costs(state, 1, 4, segment, list(origin))

        # where rounding decides who moves on or is out of bounds, costs jump: hardly anywhere
        scale = np.abs(want).max()
        same = np.abs(got - want) <= 1e-4 * scale
        assert same.mean() >= 0.995
        plan = planner.plan(state, episode=1, step=4, segment=segment, origin=origin)
        assert plan.candidate == np.argmin(got)
        assert want[plan.candidate] <= want.min() + 1e-4 * scale
        if same.all():
            assert plan.candidate == np.argmin(want)
        assert plan.moved == moves_on(case, predicted[plan.candidate], segment, origin)
        assert plan.segment == segment + plan.moved


def moves_on(case: Case, states: npt.NDArray[Any], segment: int, origin: npt.NDArray[Any]) -> bool:
    robot, points = ROBOTS[case.agent], np.array(case.points) + origin
    place, here = states[:, [robot.x, robot.y]].astype(np.float64), np.full(len(states), segment)
    return bool((project(points, here + 1, place)[0] <= project(points, here, place)[0]).any())


@pytest.mark.filterwarnings("ignore:nthread should be at most")
@pytest.mark.parametrize("isa", _core.available_isas())
def test_same_bits_at_any_thread_count(isa: str) -> None:
    """One process per instruction set, since the environment decides."""
    script = (
        "import mbmf, numpy as np, sys, warnings\nwarnings.simplefilter('ignore')\n"
        "sys.path.insert(0, sys.argv[1])\nimport test_planner as t\n"
        "for name, path in (('ant', 'u_turn'), ('swimmer', 'left_turn'), ('cheetah', 'forward_backward')):\n"
        "    task = mbmf.load_task(name + '_trajfollow', path=path)\n"
        "    model, _ = t.make_model(task, scale=0.1)\n"
        "    state, costs, plans = t.start_state(task), [], []\n"
        "    for n in (1, 2, 3, 7):\n"
        "        p = mbmf.RandomShooting(task, model, horizon=6, candidates=300, nthread=n)\n"
        "        costs.append(p.core.costs(state, 0, 0, 1).tobytes())\n"
        "        plan = p.plan(state, segment=1)\n"
        "        plans.append((plan.cost, plan.moved, plan.segment, plan.actions.tobytes()))\n"
        "    assert len(set(costs)) == len(set(plans)) == 1\n"
        "    print(*(float(c).hex() for c in p.core.costs(state, 0, 0, 1)))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, os.path.dirname(__file__)],
        env={**os.environ, "MBMF_FORCE_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not out.returncode, out.stderr
    for line, (name, path) in zip(
        out.stdout.splitlines(),
        (("ant", "u_turn"), ("swimmer", "left_turn"), ("cheetah", "forward_backward")),
        strict=True,
    ):
        costs = np.array([float.fromhex(word) for word in line.split()])
        task = mbmf.load_task(f"{name}_trajfollow", path=path)
        planner = mbmf.RandomShooting(task, make_model(task, scale=0.1)[0], horizon=6, candidates=300)
        want = planner.core.costs(start_state(task), 0, 0, 1)
        assert (np.abs(costs - want) <= 1e-4 * np.abs(want).max()).mean() > 0.98


def test_planning_in_the_simulator_follows_paths() -> None:
    task = mbmf.load_task("cheetah_trajfollow", path="forward_backward")
    planner = mbmf.RandomShooting(task, mbmf.SimulatorModel(task), horizon=15, candidates=40, nthread=2)
    row = mbmf.Simulator(task, nsim=1, nthread=1, seed=3).get_state()[0]
    plan = planner.plan(row, segment=1)
    actions = planner.core.sample(0, 0, plan.candidate, 1)
    np.testing.assert_allclose(plan.cost, task.cost(plan.states[None], actions, segment=1), rtol=1e-5)
    # the robot begins in the middle of a path that leads away from it: nobody has left its first segment
    assert (plan.moved, plan.segment) == (False, 0) or plan.segment == 1 + plan.moved
    costs = planner.core.costs(row, 0, 0, 1)
    assert plan.candidate == np.argmin(costs)
    assert plan.cost == costs.min()
