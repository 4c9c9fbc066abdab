"""``mbmf mb``: model-based learning of a task, from random data to rollouts for imitation."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.cluster_options import ClusterOptions
from mbmf.cli.planner_options import RECIPE, SET, PlannerOptions
from mbmf.cli.runs import (
    RUN,
    free_number,
    name_of,
    newest_run,
    own_seed,
    print_next,
    recorded_mapping,
    run_path,
    saying_what_to_type,
)
from mbmf.cli.service_options import ServiceOptions
from mbmf.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from mbmf.algorithms import model_based
    from mbmf.cli.console import ConsoleObserver
    from mbmf.cluster.sampler import Sampler
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.rollouts.episodes import Episodes
    from mbmf.runs.run import Record, Run
    from mbmf.show.video import Overlay
    from mbmf.tasks.task import Task


# options that say what the task is
_OF_TASK = (
    *("yaml_file", "recipe", "desired_traj_type", "strict_segments"),
    *("search", "horizon", "candidates", "set"),
)
# free numbers that others may take before
_TRIES = 100
# of a run's configuration
_FLAGS = {
    "seed": "--seed",
    "num_rollouts_save_for_mf": "--num_rollouts_save_for_mf",
    "use_existing_training_data": "--use_existing_training_data",
    "use_existing_dynamics_model": "--use_existing_dynamics_model",
}


@dataclass(frozen=True)
class Options(PlannerOptions, ClusterOptions, ServiceOptions):
    """Learn the dynamics from random data, then drive the robot with them."""

    yaml_file: str | None = None
    """The task: a preset's name (mbmf tasks lists them) or the path of a YAML file (docs/tasks.md). Not
    needed to go on with a run: then it is the run's own."""

    recipe: str | None = field(default=None, metadata=RECIPE)
    """Settings of the task's file in place of its own (docs/recipes.md): best, where there is one (default:
    paper, the file's own)."""

    seed: int | None = None
    """Seed of everything random: data, weights, batches, plans, noise (default: 0; to go on with a run, its
    own)."""

    run_num: str | None = field(default=None, metadata=RUN)
    """Number of the run, <runs_dir>/run_<run_num>, or a name, <runs_dir>/<name> (default: a free number;
    to go on with a run, the newest)."""

    set: tuple[str, ...] = field(default=(), metadata=SET)
    """Settings in place of the task's, as in its file: model_based.epochs=5 reward[0].weight=2. The run keeps
    them."""

    use_existing_training_data: bool = False
    """Take the random data that the run directory has, collect none; what else it has is replaced."""

    use_existing_dynamics_model: bool = False
    """Take the latest dynamics model that the run directory has, train none; what else it has is replaced."""

    desired_traj_type: str | None = None
    """Path to follow, for a task that follows paths: straight, left_turn, right_turn, u_turn, backward,
    forward_backward, circle, or a CSV file of x,y rows in metres (default: the task's, straight). Another
    path than the run's needs --use_existing_training_data --use_existing_dynamics_model; its results are in
    <run>/paths/<path>."""

    strict_segments: bool = False
    """A segment of the path is over only when it has been passed, not as soon as the best plan leaves it."""

    num_rollouts_save_for_mf: int | None = None
    """Rollouts to save after the last iteration, for imitation (default: the task's rollouts_to_save, 60)."""

    might_render: bool = False
    """Say before the run where what is visualised will be seen: in the viewer, in videos, or not at all."""

    visualize_MPC_rollout: bool = False  # noqa: N815 - the original's flag
    """After each iteration show its first rollout: in MuJoCo's viewer, or without a display as a video."""

    perform_forwardsim_for_vis: bool = False
    """After each iteration plot an open-loop prediction of the learned model to plots/, and show the robot
    that it predicts: in MuJoCo's viewer, or without a display as a video."""

    print_minimal: bool = False
    """Print a line per iteration, no progress, no tables."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""

    resume: bool = False
    """Continue the run after an interruption, or with more iterations (--set model_based.iterations=N); the
    numbers are those of a run without one, or with N from the beginning."""

    overwrite: bool = False
    """Replace the run if there is one."""

    allow_other_task: bool = False
    """Go on with, or use, what was learned of another task, another robot, other names or another dt: the run
    learned to go forward and its model is to follow a path, the MJCF was changed since, or an earlier release
    wrote the run."""

    nthread: int = 0
    """Threads for simulation and planning, 0: one per CPU. The numbers do not depend on it."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    options.check_services()
    path = _run_path(options)
    from mbmf.algorithms import model_based
    from mbmf.runs.path_runs import results_path
    from mbmf.runs.run import Run
    from mbmf.tasks.load import load_task
    from mbmf.tasks.recipes import check_recipe_of

    if options.resume and Run(path).exists:
        check_recipe_of(recorded_mapping(path), options.recipe, path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = load_task(
            recorded_mapping(path) if options.yaml_file is None else options.yaml_file,
            path=options.desired_traj_type,
            segment_rule="reached" if options.strict_segments else None,
            recipe=options.recipe,
        )
        task = options.applied_to(task)
    model_based.settings_of(task)
    run_options = model_based.Options(
        seed=own_seed(results_path(path, task), options.seed, options.resume),
        nthread=options.nthread,
        num_rollouts_save_for_mf=options.num_rollouts_save_for_mf,
        use_existing_training_data=options.use_existing_training_data,
        use_existing_dynamics_model=options.use_existing_dynamics_model,
    )
    with options.sampler(options.nthread) as sampler:
        _learn(options, path, task, run_options, sampler, [str(each.message) for each in caught])


def _learn(
    options: Options,
    path: Path,
    task: Task,
    run_options: model_based.Options,
    sampler: Sampler,
    notes: list[str],
) -> None:
    """Opens the run, and does what is to be done."""
    from mbmf.algorithms import model_based
    from mbmf.cli.console import ConsoleObserver, resume_command
    from mbmf.runs.iterations import iterations_of
    from mbmf.runs.path_runs import results_path
    from mbmf.runs.run import Run

    settings = model_based.settings_of(task)
    there = Run(results_path(path, task))
    before = iterations_of(there.config()) if options.resume and there.exists else None
    given = [f"no --{name}" for name in _OF_TASK if getattr(options, name) not in (None, (), False)]
    own = f"{' and '.join(given) or 'nothing else'}: the run's own task is used then"
    # another process may take a free number at the same time
    for _ in range(_TRIES):
        try:
            with saying_what_to_type(_FLAGS, own):
                opened = model_based.open_run(
                    path,
                    task,
                    run_options,
                    resume=options.resume,
                    overwrite=options.overwrite,
                    allow_other_task=options.allow_other_task,
                    other_iterations=True,
                )
            break
        except DataError:
            number = free_number(options.runs_dir)
            if not _is_free(options) or path == options.runs_dir / f"run_{number}":
                raise
            path = options.runs_dir / f"run_{number}"
    with opened as directory:
        done = directory.metrics()
        observer = ConsoleObserver(
            settings.iterations,
            minimal=options.print_minimal,
            previous=done[-1] if done else None,
            after_iteration=lambda *iteration: _show(options, task, directory, observer, *iteration),
        )
        for each in notes:
            observer.note(each)
        if options.might_render or options.visualize_MPC_rollout:
            from mbmf.show.viewer import announce

            announce(task, directory.video("").parent, observer.note)
        options.send(directory, observer.note)
        if before not in (None, settings.iterations):
            observer.note(
                f"the run has model_based.iterations={settings.iterations} from now on, not {before}"
            )
        finished = directory.summary() is not None
        if finished:
            observer.note(
                "the run is finished already; --resume --set model_based.iterations=N goes on with it, "
                "--overwrite starts it anew"
            )
        try:
            summary = model_based.model_based(task, directory, run_options, observer, sampler)
        except KeyboardInterrupt:
            named = dataclasses.replace(options, run_num=name_of(path))
            print(f"\nInterrupted. To continue:\n  {resume_command('mb', named, Options())}", file=sys.stderr)
            raise
        if not finished:
            _log_figures(directory, observer)
        _conclude(directory, task, summary, observer)


def _is_free(options: Options) -> bool:
    """Whether the run is to have a number that no other has."""
    goes_on = options.use_existing_training_data or options.use_existing_dynamics_model or options.resume
    return options.run_num is None and not options.overwrite and not goes_on


def _run_path(options: Options) -> Path:
    """Where the run is, or will be. Raises ConfigError, DataError."""
    reuses = options.use_existing_training_data or options.use_existing_dynamics_model
    number = free_number(options.runs_dir)
    path = options.runs_dir / f"run_{number}"
    if options.run_num is not None:
        path = run_path(options.runs_dir, options.run_num)
    elif options.overwrite:
        if number > 1:
            raise ConfigError("--run_num must say which of several runs is replaced, got none")
        path = options.runs_dir / "run_0"
    elif options.resume or reuses:
        with contextlib.suppress(DataError):  # the message of one that is not there says more
            path = newest_run(options.runs_dir)
    if options.yaml_file is None and not (options.resume or reuses):
        raise ConfigError(
            "--yaml_file must be a preset's name (mbmf tasks lists them) or a path, for a new run, got none"
        )
    return path


def _show(
    options: Options,
    task: Task,
    directory: Run,
    observer: ConsoleObserver,
    record: Record,
    model: DynamicsModel,
    rollouts: Episodes,
) -> None:
    """Shows or writes the pictures that were asked for; none of them stops the run."""
    if options.visualize_MPC_rollout:
        from mbmf.show.overlays import Path as PathOverlay
        from mbmf.show.viewer import never_stopping, show_episode

        name = f"iteration_{record['iteration']}"
        with never_stopping(f"video of {name}", observer.note):
            overlays = [PathOverlay(task, rollouts, 0)] if rollouts.path is not None else []
            with directory.writing(directory.video(name)) as path:
                show_episode(task, rollouts, 0, path, observer.note, overlays)
    if options.perform_forwardsim_for_vis:
        from mbmf.show.overlays import Trail
        from mbmf.show.plots import plot_forward_simulation
        from mbmf.show.viewer import never_stopping, predicted_episode, show_episode
        from mbmf.simulation.renderer import RenderError

        name = f"forwardsim_{record['iteration']}"
        with never_stopping(f"plot {name}", observer.note), directory.writing(directory.plot(name)) as path:
            plot_forward_simulation(task, model, rollouts, path)
        with never_stopping(f"video of {name}", observer.note):
            predicted = predicted_episode(task, model, rollouts)
            trails: list[Overlay] = []
            with contextlib.suppress(RenderError):  # where the state does not say where the robot is
                trails.append(Trail(task, rollouts, 0, int(predicted.lengths[0])))
            with directory.writing(directory.video(name)) as path:
                show_episode(task, predicted, 0, path, observer.note, trails)


def _log_figures(directory: Run, observer: ConsoleObserver) -> None:
    """Adds the run's figures to TensorBoard's events."""
    from mbmf.show import run_figures
    from mbmf.show.viewer import never_stopping

    records = directory.metrics()
    wanted: dict[str, Callable[[], Figure]] = {
        "reward": lambda: run_figures.reward_figure(directory.path, note=observer.note)
    }
    if records[-1]["loss_train"] is not None:
        wanted["losses"] = lambda: run_figures.loss_figure([directory.path], note=observer.note)
    if any("tracking" in record for record in records):
        wanted["paths"] = lambda: run_figures.path_figure([directory.path], note=observer.note)
    figures = {}
    with observer.stage("figures for TensorBoard", len(wanted) + 1) as progress:
        for done, (name, make) in enumerate(wanted.items()):
            with never_stopping(f"figure of the {name} in TensorBoard", observer.note):
                figures[name] = make()
            progress(done + 1)
        with never_stopping("figures in TensorBoard", observer.note):
            directory.log_figures(figures, records[-1]["iteration"])


def _conclude(directory: Run, task: Task, summary: Record, observer: ConsoleObserver) -> None:
    last = directory.metrics()[-1]
    if "tracking" in last:
        from mbmf.cli.path_console import tracking_table

        observer.console.print(tracking_table(last["tracking"]))
    saved, wanted = summary["rollouts_saved"], summary["rollouts_wanted"]
    text = f"{saved} of {wanted} rollouts saved for imitation" if wanted else ""
    if saved:
        text += f", reward {summary['reward_mean']:.2f} ± {summary['reward_std']:.2f}"
    text = f"{text}. " if text else ""
    observer.console.print(f"{text}Everything is in {directory.path}", soft_wrap=True, markup=False)
    print_next(directory.path, saved > 0 and task.imitation is not None and task.model_free is not None)
