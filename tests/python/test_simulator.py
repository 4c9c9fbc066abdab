"""mbmf.Simulator against MuJoCo's own Python API, and what it promises about views, seeds and failures."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import mbmf

PRESETS = ["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"]
NSIM = 4
STEPS = 300
INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION.value

FRAGILE = """
<mujoco>
  <option timestep="0.01"/>
  <worldbody><body><joint name="slide" type="slide"/><geom size="0.1"/></body></worldbody>
  <actuator><motor joint="slide" gear="1e13" ctrlrange="0 1" ctrllimited="true"/></actuator>
</mujoco>
"""


@pytest.fixture
def fragile(tmp_path: Path) -> mbmf.Task:
    """A robot that any action above -1 makes MuJoCo give up on."""
    (tmp_path / "fragile.xml").write_text(FRAGILE)
    state = [{"source": "qpos"}, {"source": "qvel"}]
    config = {"name": "fragile", "model": {"file": str(tmp_path / "fragile.xml")}, "state": state}
    return mbmf.load_task({**config, "reward": [{"term": "constant", "weight": 1}]})


def reference(task: mbmf.Task, start: Any, actions: Any) -> tuple[Any, Any, int]:
    """Rows, and torso COM position and velocity, of plain mj_step calls; and how many contacts there were."""
    model, data, fresh = task.model, mujoco.MjData(task.model), mujoco.MjData(task.model)
    mujoco.mj_setState(model, data, start, INTEGRATION)
    low, high = model.actuator_ctrlrange.T
    rows, centres, contacts = [], [], 0
    for action in np.clip(actions, -1, 1):
        limited = (low + high) / 2 + (high - low) / 2 * action
        data.ctrl[:] = np.where(model.actuator_ctrllimited.astype(bool), limited, action)
        for _ in range(task.physics_steps):
            mujoco.mj_step(model, data)
        contacts += data.ncon
        row = np.zeros(len(start))
        mujoco.mj_getState(model, data, row, INTEGRATION)
        rows.append(row)
        # all quantities anew from the state after the step
        mujoco.mj_setState(model, fresh, row, INTEGRATION)
        mujoco.mj_forward(model, fresh)
        mujoco.mj_subtreeVel(model, fresh)
        torso = model.body("torso").id
        centres.append(np.concatenate([fresh.subtree_com[torso], fresh.subtree_linvel[torso]]))
    return np.array(rows), np.array(centres), contacts


@pytest.mark.parametrize("preset", PRESETS)
def test_equals_mujoco_step_by_step_at_any_number_of_threads(preset: str) -> None:
    task = mbmf.load_task(preset)
    actions = np.random.default_rng(0).uniform(-1.2, 1.2, (STEPS, NSIM, task.naction))
    runs = []
    for nthread in (1, 2, 3, 7):
        simulator = mbmf.Simulator(task, NSIM, nthread, seed=5)
        simulator.reset(kind="random")
        start = simulator.get_state()
        rows, states = [], []
        for action in actions:
            simulator.step(action)
            rows.append(simulator.get_state())
            states.append(simulator.states.copy())
        assert not simulator.diverged.any()
        runs.append((start, np.array(rows), np.array(states)))
    for run in runs[1:]:
        for mine, first in zip(run, runs[0], strict=True):
            np.testing.assert_array_equal(mine, first)

    start, rows_all, states_all = runs[0]
    where = [
        task.state_names.index(f"{name}.torso.{axis}")
        for name in ("subtree_com", "subtree_linvel")
        for axis in "xyz"
    ]
    total = 0
    for sim in range(NSIM):
        expected, centres, contacts = reference(task, start[sim], actions[:, sim])
        np.testing.assert_array_equal(rows_all[:, sim], expected)
        np.testing.assert_allclose(states_all[:, sim][:, where], centres, rtol=0, atol=1e-12)
        total += contacts
    # the swimmer touches nothing
    assert total > 300 or preset == "swimmer_forward"


def test_rewards_are_the_papers() -> None:
    task = mbmf.load_task("cheetah_forward")
    simulator = mbmf.Simulator(task, 3)
    actions = np.random.default_rng(0).uniform(-2, 2, (3, 6))
    simulator.step(actions)
    expected = simulator.states[:, 21] - 0.05 * (np.clip(actions, -1, 1) ** 2).sum(1)
    np.testing.assert_allclose(simulator.rewards, expected, rtol=1e-14)


def test_seeds_and_resets() -> None:
    task = mbmf.load_task("hopper_forward")
    simulator, same = mbmf.Simulator(task, 3, seed=1), mbmf.Simulator(task, 3, nthread=2, seed=1)
    first = simulator.states.copy()
    np.testing.assert_array_equal(same.states, first)
    assert (mbmf.Simulator(task, 3, seed=2).states != first).any(axis=1).all()
    assert not np.array_equal(first[0], first[1])
    simulator.reset([0, 2])
    assert np.array_equal(simulator.states[1], first[1])
    assert (simulator.states[[0, 2]] != first[[0, 2]]).any(axis=1).all()
    simulator.reseed(1)
    simulator.reset()
    np.testing.assert_array_equal(simulator.states, first)
    noise = {}
    for kind in ("default", "random", "control"):
        many = mbmf.Simulator(task, 500, seed=3)
        many.reset(kind=kind)  # type: ignore[arg-type]
        noise[kind] = many.get_state()[:, 2].std()  # z, after time and x
    # N(0, 0.01), N(0, 0.01), U(-0.1, 0.1)
    np.testing.assert_allclose([noise[k] for k in noise], [0.01, 0.01, 0.2 / 12**0.5], rtol=0.15)


def test_restores_states_in_full() -> None:
    task = mbmf.load_task("ant_forward")
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 2, 8))
    simulator, other = mbmf.Simulator(task, 2), mbmf.Simulator(task, 5, seed=9)
    for action in actions[:30]:
        simulator.step(action)
    assert simulator.rewards.any()
    mask = np.array([False, True, False, False, True])
    other.set_state(simulator.get_state(), ids=mask)
    np.testing.assert_array_equal(other.observations[mask], simulator.observations)
    assert not other.rewards.any()
    for action in actions[30:]:
        simulator.step(action)
        other.step(action, ids=mask)
    np.testing.assert_array_equal(other.get_state(mask), simulator.get_state())


def test_termination_is_by_the_healthy_bounds() -> None:
    task = mbmf.load_task("hopper_forward")
    simulator = mbmf.Simulator(task, 2)
    rows = simulator.get_state()
    rows[1, 3] = 0.5  # pitch, after time, x and z
    simulator.set_state(rows)
    assert not simulator.terminated.any()
    simulator.step(np.zeros((2, 3)))
    assert simulator.terminated.tolist() == [False, True]
    assert not simulator.diverged.any()


def test_a_diverging_simulation_is_contained(
    fragile: mbmf.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    simulator = mbmf.Simulator(fragile, 3)
    simulator.step([[-1], [-1], [-1]])
    before = simulator.get_state()
    simulator.step([[-1], [1], [-1]])
    assert simulator.diverged.tolist() == simulator.terminated.tolist() == [False, True, False]
    assert simulator.rewards.tolist() == [1, 0, 1]
    assert "QACC" in simulator.error(1)
    assert simulator.error(0) == ""
    after = simulator.get_state()
    np.testing.assert_array_equal(after[1], before[1])
    assert (after[[0, 2], 0] > before[[0, 2], 0]).all()
    simulator.step([[-1]] * 3)
    assert not simulator.diverged.any()
    # MuJoCo neither prints nor leaves its log file in the user's folder
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()


def test_views_are_live_read_only_and_outlive_their_owner() -> None:
    simulator = mbmf.Simulator(mbmf.load_task("cheetah_forward"), 2)
    states, rewards, terminated = simulator.states, simulator.rewards, simulator.terminated
    assert states.shape == (2, 24)
    assert terminated.dtype == np.bool_
    assert np.shares_memory(states, simulator.observations)
    before = states.copy()
    simulator.step(np.ones((2, 6)))
    assert (states != before).any()
    for view in (states, rewards, terminated, simulator.diverged):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    last = states.copy()
    del simulator
    gc.collect()
    churn = [np.full(states.shape, 7.0) for _ in range(1000)]
    np.testing.assert_array_equal(states, last)
    assert churn[0][0, 0] == 7


def test_memory_does_not_grow() -> None:
    task = mbmf.load_task("ant_forward")

    def churn(count: int) -> int:
        for _ in range(count):
            simulator = mbmf.Simulator(task, 8, nthread=2)
            simulator.step(np.zeros((8, 8)))
            simulator.get_state()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = churn(20)
    # one simulator is about 2 MB, so 60 that leak would add 120
    assert churn(60) - before < 20_000


def test_a_python_reward_takes_the_place_of_the_terms() -> None:
    seen = []

    def reward(states: Any, actions: Any) -> Any:
        seen.append((states.shape, actions.copy()))
        return states[:, 21] * 2 + actions[:, 0]

    with pytest.warns(UserWarning, match="slower"):
        task = mbmf.load_task("cheetah_forward", reward=reward, cost=lambda states, actions: states[:, 0, 0])
    simulator = mbmf.Simulator(task, 3)
    simulator.step(np.full((2, 6), 5.0), ids=[0, 2])
    np.testing.assert_array_equal(
        simulator.rewards, [2 * simulator.states[0, 21] + 1, 0, 2 * simulator.states[2, 21] + 1]
    )
    assert seen[0][0] == (2, 24)
    simulator.reset([0])
    assert simulator.rewards[0] == 0


def test_mujoco_data_is_the_simulations_state() -> None:
    simulator = mbmf.Simulator(mbmf.load_task("hopper_forward"), 2)
    simulator.step(np.ones((2, 3)))
    data = simulator.mujoco_data(1)
    np.testing.assert_array_equal(data.qpos, simulator.get_state([1])[0, 1:7])
    np.testing.assert_allclose(data.subtree_com[1], simulator.states[1, 11:14], rtol=0, atol=1e-14)


BAD_CALLS: list[tuple[Callable[[mbmf.Simulator], Any], str]] = [
    (lambda s: mbmf.Simulator(s.task, 0), "nsim must be at least 1, got 0"),
    (lambda s: mbmf.Simulator(s.task, 1.5), "nsim must be a whole number, got 1.5"),  # type: ignore[arg-type]
    (lambda s: mbmf.Simulator(s.task, True), "nsim must be a whole number, got True"),
    (lambda s: mbmf.Simulator(s.task, 1, -1), "nthread must be from 0 to 1024, got -1"),
    (lambda s: mbmf.Simulator(s.task, 1, 0, -1), "seed must be from 0 to 18446744073709551615, got -1"),
    (lambda s: s.reset(kind="soft"), "kind must be one of 'default', 'random', 'control', got 'soft'"),  # type: ignore[arg-type]
    (lambda s: s.reset([3]), r"ids must be in \[0, 3\), got \[3\]"),
    (lambda s: s.reset([-1]), r"ids must be in \[0, 3\), got \[-1\]"),
    (lambda s: s.reset([1, 0]), r"ids must be sorted and unique, got \[1, 0\]"),
    (lambda s: s.reset([0.5]), r"ids must be a list of whole numbers or a mask, got \[0.5\]"),
    (lambda s: s.reset([True]), r"ids must be a mask of shape \(3,\), got \(1,\)"),
    (lambda s: s.step(np.zeros((2, 3))), r"actions must be of shape \(3, 3\), got \(2, 3\)"),
    (lambda s: s.step(np.zeros(9)), r"actions must be of shape \(3, 3\), got \(9,\)"),
    (lambda s: s.step("up"), r"actions must be numbers of shape \(3, 3\), got 'up'"),  # type: ignore[arg-type]
    (lambda s: s.step(np.full((3, 3), np.nan)), r"actions must be finite, got nan at \[0, 0\]"),
    (lambda s: s.set_state(np.zeros((3, 2))), r"rows must be of shape \(3, \d+\), got \(3, 2\)"),
    (lambda s: s.set_state(np.full((3, s.state_size), np.inf)), r"rows must be finite, got inf at \[0, 0\]"),
    (lambda s: s.error(3), "sim must be from 0 to 2, got 3"),
    (lambda s: s.reseed(2**64), "seed must be from 0 to"),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_arguments_are_named(call: Callable[[mbmf.Simulator], Any], message: str) -> None:
    simulator = mbmf.Simulator(mbmf.load_task("hopper_forward"), 3)
    before = simulator.get_state()
    with pytest.raises(ValueError, match=message):
        call(simulator)
    np.testing.assert_array_equal(simulator.get_state(), before)


CORE_CALLS: list[tuple[Callable[[Any], Any], str]] = [
    (
        lambda c: c.step(None, np.zeros((3, 3), np.float32)),
        "actions must be a C-contiguous float64 array of shape",
    ),
    (lambda c: c.step(None, np.zeros((3, 6))[:, ::2]), "got a non-contiguous float64 array"),
    (
        lambda c: c.step(np.array([0]), np.zeros((1, 3))),
        r"ids must be a C-contiguous int32 array of shape \(nid,\)",
    ),
    (lambda c: c.step(np.array([5], np.int32), np.zeros((1, 3))), r"ids must be in \[0, 3\), got 5"),
    (lambda c: c.set_state(None, np.zeros((3, 1))), "rows must be a C-contiguous float64 array of shape"),
]


@pytest.mark.parametrize(("call", "message"), CORE_CALLS)
def test_the_core_refuses_what_the_package_would_convert(call: Callable[[Any], Any], message: str) -> None:
    simulator = mbmf.Simulator(mbmf.load_task("hopper_forward"), 3)
    with pytest.raises(ValueError, match=message):
        call(simulator._core)
