"""Learning curves of several recipes of a task in one figure, and the steps that each needs to a reward."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.show.learning_curves import COLORS, METHODS, TITLES, Curve, lowest_after, steps_to
from mbmf.show.plots import new_figure
from mbmf.show.thresholds import SHARES, write_table

#: what the curves of the paper are called among the recipes
PUBLISHED = "published"
# of the recipes in their order; the published curves are dotted
_LINES = ("-", "--", "-.")

Curves = Mapping[str, Curve]


@dataclass(frozen=True)
class Reached:
    """The control steps at which the mean over a method's seeds first reaches each reward; None: never.

    ``ratios`` are the steps of the method compared with over these; None where one of them never gets there.
    """

    recipe: str
    method: str
    steps: tuple[float | None, ...]
    ratios: tuple[float | None, ...]


@dataclass(frozen=True)
class RecipeTable:
    """Rows for MF and MBMF of each recipe.

    Attributes:
        rewards: the shares of ``level``, one for each of `thresholds.SHARES`.
        level: the published MF's best mean reward, or where there is none the first recipe's.
        rows: each compared with the first of them.
    """

    level: float
    rewards: tuple[float, ...]
    rows: tuple[Reached, ...]


def recipe_table(curves: Mapping[str, Curves], tuned: Curves, paper: Curves | None = None) -> RecipeTable:
    """The steps to shares of MF's best.

    Args:
        curves: by recipe, then by method.
        tuned: by recipe, fine-tuning alone (`thresholds.thresholds` says why).
        paper: the published curves.

    Raises DataError if no recipe has MF, or the best that shares are taken of is not positive.
    """
    first = next((each["MF"] for each in curves.values() if "MF" in each), None)
    if first is None:
        raise DataError("a recipe must have model-free runs to take shares of, got none")
    level = (paper["MF"] if paper else first).best
    if not level > 0:
        raise DataError(f"the best mean reward of MF must be positive to have shares, got {level:g}")
    rewards = tuple(share * level for share in SHARES)
    found: list[tuple[str, str, tuple[float | None, ...]]] = []
    for recipe, each in curves.items():
        if "MF" in each:
            found.append((recipe, "MF", tuple(steps_to(each["MF"], reward) for reward in rewards)))
    for recipe, curve in tuned.items():
        found.append((recipe, "MBMF", tuple(steps_to(curve, reward) for reward in rewards)))
    if paper:
        found.append((PUBLISHED, "MF", tuple(steps_to(paper["MF"], reward) for reward in rewards)))
        begin = lowest_after(paper["MBMF"], float(paper["MB"].steps[-1]))
        steps = tuple(steps_to(paper["MBMF"], reward, begin) for reward in rewards)
        found.append((PUBLISHED, "MBMF", steps))
    base = found[0][2]
    rows = [
        Reached(recipe, method, steps, tuple(map(_ratio, base, steps))) for recipe, method, steps in found
    ]
    return RecipeTable(level, rewards, tuple(rows))


def _ratio(base: float | None, steps: float | None) -> float | None:
    return None if base is None or steps is None else base / steps


def write_recipe_table(folder: Path, table: RecipeTable, about: dict[str, Any]) -> list[Path]:
    """Writes a row for each method and share as recipes.csv and, with ``about``, as recipes.json.

    Returns both. Raises OSError if they cannot be written; a file that was there is then as it was.
    """
    names = ["recipe", "method", "share", "reward", "steps", "ratio"]
    rows = [
        dict(zip(names, (row.recipe, row.method, *values), strict=True))
        for row in table.rows
        for values in zip(SHARES, table.rewards, row.steps, row.ratios, strict=True)
    ]
    return write_table(folder, "recipes", rows, {**about, "level": table.level, "rows": rows})


def plot_recipes(curves: Mapping[str, Curves], *, paper: Curves | None = None, title: str = "") -> Figure:
    """Reward against control steps on a logarithmic axis, a colour for a method and a line for a recipe.

    Each is the mean over seeds with a band of a deviation; the published curves are dotted.

    Raises ValueError if there is no curve.
    """
    if not any(curves.values()):
        raise ValueError("curves must be one or more, got none")
    figure = new_figure(9, 6.5)
    axes = figure.subplots()
    draw_recipes(axes, curves, paper)
    if title:
        axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def draw_recipes(axes: Axes, curves: Mapping[str, Curves], paper: Curves | None = None) -> None:
    """Draws what `plot_recipes` shows, without title and legend."""
    edge = [patheffects.Stroke(linewidth=3.4, foreground="white"), patheffects.Normal()]
    for (recipe, each), line in zip(curves.items(), itertools.cycle(_LINES), strict=False):
        for method in METHODS:
            if method not in each:
                continue
            curve, seeds = each[method], len(each[method].series)
            label = f"{recipe}: {TITLES[method]}" + (f", {seeds} seeds" if seeds > 1 else "")
            marker = "o" if len(curve.steps) == 1 else None
            axes.plot(
                curve.steps,
                curve.mean,
                line,
                color=COLORS[method],
                linewidth=2,
                marker=marker,
                zorder=3 if method == "MB" else 2,  # MBMF starts with MB: that lies on top
                label=label,
            )
            if seeds > 1:
                axes.fill_between(
                    curve.steps, curve.low, curve.high, color=COLORS[method], alpha=0.12, linewidth=0
                )
    for method in METHODS:
        if paper is None or method not in paper:
            continue
        axes.plot(
            paper[method].steps,
            paper[method].mean,
            ":",
            color=COLORS[method],
            linewidth=2,
            path_effects=edge,
            label=f"{PUBLISHED}: {method}",
        )
    axes.set_xscale("log")
    axes.set_xlabel("control steps (log scale)")
    axes.set_ylabel("return per episode")
    axes.grid(alpha=0.3)


def write_recipe_curves(path: Path, curves: Mapping[str, Curves]) -> Path:
    """Writes what the curves are made of as CSV: recipe, method, run, steps, reward. Raises OSError."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["recipe", "method", "run", "steps", "reward"])
    for recipe, each in curves.items():
        for method in METHODS:
            for series in each[method].series if method in each else ():
                for steps, reward in zip(series.steps, series.rewards, strict=True):
                    rows.writerow([recipe, method, series.name, f"{steps:.0f}", f"{reward:.6g}"])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
    return path
