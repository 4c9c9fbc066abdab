"""The core's searches against plain NumPy ones (search_oracle.py), and what must hold for each of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mbmf
import search_oracle as oracle
from test_planner import make_model, numpy_predict, start_state

pytestmark = pytest.mark.filterwarnings("ignore:nthread should be at most")

ORACLES: dict[str, Any] = {
    "random_shooting": oracle.RandomShooting,
    "cem": oracle.CEM,
    "icem": oracle.ICEM,
    "mppi": oracle.MPPI,
}
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("random_shooting", 60, {}),
    ("random_shooting", 60, {"warm_start": True}),
    ("cem", 100, {"elites": 10}),
    ("cem", 60, {"elites": 7, "rounds": 3, "execute": "best", "momentum": 0.3}),
    ("icem", 40, {}),
    ("icem", 40, {"colour": 2.0, "execute": "mean", "keep": 0.5}),
    ("icem", 50, {"rounds": 4, "colour": 0.0, "elites": 5, "decay": 2.0, "keep": 0.0}),
    ("mppi", 100, {}),
    ("mppi", 100, {"temperature": 0.1, "smoothing": 0.7, "std": 0.5, "rounds": 2}),
    ("mppi", 60, {"colour": 1.0, "execute": "best"}),
]


def name_of(case: tuple[str, int, dict[str, Any]]) -> str:
    return "-".join([case[0], *map(str, case[2].values())])


def make(task: mbmf.Task, model: Any, case: tuple[str, int, dict[str, Any]], **more: Any) -> mbmf.Planner:
    search, candidates, settings = case
    return mbmf.make_planner(
        task, model, search, more.pop("horizon", 12), candidates, seed=7, settings=settings, **more
    )


class NumpyCosts:
    """The task's cost of sequences through the model, in float64 NumPy."""

    def __init__(self, task: mbmf.Task, arrays: dict[str, Any]) -> None:
        self.task, self.arrays = task, arrays
        self.state = np.zeros(task.nstate)

    def __call__(self, sequences: npt.NDArray[Any]) -> npt.NDArray[Any]:
        states = [np.repeat(self.state[None], len(sequences), axis=0)]
        for t in range(sequences.shape[1]):
            states.append(numpy_predict(self.arrays, states[-1], sequences[:, t].astype(np.float64)))
        return self.task.cost(np.stack(states, axis=1).astype(np.float32), sequences.astype(np.float32))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_equals_numpy_over_an_episode(case: tuple[str, int, dict[str, Any]]) -> None:
    """The same elites, and means within 1e-5, at each of 20 steps."""
    task = mbmf.load_task("cheetah_forward")
    model, arrays = make_model(task)
    planner = make(task, model, case, nthread=2)
    search, candidates, settings = case
    plain = ORACLES[search](
        horizon=12, naction=task.naction, seed=7, episode=3, candidates=candidates, **settings
    )
    costs = NumpyCosts(task, arrays)
    costs.state = start_state(task)
    memory, remembered = planner.make_memory(), None
    moved = 0
    for step in range(20):
        if settings.get("warm_start"):
            memory_before = copy.copy(memory)
        plan, rounds = planner.trace(costs.state, 3, step, memory=memory)
        want = plain.plan(costs, step=step, memory=remembered)
        remembered = want.memory
        assert len(rounds) == len(want.rounds)
        for ours, theirs in zip(rounds, want.rounds, strict=True):
            np.testing.assert_allclose(ours.sequences, theirs.candidates, atol=1e-5)
            np.testing.assert_allclose(ours.costs, theirs.costs, rtol=1e-4, atol=1e-4)
            if search in ("cem", "icem"):
                order = np.argsort(ours.costs, kind="stable")
                fresh = [p for p in theirs.elite_positions.tolist() if p >= 0]
                assert order[: len(fresh)].tolist() == fresh
            if len(ours.mean):
                np.testing.assert_allclose(ours.mean, theirs.mean, atol=1e-5)
                np.testing.assert_allclose(ours.deviation, np.sqrt(theirs.variance), atol=1e-5)
        np.testing.assert_allclose(plan.actions, want.actions, atol=1e-5)
        assert plan.cost == pytest.approx(want.cost, rel=1e-4, abs=1e-4)
        assert plan.candidate == want.candidate
        assert plan.candidates_done == want.rolled
        if search == "random_shooting":
            if settings.get("warm_start"):
                again = planner.plan(costs.state, 3, step, memory=memory_before)
                np.testing.assert_array_equal(again.actions, plan.actions)
        else:
            np.testing.assert_allclose(memory.mean, remembered.mean, atol=1e-5)
        moved += int(np.abs(plan.action).max() > 0.1)
        costs.state = numpy_predict(arrays, costs.state[None], plan.action[None].astype(np.float64))[0]
    assert moved > 5


