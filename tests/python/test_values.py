"""Values that end a planner's horizon: returns, the core's network against NumPy, planners, files, runs."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mbmf
from mbmf import _core
from mbmf.algorithms import model_based
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.dynamics.normalization import what_is_seen
from mbmf.errors import ConfigError, DataError
from mbmf.values.returns import traced_returns
from small_mb_run import MODEL_BASED, run_with_a_break, task_config

pytestmark = pytest.mark.filterwarnings("ignore:nthread should be at most")

Floats = npt.NDArray[np.float64]
INPUTS = {"qpos.rooty": "sine and cosine"}


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("hopper_forward")


@pytest.fixture(scope="module")
def episodes(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, 4, 60, seed=3)


@pytest.fixture(scope="module")
def value(task: mbmf.Task, episodes: mbmf.Episodes) -> mbmf.ValueFunction:
    made = mbmf.ValueFunction(task, hidden=(16, 12), seed=1, inputs=INPUTS)
    made.fit(episodes, rounds=3, batch_size=32)
    return made


def trained(task: mbmf.Task, episodes: mbmf.Episodes, **settings: Any) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, hidden=(16,), **settings)
    model.fit(episodes, epochs=3, batch_size=32)
    return model


def numpy_value(value: mbmf.ValueFunction, states: Floats) -> Floats:
    """In float64, from the definition."""
    arguments = value.core_arguments()
    x = what_is_seen(states, value.inputs) - arguments["state_mean"]
    x = x * np.where(
        arguments["state_std"] > 0, 1 / np.where(arguments["state_std"] > 0, arguments["state_std"], 1), 0
    )
    layers = list(zip(arguments["weights"], arguments["biases"], strict=True))
    for weight, bias in layers[:-1]:
        x = x @ weight.T + bias
        x = x / (1 + np.exp(-x))
    weight, bias = layers[-1]
    raw = (x @ weight.T + bias)[:, 0] * arguments["std"] + arguments["mean"]
    return raw.clip(arguments["low"], arguments["high"])


# --- returns and fits


@pytest.mark.parametrize(("discount", "trace"), [(0.9, 0.0), (0.9, 1.0), (0.95, 0.7), (0.0, 0.5)])
def test_returns_are_the_mean_of_all_lengths(discount: float, trace: float) -> None:
    """The definition: (1 - lambda) sum of lambda^(n-1) times the n-step return, the rest to the longest."""
    rng = np.random.default_rng(0)
    rewards, after = rng.normal(size=9), rng.normal(size=9)
    for t in range(9):
        lengths = range(1, 9 - t + 1)
        steps = [
            sum(discount**k * rewards[t + k] for k in range(n)) + discount**n * after[t + n - 1]
            for n in lengths
        ]
        weights = [(1 - trace) * trace ** (n - 1) for n in lengths]
        weights[-1] = trace ** (lengths[-1] - 1)
        assert traced_returns(rewards, after, discount, trace)[t] == pytest.approx(np.dot(weights, steps))


def test_rewards_that_never_end_are_worth_their_sum(task: mbmf.Task, episodes: mbmf.Episodes) -> None:
    rewarded = dataclasses.replace(
        episodes, rewards=np.ones_like(episodes.rewards), terminated=np.zeros_like(episodes.terminated)
    )
    value = mbmf.ValueFunction(task, hidden=(8,), discount=0.9)
    fit = value.fit(rewarded, rounds=4, batch_size=32)
    assert value.predict(episodes.states[0]) == pytest.approx(10, abs=1e-4)
    assert fit.points == int(episodes.lengths.sum())


def test_after_a_terminal_state_there_is_nothing(task: mbmf.Task, episodes: mbmf.Episodes) -> None:
    """The last step before it is worth its reward; earlier ones what is discounted to the end."""
    ended = dataclasses.replace(
        episodes, rewards=np.ones_like(episodes.rewards), terminated=np.ones_like(episodes.terminated)
    )
    value = mbmf.ValueFunction(task, hidden=(64, 64), discount=0.9)
    fit = value.fit(ended, rounds=40, epochs=10, batch_size=32)
    low, high = value.range
    assert low == pytest.approx(1)
    assert 9.5 < high < 10
    assert fit.explained > 0.8


def test_numbers_that_have_no_spread_are_refused(task: mbmf.Task, episodes: mbmf.Episodes) -> None:
    """What would be saved could not be loaded."""
    for name in ("states", "rewards"):
        wrong = getattr(episodes, name).copy()
        wrong[0].flat[2] = 1e300
        value = mbmf.ValueFunction(task, (8,))
        with pytest.raises(DataError, match=rf"episodes\.{name} must be below 1e150, .* got"):
            value.fit(dataclasses.replace(episodes, **{name: wrong}), rounds=2)


def test_a_fit_is_a_function_of_its_arguments(task: mbmf.Task, episodes: mbmf.Episodes) -> None:
    def fitted(seed: int) -> Floats:
        made = mbmf.ValueFunction(task, hidden=(8,), seed=2)
        if seed == 4:
            made.fit(episodes, rounds=1, seed=9)  # nothing is kept of it
        made.fit(episodes, rounds=2, batch_size=32, seed=min(seed, 3))
        return made.predict(episodes.states[0])

    assert (fitted(3) == fitted(4)).all()
    assert (fitted(3) != fitted(2)).any()


def test_wrong_arguments(task: mbmf.Task, episodes: mbmf.Episodes, value: mbmf.ValueFunction) -> None:
    for arguments, message in (
        ({"hidden": ()}, "hidden must be one or more positive integers"),
        ({"discount": 1}, "discount must be below 1, got 1"),
        ({"trace": 2}, "trace must be from 0 to 1, got 2"),
        ({"activation": "sigmoid"}, "activation must be one of relu, tanh, silu, got 'sigmoid'"),
        ({"inputs": {"qpos.roty": "nothing"}}, r"inputs must name .*qpos\.rooty"),
        ({"inputs": dict.fromkeys(task.state_names, "nothing")}, "must leave something to see"),
    ):
        with pytest.raises(ValueError, match=message):
            mbmf.ValueFunction(task, **arguments)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no weights yet: fit it or load it first"):
        mbmf.ValueFunction(task).predict(episodes.states[0])
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        value.fit(episodes, rounds=0)
    before = value.predict(episodes.states[0])
    enormous = dataclasses.replace(episodes, rewards=np.full_like(episodes.rewards, 1e308))
    with np.errstate(all="ignore"), pytest.raises(DataError, match=r"episodes\.rewards must be below"):
        value.fit(enormous)
    assert (value.predict(episodes.states[0]) == before).all()  # a failed fit has changed nothing
    with pytest.raises(DataError, match="task"):
        value.fit(mbmf.collect_random(mbmf.load_task("swimmer_forward"), 1, 5))


# --- the core


@pytest.mark.parametrize("isa", _core.available_isas())
def test_the_core_equals_numpy(
    value: mbmf.ValueFunction, episodes: mbmf.Episodes, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    copied = copy.copy(value)  # compiled anew
    states = np.concatenate([np.asarray(each, np.float64) for each in episodes.states])
    found = copied.predict(states)
    scale = value.range[1] - value.range[0]
    assert found == pytest.approx(numpy_value(value, states), abs=2e-6 * scale + 1e-5)
    assert found.min() >= np.float32(value.range[0])
    assert found.max() <= np.float32(value.range[1])
    # each by itself: the same bits
    assert (np.concatenate([copied.predict(states[i : i + 1]) for i in range(70)]) == found[:70]).all()


def test_far_states_are_worth_what_was_seen_at_least(value: mbmf.ValueFunction, task: mbmf.Task) -> None:
    low, high = map(np.float32, value.range)
    far = np.stack([np.full(task.nstate, x) for x in (1e30, -1e30, np.nan, np.inf)])
    worth = value.predict(far)
    assert ((worth >= low) & (worth <= high)).all()
    assert (worth[2:] == low).all()


def test_a_candidate_costs_what_its_last_state_is_worth_less(
    task: mbmf.Task, episodes: mbmf.Episodes, value: mbmf.ValueFunction
) -> None:
    free = mbmf.load_task({**task.to_data(), "alive": []})
    rng = np.random.default_rng(1)
    sequences = rng.uniform(-1, 1, (37, 5, task.naction)).astype(np.float32)
    start = np.asarray(episodes.states[0][0], np.float64)
    for model in (
        trained(free, episodes),
        trained(free, episodes, members=3, propagate="expectation"),
        trained(free, episodes, members=2, probabilistic=True, propagate="expectation", inputs=INPUTS),
    ):
        with_value, without = (
            mbmf.RandomShooting(free, model, horizon=5, candidates=8, value=each) for each in (value, None)
        )
        ends = model.sample(np.repeat(start[None], 37, 0), sequences)[:, :, -1]
        worth = np.mean([numpy_value(value, ends[:, i].astype(np.float64)) for i in range(ends.shape[1])], 0)
        found = without.roll(start, sequences) - with_value.roll(start, sequences)
        assert found == pytest.approx(worth, rel=1e-4, abs=1e-3)
        assert np.ptp(worth) > 0.01
        # a Python cost, which is the task's: the same
        with pytest.warns(UserWarning, match="slower"):
            called = mbmf.load_task(free.to_data(), cost=lambda s, a: free.cost(s, a))
        by_function = mbmf.RandomShooting(called, model.core, horizon=5, candidates=8, value=value)
        assert by_function.roll(start, sequences) == pytest.approx(
            with_value.roll(start, sequences), rel=1e-4, abs=1e-3
        )


def test_the_dead_are_worth_nothing(
    task: mbmf.Task, episodes: mbmf.Episodes, value: mbmf.ValueFunction
) -> None:
    """Beyond the bounds from the start on, every candidate costs what it costs without a value."""
    model = trained(task, episodes)
    start = np.asarray(episodes.states[0][0], np.float64)
    start[task.state_names.index("qpos.rooty")] = 1.0
    sequences = np.zeros((5, 4, task.naction), np.float32)
    costs = [
        mbmf.RandomShooting(task, model, horizon=4, candidates=8, value=each).roll(start, sequences)
        for each in (value, None)
    ]
    assert (costs[0] == costs[1]).all()


def test_through_the_simulator(task: mbmf.Task, value: mbmf.ValueFunction) -> None:
    free = mbmf.load_task({**task.to_data(), "alive": []})
    simulator = mbmf.Simulator(free, nsim=1, nthread=1)
    row = simulator.get_state()[0]
    sequences = np.random.default_rng(2).uniform(-1, 1, (6, 5, task.naction)).astype(np.float32)
    planners = [
        mbmf.RandomShooting(free, mbmf.SimulatorModel(free), horizon=5, candidates=8, value=each)
        for each in (value, None)
    ]
    found = planners[1].roll(row, sequences) - planners[0].roll(row, sequences)
    ends = []
    for sequence in sequences:
        simulator.set_state(row[None])
        for action in sequence:
            simulator.step(action[None])
        ends.append(simulator.states[0].copy())
    assert found == pytest.approx(value.predict(np.stack(ends)), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("search", ["random_shooting", "cem", "icem", "mppi"])
def test_plans_have_the_same_bits_with_threads_and_copies(
    task: mbmf.Task, episodes: mbmf.Episodes, value: mbmf.ValueFunction, search: str
) -> None:
    model = trained(task, episodes, members=2, probabilistic=True, inputs=INPUTS)
    start = np.asarray(episodes.states[1][0], np.float64)

    def planner(**more: Any) -> mbmf.Planner:
        return mbmf.make_planner(task, model, search, 6, 60, seed=5, value=value, **more)

    plans = [planner(nthread=threads).plan(start) for threads in (1, 2, 3, 7)]
    plans.append(pickle.loads(pickle.dumps(planner(nthread=1))).plan(start))
    for plan in plans[1:]:
        assert plan.cost == plans[0].cost
        assert (plan.actions == plans[0].actions).all()
    other = mbmf.make_planner(task, model, search, 6, 60, seed=5).plan(start)
    assert other.cost != plans[0].cost


def test_a_value_that_does_not_fit(
    task: mbmf.Task, episodes: mbmf.Episodes, value: mbmf.ValueFunction
) -> None:
    swimmer = mbmf.load_task("swimmer_forward")
    model = trained(swimmer, mbmf.collect_random(swimmer, 2, 30))
    with pytest.raises(ValueError, match="value must be of the robot, states and dt of task swimmer_forward"):
        mbmf.make_planner(swimmer, model, value=value)
    on_path = mbmf.load_task("swimmer_trajfollow").with_path("straight")
    own = mbmf.ValueFunction(on_path, hidden=(4,))
    rollouts = mbmf.collect_random(on_path, 2, 30)
    own.fit(rollouts, rounds=1)
    with pytest.raises(ValueError, match="value must not be given for a task that follows a path"):
        mbmf.make_planner(on_path, trained(on_path, rollouts), value=own)
    with pytest.raises(ConfigError, match="value must not be given for a task that follows a path"):
        mbmf.load_task({**on_path.to_data(), "value": {"discount": 0.9}})


# --- files


def test_a_file_keeps_everything(
    task: mbmf.Task, episodes: mbmf.Episodes, value: mbmf.ValueFunction, tmp_path: Path
) -> None:
    value.save(tmp_path / "value.safetensors")
    loaded = mbmf.ValueFunction.load(tmp_path / "value.safetensors", task)
    assert (loaded.predict(episodes.states[0]) == value.predict(episodes.states[0])).all()
    assert (loaded.discount, loaded.trace, loaded.hidden) == (value.discount, value.trace, value.hidden)
    with pytest.raises(DataError, match=r"value\.safetensors: task must be 'swimmer_forward'"):
        mbmf.ValueFunction.load(tmp_path / "value.safetensors", mbmf.load_task("swimmer_forward"))
    model = trained(task, episodes)
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"model\.safetensors: file must be a value of mbmf"):
        mbmf.ValueFunction.load(tmp_path / "model.safetensors", task)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "value.safetensors").read_bytes()[:-8])
    with pytest.raises(DataError, match=r"cut\.safetensors"):
        mbmf.ValueFunction.load(cut, task)


def test_an_export_carries_it(
    task: mbmf.Task, episodes: mbmf.Episodes, value: mbmf.ValueFunction, tmp_path: Path
) -> None:
    model = trained(task, episodes)
    folder = save_bundle(tmp_path / "out", task, model, value=value, horizon=4, candidates=8)
    bundle = load_bundle(folder, task)
    states = np.asarray(episodes.states[0], np.float64)
    assert (bundle.value.evaluate(states) == value.predict(states)).all()
    assert load_bundle(save_bundle(tmp_path / "bare", task, model, horizon=4, candidates=8)).value is None
    controller = mbmf.Controller(mbmf.make_planner(task, model, horizon=4, candidates=8, value=value), 0.02)
    assert controller.period == 0.02


# --- runs

SETTINGS = {"hidden": [8], "rounds": 2, "first_iteration": 2, "discount": 0.9, "batch_size": 16}


def test_a_run_fits_one_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    config = task_config(model_based={**MODEL_BASED, "iterations": 3}, value=SETTINGS)
    task = mbmf.load_task(config)
    options = model_based.Options(seed=5, nthread=1)
    run = model_based.open_run(tmp_path / "whole", task, options)
    with run:
        model_based.model_based(task, run, options)
    names = sorted(path.name for path in (run.path / "models").glob("value_*"))
    assert names == ["value_2.safetensors", "value_3.safetensors"]
    assert ["value_explained" in record for record in run.metrics()] == [False, True, True]
    found = mbmf.load_trained(run.path)
    assert found.value is not None
    assert found.value.discount == 0.9
    assert mbmf.load_trained(run.path, 1).value is None

    run_with_a_break(tmp_path / "cut", task, options, after=2)
    for name in ("models/value_3.safetensors", "rollouts/iteration_3.npz", "rollouts/saved.npz"):
        first, second = (tmp_path / folder / name for folder in ("whole", "cut"))
        if name.endswith("npz"):
            one, two = (mbmf.Episodes.load(path, task=task) for path in (first, second))
            assert all((a == b).all() for a, b in zip(one.states, two.states, strict=True))
        else:
            one_value, two_value = (mbmf.ValueFunction.load(path, task) for path in (first, second))
            state = np.zeros((1, task.nstate))
            assert one_value.predict(state) == two_value.predict(state)

    (run.path / "models" / "value_3.safetensors").unlink()
    with pytest.raises(DataError, match=r"value_3\.safetensors: file must be there"):
        mbmf.load_trained(run.path)


@pytest.mark.parametrize("explained", [-0.5, 0.1])
def test_a_value_that_knows_nothing_is_named(
    tmp_path: Path, explained: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used all the same: what it says is within the returns' range."""
    fit = mbmf.ValueFunction.fit

    def fitted(*given: Any, **options: Any) -> Any:
        return dataclasses.replace(fit(*given, **options), explained=explained)

    monkeypatch.setattr(mbmf.ValueFunction, "fit", fitted)
    task = mbmf.load_task(task_config(model_based={**MODEL_BASED, "iterations": 2}, value=SETTINGS))
    notes: list[str] = []

    class Notes(model_based.Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    options = model_based.Options(seed=5, nthread=1)
    with model_based.open_run(tmp_path / "run", task, options) as run:
        model_based.model_based(task, run, options, Notes())
        assert run.metrics()[1]["value_explained"] == explained
    said = [note for note in notes if "the value knows less of the returns than their mean" in note]
    assert len(said) == (explained < 0)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_that_overflows_is_worth_the_least(
    sign: int, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    weights = [np.array([[1e30], [1]], np.float32), sign * np.array([[1e30, 0]], np.float32)]
    biases = [np.zeros(2, np.float32), np.full(1, 3, np.float32)]
    arguments = (np.zeros(1), np.ones(1), ["value"], 0.0, 1.0, -5.0, 7.0)
    value = _core.Value(1, weights, biases, "relu", *arguments)
    states = np.array([[0.0], [-1.0], [1e-60], [1e10], [np.inf], [np.nan]])
    assert value.evaluate(states).tolist() == [3, 3, 3, -5, -5, -5]


def test_a_goal_is_seen_and_the_time_is_not() -> None:
    task = mbmf.load_task("pets_reacher")
    value = mbmf.ValueFunction(task, (8,))
    seen = dict(zip(task.state_names, value.inputs, strict=True))
    assert {word for name, word in seen.items() if name.startswith("goal.")} == {"value"}
    assert "nothing" in mbmf.ValueFunction(task, (8,), inputs={"goal.x": "nothing"}).inputs
    tracker = mbmf.load_task(Path(__file__).parents[2] / "examples/robots/tracker.yaml")
    words = dict(zip(tracker.state_names, mbmf.ValueFunction(tracker, (8,)).inputs, strict=True))
    assert {words[name] for name in words if name.startswith("reference.")} == {"value"}
    assert words["time"] == "nothing"
    with pytest.raises(ValueError, match=r"episodes must be mbmf.Episodes, got \[\]"):
        value.fit([])  # type: ignore[arg-type]
    other = mbmf.collect_random(mbmf.load_task("swimmer_forward"), 1, 5)
    with pytest.raises(DataError, match="episodes must have 20 states and 7 actions, got 16 and 2"):
        value.fit(other, allow_other_task=True)
