"""``mbmf reproduce``: the paper's comparison of a robot, from random data to the figure and the table."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.markup import escape

from mbmf.cli.cluster_options import ClusterOptions
from mbmf.cli.planner_options import RECIPE, SET
from mbmf.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from mbmf.algorithms.model_free import Limits
    from mbmf.algorithms.reproduce import Paths
    from mbmf.cli.console import ConsoleObserver
    from mbmf.cli.imitation_console import ImitationConsole
    from mbmf.cli.policy_console import PolicyConsole
    from mbmf.runs.run import Run
    from mbmf.show.thresholds import Threshold
    from mbmf.tasks.task import Task


@dataclass(frozen=True)
class Options(ClusterOptions):
    """Compare MB and MBMF, model-based and fine-tuned, to MF, model-free, over seeds.

    Every stage goes on where it was interrupted: give the same command again.
    """

    agent: tyro.conf.Positional[str]
    """The robot: swimmer, half_cheetah, hopper, ant (or its number); or a preset's name or the path of a YAML
    file with all learning sections (docs/presets.md)."""

    recipe: str | None = field(default=None, metadata=RECIPE)
    """Settings of the task's file in place of its own (docs/recipes.md): best, where there is one (default:
    paper, the file's own)."""

    seeds: tuple[int, ...] = (0, 70, 100)
    """Seeds; each is the number of its runs."""

    max_steps: int | None = None
    """Control steps that fine-tuning and model-free learning take at most, each with all before it (default:
    as many as the task's iterations take). It may be raised afterwards."""

    stop_at_reward: float | None = None
    """Both end once the mean return of an iteration's episodes is so high."""

    std_on_mlp_policy: float | None = None
    """Standard deviation of the actions that fine-tuning starts with (default: the task's)."""

    num_rollouts_save_for_mf: int | None = None
    """MPC rollouts to imitate (default: the task's rollouts_to_save, 60)."""

    paper: bool = False
    """Lay the published curves over the figure (swimmer, half_cheetah, hopper, ant)."""

    output: Path | None = None
    """Folder of the runs, the figure and the table (default: runs/reproduce_<agent>, with a recipe
    runs/reproduce_<agent>_<recipe>)."""

    set: tuple[str, ...] = field(default=(), metadata=SET)
    """Settings in place of the task's, as in its file: model_based.epochs=5 reward[0].weight=2. The run keeps
    them."""

    print_minimal: bool = False
    """Print a line per iteration, no progress."""

    nthread: int = 0
    """Threads, 0: one per CPU, or one for each of several --jobs. The numbers do not depend on it."""

    jobs: int = 1
    """Runs at the same time, in processes of their own; 0: as many as there are CPUs for. The numbers do not
    depend on it. With --address the cluster has as many as it has CPUs for."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    if options.num_rollouts_save_for_mf == 0:
        raise ConfigError("--num_rollouts_save_for_mf must be at least 1, got 0")
    from mbmf.algorithms import reproduce
    from mbmf.cli.runs_console import print_progress
    from mbmf.show.learning_curves import PAPER_AGENTS
    from mbmf.tasks.agents import agent_name, load_agent
    from mbmf.tasks.recipes import named_with_recipe, with_recipe
    from mbmf.tasks.settings import changed_task

    name, task = load_agent(options.agent, "agent")
    task = with_recipe(task, options.recipe)
    name = named_with_recipe(name, task)
    task = changed_task(task, options.set)
    if options.paper and agent_name(task) not in PAPER_AGENTS:
        raise ConfigError(f"--paper must be given for one of {', '.join(PAPER_AGENTS)} only, got {name}")
    folder = options.output or Path("runs") / f"reproduce_{name}"
    plan = reproduce.Plan(
        seeds=options.seeds,
        max_steps=options.max_steps,
        stop_at_reward=options.stop_at_reward,
        std=options.std_on_mlp_policy,
        num_rollouts_save_for_mf=options.num_rollouts_save_for_mf,
        nthread=options.nthread,
    )
    try:
        if options.address is None and options.jobs == 1:
            options.check()
            paths = reproduce.reproduce(task, name, folder, plan, _Consoles(options.print_minimal))
        else:
            with options.engine_of_runs(options.jobs, options.nthread) as engine:
                paths = reproduce.reproduce_on(engine, task, name, folder, plan, print_progress)
    except KeyboardInterrupt:
        again = shlex.join(["mbmf", "reproduce", *_words(options)])
        print(f"\nInterrupted. To continue:\n  {again}", file=sys.stderr)
        raise
    _conclude(options, name, task, folder, paths)


class _Consoles:
    """Shows each stage in the terminal (observers of `mbmf.algorithms.reproduce`)."""

    def __init__(self, minimal: bool) -> None:
        from rich.console import Console

        self._minimal, self._console = minimal, Console(highlight=False)
        self._begin = time.perf_counter()

    def stage(self, title: str, run: Run) -> None:
        minutes, seconds = divmod(round(time.perf_counter() - self._begin), 60)
        text = f"[bold]{title}[/]  [dim]{escape(str(run.path))}, after {minutes}:{seconds:02d}[/]"
        self._console.print(text, soft_wrap=True)

    def model_based(self, iterations: int) -> ConsoleObserver:
        from mbmf.cli.console import ConsoleObserver

        return ConsoleObserver(iterations, minimal=self._minimal, console=self._console)

    def imitation(self, iterations: int) -> ImitationConsole:
        from mbmf.cli.imitation_console import ImitationConsole

        return ImitationConsole(iterations, minimal=self._minimal, console=self._console)

    def policy(self, limits: Limits, batch_size: int, run: Run) -> PolicyConsole:
        from mbmf.cli.policy_console import PolicyConsole

        done = run.metrics()
        return PolicyConsole(limits, batch_size, done=done, minimal=self._minimal, console=self._console)


def _conclude(options: Options, name: str, task: Task, folder: Path, paths: Sequence[Paths]) -> None:
    """Draws the figure, and writes and prints the table."""
    from rich.console import Console

    from mbmf.algorithms import fine_tune
    from mbmf.algorithms.reproduce import NUMBER
    from mbmf.show.learning_curves import paper_curves, plot_learning_curves, write_curves
    from mbmf.show.plots import save_figure
    from mbmf.show.run_curves import fine_tuning_curve, read_curves
    from mbmf.show.thresholds import thresholds, write_thresholds
    from mbmf.tasks.agents import agent_name

    console = Console(highlight=False)
    runs, std = [each.mb for each in paths], fine_tune.settings_of(task, std=options.std_on_mlp_policy)
    notes: list[str] = []
    curves = read_curves(
        task.name,
        runs,
        [each.mf for each in paths],
        std=std.initial_std,
        number=NUMBER,
        note=notes.append,
    )
    figure = plot_learning_curves(
        curves,
        paper=paper_curves(agent_name(task)) if options.paper else None,
        title=f"{name}: learning curves",
    )
    written = save_figure(figure, folder / f"mbmf_{name}.png")
    written.append(write_curves(folder / f"mbmf_{name}.csv", curves))
    tuned = fine_tuning_curve([each.fine_tune for each in paths])
    if tuned is not None and "MF" in curves:
        try:
            rows = thresholds(curves["MF"], tuned)
        except DataError as error:
            notes.append(f"no table: {error}")
        else:
            about = {"agent": name, "seeds": list(options.seeds), "mf_best": curves["MF"].best}
            written += write_thresholds(folder, rows, {**about, "mbmf_best": tuned.best})
            console.print(thresholds_table(name, rows))
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False)


def thresholds_table(name: str, rows: Sequence[Threshold]) -> Table:
    """The rows, for the terminal."""
    from rich.table import Table

    table = Table(title=f"{name}: control steps to a share of MF's best reward", title_justify="left")
    for title in ("share", "reward", "MF", "MBMF", "MF / MBMF"):
        table.add_column(title, justify="right")
    for row in rows:
        steps = ["never" if each is None else f"{each:,.0f}" for each in (row.mf_steps, row.mbmf_steps)]
        ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(f"{row.share:.0%}", f"{row.reward:,.1f}", *steps, ratio)
    return table


def _words(options: Options) -> list[str]:
    """The command line of these options."""
    defaults = Options(agent="")
    words = [options.agent]
    if options.seeds != defaults.seeds:
        words += ["--seeds", *map(str, options.seeds)]
    numbers = ("max_steps", "stop_at_reward", "std_on_mlp_policy", "num_rollouts_save_for_mf")
    for name in ("recipe", *numbers, "output"):
        if getattr(options, name) is not None:
            words.append(f"--{name}={getattr(options, name)}")
    if options.set:
        words += ["--set", *options.set]
    words += [f"--{name}" for name in ("paper", "print_minimal") if getattr(options, name)]
    words += [f"--nthread={options.nthread}"] if options.nthread else []
    return words + options.words() + ([f"--jobs={options.jobs}"] if options.jobs != 1 else [])