@pytest.mark.parametrize("keep", [0.0, 0.05, 0.3])
def test_more_candidates_of_icem_are_never_worse(keep: float) -> None:
    task = mbmf.load_task("cheetah_forward")
    model, _ = make_model(task)
    planner = mbmf.ICEM(task, model, 12, 40, keep=keep)
    state = start_state(task)
    costs = [planner.plan(state, 1, 2, candidates=n).cost for n in range(38, 97, 2)]
    assert (np.diff(costs) <= 0).all()
    assert costs[-1] < costs[0]


@pytest.mark.parametrize("search", ["cem", "icem", "mppi", "random_shooting"])
def test_settings_of_a_planner_make_one_like_it(search: str) -> None:
    task = mbmf.load_task("cheetah_forward")
    model, _ = make_model(task)
    planner = mbmf.make_planner(task, model, search, 5, 80)
    assert mbmf.Planner(task, model, search, 5, 80, settings=planner.settings).settings == planner.settings
    if search != "random_shooting":
        assert planner.settings["execute"] in ("best", "mean")


@pytest.mark.parametrize("limit", [1, 11, 40, 41, 50, 75, 97])
@pytest.mark.parametrize("case", [CASES[2], CASES[3], CASES[4], CASES[6], CASES[8]], ids=name_of)
def test_limits_equal_numpy(case: tuple[str, int, dict[str, Any]], limit: int) -> None:
    task = mbmf.load_task("swimmer_forward")
    model, arrays = make_model(task)
    planner = make(task, model, case, nthread=2)
    search, candidates, settings = case
    plain = ORACLES[search](horizon=12, naction=task.naction, seed=7, candidates=candidates, **settings)
    costs = NumpyCosts(task, arrays)
    costs.state = start_state(task)
    memory, remembered = planner.make_memory(), None
    for step in (0, 1, 4):  # two are skipped
        plan = planner.plan(costs.state, 0, step, candidates=limit, memory=memory)
        want = plain.plan(costs, step=step, memory=remembered, limit=limit)
        remembered = want.memory
        np.testing.assert_allclose(plan.actions, want.actions, atol=1e-5)
        np.testing.assert_allclose(memory.mean, remembered.mean, atol=1e-5)
        assert plan.candidates_done == want.rolled
        assert plan.rounds_done == len(want.rounds)


@pytest.mark.parametrize("case", CASES, ids=name_of)
@pytest.mark.parametrize("preset", ["hopper_forward", "swimmer_trajfollow"])
def test_same_bits_however_it_is_planned(case: tuple[str, int, dict[str, Any]], preset: str) -> None:
    """At 1, 2, 3 and 7 threads; alone, in a batch, with a far deadline."""
    task = mbmf.load_task(preset)
    model, _ = make_model(task)
    states = mbmf.Simulator(task, nsim=5, nthread=1, seed=3).states.copy()
    on: dict[str, Any] = {"segment": 1, "origin": (0.1, 0.2)} if task.path else {}
    wanted: list[list[bytes]] = []
    for nthread in (1, 2, 3, 7):
        planner = make(task, model, case, nthread=nthread)
        bits = []
        for episode, state in enumerate(states):
            memory = planner.make_memory()
            for step in range(3):
                plan = planner.plan(state, episode, step, memory=memory, **on)
                assert plan.candidates_done <= planner.core.most_candidates
                bits.append(plan.actions.tobytes() + plan.states.tobytes() + np.float64(plan.cost).tobytes())
        wanted.append(bits)
    assert all(bits == wanted[0] for bits in wanted)
    assert len(set(wanted[0])) == len(wanted[0])

    planner = make(task, model, case, nthread=2)
    memories = [planner.make_memory() for _ in states]
    batch: dict[str, Any] = {}
    if task.path:
        batch = {"segments": np.ones(5, np.int64), "origins": np.tile([0.1, 0.2], (5, 1))}
    single, timed = planner.make_memory(), planner.make_memory()
    for step in range(3):
        actions, costs = planner.plan_batch(
            states, np.arange(5), np.full(5, step), memories=memories, **batch
        )
        plan = planner.plan(states[2], 2, step, memory=single, **on)
        late = planner.plan(states[2], 2, step, memory=timed, deadline=100.0, **on)
        np.testing.assert_array_equal(actions[2], plan.action)
        np.testing.assert_array_equal(late.actions, plan.actions)
        assert costs[2] == plan.cost == late.cost
        assert memories[2].segment == plan.segment == single.segment
    np.testing.assert_array_equal(single.mean, memories[2].mean)


