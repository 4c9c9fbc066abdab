"""Arguments: every one has a range, and nothing that is no number is cast to one."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import api_table
import mbmf
from mbmf import arguments
from mbmf.control.bundle import save_bundle

TASK = mbmf.load_task("swimmer_forward")
DATA = mbmf.collect_random(TASK, 2, 120)
SIMULATOR = mbmf.Simulator(TASK, 3)
MODEL = mbmf.DynamicsModel(TASK, hidden=(4,))
MODEL.fit(DATA, epochs=1)
POLICY = mbmf.GaussianPolicy(TASK, (4,))

# what NumPy would make numbers of, without a word
NO_NUMBERS: list[Any] = [
    "1", b"1", ["1", "2", "3"], [None, 1, 2], [True, False, True], [1j, 2, 3], {"a": 1}, [[1], [1, 2]],
    [datetime.date(2020, 1, 1)] * 3, np.zeros(3, "M8[s]"), np.zeros(3, "m8[s]"), np.zeros(3, object),
    np.zeros(3, [("a", float)]), [1, 2, 10**400],
]  # fmt: skip
NO_COUNTS: list[Any] = [1.0, 1.5, np.nan, np.inf, True, "1", None, [1], np.float64(2), np.bool_(True), 1 + 0j]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(value)[:30])
def test_what_is_no_array_of_numbers(value: Any) -> None:
    calls: dict[str, Callable[[], object]] = {
        "episodes": lambda: SIMULATOR.start_episodes(value),
        "actions": lambda: SIMULATOR.step(value),
        "rows": lambda: SIMULATOR.set_state(value),
        "states": lambda: MODEL.predict(value, np.zeros((1, 2))),
        "observations": lambda: POLICY.mean(value),
        "observation": lambda: POLICY.act(value),
        "vector": lambda: POLICY.set_parameter_vector(value),
        "std": lambda: POLICY.set_std(value),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"^{name} must be (an array of|whole)? ?numbers"):
            call()
    with pytest.raises(ValueError, match=r"^states must be an array of numbers"):
        TASK.cost(value, np.zeros((1, 1, 2)))
    with pytest.raises(ValueError, match="path must be"):
        mbmf.load_task("swimmer_trajfollow", path=value)


def test_numbers_of_episodes() -> None:
    """NaN, fractions, negatives and dates were taken for numbers of episodes."""
    for value, message in (
        ([0.0, 1.0, 2.0], "episodes must be whole numbers of shape (3,), got [0.0, 1.0, 2.0]"),
        ([np.nan] * 3, "episodes must be whole numbers of shape (3,), got [nan, nan, nan]"),
        ([-1, 0, 1], "episodes must be from 0 to 18446744073709551615, got -1"),
        ([0, 1, 2**64], "episodes must be whole numbers of shape (3,)"),
        ([0, 1], "episodes must be of shape (3,), got (2,)"),
        (np.array([0, 1, 2]).astype("M8[s]"), "episodes must be whole numbers of shape (3,)"),
    ):
        before = SIMULATOR.get_state()
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            SIMULATOR.start_episodes(value)
        np.testing.assert_array_equal(SIMULATOR.get_state(), before)
    SIMULATOR.start_episodes(np.array([0, 1, 2**64 - 1], np.uint64))
    SIMULATOR.start_episodes([0, 1, 2])


@pytest.mark.parametrize("value", NO_COUNTS, ids=str)
@pytest.mark.parametrize("name", ["epochs", "batch_size", "seed", "nthread"])
def test_counts_of_a_fit(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a whole number, got "):
        mbmf.DynamicsModel(TASK, hidden=(4,)).fit(DATA, **{"epochs": 1, name: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nthread": 100_000}, "nthread must be at most 1024, got 100000"),
        ({"nthread": 2**31 - 1}, "nthread must be at most 1024, got 2147483647"),
        ({"nthread": 0}, "nthread must be at least 1, got 0"),
        ({"epochs": 2**40}, "epochs must be at most 2147483647, got 1099511627776"),
        ({"batch_size": 10**300}, "batch_size must be from "),
        ({"seed": 2**64}, "seed must be at most 18446744073709551615, got 18446744073709551616"),
        ({"learning_rate": "1"}, "learning_rate must be a number, got '1'"),
        ({"learning_rate": np.nan}, "learning_rate must be "),
        ({"learning_rate": np.inf}, "learning_rate must be positive, got inf"),
        ({"learning_rate": 10**400}, "learning_rate must be "),
        ({"noise": np.nan}, "noise must be "),
        ({"noise": True}, "noise must be a number, got True"),
        ({"fraction_use_new": np.nan}, "fraction_use_new must be from 0 to 1, got nan"),
    ],
)
def test_ranges_of_a_fit(arguments: dict[str, Any], message: str) -> None:
    """100,000 threads killed the process."""
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        mbmf.DynamicsModel(TASK, hidden=(4,)).fit(DATA, **{"epochs": 1, **arguments})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mbmf.DynamicsModel(TASK, hidden="12"),
            "hidden must be one or more positive integers, got '12'",
        ),
        (lambda: mbmf.DynamicsModel(TASK, hidden=(2**40,)), "hidden must be one or more positive integers"),
        (lambda: mbmf.DynamicsModel(TASK, seed=1.5), "seed must be a whole number, got 1.5"),
        (lambda: mbmf.GaussianPolicy(TASK, [8] * 100), "hidden must be the sizes of at most 64 layers"),
        (lambda: MODEL.predict([[0.0] * 10], [[0.0] * 2], nthread=10**6), "nthread must be from 0 to 1024"),
        (lambda: MODEL.validation_error(DATA, nthread=-1), "nthread must be from 0 to 1024, got -1"),
        (lambda: MODEL.validation_error(DATA, (1.5,)), "horizons must be a whole number, got 1.5"),
        (lambda: MODEL.validation_error(DATA, (0,)), "horizons must be at least 1, got 0"),
        (lambda: MODEL.validation_error(DATA, ()), "horizons must be one or more, got none"),
        (lambda: POLICY.mean(np.full((1, 10), np.nan)), "observations must be finite, got NaN or infinity"),
        (
            lambda: POLICY.mean(np.full((1, 10), 1e300)),
            "observations must be finite, got NaN or infinity as fl",
        ),
        (lambda: DATA.select(np.array([2**64 - 1], np.uint64)), "which must be episodes of 2"),
        (lambda: save_bundle("x", TASK, MODEL, horizon=1.5, candidates=1), "horizon must be a whole number"),
        (lambda: save_bundle("x", TASK, MODEL, horizon=1, candidates=10**9), "candidates must be from 1 to"),
    ],
)
def test_ranges(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mbmf.collect_random("gym_hopper", 1, 2),
            "task must be a Task, as mbmf.load_task gives it, got 'gym_",
        ),
        (
            lambda: mbmf.ICEM("gym_hopper", MODEL),
            "task must be a Task, as mbmf.load_task gives it, got 'gym_hopper'",
        ),
        (
            lambda: mbmf.ICEM(TASK, mbmf.SimulatorModel),
            "model must be a DynamicsModel, a SimulatorModel(task) or",
        ),
        (
            lambda: mbmf.ICEM(TASK, mbmf.SimulatorModel("x")),
            "model.task must be a Task, as mbmf.load_task gives it",
        ),
        (
            lambda: mbmf.ICEM(TASK, MODEL, value=3),
            "value must be a ValueFunction, as mbmf.ValueFunction(task) gives",
        ),
        (
            lambda: mbmf.ICEM(TASK, MODEL, policy=3),
            "policy must be a GaussianPolicy, as mbmf.GaussianPolicy(task)",
        ),
        (
            lambda: mbmf.collect_mpc(TASK, None, 1, 2),
            "planner must be a Planner, as mbmf.make_planner gives it, got",
        ),
        (lambda: mbmf.Controller(None), "planner must be a Planner, as mbmf.make_planner gives it, got None"),
    ],
)
def test_things_of_another_kind(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match="^" + re.escape(message)):
        call()


def test_whole_numbers_of_numpy_are_fine() -> None:
    assert mbmf.DynamicsModel(TASK, hidden=(np.int64(5), np.uint8(3))).hidden == (5, 3)
    MODEL.fit(DATA, epochs=np.int32(1), batch_size=np.uint64(16), nthread=np.int8(1), seed=np.uint64(2**63))
    assert arguments.whole_number("n", np.int64(3)) == 3
    with pytest.raises(ValueError, match="n must be from 1 to 2147483647, got a number of 16610 bits"):
        arguments.whole_number("n", 10**5000)


def test_the_table_of_wrong_arguments() -> None:
    """`api_table.py`: every public function, every argument, every kind of wrong value."""
    rows = api_table.table()
    odd = {
        (*place, column): cell
        for place, row in rows.items()
        for column, cell in row.items()
        if cell not in ("same", "other", "taken", "refused")
        # the other argument has the wrong length then, and is named
        and (column, cell) != ("empty", "refused, another")
    }
    assert odd == {}
    # what is text, of another shape or read-only is never taken for something else
    for place, row in rows.items():
        assert row.get("text") == "refused", place
        assert row.get("strides", "same") in ("same", "taken"), place
        assert row.get("read-only", "same") in ("same", "taken"), place
