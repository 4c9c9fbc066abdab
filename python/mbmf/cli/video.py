"""``mbmf video``: an episode of a run, recorded or driven now, as MP4 or GIF."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.drivers import algorithm_of, open_policy, steps_of
from mbmf.cli.outputs import check_output
from mbmf.cli.planner_options import PlannerOptions
from mbmf.cli.progress import Bar
from mbmf.cli.runs import RUN, run_path
from mbmf.cli.terminal import note
from mbmf.errors import ConfigError, DataError
from mbmf.names import is_plain_name
from mbmf.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.planner import Planner
    from mbmf.rollouts.episodes import Episodes
    from mbmf.runs.run import Run
    from mbmf.show.video import Overlay
    from mbmf.tasks.task import Task

# of files
VIDEO_ENDINGS = (".mp4", ".gif")


@dataclass(frozen=True)
class Options(PlannerOptions):
    """Write an episode as a video, MP4 or GIF, without a display."""

    run_num: str | None = field(default=None, metadata=RUN)
    """The run of mbmf mb, by number or name, of which it is an episode; or of mbmf mf: its policy drives."""

    policy: str | None = field(default=None, metadata={"metavar": "FILE|FOLDER|newest"})
    """The policy that drives: its file, the folder of its run, or newest: that of the run's newest
    fine-tuning, or else of its imitation."""

    rollouts: str | None = None
    """Which rollouts: a name in the run's folder rollouts/, such as iteration_3 or saved; of a stage or
    of another path imitation/iteration_1, paths/left_turn/iteration_1 (default: the last iteration's)."""

    episode: int = 0
    """Which of them, from 0; negative: from the end."""

    live: bool = False
    """Drive the robot now, by the run's latest model and MPC, in place of showing a recorded episode."""

    desired_traj_type: str | None = None
    """Path to follow, to drive: a name or a CSV file, as for mbmf mb (default: the run's)."""

    steps: int | None = None
    """Control steps to drive (default: the run's)."""

    seed: int = 0
    """Seed of the start and the plans, to drive."""

    plans: int | None = None
    """Draw the planned way of so many of the best candidates at each step, the best one green (default: 10 to
    drive, none for a recorded episode)."""

    output: Path | None = None
    """File to write, .mp4 or .gif (default: in the run's folder videos/, by what it shows)."""

    width: int = 640
    """Of the picture, in pixels, even."""

    height: int = 480
    """Of the picture, in pixels, even."""

    nthread: int = 0
    """Threads for planning, 0: one per CPU."""

    allow_other_task: bool = False
    """Take the robot as it is by now, where its MJCF was changed after the run, or an earlier release wrote
    the run."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    _check(options)
    from mbmf.show.run_figures import open_model_based

    path = None if options.run_num is None else run_path(options.runs_dir, options.run_num)
    if options.policy is not None or path is None or algorithm_of(path) == "model_free":
        _check_of_policy(options)
        _policy_video(options)
        return
    for name in ("search", "horizon", "candidates", "set", "steps"):
        of_plans = options.plans and name != "steps"
        if getattr(options, name) not in (None, ()) and not (options.live or of_plans):
            raise ConfigError(f"--{name} must be given with --live: a recorded episode is as it was driven")
    run, task, _ = open_model_based(path, allow_other_task=options.allow_other_task)
    stage = (options.rollouts or "").rpartition("/")[0]
    if stage.startswith("paths/"):
        task = open_model_based(path / stage, allow_other_task=options.allow_other_task)[1]
    if options.desired_traj_type is not None:
        task = task.with_path(options.desired_traj_type)
    task = options.applied_to_learned(_as_planned(run, task))
    _check_before_driving(options, task)
    plans = (10 if options.live else 0) if options.plans is None else options.plans
    if plans:
        from mbmf.show.overlays import why_no_plans

        without = why_no_plans(task)
        if without is not None and options.plans:
            raise ConfigError(f"--plans must be 0 here: {without}")
        if without is not None:
            note(f"no plans are drawn: {without}")
            plans = 0
    planner = model = None
    if options.live or plans:
        planner, model = _controller(run, task, options)
    if options.live:
        assert planner is not None
        index, episodes = 0, _drive(task, planner, options)
        name = f"live_{options.seed}" + (f"_{task.path.label}" if task.path is not None else "")
    else:
        name, index, episodes = _recorded(run, task, options)
    overlays: list[Overlay] = []
    if episodes.path is not None:
        from mbmf.show.overlays import Path as PathOverlay

        overlays.append(PathOverlay(task, episodes, index))
    if plans:
        from mbmf.show.overlays import Plans

        assert planner is not None
        assert model is not None
        overlays.append(Plans(planner, model, episodes, index, min(plans, planner.candidates)))
    output = options.output or path / "videos" / f"{name}.mp4"
    _write(options, output, task, episodes, index, overlays)


def _policy_video(options: Options) -> None:
    """An episode of a policy's mean actions, from a start that a controller has."""
    driver = open_policy(
        options.runs_dir, options.run_num, options.policy, allow_other_task=options.allow_other_task
    )
    _check_before_driving(options, driver.task)
    steps = options.steps or steps_of(driver.task, driver.folder)
    with Bar("driving", steps) as bar:
        episodes = driver.drive(1, steps, options.seed, options.nthread, bar.update)
    output = options.output or driver.folder / "videos" / f"policy_{options.seed}.mp4"
    _write(options, output, driver.task, episodes, 0, [])


def _check_before_driving(options: Options, task: Task) -> None:
    """Raises what would fail after the minutes that driving may take."""
    from mbmf.simulation.renderer import Renderer

    with Renderer(task.model, options.width, options.height):
        pass
    if options.output is not None:
        check_output(options.output)


def _write(
    options: Options,
    output: Path,
    task: Task,
    episodes: Episodes,
    index: int,
    overlays: Sequence[Overlay],
) -> None:
    from mbmf.show.video import save_episode_video

    output.parent.mkdir(parents=True, exist_ok=True)
    with Bar("pictures") as bar:
        save_episode_video(
            task,
            episodes,
            index,
            output,
            width=options.width,
            height=options.height,
            overlays=overlays,
            progress=bar.update,
            note=note,
        )
    steps = counted(int(episodes.lengths[index]), "step")
    print(f"{output}: {steps}, reward {episodes.returns[index]:.2f}")


def _check_of_policy(options: Options) -> None:
    """Refuses what a policy's video would not heed."""
    which = "with --policy, which" if options.policy is not None else "for a run whose policy"
    names = ("rollouts", "episode", "live", "desired_traj_type", "plans", "set")
    for name in (*names, "search", "horizon", "candidates"):
        if getattr(options, name):
            raise ConfigError(f"--{name} must not be given {which} drives as it learned to")


def _check(options: Options) -> None:
    if options.run_num is None and options.policy is None:
        raise ConfigError("--run_num or --policy must be given, got neither")
    if options.output is not None and options.output.suffix not in VIDEO_ENDINGS:
        raise ConfigError(f"--output must end in {' or '.join(VIDEO_ENDINGS)}, got {options.output}")
    if options.desired_traj_type is not None and not options.live:
        raise ConfigError(
            "--desired_traj_type must be given with --live only: a recorded episode has its path"
        )
    if options.live and (options.rollouts is not None or options.episode != 0):
        raise ConfigError(
            "--rollouts and --episode must not be given with --live: it drives, they are recorded"
        )


def _as_planned(run: Run, task: Task) -> Task:
    """The run's task as it is planned with its latest model, if there is one."""
    from mbmf.runs.trained import planning_model

    found = planning_model(run, task)
    return task if found is None else task.at_iteration(int(found.stem.removeprefix("iteration_")))


def _controller(run: Run, task: Task, options: Options) -> tuple[Planner, DynamicsModel]:
    """The run's planner, with its latest model."""
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.make import make_planner
    from mbmf.runs.trained import load_policy, load_value, planning_model

    found = planning_model(run, task)
    if found is None:
        raise DataError(f"{run.path / 'models'}: a dynamics model must exist to plan with, got none")
    model = DynamicsModel.load(found, task, allow_other_task=options.allow_other_task)
    run.check(found)
    iteration = int(found.stem.removeprefix("iteration_"))
    value = load_value(run, task, iteration, allow_other_task=options.allow_other_task)
    policy = load_policy(run, task, iteration, allow_other_task=options.allow_other_task)
    planner = make_planner(
        task, model, seed=options.seed, nthread=options.nthread, value=value, policy=policy
    )
    return planner, model


def _drive(task: Task, planner: Planner, options: Options) -> Episodes:
    """An episode of the controller."""
    from mbmf.rollouts.collect import collect_mpc

    settings = task.model_based
    steps = options.steps or (settings.steps_per_rollout if settings else task.episode_steps)
    with Bar("driving") as bar:
        return collect_mpc(
            task, planner, 1, steps, seed=options.seed, progress=lambda done: bar.update(done, steps)
        )


def _recorded(run: Run, task: Task, options: Options) -> tuple[str, int, Episodes]:
    """A name for the video, the number of the episode, and the rollouts that it is of."""
    from mbmf.rollouts.episodes import Episodes
    from mbmf.runs.run import Run

    name = options.rollouts or f"iteration_{len(run.metrics())}"
    stage, _, last = name.rpartition("/")
    path = run.path / stage / "rollouts" / f"{last}.npz"
    # a name with a part such as .. would be a file that is not the run's
    if not all(map(is_plain_name, name.split("/"))) or not path.is_file():
        found = run.path.glob("**/rollouts/*.npz")
        names = {each.relative_to(run.path).as_posix().replace("rollouts/", "") for each in found}
        have = sorted((each.removesuffix(".npz") for each in names), key=lambda each: (each.count("/"), each))
        raise DataError(f"--rollouts must be one of {', '.join(have) or 'none that exists'}, got {name}")
    episodes = Episodes.load(path, task=task, allow_other_task=options.allow_other_task)
    Run(run.path / stage).check(path)
    if not -len(episodes) <= options.episode < len(episodes):
        raise ConfigError(f"--episode must be one of the {len(episodes)} in {path}, got {options.episode}")
    index = options.episode % len(episodes)
    return f"{name.replace('/', '_')}_episode_{index}", index, episodes
