"""Draws docs/pictures/recipes.png: what the recipes `paper` and `best` reach on the paper's four robots.

Prints the control steps after which each mean curve is at a share of the published MF's best.

    python benchmarks/draw_recipes.py

From the recorded curves, docs/curves/<robot>.csv (paper) and docs/curves/recipes.csv (best); runs
of your own are drawn by `mbmf reproduce <robot> --recipe paper best --paper`.
"""

from __future__ import annotations

import csv
from pathlib import Path

from mbmf.show.learning_curves import PAPER_AGENTS, Curve, Series, mean_curve, paper_curves, steps_to
from mbmf.show.plots import new_figure, save_figure
from mbmf.show.recipe_curves import draw_recipes
from mbmf.show.thresholds import SHARES

DOCS = Path(__file__).parents[1] / "docs"
METHODS = ("MBMF", "MF")
# the published MF's best, as docs/results.md has it
BEST = {"swimmer": 66.5, "half_cheetah": 4559.0, "hopper": 3377.0, "ant": 3902.0}


def read(file: Path, run: str, robot: str | None = None) -> dict[str, Curve]:
    """The mean curves of a file's methods, over the runs that its column ``run`` tells apart."""
    with file.open(newline="") as text:
        rows = [row for row in csv.DictReader(text) if robot is None or row["robot"] == robot]
    curves = {}
    for method in METHODS:
        points: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            if row["method"] == method:
                points.setdefault(row[run], []).append((float(row["steps"]), float(row["reward"])))
        series = [found for name, each in points.items() if (found := Series.of(each, name)) is not None]
        if series:
            curves[method] = mean_curve(series)
    return curves


def main() -> None:
    figure = new_figure(12, 8)
    panels = figure.subplots(2, 2).flat
    for axes, robot in zip(panels, PAPER_AGENTS, strict=True):
        recipes = {
            "best": read(DOCS / "curves" / "recipes.csv", "seed", robot),
            "paper": read(DOCS / "curves" / f"{robot}.csv", "run"),
        }
        published = {name: curve for name, curve in paper_curves(robot).items() if name in METHODS}
        draw_recipes(axes, recipes, published)
        axes.set_title(robot.replace("_", " "))
        compared = {"MF, published": published["MF"], "MF, paper": recipes["paper"]["MF"]}
        compared |= {f"{method}, best": recipes["best"][method] for method in ("MF", "MBMF")}
        for name, curve in compared.items():
            steps = [steps_to(curve, share * BEST[robot]) for share in SHARES]
            cells = " ".join(f"{'never' if each is None else f'{each:,.0f}':>12}" for each in steps)
            print(f"{robot:14}{name:16}{cells}")
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=3, fontsize=9)
    for path in save_figure(figure, DOCS / "pictures" / "recipes.png"):
        print(path)


if __name__ == "__main__":
    main()
