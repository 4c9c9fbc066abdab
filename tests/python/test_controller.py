"""The control loop from Python: states in, actions out, and what it does when things go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mbmf
from mbmf import _core


def make_model(task: mbmf.Task) -> _core.Dynamics:
    rng = np.random.default_rng(0)
    ns, na = task.nstate, task.naction
    weights = [rng.normal(size=(20, ns + na)) / np.sqrt(ns + na), rng.normal(size=(ns, 20)) / 5]
    sizes = {"state": ns, "action": na, "delta": ns}
    statistics = {f"{name}_mean": np.zeros(n) for name, n in sizes.items()}
    statistics |= {f"{name}_std": np.full(n, 0.02 if name == "delta" else 1.0) for name, n in sizes.items()}
    biases = [np.zeros(20, np.float32), np.zeros(ns, np.float32)]
    return _core.Dynamics(
        ns,
        na,
        weights=[w.astype(np.float32) for w in weights],
        biases=biases,
        activation="relu",
        **statistics,
    )


def make_planner(task: mbmf.Task, **settings: Any) -> mbmf.RandomShooting:
    return mbmf.RandomShooting(
        task, make_model(task), **({"horizon": 5, "candidates": 100, "nthread": 1} | settings)
    )


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def start_state(task: mbmf.Task) -> npt.NDArray[np.float64]:
    return mbmf.Simulator(task, nsim=1, nthread=1, seed=3).states[0].copy()


def test_actions_are_the_planners() -> None:
    task = mbmf.load_task("cheetah_forward")
    planner, state = make_planner(task), start_state(task)
    controller = mbmf.Controller(planner, 0.01, mode="fixed", episode=4, stale_after=60)
    controller.put_state(state)
    got: dict[int, mbmf.control.controller.Command] = {}
    with controller:
        assert controller.running

        def enough() -> bool:
            command = controller.get_action()
            if command.kind == "planned":
                got[command.step] = command
            return len(got) >= 5

        assert eventually(enough)
    assert not controller.running
    for step, command in got.items():
        assert command.fault == ""
        plan = planner.plan(state, episode=4, step=step)
        assert command.action.tobytes() == plan.action.astype(np.float64).tobytes()
    statistics = controller.statistics()
    assert statistics["steps"] == statistics["planned"] + statistics["held"] + statistics["safe"]
    assert statistics["candidates"] == 100
    records = controller.records()
    assert {len(values) for values in records.values()} == {statistics["steps"]}
    assert (records["kind"] == 0).sum() == statistics["planned"]
    assert (records["wake"] >= 0).all()


def test_the_watchdog_speaks() -> None:
    task = mbmf.load_task("cheetah_forward")
    safe = np.linspace(-1, 1, task.naction)
    controller = mbmf.Controller(make_planner(task), 0.01, safe_action=safe, hold_steps=1, stale_after=60)
    before = controller.get_action()
    assert (before.kind, before.step, before.fresh) == ("safe", -1, False)
    with controller:
        assert eventually(lambda: controller.statistics()["waiting"] >= 2)
        command = controller.get_action()
        assert (command.kind, command.fault, command.fresh) == ("safe", "no state has come yet", True)
        np.testing.assert_array_equal(command.action, safe)
        controller.put_state(start_state(task))
        assert eventually(lambda: controller.get_action().kind == "planned")
        controller.put_state(np.full(task.nstate, np.nan))
        assert eventually(lambda: controller.get_action().kind == "safe")
        assert controller.get_action().fault == "the state is not finite"
        controller.put_state(start_state(task))
        assert eventually(lambda: controller.get_action().kind == "planned")
    assert controller.statistics()["bad_state"] >= 1


def test_another_path_while_it_runs() -> None:
    """Before the switch the actions are those of a planner on the first path, then those on the second."""
    task = mbmf.load_task("swimmer_trajfollow", path="straight")
    planner, state = make_planner(task), start_state(task)
    indices = task.path_indices
    assert indices is not None
    origin = [state[i] for i in indices]
    controller = mbmf.Controller(planner, 0.01, mode="fixed", stale_after=60)
    controller.put_state(state)
    got: dict[int, npt.NDArray[np.float64]] = {}

    def has(count: int) -> bool:
        command = controller.get_action()
        if command.kind == "planned":
            got[command.step] = command.action
        return len(got) >= count

    with controller:
        assert eventually(lambda: has(5))
        controller.set_path([[0, 0], [0, -3]])
        assert eventually(lambda: has(15))
    assert controller.task.path is not None
    assert controller.task.path.name == "waypoints"
    records = controller.records()
    segments = dict(zip((records["step"] + 1).tolist(), records["segment"].tolist(), strict=True))
    others = make_planner(task.with_path([[0, 0], [0, -3]]))
    on = []
    for step, action in sorted(got.items()):
        at: dict[str, Any] = {"episode": 0, "step": step, "segment": segments[step], "origin": origin}
        plans = [p.plan(state, **at).action.astype(np.float64) for p in (planner, others)]
        assert not np.array_equal(*plans)
        on.append([bool(np.array_equal(action, plan)) for plan in plans].index(True))
    assert on == sorted(on)
    assert on.count(0) >= 4
    assert on.count(1) >= 5

    with pytest.raises(mbmf.MbmfError, match=r"path must be a known path .*got 'sideways'"):
        controller.set_path("sideways")
    with pytest.raises(ValueError, match="path must be one of task swimmer_trajfollow, got one of ant_"):
        controller.set_path(mbmf.load_task("ant_trajfollow"))


def test_the_tasks_safe_action() -> None:
    config = mbmf.load_task("swimmer_forward").config.model_dump(exclude_none=True)
    task = mbmf.load_task(config | {"safe_action": [0.5, -0.25]})
    assert mbmf.Controller(make_planner(task)).get_action().action.tolist() == [0.5, -0.25]
    plain = mbmf.load_task("swimmer_forward")
    controller = mbmf.Controller(make_planner(plain))
    assert controller.get_action().action.tolist() == [0, 0]
    assert controller.period == plain.dt


def test_a_simulation_in_real_time() -> None:
    """Its record is a run of the task: the simulator does the same from the recorded actions."""
    task = mbmf.load_task("cheetah_forward")
    controller = mbmf.Controller(make_planner(task), phase=0.002, compensate=True)
    simulation = _core.RealtimeSimulation(task.core, steps=60, episode_steps=25, seed=5, first_episode=2)
    first = time.monotonic_ns() + 20_000_000
    controller.core.start(first)
    simulation.start(controller.core, first)
    assert eventually(lambda: simulation.finished)
    controller.stop()
    record = simulation.record()
    assert record["states"].shape == (60, task.nstate)
    assert np.flatnonzero(record["first"]).tolist() == [0, 25, 50]
    assert record["action_step"].max() > 30
    simulator = mbmf.Simulator(task, nsim=1, nthread=1)
    simulator._core.reseed(5)
    for begin, end, episode in ((0, 25, 2), (25, 50, 3), (50, 60, 4)):
        start = mbmf.collect_mpc(task, make_planner(task), episodes=1, steps=1, seed=5, first_episode=episode)
        np.testing.assert_array_equal(record["states"][begin], start.states[0, 0])
        np.testing.assert_array_equal(
            record["states"][begin + 1 : end], record["next_states"][begin : end - 1]
        )
    assert np.isfinite(record["rewards"]).all()
    assert eventually(lambda: controller.statistics()["planned"] > 0)


_FROM_TWO_THREADS = """
import threading
import mbmf
from test_controller import make_planner

