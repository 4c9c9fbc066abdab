"""Learning curves: reward against the control steps that it took, by method, over seeds (paper, section VI).

Steps are counted as the paper counts them. MB: the points of random and aggregated data that a model was
trained on. MBMF: those, then the points of the rollouts that imitation learned from and the steps that it
labelled, then each batch of TRPO. MF: each batch of TRPO.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.runs.run import Record
from mbmf.show.plots import new_figure

FloatArray = NDArray[np.float64]

METHODS = ("MB", "MBMF", "MF")
PAPER_AGENTS = ("swimmer", "half_cheetah", "hopper", "ant")

TITLES = {"MB": "model-based (MB)", "MBMF": "model-based, then model-free (MBMF)", "MF": "model-free (MF)"}
# told apart by readers who do not see all colours (Okabe and Ito)
COLORS = {"MB": "#009E73", "MBMF": "#0072B2", "MF": "#D55E00"}
_MARKERS = {"MB": "o", "MBMF": "s", "MF": "^"}
_PAPER_FOLDER = Path(__file__).parent / "paper_curves"


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """The curve of one seed.

    Attributes:
        steps: control steps so far, float64 (n,), positive and increasing.
        rewards: mean return per episode there, float64 (n,).
        name: of the run, for messages.
        holds: it was ended because its reward was high enough: a mean takes its last reward for what follows.

    Raises DataError if the two are not of that form.
    """

    steps: FloatArray
    rewards: FloatArray
    name: str = ""
    holds: bool = False

    def __post_init__(self) -> None:
        steps, rewards = self.steps, self.rewards
        if steps.ndim != 1 or steps.shape != rewards.shape or len(steps) == 0:
            raise DataError(
                f"{self.name or 'series'}: steps and rewards must be of one shape (n,), n at least 1, "
                f"got {steps.shape} and {rewards.shape}"
            )
        if not (np.isfinite(steps).all() and np.isfinite(rewards).all()):
            raise DataError(f"{self.name or 'series'}: steps and rewards must be finite, got NaN or infinity")
        if steps[0] <= 0 or (np.diff(steps) <= 0).any():
            raise DataError(f"{self.name or 'series'}: steps must be positive and increasing, got {steps}")

    @classmethod
    def of(cls, points: Iterable[tuple[float, float | None]], name: str = "") -> Series | None:
        """From (steps, reward) in order; those without a reward are left out. None if there is no other."""
        pairs = [(steps, reward) for steps, reward in points if reward is not None]
        if not pairs:
            return None
        steps, rewards = np.array(pairs, np.float64).T
        return cls(steps, rewards, name)

    @classmethod
    def of_records(cls, records: Iterable[Record], name: str = "") -> Series | None:
        """From the metrics of a run of ``mbmf mb`` or of TRPO; None if no iteration has a reward."""
        return cls.of(((each["steps_total"], each["reward_mean"]) for each in records), name)

    def followed_by(self, other: Series | None) -> Series:
        """This series, and then the part of ``other`` that comes after it."""
        if other is None:
            return self
        later = other.steps > self.steps[-1]
        return Series(
            np.concatenate([self.steps, other.steps[later]]),
            np.concatenate([self.rewards, other.rewards[later]]),
            self.name,
            other.holds,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """What a method reached, over seeds.

    Attributes:
        steps: control steps, float64 (n,), where every seed has a value: from the last one's first to the
            first one's last, of those that do not hold theirs.
        mean: mean reward over the seeds, float64 (n,).
        low, high: mean - deviation and mean + deviation over the seeds (population), float64 (n,).
        series: what it was made of, one of each seed.
    """

    steps: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    series: tuple[Series, ...] = ()

    @property
    def best(self) -> float:
        """The highest mean reward."""
        return float(self.mean.max())


def mean_curve(series: Sequence[Series]) -> Curve:
    """Mean and band of one method's seeds.

    Between its points a seed is taken to run straight, over the logarithm of the steps as it is drawn. Raises
    ValueError if there is no series, DataError if no step lies within all of them.
    """
    if not series:
        raise ValueError("series must be one or more, got none")
    first, ends = max(each.steps[0] for each in series), [each.steps[-1] for each in series]
    # of those that go on; what is beyond the end of one that holds is its last reward
    last = min((end for end, each in zip(ends, series, strict=True) if not each.holds), default=max(ends))
    if first > last:
        names = ", ".join(f"{each.name} {each.steps[0]:,.0f} to {each.steps[-1]:,.0f}" for each in series)
        raise DataError(f"the seeds' curves must overlap to have a mean, got {names}")
    steps = np.unique(np.concatenate([each.steps for each in series]))
    steps = steps[(first <= steps) & (steps <= last)]
    rewards = np.array([np.interp(np.log(steps), np.log(each.steps), each.rewards) for each in series])
    mean, deviation = rewards.mean(axis=0), rewards.std(axis=0)
    return Curve(steps, mean, mean - deviation, mean + deviation, tuple(series))


def steps_to(curve: Curve, reward: float, after: float = 0.0) -> float | None:
    """The control steps, ``after`` or later, at which the mean first reaches ``reward``; None if it does not.

    Between two points as `mean_curve` has it: straight over the logarithm of the steps. MBMF may pass a low
    reward twice, with the imitation policy and again after the exploration noise has thrown it back: see
    `lowest_after`.
    """
    steps, mean = curve.steps[curve.steps >= after], curve.mean[curve.steps >= after]
    reached = np.flatnonzero(mean >= reward)
    if len(reached) == 0:
        return None
    i = int(reached[0])
    if i == 0:
        return float(steps[0])
    share = (reward - mean[i - 1]) / (mean[i] - mean[i - 1])
    return float(steps[i - 1] * (steps[i] / steps[i - 1]) ** share)


def lowest_after(curve: Curve, after: float) -> float:
    """The control steps at which the mean is lowest, of those at ``after`` or later.

    With the steps of MB's last iteration this is where fine-tuning starts to climb: `steps_to` from there
    counts what fine-tuning reached, as the paper's comparison with MF does.

    Raises ValueError if the curve ends before.
    """
    steps = curve.steps[curve.steps >= after]
    if len(steps) == 0:
        raise ValueError(f"after must be at most the curve's last, {curve.steps[-1]:,.0f}, got {after:,.0f}")
    return float(steps[np.argmin(curve.mean[curve.steps >= after])])


def paper_curves(agent: str) -> dict[str, Curve]:
    """The published curve of each of `METHODS`, read off the paper's figure (the mean of three seeds).

    Args:
        agent: one of `PAPER_AGENTS`.

    Raises ValueError for another one.
    """
    if agent not in PAPER_AGENTS:
        raise ValueError(f"agent must be one of {', '.join(PAPER_AGENTS)}, got {agent!r}")
    curves = {}
    with open(_PAPER_FOLDER / f"{agent}.csv", encoding="utf-8", newline="") as file:
        for method, rows in itertools.groupby(csv.DictReader(file), key=lambda row: row["method"]):
            points = ((float(row["steps"]), float(row["reward"])) for row in rows)
            series = Series.of(points, f"the paper's {method}")
            assert series is not None
            curves[method] = mean_curve([series])
    return curves


def write_curves(path: Path, curves: Mapping[str, Curve]) -> Path:
    """Writes what the curves are made of as CSV: method, run, steps, reward; whole or not at all.

    Returns the path. Raises OSError.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["method", "run", "steps", "reward"])
    for method in METHODS:
        for series in curves[method].series if method in curves else ():
            for steps, reward in zip(series.steps, series.rewards, strict=True):
                rows.writerow([method, series.name, f"{steps:.0f}", f"{reward:.6g}"])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
    return path


