"""Searches that a user writes: wherever a planner works, the same bits, and errors that say what is wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mbmf
from test_planner import make_model, start_state

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_search.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_search", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Widening(mbmf.Search):
    """Uses all that it is given: the round, the mean, the generator and data of its own."""

    rounds = 3
    candidates = 40

    def propose(self, plan: Any) -> Any:
        plan.data["seen"] = plan.data.get("seen", 0) + 1
        assert plan.data["seen"] == plan.number + 1
        noise = plan.rng.uniform(-1, 1, (30 + plan.number, plan.horizon, plan.naction))
        return np.clip(plan.mean + noise / (1 + plan.number), -1, 1)

    def update(self, plan: Any, sequences: Any, costs: Any) -> Any:
        assert len(sequences) == len(costs)
        return sequences[np.argsort(costs)[:5]].mean(axis=0)


class Reusing(mbmf.Search):
    """Keeps its mean in an array of its own, the same for all plans."""

    rounds = 3
    candidates = 20
    out: Any = None

    def propose(self, plan: Any) -> Any:
        noise = plan.rng.uniform(-1, 1, (20, plan.horizon, plan.naction)).astype(np.float32)
        return np.clip(plan.mean + noise / (1 + plan.number), -1, 1)

    def update(self, plan: Any, sequences: Any, costs: Any) -> Any:
        if self.out is None:
            self.out = np.zeros_like(sequences[0])
        self.out[:] = sequences[np.argsort(costs)[:5]].mean(axis=0)
        return self.out


def test_a_search_may_use_its_array_again() -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task)
    states = mbmf.Simulator(task, nsim=4, nthread=1, seed=3).states.copy()
    planner = mbmf.Planner(task, model, Reusing(), horizon=6, seed=3, nthread=1)
    actions, costs = planner.plan_batch(states, np.arange(4), np.zeros(4, int))
    for episode, state in enumerate(states):
        planner.reset(episode)
        plan = planner.plan(state, episode, 0, memory=planner.make_memory())
        assert plan.cost == costs[episode]
        np.testing.assert_array_equal(plan.action, actions[episode])


def test_the_example_swims() -> None:
    rewards = example().main(steps=40, epochs=10)
    assert rewards["halving"] > rewards["random shooting"] > 0


@pytest.mark.filterwarnings("ignore:nthread should be at most")
def test_the_same_bits_however_it_is_planned() -> None:
    task = mbmf.load_task("swimmer_trajfollow")
    model, _ = make_model(task)
    states = mbmf.Simulator(task, nsim=4, nthread=1, seed=3).states.copy()
    wanted: list[Any] = []
    for nthread in (1, 2, 3, 7):
        planner = mbmf.Planner(task, model, Widening(), horizon=7, seed=3, nthread=nthread)
        memories = [planner.make_memory() for _ in states]
        bits = []
        for step in range(3):
            for episode, state in enumerate(states):
                plan = planner.plan(state, episode, step, memory=memories[episode])
                assert (plan.rounds_done, plan.candidates_done, plan.candidate) == (3, 93, -1)
                assert plan.cost == planner.roll(state, plan.actions[None])[0]
                bits.append(plan.actions.tobytes())
        wanted.append(bits)
        batch = [planner.make_memory() for _ in states]
        for step in range(3):
            actions, _ = planner.plan_batch(states, np.arange(4), np.full(4, step), memories=batch)
        np.testing.assert_array_equal(actions[1], np.frombuffer(bits[-3], np.float32)[: task.naction])
    assert all(bits == wanted[0] for bits in wanted)
    episodes = mbmf.collect_mpc(task, planner, 2, 4, seed=1)
    planner.reset(1)
    for step in range(4):
        np.testing.assert_array_equal(planner.act(episodes.states[1, step]), episodes.actions[1, step])


def test_through_the_simulator_with_a_python_cost_and_with_a_deadline() -> None:
    task = mbmf.load_task("swimmer_forward")
    row = mbmf.Simulator(task, nsim=1, nthread=1, seed=3).get_state()[0]
    plan = mbmf.Planner(task, mbmf.SimulatorModel(task), Widening(), horizon=3).plan(row)
    assert np.isfinite(plan.cost)
    with pytest.warns(UserWarning, match="slower"):
        own = mbmf.load_task("swimmer_forward", cost=lambda states, actions: -states[:, -1, 0])
    model, _ = make_model(task)
    planner = mbmf.Planner(own, model, Widening(), horizon=5)
    assert planner.plan(start_state(task)).rounds_done == 3
    timed = mbmf.Planner(task, model, Widening(), horizon=5, nthread=2).plan(start_state(task), deadline=0.0)
    assert timed.rounds_done == 1


def test_best_is_executed_if_asked() -> None:
    class Best(Widening):
        execute = "best"

    task = mbmf.load_task("swimmer_forward")
    planner = mbmf.Planner(task, make_model(task)[0], Best(), horizon=5)
    plan, rounds = planner.trace(start_state(task))
    assert plan.cost == min(each.costs.min() for each in rounds)


def bad(**methods: Any) -> mbmf.Search:
    return type("Bad", (Widening,), methods)()


def shape(*size: int) -> Any:
    return lambda self, plan: np.zeros(size, np.float32)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            bad(propose=shape(3, 5, 3)),
            r"Bad.propose must return actions of shape \(n, 5, 2\), got \(3, 5, 3\)",
        ),
        (bad(propose=shape(5, 2)), r"of shape \(n, 5, 2\), got \(5, 2\)"),
        (bad(propose=shape(0, 5, 2)), "of 1 to 40 candidates .the planner's., got 0"),
        (bad(propose=shape(41, 5, 2)), "of 1 to 40 candidates .the planner's., got 41"),
        (bad(propose=lambda self, plan: np.full((2, 5, 2), 1.5)), r"in \[-1, 1\], got 1.5"),
        (bad(propose=lambda self, plan: np.full((2, 5, 2), np.nan)), r"in \[-1, 1\], got nan"),
        (bad(propose=lambda self, plan: "left"), "as an array of numbers, got str"),
        (bad(update=lambda self, plan, s, c: np.zeros((4, 2))), r"Bad.update must return the mean of shape"),
        (bad(update=lambda self, plan, s, c: None), "Bad.update must return the mean"),
        (bad(rounds=0), "Bad.rounds must be"),
        (bad(execute="worst"), "Bad.execute must be 'best' or 'mean', got 'worst'"),
    ],
)
def test_what_an_author_may_get_wrong(search: mbmf.Search, message: str) -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task)
    with pytest.raises(ValueError, match=message):
        mbmf.Planner(task, model, search, horizon=5).plan(start_state(task))


def test_an_error_of_the_author_comes_out_and_the_planner_goes_on() -> None:
    class Odd(Widening):
        fail = True

        def update(self, plan: Any, sequences: Any, costs: Any) -> npt.ArrayLike:
            if self.fail:
                raise KeyError("mine")
            return super().update(plan, sequences, costs)

    task = mbmf.load_task("swimmer_forward")
    search = Odd()
    planner = mbmf.Planner(task, make_model(task)[0], search, horizon=5)
    memory = planner.make_memory()
    with pytest.raises(KeyError, match="mine"):
        planner.plan(start_state(task), 0, 0, memory=memory)
    assert not memory.filled
    search.fail = False
    planner.plan(start_state(task), 0, 0, memory=memory)
    assert memory.filled


def test_what_is_refused() -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task)
    with pytest.raises(ValueError, match=r"search must be a name or a mbmf\.Search"):
        mbmf.Planner(task, model, object(), horizon=5, candidates=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="settings must not be given with a search of your own"):
        mbmf.Planner(task, model, Widening(), horizon=5, settings={"std": 1})
    with pytest.raises(ValueError, match="planner must be one with a search of the core"):
        mbmf.Controller(mbmf.Planner(task, model, Widening(), horizon=5))
    with pytest.raises(TypeError, match=r"Search must have a method propose"):
        mbmf.Planner(task, model, mbmf.Search(), horizon=5).plan(start_state(task))