@pytest.mark.parametrize("case", CASES[2:], ids=name_of)
def test_a_plan_with_a_deadline_is_that_of_its_candidates(case: tuple[str, int, dict[str, Any]]) -> None:
    task = mbmf.load_task("cheetah_forward")
    model, _ = make_model(task, hidden=400)
    planner = make(task, model, case, nthread=2)
    state = start_state(task)
    counts = set()
    for i, deadline in enumerate([1.0, 3e-3, 2e-3, 1.5e-3, 1e-3, 5e-4, 2e-4, 0.0]):
        memory = planner.make_memory()
        planner.plan(state, i, 0, memory=memory)
        again = copy.copy(memory)
        plan = planner.plan(state, i, 1, memory=memory, deadline=deadline)
        want = planner.plan(state, i, 1, memory=again, candidates=plan.candidates_done)
        np.testing.assert_array_equal(plan.actions, want.actions)
        assert plan.cost == want.cost
        np.testing.assert_array_equal(memory.mean, again.mean)
        counts.add(plan.candidates_done)
    assert len(counts) > 1


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_through_the_simulator_and_with_a_python_cost(case: tuple[str, int, dict[str, Any]]) -> None:
    task = mbmf.load_task("swimmer_forward")
    simulator = mbmf.Simulator(task, nsim=1, nthread=1, seed=3)
    row = simulator.get_state()[0]
    search, _, settings = case
    through = make(task, mbmf.SimulatorModel(task), (search, 30, {**settings, **_few(search)}), horizon=4)
    memory = through.make_memory()
    plans = [through.plan(row, 0, step, memory=memory) for step in range(2)]
    assert plans[0].actions.tobytes() != plans[1].actions.tobytes()
    # the cost is that of its actions, stepped one by one
    simulator.set_state(row[None])
    states = [simulator.states[0].copy()]
    for action in plans[1].actions:
        simulator.step(action[None])
        states.append(simulator.states[0].copy())
    np.testing.assert_allclose(plans[1].states, states, rtol=1e-6)
    cost = task.cost(np.array(states)[None], plans[1].actions[None])[0]
    assert plans[1].cost == pytest.approx(cost, rel=1e-5)

    def function(states: npt.NDArray[Any], actions: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return task.cost(states, actions)

    with pytest.warns(UserWarning, match="slower"):
        own = mbmf.load_task("swimmer_forward", cost=function)
    model, _ = make_model(task)
    state = start_state(task)
    got, want = (make(t, model, case).plan(state) for t in (own, task))
    assert got.candidate == want.candidate
    assert got.cost == pytest.approx(want.cost, rel=1e-4)
    np.testing.assert_allclose(got.actions, want.actions, atol=1e-5)


def _few(search: str) -> dict[str, Any]:
    return {"elites": 5} if search in ("cem", "icem") else {}


@pytest.mark.parametrize("case", CASES, ids=name_of)
@pytest.mark.parametrize("preset", ["hopper_forward", "swimmer_trajfollow"])
def test_collect_mpc_is_an_episode_of_act(case: tuple[str, int, dict[str, Any]], preset: str) -> None:
    task = mbmf.load_task(preset)
    model, _ = make_model(task)
    planner = make(task, model, case)
    episodes = mbmf.collect_mpc(task, planner, 2, 5, seed=4, first_episode=6)
    for index in range(2):
        planner.reset(6 + index)
        for step in range(int(episodes.lengths[index])):
            np.testing.assert_array_equal(
                planner.act(episodes.states[index, step]), episodes.actions[index, step]
            )


def test_defaults_are_the_cores() -> None:
    """What Python's classes say of their defaults is what the registry says, and what was published."""
    import inspect

    from mbmf.tasks.searches import search_kinds

    classes = {"random_shooting": mbmf.RandomShooting, "cem": mbmf.CEM, "icem": mbmf.ICEM, "mppi": mbmf.MPPI}
    assert set(classes) == set(search_kinds())
    common = {"self", "task", "model", "horizon", "candidates", "seed", "nthread", "path"}
    common |= {"value", "policy", "proposals"}
    for name, kind in search_kinds().items():
        parameters = inspect.signature(classes[name].__init__).parameters
        assert {p: parameters[p].default for p in parameters if p not in common} == {
            option.name: option.default for option in kind.options.values()
        }
    published = {name: kind.candidates for name, kind in search_kinds().items()}
    assert published == {"random_shooting": 1000, "cem": 500, "icem": 40, "mppi": 700}


def test_memory_of_another_planner_is_refused() -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task)
    state = start_state(task)
    planner = mbmf.ICEM(task, model, horizon=8)
    memory = planner.make_memory()
    planner.plan(state, 0, 5, memory=memory)
    for other, message in (
        (mbmf.CEM(task, model, horizon=8), "search, cem, got one of icem"),
        (mbmf.ICEM(task, model, horizon=9), "horizon, 9, got one of 8"),
    ):
        with pytest.raises(ValueError, match=message):
            other.plan(state, 0, 6, memory=memory)
    with pytest.raises(ValueError, match="memory must be of an earlier step than 4, got one of step 5"):
        planner.plan(state, 0, 4, memory=memory)
    hopper = mbmf.load_task("hopper_forward")
    with pytest.raises(ValueError, match="task, hopper_forward, got one of swimmer_forward"):
        mbmf.ICEM(hopper, make_model(hopper)[0], horizon=8).plan(start_state(hopper), 0, 6, memory=memory)
    with pytest.raises(ValueError, match="one object for each state"):
        planner.plan_batch(np.stack([state, state]), memories=[memory, memory])
    assert memory.step == 5
    planner.plan(state, 0, 6, memory=memory)


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda t, m: mbmf.CEM(t, m, 5, 40, elites=41), "elites must be at most the 40 candidates, got 41"),
        (lambda t, m: mbmf.ICEM(t, m, 5, 4), "elites must be at most the 4 candidates, got 10"),
        (lambda t, m: mbmf.ICEM(t, m, 5, keep=1.5), "keep must be a finite number at least 0 and at most 1"),
        (lambda t, m: mbmf.ICEM(t, m, 5, colour=-1), "colour must be a finite number at least 0"),
        (lambda t, m: mbmf.ICEM(t, m, 1), "colour must be 0 with a horizon of 1, which has no spectrum"),
        (lambda t, m: mbmf.ICEM(t, m, 5, std=0), "std must be a finite number above 0"),
        (lambda t, m: mbmf.CEM(t, m, 5, std=-1), "std must be a finite number above 0"),
        (
            lambda t, m: mbmf.CEM(t, m, 5, std=0.1, tolerance=0.01),
            "tolerance must be below the square of std",
        ),
        (lambda t, m: mbmf.CEM(t, m, 5, std=1e-23, tolerance=0), "tolerance must be below the square of std"),
        (lambda t, m: mbmf.MPPI(t, m, 5, temperature=0), "temperature must be a finite number above 0"),
        (lambda t, m: mbmf.MPPI(t, m, 5, smoothing=0), "smoothing must be a finite number above 0"),
        (lambda t, m: mbmf.MPPI(t, m, 5, execute="worst"), "execute must be one of best, mean, got 'worst'"),
        (lambda t, m: mbmf.CEM(t, m, 5, rounds=2.5), "rounds must be a whole number at least 1"),
        (lambda t, m: mbmf.CEM(t, m, 5, rounds=10**400), "rounds must be a whole number at least 1"),
        (lambda t, m: mbmf.CEM(t, m, 5, std=10**400), "std must be a finite number above 0"),
        (lambda t, m: mbmf.CEM(t, m, 5, std=float("nan")), "std must be a finite number"),
        (lambda t, m: mbmf.make_planner(t, m, "icme"), r"search must be one of .* \(did you mean icem"),
        (lambda t, m: mbmf.make_planner(t, m, "cem", settings={"elite": 3}), "did you mean elites"),
    ],
)
def test_bad_settings(make_it: Any, message: str) -> None:
    task = mbmf.load_task("swimmer_forward")
    with pytest.raises(ValueError, match=message):
        make_it(task, make_model(task)[0])


