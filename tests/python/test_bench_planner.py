"""`mbmf bench planner` at tiny sizes: that it measures what it says, and that a wrong result is noticed."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mbmf.benchmarks import plan_timing
from mbmf.benchmarks.plan_baselines import NumpyPlan, Oracle, PlainCost, TorchPlan
from mbmf.benchmarks.plan_cases import PRESETS, CaseMaker, PlanCase, never_dying
from mbmf.cli import bench_planner
from mbmf.cli import main as cli
from mbmf.errors import MbmfError
from mbmf.nn import training

TINY = bench_planner.Effort(
    presets=("hopper_forward",),
    case_seconds=0.0,
    point_seconds=0.0,
    plans=20,
    candidates=(10, 40),
    horizons=(1, 3),
    widths=(8, 16),
)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_timing, "SLICE_SECONDS", 1e-3)


@pytest.fixture(scope="module", params=PRESETS)
def case(request: pytest.FixtureRequest) -> PlanCase:
    maker = CaseMaker(request.param, episodes=2, steps=20, nthread=2)
    return maker.make(hidden=(24,), epochs=3).resized(horizon=12, candidates=200)


def costs_of_all(case: PlanCase) -> tuple[Oracle, dict[str, np.ndarray], np.ndarray]:
    planner = case.planner(2)
    actions = planner.core.sample(0, 0, 0, case.candidates)
    costs: dict[str, np.ndarray] = {"mbmf": planner.core.costs(case.state, 0, 0)}
    with training.torch_threads(1):
        for layout in plan_timing.LAYOUTS:
            costs[layout] = TorchPlan(case, layout, 1).costs(case.state, actions)
    costs["NumPy"] = NumpyPlan(case).costs(case.state, actions)
    return Oracle.of(case, actions), costs, actions


def test_all_agree_with_the_oracle(case: PlanCase) -> None:
    oracle, costs, _ = costs_of_all(case)
    oracle.check(case, costs)
    assert np.ptp(oracle.costs) > 0
    assert oracle.sure.mean() > 0.9


def test_hoppers_die_unless_told_not_to(case: PlanCase) -> None:
    alive = PlainCost.of(case).alive
    assert bool(alive) == (case.name in ("hopper_forward", "ant_forward"))
    if case.name == "hopper_forward":
        long = case.resized(horizon=40)
        assert 0 < costs_of_all(long)[0].live_share < 1
        oracle, costs, _ = costs_of_all(never_dying(long))
        assert oracle.live_share == 1
        oracle.check(long, costs)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda costs: costs * (1 + 1e-3), "within 0.0001 of the oracle's, got a difference"),
        (lambda costs: costs[::-1], "within 0.0001 of the oracle's"),
        (lambda costs: np.where(np.arange(len(costs)) == 7, np.nan, costs), "got a difference of nan"),
    ],
)
def test_wrong_costs_are_noticed(
    case: PlanCase, spoil: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    oracle, costs, _ = costs_of_all(case)
    oracle = dataclasses.replace(oracle, sure=np.ones_like(oracle.sure))
    with pytest.raises(MbmfError, match=message):
        oracle.check(case, {"NumPy": spoil(costs["NumPy"])})


def test_a_wrong_choice_is_noticed(case: PlanCase) -> None:
    oracle, _, _ = costs_of_all(case)
    # within the tolerance of everybody's cost, yet choosing somebody else
    costs = np.zeros(case.candidates)
    costs[5] = -1
    wrong = dataclasses.replace(oracle, costs=costs, sure=np.arange(case.candidates) == 9)
    with pytest.raises(MbmfError, match="9 of 10 candidates must not be at a bound"):
        wrong.check(case, {"mbmf": costs})
    wrong = dataclasses.replace(wrong, sure=np.arange(case.candidates) != 5)
    choice = np.where(np.arange(case.candidates) == 9, -1e-5, 0.0)
    with pytest.raises(MbmfError, match="must choose the best candidate, got 9"):
        wrong.check(case, {"mbmf": choice})


def test_a_baseline_that_plans_from_elsewhere_is_noticed(case: PlanCase) -> None:
    plan_timing.checked(case, case.planner(1), {"NumPy": NumpyPlan(case)})
    with pytest.raises(MbmfError, match="costs of NumPy must be within"):
        plan_timing.checked(case, case.planner(1), {"NumPy": _FromElsewhere(case, case.state + 0.01)})


class _FromElsewhere(NumpyPlan):
    """Plans from another state than it is told."""

    def __init__(self, case: PlanCase, start: np.ndarray) -> None:
        super().__init__(case)
        self._start = start

    def _roll(self, state: np.ndarray) -> None:
        super()._roll(self._start)


def test_formula(case: PlanCase) -> None:
    nstate, naction = case.task.nstate, case.task.naction
    assert case.flops == 200 * 12 * 2 * ((nstate + naction) * 24 + 24 * nstate)


def test_measure(case: PlanCase) -> None:
    one, two = plan_timing.measure(case, [1, 2], 0.0, [[1], [2]])
    assert (one.nthread, two.nthread, one.hidden) == (1, 2, 24)
    for time in (one, two):
        assert min(time.seconds, time.torch_seconds, time.peak, time.scratch_bytes) > 0
        assert time.numpy_seconds is not None
        assert time.gflops == pytest.approx(case.flops / time.seconds * 1e-9)
        assert time.peak_share == pytest.approx(time.gflops / time.peak)


def test_interleave_takes_turns() -> None:
    calls: list[str] = []
    contestants = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = plan_timing.interleave(contestants, 0.0, 0.0, before={"a": lambda: calls.append("-")})
    order = "".join(calls)
    turns = [turn for turn in order.split("-") if turn]
    assert len(turns) == plan_timing.MIN_ROUNDS
    for turn in turns:
        assert turn == "a" * turn.count("a") + "b" * turn.count("b")
        assert min(turn.count("a"), turn.count("b")) >= 2
    # the first call of a turn is not counted
    assert len(times["a"]) == order.count("a") - plan_timing.MIN_ROUNDS


def test_memory_growth_sees_what_was_given_back() -> None:
    def make() -> None:
        np.ones(4 << 20)  # 32 MiB, gone at once

    grown = plan_timing.memory_growth(make)
    if grown is None:
        pytest.skip("the system does not tell")
    assert 30 << 20 < grown < 40 << 20


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_planner, "QUICK", TINY)
    monkeypatch.setattr(plan_timing, "PEAK_SECONDS", 1e-3)
    whole = CaseMaker.make
    small = {"candidates": 60, "horizon": 25}
    monkeypatch.setattr(CaseMaker, "make", lambda *args, **kwargs: whole(*args, **kwargs).resized(**small))
    output = tmp_path / "new" / "folder"
    assert cli.main(["bench", "planner", "--quick", "--nthread=2", f"--output={output}"]) == 0
    printed = capsys.readouterr().out
    for text in ("threads: 2", "command: ", "machine: ", "nobody dies", "p99.9", "PyTorch", "NumPy"):
        assert text in printed
    results = json.loads((output / "results.json").read_text())
    assert {(plan["case"], plan["nthread"]) for plan in results["plans"]} == {
        (name, n) for name in ("hopper_forward", "hopper_forward, nobody dies") for n in (1, 2)
    }
    values = {"candidates": ["10", "40"], "horizon": ["1", "3"], "hidden": ["8", "16"]}
    for axis, expected in values.items():
        rows = list(csv.DictReader((output / f"sweep_{axis}.csv").open()))
        assert [row[axis] for row in rows] == expected
    latency = results["latency_milliseconds"]
    assert latency["count"] == 20
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"]
    for axis in (*values, "nthread"):
        assert (output / f"sweep_{axis}.png").read_bytes().startswith(b"\x89PNG")
        assert (output / f"sweep_{axis}.svg").exists()


def test_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["bench", "planner", "--nthread=-1"]) == 2
    assert "--nthread must be at least 0, got -1" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["bench", "planner", f"--output={tmp_path / 'file'}"]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["bench", "plannr"])
