"""What came of the runs of a sweep: a row for each as CSV, and means over the seeds of each case."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.runs.run import Run

Settings = Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """What came of a run: "finished", "unfinished" or "failed", and its last and its best reward.

    The rewards are means over the episodes of an iteration, NaN where there is none and of a run that failed,
    which may be one of other settings; ``steps`` are control steps in all.
    """

    case: str
    settings: Settings
    seed: int
    state: str
    iterations: int
    steps: int
    reward: float
    best_reward: float
    error: str = ""


def rows_of(
    case: str,
    settings: Settings,
    runs: Mapping[int, Path],
    failures: Mapping[int, str],
) -> list[Row]:
    """A row for each seed of a case.

    Args:
        case, settings: what it is called, and what is other than in the task.
        runs: directories, by seed.
        failures: by seed, why a run failed. A run that is damaged failed too.
    """
    rows = []
    for seed, path in runs.items():
        error = failures.get(seed)
        if error is None:
            try:
                rows.append(_row(case, settings, seed, Run(path)))
                continue
            except DataError as damage:
                error = str(damage)
        nan = float("nan")
        rows.append(Row(case, settings, seed, "failed", 0, 0, nan, nan, error))
    return rows


def _row(case: str, settings: Settings, seed: int, run: Run) -> Row:
    """Raises DataError if the run is damaged."""
    records = run.metrics() if run.exists else []
    rewards = [float(each["reward_mean"]) for each in records if each["reward_mean"] is not None]
    return Row(
        case,
        settings,
        seed,
        "finished" if run.exists and run.summary() is not None else "unfinished",
        len(records),
        int(records[-1]["steps_total"]) if records else 0,
        rewards[-1] if rewards else float("nan"),
        max(rewards, default=float("nan")),
    )


@dataclass(frozen=True)
class CaseSummary:
    """Over the seeds of a case that have a reward: how many, means and deviations (population)."""

    case: str
    seeds: int
    finished: int
    reward: tuple[float, float]
    best_reward: tuple[float, float]
    steps: float


def summarize(rows: Sequence[Row]) -> list[CaseSummary]:
    """A summary for each case, in their order."""
    found = []
    for name, group in itertools.groupby(rows, key=lambda row: row.case):
        of_case = list(group)
        rewarded = [row for row in of_case if not np.isnan(row.reward)]
        found.append(
            CaseSummary(
                name,
                len(rewarded),
                sum(row.state == "finished" for row in of_case),
                _mean_and_std([row.reward for row in rewarded]),
                _mean_and_std([row.best_reward for row in rewarded]),
                _mean_and_std([float(row.steps) for row in rewarded])[0],
            )
        )
    return found


def _mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return float("nan"), float("nan")
    return float(np.mean(values)), float(np.std(values))


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Writes a row for each run as CSV, with a column for each setting that varies; whole or not at all.

    Returns the path. Raises OSError.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row.settings))
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    values = ("state", "iterations", "steps", "reward", "best_reward", "error")
    table.writerow(["case", *keys, "seed", *values])
    for row in rows:
        settings = [row.settings.get(key, "") for key in keys]
        numbers = ["" if value != value else f"{value:.6g}" for value in (row.reward, row.best_reward)]
        table.writerow(
            [row.case, *settings, row.seed, row.state, row.iterations, row.steps, *numbers, row.error]
        )
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
    return path
