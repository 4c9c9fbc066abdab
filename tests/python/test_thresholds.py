"""Steps to shares of MF's best: on curves with known answers, and on the published ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mbmf.errors import DataError
from mbmf.show.learning_curves import Curve, Series, lowest_after, mean_curve, paper_curves
from mbmf.show.thresholds import Threshold, thresholds, write_thresholds


def curve(*seeds: list[tuple[float, float]]) -> Curve:
    series = [Series.of(points, f"seed {i}") for i, points in enumerate(seeds)]
    return mean_curve([each for each in series if each is not None])


def test_known_answers() -> None:
    # the mean is 100 at 1e6 steps; half of it is passed half way between 1e4 and 1e5 on a logarithmic axis
    mf = curve([(1e3, 0), (1e4, 30), (1e5, 80), (1e6, 120)], [(1e3, 0), (1e4, 10), (1e5, 80), (1e6, 80)])
    mbmf = curve([(2e3, 26), (1e4, 60), (2e4, 74)])
    rows = thresholds(mf, mbmf)
    assert [(row.share, row.reward) for row in rows] == [(0.25, 25), (0.5, 50), (0.75, 75), (0.9, 90)]
    assert rows[0].mf_steps == pytest.approx(10 ** (4 + 5 / 60))
    # reached from the beginning
    assert rows[0].mbmf_steps == 2e3
    assert rows[1].mf_steps == pytest.approx(10**4.5)
    assert rows[1].mbmf_steps == pytest.approx(2e3 * 5 ** (24 / 34))
    assert rows[1].ratio == pytest.approx(10**4.5 / (2e3 * 5 ** (24 / 34)))
    assert rows[3].mf_steps == pytest.approx(10**5.5)
    # never reached
    assert [row.mbmf_steps for row in rows[2:]] == [None, None]
    assert [row.ratio for row in rows[2:]] == [None, None]
    assert thresholds(mf, mbmf, (1.0,))[0].mf_steps == pytest.approx(1e6)
    assert thresholds(mf, mbmf, (1.0,), best=60)[0].mbmf_steps == pytest.approx(1e4)


# as given for the published curves: steps of MF / steps of MBMF = ratio, at each share of MF's best
PUBLISHED = {
    "swimmer": (66.5, [(2.9e5, 1.4e5, 2.1), (7.4e5, 3.7e5, 2.0), (1.2e6, 7.0e5, 1.8), (1.6e6, 9.8e5, 1.6)]),
    "half_cheetah": (
        4559,
        [(6.7e6, 1.4e6, 4.9), (1.7e7, 4.1e6, 4.2), (3.3e7, 1.2e7, 2.8), (6.7e7, 2.1e7, 3.2)],
    ),
    "hopper": (3377, [(2.1e6, 1.4e6, 1.6), (6.0e6, 2.9e6, 2.1), (1.3e7, 6.2e6, 2.0), (5.6e7, 1.7e7, 3.2)]),
    "ant": (3902, [(1.1e7, 8.6e6, 1.25), (2.2e7, 1.5e7, 1.4), (4.0e7, 2.7e7, 1.5), (8.2e7, 4.5e7, 1.8)]),
}


@pytest.mark.parametrize("agent", PUBLISHED)
def test_published_curves(agent: str) -> None:
    best, wanted = PUBLISHED[agent]
    curves = paper_curves(agent)
    assert curves["MF"].best == pytest.approx(best, rel=0.06)
    start = lowest_after(curves["MBMF"], curves["MB"].steps[-1])
    tuned = curves["MBMF"].steps >= start
    mbmf = Curve(*(getattr(curves["MBMF"], name)[tuned] for name in ("steps", "mean", "low", "high")))
    rows = thresholds(curves["MF"], mbmf, best=best)
    found = [(row.mf_steps, row.mbmf_steps, row.ratio) for row in rows]
    np.testing.assert_allclose(np.array(found, float), wanted, rtol=0.06)


def test_files(tmp_path: Path) -> None:
    rows = [Threshold(0.5, 33.25, 7.4e5, 3.7e5), Threshold(0.9, 60.0, 1.5e6, None)]
    paths = write_thresholds(tmp_path, rows, {"agent": "swimmer", "seeds": [0, 70]})
    assert [path.name for path in paths] == ["thresholds.csv", "thresholds.json"]
    table = list(csv.DictReader(paths[0].open(newline="")))
    assert [float(row["share"]) for row in table] == [0.5, 0.9]
    assert float(table[0]["ratio"]) == 2
    assert (table[1]["mbmf_steps"], table[1]["ratio"]) == ("", "")
    contents = json.loads(paths[1].read_text())
    assert contents["seeds"] == [0, 70]
    assert contents["thresholds"][0] == rows[0].row()
    assert contents["thresholds"][1]["ratio"] is None


def test_there_must_be_something_to_reach() -> None:
    flat = curve([(1, -5.0), (2, -4.0)])
    with pytest.raises(DataError, match="best mean reward of MF must be positive to have shares, got -4"):
        thresholds(flat, flat)