planner = make_planner(mbmf.load_task("swimmer_forward"), candidates=20)
errors = []

def call(method):
    try:
        method()
    except mbmf.CoreError as error:
        errors.append(str(error))

def twice(method):
    threads = [threading.Thread(target=call, args=(method,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

controller = mbmf.Controller(planner)
for _ in range(150):
    twice(controller.start)
    assert controller.running
    twice(controller.stop)
    assert not controller.running
print(len(errors), set(errors))
"""


def test_start_and_stop_from_two_threads() -> None:
    """A watchdog may stop the loop while its owner does: the second finds it stopped."""
    ended = subprocess.run(
        [sys.executable, "-c", _FROM_TWO_THREADS],
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "150 {'the controller runs already'}\n"


def test_bad_input() -> None:
    task = mbmf.load_task("swimmer_forward")
    planner = make_planner(task)
    controller = mbmf.Controller(planner)
    table: list[tuple[Any, type[Exception], str]] = [
        (
            lambda: mbmf.Controller(planner, -0.02),
            ValueError,
            "period must be above 0 and at most 3600 s, got -0.02",
        ),
        (lambda: mbmf.Controller(planner, 1e-6), ValueError, "period must be at least .* s on this machine"),
        (lambda: mbmf.Controller(planner, mode="fast"), ValueError, "mode must be one of 'anytime', "),  # type: ignore[arg-type]
        (lambda: mbmf.Controller(planner, margin=-1), ValueError, "margin must be at least 0 s, got -1"),
        (
            lambda: mbmf.Controller(planner, priority=100),
            ValueError,
            "priority must be from 0 to 99, got 100",
        ),
        (lambda: mbmf.Controller(planner, cpus=[-1]), ValueError, "cpus must be from 0 to 1023, got -1"),
        (
            lambda: mbmf.Controller(planner, cpus=3),
            ValueError,
            "cpus must be a list of numbers of CPUs, got 3",
        ),
        (
            lambda: mbmf.Controller(planner, compensate="no"),
            ValueError,
            "compensate must be True or False, got 'no'",
        ),
        (
            lambda: mbmf.Controller(planner, hold_steps=-1),
            ValueError,
            "hold_steps must be at least 0, got -1",
        ),
        (
            lambda: mbmf.Controller(planner, safe_action=[0]),
            ValueError,
            r"safe_action must be of shape \(2,\)",
        ),
        (
            lambda: mbmf.Controller(planner, safe_action=[0, 3]),
            ValueError,
            r"safe_action must be in \[-1, 1\], got 3",
        ),
        (
            lambda: mbmf.Controller(mbmf.RandomShooting(task, mbmf.SimulatorModel(task))),
            ValueError,
            "planner must be one with a learned model",
        ),
        (
            lambda: controller.put_state(np.zeros(3)),
            ValueError,
            r"state must be of shape \(16,\), got \(3,\)",
        ),
        (lambda: _core.RealtimeSimulation(task.core, 0, 1), ValueError, "steps must be in"),
    ]
    for call, error, message in table:
        with pytest.raises(error, match=message):
            call()
    with controller, pytest.raises(mbmf.CoreError, match="runs already"):
        controller.start()


def test_refused_thread_settings_are_notes() -> None:
    task = mbmf.load_task("swimmer_forward")
    controller = mbmf.Controller(make_planner(task), cpus=[1023])
    with controller:
        assert len(controller.notes) == 1
        assert controller.notes[0].startswith("cpus 1023 was refused: ")


SUSPENDED = """
import sys, time
sys.path.insert(0, sys.argv[1])
import test_controller as t, mbmf
task = mbmf.load_task("cheetah_forward")
controller = mbmf.Controller(t.make_planner(task), 0.01, stale_after=0.05)
state = t.start_state(task)
with controller:
    end, resumed, before = time.monotonic() + 30, False, time.monotonic()
    while time.monotonic() < end:
        controller.put_state(state)
        time.sleep(0.002)
        now = time.monotonic()
        if controller.statistics()["planned"] == 5:
            print("ready", flush=True)
        if now - before > 0.4:
            resumed, planned = True, controller.statistics()["planned"]
        if resumed and controller.statistics()["planned"] >= planned + 5:
            break
        before = now
print(resumed, controller.statistics()["skipped"], controller.statistics()["planned"])
"""


def test_a_suspended_process_goes_on() -> None:
    """SIGSTOP for half a second: the ticks that have passed are skipped, then it plans again."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUSPENDED, os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    process.send_signal(signal.SIGCONT)
    resumed, skipped, planned = process.communicate(timeout=60)[0].split()[-3:]
    assert resumed == "True"
    assert int(skipped) >= 40
    assert int(planned) >= 10


def test_stamps_of_the_wall_clock_are_no_states() -> None:
    """`time.time()` in place of `time.monotonic()` would make a state fresh for ever."""
    task = mbmf.load_task("swimmer_forward")
    controller = mbmf.Controller(make_planner(task), 0.01, hold_steps=0)
    state = mbmf.Simulator(task, nsim=1, nthread=1).states[0].copy()
    with controller:
        deadline = time.monotonic() + 10
        while controller.statistics()["future"] < 3 and time.monotonic() < deadline:
            controller.put_state(state, time.time())
            time.sleep(0.005)
    found = controller.statistics()
    assert found["future"] >= 3
    assert found["planned"] == 0


@pytest.mark.parametrize("value", [float("inf"), 1e10, float("nan"), -1.0])
def test_durations_have_a_limit(value: float) -> None:
    planner = make_planner(mbmf.load_task("swimmer_forward"))
    with pytest.raises(ValueError, match=r"stale_after must be in \[0, 1e\+06\] s"):
        mbmf.Controller(planner, 0.01, stale_after=value)
    controller = mbmf.Controller(planner, 0.01)
    with pytest.raises(ValueError, match="when must be from -9e"):
        controller.put_state(np.zeros(planner.task.nstate), when=value * 1e20)
