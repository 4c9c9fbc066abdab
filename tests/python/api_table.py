"""Every public function with arguments that are wrong, as a table: `python tests/python/api_table.py`.

A cell is what became of the call: "same", the result of the right argument, bit for bit; "other", another
result; "refused", an error of ours that begins with the argument's name; and in full whatever else happened.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import mbmf
from mbmf.cluster.processes import Processes
from mbmf.cluster.sampler import Here
from mbmf.errors import CoreError
from mbmf.simulation.envs import TaskEnv, TaskVectorEnv
from small_mb_run import make_run, task_config

Calls = dict[str, tuple[Callable[..., Any], dict[str, Any]]]


def public_calls() -> Calls:
    """Functions and methods by name, with arguments that are right."""
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, 3, 40)
    model = mbmf.DynamicsModel(task, hidden=(8,))
    model.fit(episodes, epochs=1)
    policy = mbmf.GaussianPolicy(task, (8,))
    simulator = mbmf.Simulator(task, 3)
    planner = mbmf.RandomShooting(task, model, horizon=4, candidates=20, nthread=1)
    state, actions = simulator.states[0].copy(), np.linspace(-1, 1, 3 * task.naction).reshape(3, -1)
    states, rows = simulator.states.copy(), simulator.get_state()
    sequences = np.zeros((3, 4, task.naction), np.float32)

    def fit(**options: Any) -> Any:
        new = mbmf.DynamicsModel(task, hidden=(8,))
        return new.fit(episodes, **options).losses

    def after(call: Callable[..., Any], result: Callable[[], Any]) -> Callable[..., Any]:
        def both(**arguments: Any) -> Any:
            simulator.set_state(rows)
            call(**arguments)
            return result()

        return both

    def controlled(**options: Any) -> Any:
        return mbmf.Controller(planner, **({"period": 0.1} | options)).period > 0

    def arrays(name: str) -> Callable[..., Any]:
        return lambda **options: getattr(mbmf, name)(task, **options).states

    def make(name: str) -> Callable[..., Any]:
        return lambda **options: getattr(mbmf, name)(task, model, **options).plan(state, 0, 0).actions

    ensemble = mbmf.DynamicsModel(task, hidden=(8,), members=2, probabilistic=True)
    ensemble.fit(episodes, epochs=1, noise=0.0)
    value = mbmf.ValueFunction(task, (8,))
    value.fit(episodes, rounds=1, epochs=1)
    batch = mbmf.collect_policy(task, policy, episodes=3, max_episode_steps=5)
    environment, many = TaskEnv(task), TaskVectorEnv(task, num_envs=3)
    ahead = np.repeat(states[:, None], 5, axis=1)

    def fit_value(**options: Any) -> Any:
        new = mbmf.ValueFunction(task, (8,))
        new.fit(episodes, **({"rounds": 2} | options))
        return new.predict(states)

    def started(env: Any, call: str) -> Callable[..., Any]:
        def both(**arguments: Any) -> Any:
            env.reset(seed=0)
            return getattr(env, call)(**arguments)[0]

        return both

    def model_of(**options: Any) -> Any:
        made = mbmf.DynamicsModel(task, **({"hidden": (8,), "members": 3} | options)).settings
        given = (made.seed, made.members, made.elites, made.particles, made.risk)
        return np.array([*given, *made.weight_decay, *made.hidden], np.float64)

    def value_of(**options: Any) -> Any:
        made = mbmf.ValueFunction(task, **options)
        return [made.seed, made.discount, made.trace, *made.hidden]

    folder = tempfile.TemporaryDirectory()
    run = Path(folder.name) / "run_1"
    make_run(run, task_config())

    def load_iteration(iteration: Any) -> Any:
        assert folder  # as long as the run is looked at
        return mbmf.load_trained(run, iteration).iteration

    def planned(**options: Any) -> Any:
        found = task.with_planner(**options).planner
        return [found.horizon, found.candidates]

    def copied(name: str) -> Callable[..., Any]:
        arrays = {each: getattr(episodes, each) for each in ("states", "actions", "rewards", "lengths")}
        return lambda **given: getattr(dataclasses.replace(episodes, **(arrays | given)), name)

    vector = policy.parameter_vector().copy()
    sizes = {"horizon": 4, "candidates": 100, "seed": 1, "nthread": 1}
    searches = {
        name: (make(name), sizes) for name in ("RandomShooting", "CEM", "ICEM", "MPPI", "make_planner")
    }
    loop = mbmf.Controller(planner, period=0.1)
    return searches | {
        "Simulator": (
            lambda **options: mbmf.Simulator(task, **options).states,
            {"nsim": 2, "nthread": 1, "seed": 3},
        ),
        "Simulator.step": (after(simulator.step, simulator.get_state), {"actions": actions}),
        "Simulator.set_state": (after(simulator.set_state, simulator.get_state), {"rows": rows}),
        "Simulator.start_episodes": (
            after(simulator.start_episodes, simulator.get_state),
            {"episodes": np.arange(3), "ids": np.arange(3)},
        ),
        "Simulator.get_state": (simulator.get_state, {"ids": np.arange(3)}),
        "Simulator.reseed": (
            after(simulator.reseed, lambda: (simulator.reset(), simulator.get_state())[1]),
            {"seed": 3},
        ),
        "Simulator.error": (lambda sim: [len(simulator.error(sim))], {"sim": 1}),
        "Simulator.mujoco_data": (lambda sim: simulator.mujoco_data(sim).qpos, {"sim": 1}),
        "Simulator.reset": (
            lambda **options: mbmf.Simulator(task, 3).reset(**options),
            {"ids": np.arange(3)},
        ),
        "Planner.plan": (
            lambda **options: planner.plan(**options).actions,
            {"state": state, "episode": 0, "step": 0, "candidates": 10},
        ),
        "Planner.plan (deadline)": (
            lambda deadline: len(planner.plan(state, deadline=deadline).actions),
            {"deadline": 0.01},
        ),
        "Planner.roll": (planner.roll, {"state": state, "sequences": sequences}),
        "Planner.trace": (
            lambda **options: planner.trace(**options)[0].actions,
            {"state": state, "episode": 0, "step": 0},
        ),
        "Planner.reset": (planner.reset, {"episode": 1}),
        "Planner.plan_batch": (
            lambda **options: planner.plan_batch(**options)[0],
            {"states": states, "episodes": np.arange(3), "steps": np.arange(3)},
        ),
        "DynamicsModel.predict": (model.predict, {"states": states, "actions": actions, "nthread": 1}),
        "DynamicsModel.open_loop": (
            model.open_loop,
            {"states": states, "actions": sequences, "nthread": 1},
        ),
        "DynamicsModel.fit": (
            fit,
            {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "noise": 0.01, "seed": 0, "nthread": 1},
        ),
        "DynamicsModel.validation_error": (
            lambda **options: list(model.validation_error(episodes, **options).values()),
            {"horizons": np.array([1, 5]), "nthread": 1},
        ),
        "DynamicsModel": (
            model_of,
            {"hidden": 8, "seed": 1, "members": 3, "elites": 2, "particles": 2, "risk": 0.5}
            | {"weight_decay": 0.01},
        ),
        "DynamicsModel.predict_members": (
            lambda **options: np.stack(ensemble.predict_members(**options)),
            {"states": states, "actions": actions, "nthread": 1},
        ),
        "DynamicsModel.sample": (
            ensemble.sample,
            {"states": states, "actions": sequences, "seed": 1, "nthread": 1},
        ),
        "DynamicsModel.calibration": (
            lambda **options: [
                list(each.values()) for each in ensemble.calibration(episodes, **options).values()
            ],
            {"horizons": np.array([1, 5]), "levels": np.array([0.5, 0.9]), "seed": 1, "nthread": 1},
        ),
        "DynamicsModel.deviation_over_members": (
            lambda **options: ensemble.deviation_over_members(episodes, **options),
            {"nthread": 1},
        ),
        "ValueFunction": (value_of, {"hidden": 8, "seed": 1, "discount": 0.9, "trace": 0.5}),
        "ValueFunction.fit": (
            fit_value,
            {"rounds": 2, "epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "seed": 0, "nthread": 1},
        ),
        "ValueFunction.predict": (value.predict, {"states": states}),
        "GaussianPolicy": (
            lambda **options: mbmf.GaussianPolicy(task, **options).parameter_vector(),
            {"hidden": 8, "seed": 1, "std": 0.5},
        ),
        "GaussianPolicy.mean": (policy.mean, {"observations": states, "nthread": 1}),
        "GaussianPolicy.act": (lambda observation: policy.act(observation), {"observation": state}),
        "GaussianPolicy.set_std": (
            lambda std: (policy.set_std(std), policy.std)[1],
            {"std": np.full(task.naction, 0.5)},
        ),
        "GaussianPolicy.set_parameter_vector": (
            lambda vector: (policy.set_parameter_vector(vector), policy.parameter_vector())[1],
            {"vector": vector},
        ),
        "collect_random": (
            arrays("collect_random"),
            {"episodes": 2, "steps": 5, "seed": 1, "nthread": 1, "first_episode": 2},
        ),
        "collect_mpc": (
            lambda **options: mbmf.collect_mpc(task, planner, **options).states,
            {"episodes": 2, "steps": 5, "seed": 1, "first_episode": 2, "action_noise": 0.1},
        ),
        "collect_policy": (
            lambda **options: mbmf.collect_policy(task, policy, **options).actions,
            {"steps": 20, "seed": 1, "nthread": 1, "first_episode": 2, "max_episode_steps": 9, "std": 0.3},
        ),
        "PolicyBatch.first": (lambda count: batch.first(count).lengths, {"count": 2}),
        "TaskEnv.step": (started(environment, "step"), {"action": actions[0]}),
        "TaskVectorEnv": (
            lambda **options: TaskVectorEnv(task, **options).reset(seed=0)[0],
            {"num_envs": 2, "max_episode_steps": 5, "nthread": 1},
        ),
        "TaskVectorEnv.step": (started(many, "step"), {"actions": actions}),
        "Here": (lambda nthread: Here(nthread).threads, {"nthread": 1}),
        "Processes": (
            lambda **options: [(made := Processes(**options)).slots, made.threads],
            {"slots": 2, "threads": 1},
        ),
        "Controller": (
            controlled,
            {"period": 0.1, "share": 0.5, "margin": 0.001, "phase": 0.01, "actuation_delay": 0.01}
            | {"hold_steps": 2, "stale_after": 0.3, "safe_action": np.zeros(task.naction), "spin": 0.001}
            | {"history": 100, "episode": 1},
        ),
        "Controller.put_state": (loop.put_state, {"state": state, "when": 1.0}),
        "Controller.start": (
            lambda first: (mbmf.Controller(planner, period=0.1).start(first), 0)[1],
            {"first": time.monotonic()},
        ),
        "Task.cost": (task.cost, {"states": ahead, "actions": sequences}),
        "Task.with_planner": (planned, {"horizon": 4, "candidates": 100}),
        "Episodes": (
            copied("returns"),
            {name: getattr(episodes, name) for name in ("states", "actions", "rewards", "lengths")},
        ),
        "load_trained": (load_iteration, {"iteration": 1}),
        "Episodes.select": (lambda which: episodes.select(which).states, {"which": np.array([0, 2])}),
        "load_task (path)": (
            lambda path: mbmf.load_task("swimmer_trajfollow", path=path).path.waypoints,  # type: ignore[union-attr]
            {"path": np.array([[0.0, 0], [1, 0], [1, 2]])},
        ),
    }


# wrong values of arrays and of numbers, by column
def wrong_arrays(right: np.ndarray) -> Iterator[tuple[str, Any]]:
    whole = right.dtype.kind in "iu"
    wider = np.float64 if right.dtype == np.float32 else np.float32
    yield "dtype", right.astype(np.int16 if whole else wider)
    yield "text", right.astype(str)
    yield "shape", np.concatenate([right, right], axis=-1)
    yield "dimension", right[None]
    yield "empty", right[:0]
    yield "strides", np.repeat(right, 2, axis=0)[::2]
    yield "reversed", right[::-1].copy()[::-1]
    fixed = right.copy()
    fixed.setflags(write=False)
    yield "read-only", fixed
    for name, value in (
        ("NaN", np.nan),
        ("huge", 1e30 if right.dtype == np.float32 else 1e300),
        ("negative", -5),
    ):
        odd = right.astype(np.float64) if whole and value != -5 else right.copy()
        odd.flat[0] = value
        yield name, odd


def wrong_numbers(right: float) -> Iterator[tuple[str, Any]]:
    yield "dtype", np.int16(right) if isinstance(right, int) else np.float32(right)
    yield "text", str(right)
    yield "shape", [right, right]
    yield "dimension", np.array([right])
    yield "empty", []
    yield "NaN", float("nan")
    yield "huge", 10**400 if isinstance(right, int) else 1e300
    yield "negative", -5


def outcome(call: Callable[..., Any], arguments: dict[str, Any], name: str, value: Any) -> str:
    """What becomes of a call with another value of an argument."""

    def attempt(given: dict[str, Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(**given)

    right = attempt(arguments)
    try:
        found = attempt(arguments | {name: value})
    except (ValueError, CoreError, mbmf.MbmfError) as error:
        text = str(error)
        # a controller's durations are bounded by each other
        if " must be " not in text:
            return f"{type(error).__name__}: {text}"
        return "refused" if name in text else "refused, another"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    if found is None:
        return "taken"
    same = np.shape(found) == np.shape(right) and np.array_equal(found, right, equal_nan=True)
    return "same" if same else "other"


COLUMNS = ["dtype", "text", "shape", "dimension", "empty", "strides", "reversed", "read-only"]
COLUMNS += ["NaN", "huge", "negative"]


def table() -> dict[tuple[str, str], dict[str, str]]:
    """By function and argument: what became of each wrong value."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, (call, arguments) in public_calls().items():
        for argument, right in arguments.items():
            wrong = wrong_arrays(right) if isinstance(right, np.ndarray) else wrong_numbers(right)
            row = {column: outcome(call, arguments, argument, value) for column, value in wrong}
            found[name, argument] = row
    return found


def markdown(rows: dict[tuple[str, str], dict[str, str]]) -> str:
    lines = ["| function | argument | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for (name, argument), row in rows.items():
        cells = [row.get(column, "").split("\n")[0][:60] for column in COLUMNS]
        lines.append(f"| {name} | {argument} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(table()))
    sys.exit(0)
