"""Learning curves over seeds, beside hand-computed means and the table read off the paper's own curves."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from mbmf.errors import DataError
from mbmf.show.learning_curves import (
    METHODS,
    PAPER_AGENTS,
    Curve,
    Series,
    lowest_after,
    mean_curve,
    paper_curves,
    plot_learning_curves,
    steps_to,
)
from mbmf.tasks.agents import agents


def series(steps: Any, rewards: Any, name: str = "") -> Series:
    return Series(np.array(steps, np.float64), np.array(rewards, np.float64), name)


def test_mean_and_band_over_the_steps_that_all_seeds_have() -> None:
    # the second seed starts later, ends earlier, and has no point at 100, half way in logarithms
    curve = mean_curve([series([1, 10, 100, 1000, 10000], [0, 1, 2, 3, 4]), series([10, 1000], [3, 7])])
    np.testing.assert_array_equal(curve.steps, [10, 100, 1000])
    np.testing.assert_allclose(curve.mean, [2, 3.5, 5])
    np.testing.assert_allclose(curve.high - curve.mean, [1, 1.5, 2])
    np.testing.assert_allclose(curve.mean - curve.low, [1, 1.5, 2])
    assert len(curve.series) == 2
    assert curve.best == 5


def test_a_seed_that_was_good_enough_holds_its_last_reward() -> None:
    """`--stop_at_reward` ends the best seed first: it must not cut the others off."""
    good = dataclasses.replace(series([100, 200], [0, 20]), holds=True)
    slow = series([100, 200, 400], [0, 4, 24])
    curve = mean_curve([good, slow])
    np.testing.assert_array_equal(curve.steps, [100, 200, 400])
    np.testing.assert_allclose(curve.mean, [0, 12, 22])
    both = mean_curve([good, dataclasses.replace(slow, holds=True)])
    np.testing.assert_allclose(both.mean, curve.mean)
    np.testing.assert_array_equal(mean_curve([series([100, 200], [0, 20]), slow]).steps, [100, 200])
    later = series([50], [1]).followed_by(good)
    assert later.holds


def test_one_seed_is_its_own_mean() -> None:
    curve = mean_curve([series([1, 3], [5, -1])])
    np.testing.assert_array_equal(curve.mean, [5, -1])
    np.testing.assert_array_equal(curve.low, curve.high)


def test_series_of_records_leaves_out_iterations_without_a_reward() -> None:
    records = [
        {"iteration": 1, "steps_total": 10, "reward_mean": 1.5},
        {"iteration": 2, "steps_total": 20, "reward_mean": None},
        {"iteration": 3, "steps_total": 30, "reward_mean": 2.5},
    ]
    found = Series.of_records(records, "run_1")
    assert found is not None
    np.testing.assert_array_equal(found.steps, [10, 30])
    np.testing.assert_array_equal(found.rewards, [1.5, 2.5])
    assert Series.of_records([]) is None
    assert Series.of_records(records[1:2]) is None


def test_fine_tuning_follows_what_came_before() -> None:
    before = series([10, 20], [1, 2], "run_1")
    both = before.followed_by(series([20, 30], [9, 3]))  # of the same step, the earlier stage's value stays
    np.testing.assert_array_equal(both.steps, [10, 20, 30])
    np.testing.assert_array_equal(both.rewards, [1, 2, 3])
    assert both.name == "run_1"
    assert before.followed_by(None) is before


def test_steps_to_a_reward() -> None:
    curve = mean_curve([series([10, 100, 1000], [0, 1, 3])])
    assert steps_to(curve, -1) == 10
    assert steps_to(curve, 1) == pytest.approx(100)
    assert steps_to(curve, 2) == pytest.approx(10**2.5)
    assert steps_to(curve, 3.5) is None


# what was tabulated when the curves were read off: steps that MF and MBMF need for a share of MF's best
@pytest.mark.parametrize(
    ("agent", "best", "mf", "mbmf"),
    [
        ("swimmer", 66.5, (2.9e5, 7.4e5, 1.2e6, 1.6e6), (1.4e5, 3.7e5, 7.0e5, 9.8e5)),
        ("half_cheetah", 4559, (6.7e6, 1.7e7, 3.3e7, 6.7e7), (1.4e6, 4.1e6, 1.2e7, 2.1e7)),
        ("hopper", 3377, (2.1e6, 6.0e6, 1.3e7, 5.6e7), (1.4e6, 2.9e6, 6.2e6, 1.7e7)),
        ("ant", 3902, (1.1e7, 2.2e7, 4.0e7, 8.2e7), (8.6e6, 1.5e7, 2.7e7, 4.5e7)),
    ],
)
def test_published_curves(agent: str, best: float, mf: tuple[float, ...], mbmf: tuple[float, ...]) -> None:
    curves = paper_curves(agent)
    assert tuple(curves) == METHODS
    assert curves["MF"].best == pytest.approx(best, rel=0.05)  # the file has fewer points than the curve
    climb = lowest_after(curves["MBMF"], curves["MB"].steps[-1])
    for share, mf_steps, mbmf_steps in zip((0.25, 0.5, 0.75, 0.9), mf, mbmf, strict=True):
        assert steps_to(curves["MF"], share * best) == pytest.approx(mf_steps, rel=0.06)
        assert steps_to(curves["MBMF"], share * best, climb) == pytest.approx(mbmf_steps, rel=0.06)


def test_the_imitation_policy_may_pass_a_reward_before_fine_tuning_does() -> None:
    swimmer = paper_curves("swimmer")["MBMF"]
    assert steps_to(swimmer, 30) < 5e4 < 1e5 < lowest_after(swimmer, 2.4e4) < steps_to(swimmer, 30, 1e5)


def test_plot_has_a_line_and_a_band_per_method_and_mf_best() -> None:
    curves = {
        "MF": mean_curve([series([10, 100], [0, 5]), series([10, 100], [2, 7])]),
        "MB": mean_curve([series([10], [3])]),
    }
    figure = plot_learning_curves(curves, paper=paper_curves("swimmer"), title="swimmer")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "model-based (MB)",
        "MB, published",
        "MBMF, published",
        "model-free (MF), mean ± std of 2 seeds",
        "MF, published",
        "best of MF (6)",
    ]
    dashed = next(line for line in axes.lines if line.get_linestyle() == "--")
    assert set(dashed.get_ydata()) == {6.0}
    assert len(axes.collections) == 1  # one band: MB has one seed
    mean = next(line for line in axes.lines if line.get_label().startswith("model-free"))
    np.testing.assert_array_equal(mean.get_ydata(), [1, 6])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: series([1, 1], [0, 0], "run_3"), DataError, "run_3: steps must be positive"),
        (lambda: series([0, 1], [0, 0]), DataError, "series: steps must be positive and increasing"),
        (
            lambda: series([1, 2], [0]),
            DataError,
            r"must be of one shape \(n,\), n at least 1, got \(2,\) and",
        ),
        (lambda: series([], []), DataError, "n at least 1"),
        (lambda: series([1], [np.inf]), DataError, "steps and rewards must be finite, got NaN or infinity"),
        (lambda: mean_curve([]), ValueError, "series must be one or more, got none"),
        (
            lambda: mean_curve([series([1, 2], [0, 0], "a"), series([3, 4], [0, 0], "b")]),
            DataError,
            "the seeds' curves must overlap to have a mean, got a 1 to 2, b 3 to 4",
        ),
        (lambda: paper_curves("dog"), ValueError, "agent must be one of swimmer, .*, got 'dog'"),
        (
            lambda: lowest_after(mean_curve([series([1, 20], [0, 0])]), 30),
            ValueError,
            "after must be at most the curve's last, 20, got 30",
        ),
        (lambda: plot_learning_curves({}), ValueError, "curves must be one or more, got none"),
        (
            lambda: plot_learning_curves({"X": Curve(*np.ones((4, 1)))}),
            ValueError,
            "curves must be of MB, MBMF, MF, got 'X'",
        ),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_every_agent_has_published_curves() -> None:
    assert set(PAPER_AGENTS) == {agent.names[0] for agent in agents()}