@pytest.mark.parametrize("search", list(ORACLES))
def test_no_finite_candidate(search: str) -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task, scale=1e30)
    planner = mbmf.make_planner(task, model, search, 10, 50, settings=_few(search))
    memory = planner.make_memory()
    with pytest.raises(mbmf.CoreError, match="no candidate has a finite cost at step 2 of episode 1"):
        planner.plan(start_state(task), 1, 2, memory=memory)
    assert not memory.filled


def test_what_does_not_fit_is_said_when_the_task_is_read(tmp_path: Any, capsys: Any) -> None:
    """Not after the minutes of data and training that come before the first plan."""
    from mbmf.cli import main as cli

    task = mbmf.load_task("cheetah_forward")
    with pytest.raises(mbmf.MbmfError, match=r"planner\.elites must be at most the 4 candidates"):
        task.with_planner("icem", candidates=4)
    config = task.config.model_dump(exclude_none=True)
    with pytest.raises(mbmf.MbmfError, match=r"task: planner.colour must be 0 with a horizon of 1"):
        mbmf.load_task(config | {"planner": {"search": "icem", "horizon": 1}})
    args = ["mb", "--yaml_file=cheetah_forward", "--search=icem", "--candidates=4", f"--runs_dir={tmp_path}"]
    assert cli.main(args) == 2
    assert "--elites must be at most the 4 candidates, got 10" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_another_horizon_leaves_each_path_its_own_number_of_candidates() -> None:
    task = mbmf.load_task("ant_trajfollow")
    other = task.with_planner(horizon=5)
    assert (other.path.name, other.planner.horizon, other.planner.candidates) == ("straight", 5, 3000)
    assert other.with_path("left_turn").planner.candidates == 7000
    # a number that was asked for is every path's
    assert task.with_planner(candidates=50).with_path("left_turn").planner.candidates == 50