def plot_learning_curves(
    curves: Mapping[str, Curve],
    *,
    paper: Mapping[str, Curve] | None = None,
    title: str = "",
    reward_name: str = "return per episode",
) -> Figure:
    """Reward against control steps on a logarithmic axis: mean and band over seeds, each seed as a thin line.

    The best level of MF is a dashed line.

    Args:
        curves: by method, of `METHODS`; some may be missing.
        paper: published curves to lay over them (`paper_curves`), dotted.
        title: above the plot.
        reward_name: of the vertical axis.

    Raises ValueError if there is no curve, or one of another method.
    """
    if not curves and not paper:
        raise ValueError("curves must be one or more, got none")
    for name in (*curves, *(paper or {})):
        if name not in METHODS:
            raise ValueError(f"curves must be of {', '.join(METHODS)}, got {name!r}")
    figure = new_figure(8, 6)
    axes = figure.subplots()
    for method in METHODS:
        color, order = COLORS[method], 3 if method == "MB" else 2  # MBMF starts with MB: that lies on top
        if method in curves:
            curve = curves[method]
            seeds = len(curve.series)
            label = TITLES[method] + (f", mean ± std of {seeds} seeds" if seeds > 1 else "")
            axes.plot(
                curve.steps,
                curve.mean,
                color=color,
                linewidth=2,
                marker=_MARKERS[method] if method == "MB" or len(curve.steps) == 1 else None,
                markersize=4,
                zorder=order,
                label=label,
            )
            if seeds > 1:
                axes.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.2, linewidth=0)
                for series in curve.series:
                    axes.plot(series.steps, series.rewards, color=color, linewidth=0.6, alpha=0.6)
        if paper and method in paper:
            label = f"{method}, published"
            steps, mean = paper[method].steps, paper[method].mean
            # above ours, with an edge: they may lie on each other
            edge = [patheffects.Stroke(linewidth=3.4, foreground="white"), patheffects.Normal()]
            axes.plot(
                steps, mean, ":", color=color, linewidth=2, zorder=order + 2, path_effects=edge, label=label
            )
    if "MF" in curves:
        best = curves["MF"].best
        label = f"best of MF ({best:,.4g})"
        axes.axhline(best, color="0.3", linestyle="--", linewidth=1, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("control steps (log scale)")
    axes.set_ylabel(reward_name)
    if title:
        axes.set_title(title)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure
