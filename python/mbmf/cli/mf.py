"""``mbmf mf``: model-free learning of a task from scratch, to compare with."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.cluster_options import ClusterOptions
from mbmf.cli.planner_options import RECIPE, SET
from mbmf.cli.runs import own_seed, print_commands, saying_what_to_type
from mbmf.cli.service_options import ServiceOptions

if TYPE_CHECKING:
    from mbmf.algorithms.model_free import Limits
    from mbmf.cluster.sampler import Sampler
    from mbmf.tasks.learning import ModelFreeConfig
    from mbmf.tasks.task import Task

# of a run's configuration
FLAGS = {
    "seed": "--seed",
    "settings.batch_size": "--batch_size",
    "settings.steps_per_rollout": "--steps_per_rollout",
    "settings.initial_std": "--std",
    "settings.gae_lambda": "--gae_lambda",
}


@dataclass(frozen=True)
class Options(ClusterOptions, ServiceOptions):
    """Learn to drive the robot by trial and error alone (TRPO)."""

    which_agent: str
    """The robot: 1 ant, 2 swimmer, 4 half_cheetah (cheetah), 6 hopper, by number or name; or a preset's name
    or the path of a YAML file with a section model_free (docs/tasks.md)."""

    recipe: str | None = field(default=None, metadata=RECIPE)
    """Settings of the task's file in place of its own (docs/recipes.md): best, where there is one (default:
    paper, the file's own)."""

    seed: int | None = None
    """Seed of everything random: the policy's first weights, starts, actions (default: 0; to go on with a
    run, its own)."""

    save_trpo_run_num: int = 1
    """Number of the run: files are in <runs_dir>/mf_<agent>_<save_trpo_run_num>, with a recipe in
    <runs_dir>/mf_<agent>_<recipe>_<save_trpo_run_num>."""

    num_workers_trpo: int = 0
    """Threads, 0: one per CPU. The numbers do not depend on it."""

    num_trpo_iters: int | None = None
    """Iterations to run in all (default: the task's, 500 for the swimmer, 2000 or 2500 for the others)."""

    steps_per_rollout: int | None = None
    """Control steps of an episode at most (default: the task's, 333 for the swimmer, 1000 for the others)."""

    batch_size: int | None = None
    """Control steps of an iteration at least, in whole episodes (default: the task's, 50000)."""

    std: float | None = field(default=None, metadata={"aliases": ["--std_on_mlp_policy"]})
    """Standard deviation of the first policy's actions (default: the task's, 1)."""

    gae_lambda: float | None = None
    """The lambda of generalised advantage estimation, from 0 to 1 (default: the task's, 1 as in the paper;
    0.97 learns faster on some robots, docs/results.md)."""

    max_steps: int | None = None
    """Stop once so many control steps were taken in all."""

    stop_at_reward: float | None = None
    """Stop once the mean return of an iteration's episodes is so high."""

    set: tuple[str, ...] = field(default=(), metadata=SET)
    """Settings in place of the task's, as in its file: model_free.gae_lambda=0.97 reward[0].weight=2. The run
    keeps them."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""

    resume: bool = False
    """Continue the run after an interruption, or with other limits; the numbers are those of one run."""

    overwrite: bool = False
    """Replace the run if there is one."""

    allow_other_task: bool = False
    """Go on with, or use, what was learned of another robot, other names or another dt: the MJCF was changed
    since, or an earlier release wrote the run."""

    print_minimal: bool = False
    """Print a line per iteration, no progress."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    options.check_services()
    from mbmf.algorithms import model_free
    from mbmf.tasks.agents import load_agent
    from mbmf.tasks.recipes import named_with_recipe, with_recipe
    from mbmf.tasks.settings import NOT_OF_MODEL_FREE, changed_task, check_sections

    name, task = load_agent(options.which_agent)
    task = with_recipe(task, options.recipe)
    name = named_with_recipe(name, task)
    task = changed_task(task, options.set)
    check_sections(options.set, NOT_OF_MODEL_FREE, "model-free learning does not use it")
    settings = model_free.settings_of(
        task,
        batch_size=options.batch_size,
        steps_per_rollout=options.steps_per_rollout,
        initial_std=options.std,
        iterations=options.num_trpo_iters,
        gae_lambda=options.gae_lambda,
    )
    limits = model_free.Limits(settings.iterations, options.max_steps, options.stop_at_reward)
    path = options.runs_dir / f"mf_{name}_{options.save_trpo_run_num}"
    with options.sampler(options.num_workers_trpo) as sampler:
        _learn(options, path, task, settings, limits, sampler)


def _learn(
    options: Options,
    path: Path,
    task: Task,
    settings: ModelFreeConfig,
    limits: Limits,
    sampler: Sampler,
) -> None:
    """Opens the run, and does what is to be done."""
    from mbmf.algorithms import model_free
    from mbmf.cli.console import resume_command
    from mbmf.cli.policy_console import PolicyConsole

    seed = own_seed(path, options.seed, options.resume)
    with saying_what_to_type(FLAGS, "the --which_agent that the run was made with"):
        opened = model_free.open_run(
            path,
            task,
            settings,
            limits,
            seed=seed,
            nthread=options.num_workers_trpo,
            resume=options.resume,
            overwrite=options.overwrite,
            allow_other_task=options.allow_other_task,
        )
    with opened as directory:
        done = directory.metrics()
        with PolicyConsole(limits, settings.batch_size, done=done, minimal=options.print_minimal) as console:
            options.send(directory, console.note)
            try:
                summary = model_free.model_free(
                    task,
                    directory,
                    settings,
                    limits,
                    seed=seed,
                    nthread=options.num_workers_trpo,
                    observer=console,
                    sampler=sampler,
                )
            except KeyboardInterrupt:
                command = resume_command("mf", options, Options(which_agent=""))
                print(f"\nInterrupted. To continue:\n  {command}", file=sys.stderr)
                raise
        console.conclude(summary, path)
    print_commands(path, {"evaluate": "its rewards, beside random actions", "video": "a video of it"})
