"""``mbmf sweep``: a method with several settings and seeds, on all cores or a cluster, and a comparison."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from mbmf.cli.cluster_options import ClusterOptions
from mbmf.cli.outputs import check_folder
from mbmf.cli.planner_options import RECIPE
from mbmf.cli.service_options import ServiceOptions
from mbmf.errors import ClusterError, DataError, MbmfError
from mbmf.words import some

if TYPE_CHECKING:
    from rich.table import Table

    from mbmf.algorithms.stages import Plan
    from mbmf.algorithms.sweep import Case
    from mbmf.show.sweep_table import CaseSummary

_VARIED: dict[str, Any] = {"metavar": "KEY=VALUE,VALUE..."}
# of the method that a command is, in figures
_CURVES = {"mb": "MB", "mbmf": "MBMF", "mf": "MF"}


@dataclass(frozen=True)
class Options(ClusterOptions, ServiceOptions):
    """Compare settings: runs of each over seeds, a table, learning curves.

    Interrupted, it goes on by the same command, or one with more values.
    """

    command: tyro.conf.Positional[Literal["mb", "mbmf", "mf"]]
    """What is run: mb, model-based learning; mbmf, that, imitation and fine-tuning; mf, model-free."""

    agent: tyro.conf.Positional[str]
    """The robot: swimmer, half_cheetah, hopper, ant (or its number); or a preset's name or the path of a YAML
    file with the sections that are learned with (docs/presets.md)."""

    recipe: str | None = field(default=None, metadata=RECIPE)
    """Settings of the task's file in place of its own (docs/recipes.md): best, where there is one (default:
    the paper's)."""

    set: tuple[str, ...] = field(default=(), metadata=_VARIED)
    """Settings in place of the task's, as in its file, with all values to try: planner.colour=0,0.25,1. Every
    combination is a case. A list is one value: model_based.hidden=[500],[200,200]."""

    cases: Path | None = None
    """YAML file with a list of cases, each a mapping of settings: - {planner.colour: 0.25}. Each is run with
    every combination of --set."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; each is the number of its runs."""

    max_steps: int | None = None
    """Stop fine-tuning and model-free learning once they have so many control steps, each with all before it
    (default: as many as the task's iterations take). It may be raised afterwards."""

    stop_at_reward: float | None = None
    """Both end once the mean return of an iteration's episodes is so high."""

    output: Path | None = None
    """Folder of the runs, the table and the figure (default: runs/sweep_<command>_<agent>, with a
    recipe runs/sweep_<command>_<agent>_<recipe>)."""

    jobs: int = 0
    """Runs at the same time, in processes of their own; 0: as many as there are CPUs for. The numbers do not
    depend on it. With --address the cluster has as many as it has CPUs for."""

    nthread: int = 0
    """Threads of each run, 0: one. The numbers do not depend on it."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    options.check_services()
    from mbmf.algorithms import sweep
    from mbmf.algorithms.stages import Plan
    from mbmf.cli.runs_console import print_progress
    from mbmf.tasks.agents import load_agent
    from mbmf.tasks.recipes import named_with_recipe, with_recipe

    if options.command == "mb" and (options.max_steps, options.stop_at_reward) != (None, None):
        warnings.warn(
            "--max_steps and --stop_at_reward end fine-tuning and model-free learning only", stacklevel=2
        )
    name, task = load_agent(options.agent, "agent")
    task = with_recipe(task, options.recipe)
    name = named_with_recipe(name, task)
    settings = sweep.grid(options.set)
    if options.cases is not None:
        settings = sweep.combined(sweep.listed(options.cases), settings)
    plan = Plan(options.seeds, options.max_steps, options.stop_at_reward)
    cases = sweep.cases_of(task, settings, options.command, plan)
    folder = options.output or Path("runs") / f"sweep_{options.command}_{name}"
    check_folder(folder)
    with options.engine_of_runs(options.jobs, options.nthread) as engine:
        print(f"{len(cases)} cases, {len(plan.seeds)} seeds each, {engine.slots} at a time, in {folder}")
        try:
            failures = sweep.sweep(engine, options.command, cases, name, folder, plan, print_progress)
        except (KeyboardInterrupt, ClusterError) as error:
            said = "Interrupted" if isinstance(error, KeyboardInterrupt) else "Stopped"
            again = shlex.join(["mbmf", "sweep", *_words(options)])
            print(f"\n{said}. To continue:\n  {again}", file=sys.stderr)
            raise
    for case in cases:
        for each in sweep.paths_of(case, options.command, name, folder, plan):
            options.send_all(
                [each.mf] if options.command == "mf" else [each.mb, each.imitation, each.fine_tune]
            )
    _conclude(options, name, cases, folder, plan, failures)
    if failures:
        first = next(iter(failures))
        count = len(cases) * len(plan.seeds)
        raise MbmfError(f"{len(failures)} of {count} runs failed; {first}: {failures[first]}")


def _conclude(
    options: Options,
    name: str,
    cases: Sequence[Case],
    folder: Path,
    plan: Plan,
    failures: Mapping[str, Exception],
) -> None:
    """Writes the tables and draws the figure of what there is."""
    from rich.console import Console

    from mbmf.algorithms import sweep
    from mbmf.show.plots import save_figure
    from mbmf.show.run_curves import read_curves
    from mbmf.show.sweep_table import rows_of, summarize, write_rows
    from mbmf.show.sweeps import plot_cases, write_cases

    console, method = Console(highlight=False), _CURVES[options.command]
    rows, curves, notes = [], {}, list[str]()
    for case in cases:
        paths = sweep.paths_of(case, options.command, name, folder, plan)
        lasts = sweep.last_runs(case, options.command, name, folder, plan)
        errors = {
            seed: str(failures[run]) for seed in plan.seeds if (run := sweep.run_name(case, seed)) in failures
        }
        of_case = rows_of(case.name, case.settings, dict(zip(plan.seeds, lasts, strict=True)), errors)
        rows += of_case
        good = [each for each, row in zip(paths, of_case, strict=True) if row.state != "failed"]
        # the others were said already
        damaged = [row for row in of_case if row.error and row.seed not in errors]
        notes += [f"{case.name} seed {row.seed} failed: {row.error}" for row in damaged]
        if not good:
            continue
        mb = [] if options.command == "mf" else [each.mb for each in good]
        mf = [each.mf for each in good] if options.command == "mf" else []
        try:
            # what is missing of other methods is none of this comparison's
            found = read_curves(case.task.name, mb, mf, note=lambda text: None)
        except DataError as error:
            notes.append(str(error))
            continue
        if method in found:
            curves[case.name] = found[method]
    names = {case.name for case in cases}
    others = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in names)
    if others:
        notes.append(f"{folder}: {some(others)}: of other cases than these, and not in the table")
    written = [write_rows(folder / "sweep.csv", rows)]
    if curves:
        title = f"{name}: {method} with other settings"
        written += save_figure(plot_cases(curves, title=title), folder / "sweep.png")
        written.append(write_cases(folder / "curves.csv", curves))
    console.print(summary_table(f"{name}: {options.command}", summarize(rows), len(plan.seeds)))
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False)


def summary_table(title: str, summaries: Sequence[CaseSummary], seeds: int) -> Table:
    """A line for each case, the best last reward first, for the terminal."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{title}: rewards, mean ± deviation over seeds", title_justify="left")
    table.add_column("case", overflow="fold")
    for column in ("finished", "last reward", "best reward", "control steps"):
        table.add_column(column, justify="right")
    for each in sorted(summaries, key=lambda each: -each.reward[0] if each.seeds else float("inf")):
        pairs = (each.reward, each.best_reward)
        values = [f"{mean:,.2f} ± {std:,.2f}" if each.seeds else "–" for mean, std in pairs]
        steps = f"{each.steps:,.0f}" if each.seeds else "–"
        table.add_row(escape(each.case), f"{each.finished} of {seeds}", *values, steps)
    return table


def _words(options: Options) -> list[str]:
    """The command line of these options."""
    defaults = Options(command=options.command, agent="")
    words: list[str] = [options.command, options.agent]
    if options.set:
        words += ["--set", *options.set]
    if options.seeds != defaults.seeds:
        words += ["--seeds", *map(str, options.seeds)]
    for name in ("recipe", "cases", "max_steps", "stop_at_reward", "output", "jobs", "nthread"):
        if getattr(options, name) != getattr(defaults, name):
            words.append(f"--{name}={getattr(options, name)}")
    return words + [f"--{name}" for name in options.services] + options.words()
