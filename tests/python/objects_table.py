"""Every object in two threads at once and in a forked child: `python tests/python/objects_table.py`.

A cell is what became of the calls. Threads: "same", each result is that of a call alone, bit for bit; "same
or raises", where two met a call raised an error of ours. Child: "works", or "raises" an error of ours; it
ended without a word then, and the parent went on to the same results. Whatever else happened is said in
capitals. Each object has a process of its own, so that a crash or a hang is one more cell.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mbmf
from mbmf import _core
from mbmf.errors import CoreError, MbmfError

CALLS = 60
HANGS = 20.0  # seconds


def _learned() -> tuple[mbmf.Task, mbmf.DynamicsModel, np.ndarray]:
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, 3, 40)
    model = mbmf.DynamicsModel(task, hidden=(8,), members=2, probabilistic=True)
    model.fit(episodes, epochs=1, noise=0.0)
    return task, model, episodes.states[0, 0].astype(np.float64)


def _planner(name: str) -> Callable[[], Any]:
    def make() -> Callable[[int], Any]:
        task, model, state = _learned()
        planner = getattr(mbmf, name)(task, model, horizon=6, candidates=200, nthread=2)
        return lambda i: planner.plan(state, 0, i).actions

    return make


def _simulating_planner() -> Callable[[int], Any]:
    task = mbmf.load_task("swimmer_forward")
    row = mbmf.Simulator(task).get_state()[0]
    planner = mbmf.RandomShooting(task, mbmf.SimulatorModel(task), horizon=3, candidates=20, nthread=2)
    return lambda i: planner.plan(row, 0, i).actions


def _simulator() -> Callable[[int], Any]:
    task = mbmf.load_task("swimmer_forward")
    simulator = mbmf.Simulator(task, nsim=8, nthread=2)
    rows, actions = simulator.get_state(), np.full((8, task.naction), 0.3)

    def call(i: int) -> Any:
        simulator.step(actions)
        return simulator.states.shape

    del rows
    return call


def _model() -> Callable[[int], Any]:
    task, model, state = _learned()
    states, actions = np.repeat(state[None], 500, axis=0), np.full((500, task.naction), 0.1, np.float32)
    return lambda i: model.predict(states, actions)


def _fit() -> Callable[[int], Any]:
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, 2, 40)
    model = mbmf.DynamicsModel(task, hidden=(8,))
    # what it learns depends on what it knows: the first fit of a model each time
    return lambda i: mbmf.DynamicsModel(task, hidden=(8,)).fit(episodes, epochs=1).losses if model else None


def _value() -> tuple[mbmf.Task, mbmf.Episodes, mbmf.ValueFunction]:
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, 3, 40)
    value = mbmf.ValueFunction(task, (8,))
    value.fit(episodes, rounds=1, epochs=1)
    return task, episodes, value


def _value_predict() -> Callable[[int], Any]:
    _, episodes, value = _value()
    states = np.repeat(episodes.states[0], 20, axis=0)
    return lambda i: value.predict(states)


def _value_fit() -> Callable[[int], Any]:
    task, episodes, _ = _value()
    # as `_fit`
    return lambda i: mbmf.ValueFunction(task, (8,)).fit(episodes, rounds=1, epochs=1).explained


def _planner_with_value() -> Callable[[int], Any]:
    task, model, state = _learned()
    value = _value()[2]
    planner = mbmf.ICEM(task, model, horizon=6, candidates=200, nthread=2, value=value)
    return lambda i: planner.plan(state, 0, i).actions


class _Halving(mbmf.Search):
    rounds = 2

    def propose(self, plan: Any) -> Any:
        noise = plan.rng.standard_normal((50, plan.horizon, plan.naction))
        return np.clip(plan.mean + 0.8 / 2**plan.number * noise, -1, 1)

    def update(self, plan: Any, sequences: Any, costs: Any) -> Any:
        return sequences[np.argmin(costs)]


def _own_search() -> Callable[[int], Any]:
    task, model, state = _learned()
    planner = mbmf.Planner(task, model, search=_Halving(), horizon=6, candidates=50, nthread=2)
    return lambda i: planner.plan(state, 0, i).actions


def _policy() -> Callable[[int], Any]:
    task = mbmf.load_task("swimmer_forward")
    policy = mbmf.GaussianPolicy(task, (8,))
    observations = np.linspace(-1, 1, 300 * task.nobservation, dtype=np.float32).reshape(300, -1)
    return lambda i: policy.mean(observations)


def _collect(name: str) -> Callable[[], Any]:
    def make() -> Callable[[int], Any]:
        task, model, _ = _learned()
        if name == "collect_random":
            return lambda i: mbmf.collect_random(task, 2, 10, seed=i, nthread=2).states
        if name == "collect_policy":
            policy = mbmf.GaussianPolicy(task, (8,))
            return lambda i: (
                mbmf.collect_policy(task, policy, episodes=2, max_episode_steps=10, seed=i).actions
            )
        planner = mbmf.ICEM(task, model, horizon=4, candidates=40, nthread=2)
        return lambda i: mbmf.collect_mpc(task, planner, 2, 4, seed=i).states

    return make


def _environment() -> Callable[[int], Any]:
    import gymnasium

    env = gymnasium.make("mbmf/Swimmer-v0")
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, np.float32)
    return lambda i: env.step(action)[0].shape


def _vector_environment() -> Callable[[int], Any]:
    import gymnasium

    env = gymnasium.make_vec("mbmf/Swimmer-v0", num_envs=3)
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, np.float32)
    return lambda i: env.step(action)[0].shape


def _controller() -> Callable[[int], Any]:
    task, model, state = _learned()
    controller = mbmf.Controller(mbmf.ICEM(task, model, horizon=5, nthread=2), period=0.02)
    controller.start()

    def call(i: int) -> Any:
        controller.put_state(state, time.monotonic())
        return np.shape(controller.get_action())

    return call


def _bundle() -> Callable[[int], Any]:
    from mbmf.control.bundle import load_bundle, save_bundle

    task, model, state = _learned()
    folder = Path(tempfile.mkdtemp()) / "bundle"
    save_bundle(folder, task, model, search="icem", horizon=5)
    bundle = load_bundle(folder)
    size = (bundle.search, bundle.horizon, bundle.candidates, bundle.seed)
    planner = _core.Planner(bundle.task, bundle.dynamics, *size, 2, bundle.settings)
    return lambda i: planner.plan(state, 0, i)[2]


def _task() -> Callable[[int], Any]:
    return lambda i: mbmf.load_task("swimmer_forward").to_yaml()


def _renderer() -> Callable[[int], Any]:
    import mujoco

    from mbmf.simulation.renderer import Renderer

    task = mbmf.load_task("swimmer_forward")
    data = mujoco.MjData(task.model)
    mujoco.mj_forward(task.model, data)
    renderer = Renderer(task.model, 64, 48)
    return lambda i: renderer.render(data)


OBJECTS: dict[str, Callable[[], Any]] = {
    **{f"{name}.plan": _planner(name) for name in ("RandomShooting", "CEM", "ICEM", "MPPI")},
    "a planner with a ValueFunction": _planner_with_value,
    "a planner with a Search": _own_search,
    "SimulatorModel, planned through": _simulating_planner,
    "Simulator.step": _simulator,
    "DynamicsModel.predict": _model,
    "DynamicsModel.fit": _fit,
    "ValueFunction.predict": _value_predict,
    "ValueFunction.fit": _value_fit,
    "GaussianPolicy.mean": _policy,
    "collect_random": _collect("collect_random"),
    "collect_policy": _collect("collect_policy"),
    "collect_mpc": _collect("collect_mpc"),
    "Controller, running": _controller,
    "an export's planner": _bundle,
    "a Gymnasium environment": _environment,
    "a vector environment": _vector_environment,
    "load_task": _task,
    "Renderer": _renderer,
}


def _bytes(value: Any) -> bytes:
    return np.asarray(value).tobytes()


def in_threads(call: Callable[[int], Any], calls: int) -> str:
    """What becomes of calls from two threads at once."""
    want = [_bytes(call(i)) for i in range(calls)]
    found: list[Any] = [None] * calls

    def half(first: int) -> None:
        for i in range(first, calls, 2):
            try:
                found[i] = _bytes(call(i))
            except (MbmfError, CoreError) as error:
                found[i] = error
            except Exception as error:
                found[i] = type(error).__name__

    threads = [threading.Thread(target=half, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    others = sorted({each for each in found if isinstance(each, str)})
    if others:
        return f"RAISES {', '.join(others)}"
    refused = [isinstance(each, Exception) for each in found]
    right = all(no or each == w for no, each, w in zip(refused, found, want, strict=True))
    if not right:
        return "OTHER RESULTS"
    return "same or raises" if any(refused) else "same"


def in_child(call: Callable[[int], Any]) -> str:
    """What becomes of a call in a forked child, and of the parent's next one."""
    want = _bytes(call(0))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = "works" if _bytes(call(0)) == want else "OTHER RESULT"
        except (MbmfError, CoreError):
            said = "raises"
        except BaseException as error:
            said = f"RAISES {type(error).__name__}"
        os.write(write, said.encode())
        sys.exit(0)  # with all that the end of Python does
    os.close(write)
    status = None
    for _ in range(round(HANGS / 0.02)):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "HANGS"
    said = os.read(read, 100).decode() or "nothing"
    assert status is not None
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        said += f", ENDS WITH {code}"
    return said if _bytes(call(0)) == want else f"{said}, PARENT DIFFERS"


def cells(name: str, calls: int) -> list[str]:
    """The two cells of an object, each from a process of its own."""
    found = []
    for what in ("threads", "child"):
        words = [sys.executable, "-W", "ignore", __file__, what, name, str(calls)]
        try:
            ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            found.append("HANGS")
            continue
        said = ended.stdout.strip().splitlines()
        found.append(said[-1] if ended.returncode == 0 and said else f"ENDS WITH {ended.returncode}")
    return found


def main(words: list[str]) -> None:
    warnings.simplefilter("ignore")
    if len(words) > 1:
        what, name, calls = words[0], words[1], int(words[2])
        call = OBJECTS[name]()
        print(in_threads(call, calls) if what == "threads" else in_child(call), flush=True)
        return
    print("| object | two threads at once | a forked child |\n|---|---|---|")
    for name in OBJECTS:
        with contextlib.suppress(BrokenPipeError):
            print(f"| {name} | {' | '.join(cells(name, CALLS))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