def test_settings_of_the_search_that_the_command_line_names() -> None:
    """--set may be of the search of --search, and leaves the horizon that the file's section has."""
    from mbmf.cli.planner_options import PlannerOptions

    task = mbmf.load_task("cheetah_forward")
    changed = PlannerOptions(search="icem", set=("planner.colour=2", "model_based.horizon=7"))
    planner = changed.applied_to(task).planner
    assert (planner.search, planner.settings["colour"], planner.horizon) == ("icem", 2, 7)
    own = task.with_planner("mppi", 9)
    planner = PlannerOptions(search="icem", candidates=50, set=("planner.colour=2",)).applied_to(own).planner
    assert (planner.search, planner.candidates, planner.horizon) == ("icem", 50, 9)
    assert planner.settings["colour"] == 2
    with pytest.raises(mbmf.MbmfError, match=r"planner\.colour must be a known key"):
        PlannerOptions(search="cem", set=("planner.colour=2",)).applied_to(task)
    with pytest.raises(mbmf.MbmfError, match=r"--search must be a search .* got 'icm'"):
        PlannerOptions(search="icm", set=("planner.colour=2",)).applied_to(task)


def test_the_table_of_defaults_is_true() -> None:
    """That of docs/planning.md."""
    import re
    from pathlib import Path

    from mbmf.tasks.searches import search_kinds

    page = (Path(__file__).parents[2] / "docs" / "planning.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    table = {row[0].strip("`"): row for row in rows if len(row) == 4 and row[0].startswith("`")}
    for name, kind in search_kinds().items():
        for option in kind.options.values():
            searches = re.findall(r"`(\w+)`", table[option.name][1])
            assert name in searches
            defaults = table[option.name][3].split(", ")
            shown = defaults[searches.index(name) if len(defaults) > 1 else 0]
            default = option.default
            text = f"{default:g}" if isinstance(default, float) else str(default).lower()
            assert text == shown, (name, option.name)
