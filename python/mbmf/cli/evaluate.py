"""``mbmf evaluate``: what a policy or a run's controller earns, episode by episode."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.outputs import check_output
from mbmf.cli.planner_options import PlannerOptions
from mbmf.cli.runs import RUN, run_path
from mbmf.errors import ConfigError
from mbmf.words import counted

if TYPE_CHECKING:
    from rich.table import Table

    from mbmf.cli.drivers import Mpc, Policy
    from mbmf.rollouts.episodes import Episodes


# of what a file's name says of changed settings
_LONGEST = 80


@dataclass(frozen=True)
class Options(PlannerOptions):
    """Score a trained policy, or a run's controller, over episodes.

    Random actions from the same starts are shown beside.
    """

    run_num: str | None = field(default=None, metadata=RUN)
    """The run, by number or name: of mbmf mb, whose controller drives; or of mbmf mf, whose policy does."""

    policy: str | None = field(default=None, metadata={"metavar": "FILE|FOLDER|newest"})
    """The policy that drives: its file, the folder of its run, or newest: that of the run's newest
    fine-tuning, or else of its imitation."""

    episodes: int = 10
    """How many."""

    steps: int | None = None
    """Control steps of an episode at most (default: the run's)."""

    iteration: int | None = None
    """Of a controller: the aggregation iteration whose model it has (default: the last)."""

    seed: int = 0
    """Seed of the starts, and of plans."""

    allow_other_task: bool = False
    """Score a model that was made for the robot as it was, with the robot as it is by now."""

    output: Path | None = None
    """CSV file to write (default: in the run's folder evaluation/, named after the model,
    what of its planner is not the run's, and the seed)."""

    nthread: int = 0
    """Threads, 0: one per CPU. The numbers do not depend on it."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from rich.console import Console

    from mbmf.cli.drivers import algorithm_of, open_mpc, open_policy, steps_of
    from mbmf.cli.progress import Bar
    from mbmf.files import atomic_write
    from mbmf.rollouts.baseline import collect_baseline

    if options.run_num is None and options.policy is None:
        raise ConfigError("--run_num or --policy must be given, got neither")
    path = None if options.run_num is None else run_path(options.runs_dir, options.run_num)
    if options.policy is None and path is not None and algorithm_of(path) == "model_based":
        driver: Mpc | Policy = open_mpc(
            path,
            options.applied_to_learned,
            options.iteration,
            options.seed,
            options.nthread,
            allow_other_task=options.allow_other_task,
        )
        name = f"mpc_{driver.name}"
        changes = _changes(options)
    else:
        if (options.search, options.horizon, options.candidates, options.iteration) != (None,) * 4:
            raise ConfigError("--search, --horizon, --candidates, --iteration must not be given for a policy")
        if options.set:
            raise ConfigError(f"--set must not be given for a policy, got {' '.join(options.set)}")
        driver = open_policy(
            options.runs_dir, options.run_num, options.policy, allow_other_task=options.allow_other_task
        )
        # a file that is not a run's own policy stands beside others
        name, changes = "policy" if driver.name == driver.folder.name else f"policy_{driver.name}", ""
    if options.steps is not None:
        changes += f"_steps={options.steps}"
    steps = options.steps or steps_of(driver.task, driver.folder)
    output = options.output or driver.folder / "evaluation" / f"{name}{changes}_seed{options.seed}.csv"
    check_output(output)
    with Bar("driving", options.episodes * steps) as bar:
        episodes = driver.drive(options.episodes, steps, options.seed, options.nthread, bar.update)
    random = collect_baseline(driver.task, options.episodes, steps, options.seed, options.nthread)
    title = f"{driver.task.name}: {counted(len(episodes), 'episode')} of at most {steps} steps"
    Console(highlight=False).print(score_table(title, {name: episodes, "random actions": random}))
    with atomic_write(output) as file:
        file.write(as_csv(episodes).encode())
    print(output)


def _changes(options: Options) -> str:
    """What of a controller is not as in its run, as part of a file's name."""
    words = [] if options.search is None else [options.search]
    words += [
        f"{key}={value}" for key in ("horizon", "candidates") if (value := getattr(options, key)) is not None
    ]
    text = "_".join(["", *words, *options.set])
    plain = re.sub(r"[^\w.=,+-]+", "_", text, flags=re.ASCII)
    if plain == text and len(plain) <= _LONGEST and not any("_" in setting for setting in options.set):
        return plain
    # two settings that read the same must not share a file
    exact = repr((words, options.set))
    return f"{plain[:_LONGEST]}_{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def score_table(title: str, scored: dict[str, Episodes]) -> Table:
    """Returns, lengths and ends, a column for each that drove."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in ("", *scored):
        table.add_column(heading, justify="right" if heading else "left")
    for label, cell in (
        ("reward: mean", lambda e: f"{e.returns.mean():,.2f}"),
        ("reward: deviation", lambda e: f"{e.returns.std():,.2f}"),
        ("reward: lowest", lambda e: f"{e.returns.min():,.2f}"),
        ("reward: highest", lambda e: f"{e.returns.max():,.2f}"),
        ("episode length: mean", lambda e: f"{e.lengths.mean():,.0f}"),
        ("ended by leaving the healthy bounds", lambda e: str(int(e.terminated.sum()))),
        ("diverged", lambda e: str(int(e.diverged.sum()))),
    ):
        table.add_row(label, *map(cell, scored.values()))
    return table


def as_csv(episodes: Episodes) -> str:
    """A line per episode: episode, reward, steps, terminated, diverged."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["episode", "reward", "steps", "terminated", "diverged"])
    for i in range(len(episodes)):
        ends = (int(episodes.terminated[i]), int(episodes.diverged[i]))
        rows.writerow([i, repr(float(episodes.returns[i])), int(episodes.lengths[i]), *ends])
    return text.getvalue()
