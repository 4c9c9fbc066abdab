"""``mbmf plot``: figures of runs, as PNG and SVG."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mbmf.cli.outputs import check_output
from mbmf.cli.runs import RUNS, name_of, run_path
from mbmf.errors import ConfigError, DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mbmf.show.learning_curves import Curve

# --run_num is what other commands call it
_ONE_TOO = {"aliases": ["--run_num"], **RUNS}


@dataclass(frozen=True)
class Mbmf:
    """Learning curves of MB, MBMF and MF: reward against control steps, over seeds."""

    which_agent: str
    """The robot: 1 ant, 2 swimmer, 4 half_cheetah (cheetah), 6 hopper, by number or name; or a preset's name
    or the path of a YAML file."""

    run_nums: tuple[str, ...] = field(default=(), metadata=_ONE_TOO)
    """Runs of mbmf mb and mbmf mbmf by number, <runs_dir>/run_<run_num>, or by name, one of each seed
    (default: all of this agent, the longest of each seed)."""

    seeds: tuple[int, ...] = ()
    """The seeds of these runs, in their order; they choose the runs of mbmf mf too (default: as they are)."""

    std_on_mlp_policy: float | None = None
    """Which fine-tuning: that which began with this standard deviation (default: whichever there is)."""

    save_trpo_run_num: int | None = None
    """Which fine-tuning, where a run has several (default: the longest)."""

    trpo_dir: Path | None = None
    """Folder with the runs of mbmf mf (default: runs_dir)."""

    paper: bool = False
    """Lay the published curves over them, dotted (swimmer, half_cheetah, hopper, ant)."""

    output: Path | None = None
    """File to write: .png and .svg, or .pdf by its ending (default: <runs_dir>/plots/mbmf_<agent>, with
    std<deviation> behind it if that is given)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


@dataclass(frozen=True)
class _OfRuns:
    run_nums: tuple[str, ...] = field(metadata=_ONE_TOO)
    """Runs of mbmf mb by number, <runs_dir>/run_<run_num>, or by name, one or more."""

    output: Path | None = None
    """File to write: .png and .svg, or .pdf by its ending (default: in the run's folder plots/; of several
    runs, in <runs_dir>/plots/)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


@dataclass(frozen=True)
class Loss(_OfRuns):
    """Losses and open-loop errors of the dynamics model, per aggregation iteration."""


@dataclass(frozen=True)
class Forwardsim(_OfRuns):
    """The model's open-loop prediction beside what happened, state by state."""

    iteration: int | None = None
    """Whose model, and whose rollout (default: the last)."""

    episode: int = 0
    """Which rollout of that iteration, from 0."""

    start: int = 0
    """The control step that the prediction begins with."""

    steps: int = 100
    """Control steps to predict."""


@dataclass(frozen=True)
class Trajfollow(_OfRuns):
    """Desired and executed paths, from above, per aggregation iteration and path."""


Options = (
    Annotated[Mbmf, tyro.conf.subcommand("mbmf")]
    | Annotated[Loss, tyro.conf.subcommand("loss")]
    | Annotated[Forwardsim, tyro.conf.subcommand("forwardsim")]
    | Annotated[Trajfollow, tyro.conf.subcommand("trajfollow")]
)


def run(options: Mbmf | Loss | Forwardsim | Trajfollow) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    if options.output is not None:
        check_output(options.output)
    if isinstance(options, Mbmf):
        figure, output, curves = _mbmf(options)
    else:
        (figure, output), curves = _of_runs(options), None
    output = options.output or output
    check_output(output)
    named = _save(figure, output)
    if curves is not None:
        from mbmf.show.learning_curves import write_curves

        print(write_curves(named.with_suffix(".csv"), curves))


def _mbmf(options: Mbmf) -> tuple[Figure, Path, dict[str, Curve]]:
    from mbmf.runs.run import Run
    from mbmf.show.learning_curves import PAPER_AGENTS, paper_curves, plot_learning_curves
    from mbmf.show.run_curves import find_runs, read_curves
    from mbmf.tasks.agents import agent_name, load_agent

    name, task = load_agent(options.which_agent)
    if options.run_nums and options.seeds and len(options.run_nums) != len(options.seeds):
        raise ConfigError(
            f"--seeds must be one for each of the {len(options.run_nums)} --run_nums, "
            f"got {len(options.seeds)}"
        )
    if options.paper and agent_name(task) not in PAPER_AGENTS:
        raise ConfigError(f"--paper must be given for one of {', '.join(PAPER_AGENTS)} only, got {name}")
    trpo_dir = options.trpo_dir or options.runs_dir
    for folder in (options.runs_dir, trpo_dir):
        if not folder.is_dir():
            raise DataError(f"{folder}: folder of runs must exist, got none")
    runs = _paths(options.runs_dir, options.run_nums)
    if not runs:
        runs = find_runs(options.runs_dir, "*", task.name, options.seeds or None, algorithm="model_based")
    for path, seed in zip(runs, options.seeds, strict=False):
        if options.run_nums and path.is_dir() and Run(path).seed() != seed:
            raise ConfigError(f"--seeds must be those of the runs: {path} has {Run(path).seed()}, got {seed}")
    seeds = options.seeds or tuple(Run(path).seed() for path in runs if path.is_dir()) or None
    mf_runs = find_runs(trpo_dir, "*", task.name, seeds, algorithm="model_free")
    for seed in sorted(set(seeds or ()) - {Run(path).seed() for path in mf_runs}):
        _note(f"{trpo_dir}: there is no run of mbmf mf of {name} with seed {seed}")
    curves = read_curves(
        task.name,
        runs,
        mf_runs,
        std=options.std_on_mlp_policy,
        number=options.save_trpo_run_num,
        note=_note,
    )
    figure = plot_learning_curves(
        curves,
        paper=paper_curves(agent_name(task)) if options.paper else None,
        title=f"{name}: learning curves",
    )
    # a figure of one fine-tuning is another one than that of the next
    chosen = "" if options.std_on_mlp_policy is None else f"_std{options.std_on_mlp_policy:g}"
    chosen += "" if options.save_trpo_run_num is None else f"_{options.save_trpo_run_num}"
    return figure, options.runs_dir / "plots" / f"mbmf_{name}{chosen}", curves


def _of_runs(options: Loss | Forwardsim | Trajfollow) -> tuple[Figure, Path]:
    from mbmf.show import run_figures

    paths = _paths(options.runs_dir, options.run_nums)
    if not paths:
        raise ConfigError("--run_nums must be one or more runs, got none")
    if isinstance(options, Loss):
        kind, figure = "loss", run_figures.loss_figure(paths, note=_note)
    elif isinstance(options, Trajfollow):
        kind, figure = "trajfollow", run_figures.path_figure(paths, note=_note)
    else:
        kind = "forwardsim"
        figure = run_figures.forward_simulation_figure(
            paths,
            iteration=options.iteration,
            index=options.episode,
            start=options.start,
            steps=options.steps,
        )
    if len(paths) == 1:
        return figure, paths[0] / "plots" / kind
    return figure, options.runs_dir / "plots" / "_".join([kind, *map(name_of, paths)])


def _paths(folder: Path, runs: tuple[str, ...]) -> list[Path]:
    paths = [run_path(folder, run) for run in runs]
    for run, path in zip(runs, paths, strict=True):
        if paths.count(path) > 1:
            raise ConfigError(f"--run_nums must be different runs, got {run} twice")
    return paths


def _save(figure: Figure, output: Path) -> Path:
    """Writes the figure and says where; returns the picture's path."""
    from mbmf.show.plots import save_figure

    written = save_figure(figure, output)
    for path in written:
        print(path)
    return written[0]


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
