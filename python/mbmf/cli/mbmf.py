"""``mbmf mbmf``: from the rollouts of a finished ``mbmf mb`` to an expert: imitation, then fine-tuning."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.cluster_options import ClusterOptions
from mbmf.cli.planner_options import RECIPE, SET
from mbmf.cli.runs import (
    RUN,
    name_of,
    newest_run,
    print_commands,
    recorded_mapping,
    run_path,
    saying_what_to_type,
)
from mbmf.cli.service_options import ServiceOptions
from mbmf.cli.terminal import note
from mbmf.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mbmf.cluster.sampler import Sampler
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.rollouts.episodes import Episodes
    from mbmf.runs.mb_result import ModelBasedResult
    from mbmf.runs.run import Record, Run
    from mbmf.tasks.learning import ImitationConfig, ModelFreeConfig
    from mbmf.tasks.task import Task


# of the configurations of imitation and of fine-tuning
_IMITATION = {"seed": "--seed", "settings.epochs": "--imitation_epochs"}
_FINE_TUNING = {
    "seed": "--seed",
    "settings.batch_size": "--batch_size",
    "settings.gae_lambda": "--gae_lambda",
}
_BESIDE = "--save_trpo_run_num=N with another number makes one beside it"
_OWN_TASK = "the --which_agent that it was made with, or none: the run's own task is used then"


@dataclass(frozen=True)
class Options(ClusterOptions, ServiceOptions):
    """Teach a policy to act as MPC does (DAgger), then improve it (TRPO)."""

    which_agent: str | None = None
    """The robot: 1 ant, 2 swimmer, 4 half_cheetah (cheetah), 6 hopper, by number or name, or a preset's
    name; it must be that of the run, whose own settings are used. Or the path of a YAML file
    (docs/tasks.md): its settings are used then (default: the run's task)."""

    run_num: str | None = field(default=None, metadata=RUN)
    """Number or name of the finished run of mbmf mb, <runs_dir>/run_<run_num>; new files go there too:
    imitation/ and mbmf_std<deviation>_<save_trpo_run_num>/ (default: the newest)."""

    save_trpo_run_num: int = 1
    """Number of the fine-tuning, where there are several of one run and deviation."""

    recipe: str | None = field(default=None, metadata=RECIPE)
    """The recipe that the run was made with, which is used in any case; another is an error."""

    std_on_mlp_policy: float | None = None
    """Standard deviation of the actions that fine-tuning starts with (default: the task's, 1 for swimmer and
    hopper, 0.5 for half cheetah and ant)."""

    imitation_epochs: int | None = None
    """Passes over the examples in each iteration of imitation (default: the task's, as in the paper, 70 for
    swimmer, 300 for half cheetah, 200 for the others). Far fewer are a better start for TRPO,
    docs/results.md."""

    num_workers_trpo: int = 0
    """Threads of TRPO, 0: one per CPU. The numbers do not depend on it."""

    num_trpo_iters: int | None = None
    """Iterations of TRPO in all (default: the task's, 200 for the swimmer, 2000 or 2500 for the others)."""

    batch_size: int | None = None
    """Control steps of an iteration of TRPO at least, in whole episodes (default: the task's, 50000 or
    for the hopper 25000)."""

    gae_lambda: float | None = None
    """The lambda of generalised advantage estimation, from 0 to 1 (default: the task's, 1 as in the paper;
    0.97 learns faster on some robots, docs/results.md)."""

    max_steps: int | None = None
    """Stop once so many control steps were taken in all, those of mbmf mb and of imitation included."""

    stop_at_reward: float | None = None
    """Stop once the mean return of an iteration's episodes is so high."""

    might_render: bool = False
    """Say before the run where what is visualised will be seen: in the viewer, in videos, or not at all."""

    visualize_mlp_policy: bool = False
    """Show the imitation policy before fine-tuning: in MuJoCo's viewer, or without a display as a video in
    imitation/videos/."""

    visualize_on_policy_rollouts: bool = False
    """After each iteration of imitation show the first rollout that MPC labelled, in the same way."""

    print_minimal: bool = False
    """Print a line per iteration, no progress."""

    use_existing_pretrained_policy: bool = False
    """Run the TRPO part only, from the imitation policy that the run has."""

    set: tuple[str, ...] = field(default=(), metadata=SET)
    """Settings in place of the task's, as in its file: imitation.epochs=5 fine_tune.batch_size=20000. The run
    keeps them."""

    seed: int | None = None
    """Seed of everything random here (default: that of the run)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""

    resume: bool = False
    """Continue after an interruption, or with other limits; the numbers are those of one run."""

    overwrite: bool = False
    """Replace imitation (unless it is used as it is) and fine-tuning if they are there."""

    allow_other_task: bool = False
    """Go on with, or use, what was learned of another robot, other names or another dt: the MJCF was changed
    since, or an earlier release wrote the run."""

    nthread: int = 0
    """Threads of imitation, 0: one per CPU. The numbers do not depend on it."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    _check(options)
    options.check_services()
    from mbmf.algorithms import fine_tune, imitation
    from mbmf.cli.console import resume_command
    from mbmf.cluster.sampler import Here
    from mbmf.runs.mb_result import ModelBasedResult
    from mbmf.runs.run import Run
    from mbmf.tasks.agents import agent_of_run
    from mbmf.tasks.recipes import with_recipe_of
    from mbmf.tasks.settings import OF_CONTROLLER, changed_task, check_sections

    if options.run_num is None:
        path = newest_run(options.runs_dir)
    else:
        path = run_path(options.runs_dir, options.run_num)
    why = f"the controller that is imitated is the run's, with which {path} was made"
    check_sections(options.set, OF_CONTROLLER, why)
    if options.use_existing_pretrained_policy:
        trained = "the policy of --use_existing_pretrained_policy is trained already"
        check_sections(options.set, ("imitation",), trained)
    recorded = recorded_mapping(path)
    task = agent_of_run(options.which_agent, recorded, note)
    task = with_recipe_of(recorded, task, options.recipe, path)
    task = changed_task(task, options.set)
    imitated = imitation.settings_of(task, epochs=options.imitation_epochs)
    settings = fine_tune.settings_of(
        task,
        std=options.std_on_mlp_policy,
        batch_size=options.batch_size,
        iterations=options.num_trpo_iters,
        gae_lambda=options.gae_lambda,
    )
    try:
        # nobody may replace the run while its files are used
        with Run.read(path) as parent:
            parent.allow_other_task = options.allow_other_task
            source = ModelBasedResult.load(parent, task)
            seed = source.seed if options.seed is None else options.seed
            tuned = path / fine_tune.run_name(settings.initial_std, options.save_trpo_run_num)
            if options.overwrite:
                _check_replaced(path, tuned)
            if options.resume and _is_of_earlier_policy(tuned):
                # said before imitation goes on
                raise DataError(
                    f"{tuned}: fine-tuning must be of the policy of {path / 'imitation'}, which is not "
                    f"finished yet, got one of an earlier policy; {_BESIDE}, or remove that folder"
                )
            _warn_of_steps(options.max_steps, source.steps + source.rollouts.nsteps)
            with options.sampler(options.nthread) as sampler:
                policy, steps = _imitate(options, task, source, imitated, path / "imitation", seed, sampler)
                trpo = Here(options.num_workers_trpo) if options.address is None else sampler
                _fine_tune(options, task, policy, settings, steps, path, seed, trpo)
        print_commands(
            path,
            {
                "evaluate --policy=newest": "its rewards, beside random actions",
                "video --policy=newest": "a video of it",
                "report": "the run as one page",
            },
        )
    except KeyboardInterrupt:
        number = options.save_trpo_run_num
        while _is_of_earlier_policy(path / fine_tune.run_name(settings.initial_std, number)):
            number += 1
        named = dataclasses.replace(options, run_num=name_of(path), save_trpo_run_num=number)
        command = resume_command("mbmf", named, Options())
        print(f"\nInterrupted. To continue:\n  {command}", file=sys.stderr)
        raise


def _check_replaced(run: Path, tuned: Path) -> None:
    """Before imitation is replaced: raises DataError if fine-tuning cannot be, and says what stays of it."""
    from mbmf.runs.run import Run

    Run(tuned).check_new(overwrite=True)
    others = sorted(each.name for each in run.glob("mbmf_*") if each != tuned and Run(each).exists)
    if others:
        note(f"{', '.join(others)}: went on from the policy that is replaced now, not from the new one")


def _is_of_earlier_policy(tuned: Path) -> bool:
    """Whether there is fine-tuning though the run's imitation, which replaced another, is not finished."""
    from mbmf.runs.run import Run

    imitation = Run(tuned.parent / "imitation")
    return Run(tuned).exists and imitation.exists and imitation.summary() is None


def _warn_of_steps(max_steps: int | None, before: int) -> None:
    """Says, before hours of work, that fine-tuning will not begin."""
    if max_steps is not None and before >= max_steps:
        note(
            f"nothing will be fine-tuned: --max_steps={max_steps} counts all control steps, and mbmf mb and "
            f"its saved rollouts took {before:,}"
        )


def _imitate(
    options: Options,
    task: Task,
    source: ModelBasedResult,
    settings: ImitationConfig,
    path: Path,
    seed: int,
    sampler: Sampler,
) -> tuple[GaussianPolicy, int]:
    """The imitation policy, and the control steps that it cost."""
    from mbmf.algorithms import imitation
    from mbmf.cli.imitation_console import ImitationConsole
    from mbmf.runs.run import Run

    exists = Run(path).exists
    if options.use_existing_pretrained_policy:
        directory = Run.read(path)
        directory.allow_other_task = options.allow_other_task
    elif exists and not (options.resume or options.overwrite):
        raise DataError(
            f"{path}: run directory must be new, got an existing run: continue it with --resume, replace it "
            "with --overwrite, or use its policy with --use_existing_pretrained_policy"
        )
    else:
        with saying_what_to_type(_IMITATION, _OWN_TASK):
            directory = imitation.open_run(
                path,
                task,
                source,
                settings,
                seed=seed,
                nthread=options.nthread,
                resume=options.resume and exists,
                overwrite=options.overwrite,
                allow_other_task=options.allow_other_task,
            )
    with directory:
        console = ImitationConsole(
            settings.iterations + 1,
            minimal=options.print_minimal,
            after_iteration=lambda record, tests, labelled: _show_rollouts(
                options, task, directory, record, labelled, console.note
            ),
        )
        if options.might_render or options.visualize_mlp_policy or options.visualize_on_policy_rollouts:
            from mbmf.show.viewer import announce

            announce(task, directory.video("").parent, console.note)
        if not options.use_existing_pretrained_policy:
            options.send(directory, console.note)
            summary = imitation.imitate(
                task,
                directory,
                source,
                settings,
                seed=seed,
                nthread=options.nthread,
                observer=console,
                sampler=sampler,
            )
            console.conclude(summary, path)
        policy, steps = imitation.load_policy(directory, task)
        if options.visualize_mlp_policy:
            _show_policy(task, policy, source.settings.steps_per_rollout, directory, console.note)
        return policy, steps


def _fine_tune(
    options: Options,
    task: Task,
    policy: GaussianPolicy,
    settings: ModelFreeConfig,
    steps_before: int,
    parent: Path,
    seed: int,
    sampler: Sampler,
) -> None:
    from mbmf.algorithms import fine_tune
    from mbmf.algorithms.model_free import Limits
    from mbmf.cli.policy_console import PolicyConsole
    from mbmf.runs.run import Run

    limits = Limits(settings.iterations, options.max_steps, options.stop_at_reward)
    path = parent / fine_tune.run_name(settings.initial_std, options.save_trpo_run_num)
    other = f"the command that the run was made with; {_BESIDE}"
    with saying_what_to_type(_FINE_TUNING, _OWN_TASK, other):
        opened = fine_tune.open_run(
            path,
            task,
            policy,
            settings,
            limits,
            steps_before=steps_before,
            seed=seed,
            nthread=options.num_workers_trpo,
            resume=options.resume and Run(path).exists,
            overwrite=options.overwrite,
            allow_other_task=options.allow_other_task,
        )
    with opened as directory:
        done = directory.metrics()
        with PolicyConsole(limits, settings.batch_size, done=done, minimal=options.print_minimal) as console:
            options.send(directory, console.note)
            summary = fine_tune.fine_tune(
                task,
                policy,
                directory,
                settings,
                limits,
                steps_before=steps_before,
                seed=seed,
                nthread=options.num_workers_trpo,
                observer=console,
                sampler=sampler,
            )
        console.conclude(summary, path)


def _check(options: Options) -> None:
    if options.imitation_epochs is not None and options.use_existing_pretrained_policy:
        raise ConfigError(
            "--imitation_epochs must not be given together with --use_existing_pretrained_policy: "
            "that policy is trained already"
        )
    if options.resume and options.overwrite:
        raise ConfigError("--overwrite must not be given together with --resume: one replaces the run")


def _show_policy(
    task: Task, policy: GaussianPolicy, steps: int, directory: Run, note: Callable[[str], None]
) -> None:
    """Shows an episode of the mean actions."""
    from mbmf.rollouts.collect import collect_policy
    from mbmf.show.viewer import never_stopping, show_episode

    with never_stopping("video of policy", note):
        batch = collect_policy(
            task, policy, episodes=1, max_episode_steps=steps, std=0.0, kind="control", keep_states=True
        )
        with directory.writing(directory.video("policy")) as path:
            show_episode(task, batch.to_episodes(task), 0, path, note)


def _show_rollouts(
    options: Options,
    task: Task,
    directory: Run,
    record: Record,
    labelled: Episodes | None,
    note: Callable[[str], None],
) -> None:
    """Shows the first of the rollouts that MPC labelled, if that was asked for."""
    if not options.visualize_on_policy_rollouts or labelled is None or not len(labelled):
        return
    from mbmf.show.viewer import never_stopping, show_episode

    name = f"iteration_{record['iteration']}"
    with never_stopping(f"video of {name}", note), directory.writing(directory.video(name)) as path:
        show_episode(task, labelled, 0, path, note)
