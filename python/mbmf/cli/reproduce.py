"""``mbmf reproduce``: the paper's comparison of a robot, from random data to the figure and the table."""

from __future__ import annotations

import shlex
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.markup import escape

from mbmf.cli.cluster_options import ClusterOptions
from mbmf.cli.outputs import check_folder
from mbmf.cli.planner_options import SET
from mbmf.cli.runs import saying_what_to_type
from mbmf.cli.service_options import ServiceOptions
from mbmf.errors import ConfigError

if TYPE_CHECKING:
    from mbmf.algorithms.model_free import Limits
    from mbmf.algorithms.reproduce import Experiment
    from mbmf.cli.console import ConsoleObserver
    from mbmf.cli.imitation_console import ImitationConsole
    from mbmf.cli.policy_console import PolicyConsole
    from mbmf.runs.run import Run
    from mbmf.tasks.task import Task


# what to type where a run has other settings
_OWN = "the command that it was made with; --output=FOLDER begins others"


@dataclass(frozen=True)
class Options(ClusterOptions, ServiceOptions):
    """Compare MB and MBMF, model-based and fine-tuned, to MF, model-free, over seeds.

    Every stage goes on where it was interrupted: give the same command again.
    """

    agent: tyro.conf.Positional[str]
    """The robot: swimmer, half_cheetah, hopper, ant (or its number); or a preset's name or the path of a YAML
    file with all learning sections (docs/presets.md)."""

    recipe: tuple[str, ...] | None = field(default=None, metadata={"metavar": "NAME..."})
    """Settings of the task's file in place of its own (docs/recipes.md): best, where there is one (default:
    paper, the file's own). Several, as in paper best, are compared in one figure and one table."""

    stages: tuple[Literal["mb", "mbmf", "mf"], ...] = ("mb", "mbmf", "mf")
    """What is run: model-based learning; that, then imitation and fine-tuning; model-free learning."""

    seeds: tuple[int, ...] = (0, 70, 100)
    """Seeds; each is the number of its runs."""

    max_steps: int | None = None
    """Stop fine-tuning and model-free learning once they have so many control steps, each with all before it
    (default: as many as the task's iterations take). It may be raised afterwards."""

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
    runs/reproduce_<agent>_<recipe>). With several recipes each has a folder in it."""

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
    options.check_services()
    if options.num_rollouts_save_for_mf == 0:
        raise ConfigError("--num_rollouts_save_for_mf must be at least 1, got 0")
    from mbmf.algorithms import reproduce
    from mbmf.cli.reproduce_results import conclude
    from mbmf.cli.runs_console import print_progress
    from mbmf.show.learning_curves import PAPER_AGENTS
    from mbmf.tasks.agents import agent_name, load_agent
    from mbmf.tasks.schema import PAPER

    name, task = load_agent(options.agent, "agent")
    if options.paper and agent_name(task) not in PAPER_AGENTS:
        raise ConfigError(f"--paper must be given for one of {', '.join(PAPER_AGENTS)} only, got {name}")
    recipes = (task.config.recipe or PAPER,) if options.recipe is None else options.recipe
    if not recipes or len(set(recipes)) < len(recipes):
        raise ConfigError(f"--recipe must be one or more different ones, got {' '.join(recipes) or 'none'}")
    plan = reproduce.Plan(
        seeds=options.seeds,
        max_steps=options.max_steps,
        stop_at_reward=options.stop_at_reward,
        std=options.std_on_mlp_policy,
        num_rollouts_save_for_mf=options.num_rollouts_save_for_mf,
        nthread=options.nthread,
        methods=tuple(each for each in options.stages if each != "mb" or "mbmf" not in options.stages),
    )
    if plan.methods == ("mb",):
        unused = ("max_steps", "stop_at_reward", "std_on_mlp_policy")
        given = [f"--{each}" for each in unused if getattr(options, each) != getattr(Options, each)]
        if given:
            warnings.warn(f"{' and '.join(given)}: not used by the stage mb", stacklevel=2)
    experiments = {each: _experiment(options, name, task, each) for each in recipes}
    if options.output is not None:
        check_folder(options.output)
    try:
        if options.address is None and options.jobs == 1:
            options.check()
            with saying_what_to_type({}, _OWN, _OWN):
                reproduce.reproduce([*experiments.values()], plan, _Consoles(options))
        else:
            with options.engine_of_runs(options.jobs, options.nthread) as engine:
                reproduce.reproduce_on(engine, [*experiments.values()], plan, print_progress)
            # only now: workers may have no network
            for experiment in experiments.values():
                for each in experiment.paths(plan):
                    options.send_all([each.mb, each.imitation, each.fine_tune, each.mf])
    except KeyboardInterrupt:
        again = shlex.join(["mbmf", "reproduce", *_words(options)])
        print(f"\nInterrupted. To continue:\n  {again}", file=sys.stderr)
        raise
    conclude(experiments, plan, name, _joint_folder(options, name), paper=options.paper)


def _experiment(options: Options, name: str, task: Task, recipe: str) -> Experiment:
    """The task with the recipe and what else was asked for, and where its runs are."""
    from mbmf.algorithms.reproduce import Experiment
    from mbmf.tasks.recipes import named_with_recipe, with_recipe
    from mbmf.tasks.settings import changed_task

    task = with_recipe(task, recipe)
    agent = named_with_recipe(name, task)
    folder = options.output or Path("runs") / f"reproduce_{agent}"
    if options.output is not None and len(options.recipe or ()) > 1:
        folder = options.output / recipe
    return Experiment(changed_task(task, options.set), agent, folder)


def _joint_folder(options: Options, name: str) -> Path:
    """Of the figure and table of several recipes."""
    return options.output or Path("runs") / f"reproduce_{name}_{'_'.join(options.recipe or ())}"


class _Consoles:
    """Shows each stage in the terminal (observers of `mbmf.algorithms.reproduce`)."""

    def __init__(self, options: Options) -> None:
        from rich.console import Console

        self._options, self._minimal = options, options.print_minimal
        self._console = Console(highlight=False)
        self._begin = time.perf_counter()

    def stage(self, title: str, run: Run) -> None:
        minutes, seconds = divmod(round(time.perf_counter() - self._begin), 60)
        text = f"[bold]{title}[/]  [dim]{escape(str(run.path))}, after {minutes}:{seconds:02d}[/]"
        self._console.print(text, soft_wrap=True)
        self._options.send(run)

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


def _words(options: Options) -> list[str]:
    """The command line of these options."""
    defaults = Options(agent="")
    words = [options.agent]
    if options.seeds != defaults.seeds:
        words += ["--seeds", *map(str, options.seeds)]
    numbers = ("max_steps", "stop_at_reward", "std_on_mlp_policy", "num_rollouts_save_for_mf")
    words += ["--recipe", *options.recipe] if options.recipe else []
    words += ["--stages", *options.stages] if options.stages != defaults.stages else []
    for name in (*numbers, "output"):
        if getattr(options, name) is not None:
            words.append(f"--{name}={getattr(options, name)}")
    if options.set:
        words += ["--set", *options.set]
    words += [f"--{name}" for name in ("paper", "print_minimal") if getattr(options, name)]
    words += [f"--nthread={options.nthread}"] if options.nthread else []
    words += [f"--{name}" for name in options.services]
    return words + options.words() + ([f"--jobs={options.jobs}"] if options.jobs != 1 else [])
