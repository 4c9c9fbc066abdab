"""What `mbmf reproduce` ends with: the figures and the tables, of each recipe and of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mbmf.algorithms.reproduce import NUMBER
from mbmf.errors import DataError
from mbmf.show.learning_curves import paper_curves, plot_learning_curves, write_curves
from mbmf.show.plots import save_figure
from mbmf.show.recipe_curves import (
    plot_recipes,
    recipe_table,
    write_recipe_curves,
    write_recipe_table,
)
from mbmf.show.run_curves import fine_tuning_curve, read_curves
from mbmf.show.thresholds import SHARES, thresholds, write_thresholds
from mbmf.tasks.agents import agent_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mbmf.algorithms.reproduce import Experiment, Plan
    from mbmf.show.learning_curves import Curve
    from mbmf.show.recipe_curves import RecipeTable
    from mbmf.show.thresholds import Threshold


def conclude(
    experiments: Mapping[str, Experiment], plan: Plan, name: str, folder: Path, *, paper: bool
) -> None:
    """Draws the figures, writes and prints the tables, and says where they are.

    Args:
        experiments: by recipe.
        name: of the robot.
        folder: of what is about several recipes.
        paper: lays the published curves over the figures.

    Raises DataError if a run is damaged, OSError if a file cannot be written.
    """
    console = Console(highlight=False)
    notes: list[str] = []
    written: list[Path] = []
    published = paper_curves(agent_name(next(iter(experiments.values())).task)) if paper else None
    curves: dict[str, dict[str, Curve]] = {}
    tuned: dict[str, Curve] = {}
    for recipe, each in experiments.items():
        paths = each.paths(plan)
        found = read_curves(
            each.task.name,
            [path.mb for path in paths] if {"mb", "mbmf"} & {*plan.methods} else [],
            [path.mf for path in paths] if "mf" in plan.methods else [],
            std=_std(each, plan),
            number=NUMBER,
            note=notes.append if "mbmf" in plan.methods else lambda text: None,
        )
        figure = plot_learning_curves(found, paper=published, title=f"{each.agent}: learning curves")
        written += save_figure(figure, each.folder / f"mbmf_{each.agent}.png")
        written.append(write_curves(each.folder / f"mbmf_{each.agent}.csv", found))
        curves[recipe] = found
        if "mbmf" not in plan.methods:
            continue
        try:
            tuning = fine_tuning_curve([path.fine_tune for path in paths])
        except DataError as error:
            notes.append(f"no table: {error}")
            continue
        if tuning is None:
            continue
        tuned[recipe] = tuning
        if "MF" in found:
            try:
                rows = thresholds(found["MF"], tuning)
            except DataError as error:
                notes.append(f"no table: {error}")
            else:
                about = {"agent": each.agent, "seeds": list(plan.seeds), "mf_best": found["MF"].best}
                written += write_thresholds(each.folder, rows, {**about, "mbmf_best": tuning.best})
                console.print(thresholds_table(each.agent, rows))
    if len(experiments) > 1:
        folder.mkdir(parents=True, exist_ok=True)
        figure = plot_recipes(curves, paper=published, title=f"{name}: {' and '.join(experiments)}")
        written += save_figure(figure, folder / "recipes.png")
        written.append(write_recipe_curves(folder / "recipe_curves.csv", curves))
        try:
            table = recipe_table(curves, tuned, published)
        except DataError as error:
            notes.append(f"no table of the recipes: {error}")
        else:
            about = {"agent": name, "recipes": list(experiments), "seeds": list(plan.seeds)}
            written += write_recipe_table(folder, table, about)
            console.print(recipes_table(name, table))
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False)


def _std(experiment: Experiment, plan: Plan) -> float | None:
    """What fine-tuning began with."""
    from mbmf.algorithms import fine_tune

    return (
        fine_tune.settings_of(experiment.task, std=plan.std).initial_std if "mbmf" in plan.methods else None
    )


def thresholds_table(name: str, rows: Sequence[Threshold]) -> Table:
    """The rows, for the terminal."""
    table = Table(title=f"{name}: control steps to a share of MF's best reward", title_justify="left")
    for title in ("share", "reward", "MF", "MBMF", "MF / MBMF"):
        table.add_column(title, justify="right")
    for row in rows:
        steps = [_steps(row.mf_steps), _steps(row.mbmf_steps)]
        table.add_row(f"{row.share:.0%}", f"{row.reward:,.1f}", *steps, _ratio(row.ratio))
    return table


def recipes_table(name: str, found: RecipeTable) -> Table:
    """The steps of each method and how many times fewer than the first's, for the terminal."""
    first = found.rows[0]
    title = f"{name}: control steps to a reward (times fewer than {first.method}, {first.recipe})"
    table = Table(title=title, title_justify="left")
    table.add_column("method, recipe")
    for share, reward in zip(SHARES, found.rewards, strict=True):
        table.add_column(f"{share:.0%}: {reward:,.1f}", justify="right")
    for row in found.rows:
        cells = [
            _steps(steps) if ratio is None or row is first else f"{_steps(steps)} ({_ratio(ratio)})"
            for steps, ratio in zip(row.steps, row.ratios, strict=True)
        ]
        table.add_row(f"{row.method}, {row.recipe}", *cells)
    return table


def _steps(steps: float | None) -> str:
    return "never" if steps is None else f"{steps:,.0f}"


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"
