"""``mbmf video``: an episode of a run as MP4, recorded or driven now."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.planner_options import PlannerOptions
from mbmf.cli.runs import RUN, run_path
from mbmf.errors import ConfigError, DataError
from mbmf.names import is_plain_name

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.planner import Planner
    from mbmf.rollouts.episodes import Episodes
    from mbmf.runs.run import Run
    from mbmf.show.video import Overlay
    from mbmf.tasks.task import Task


@dataclass(frozen=True)
class Options(PlannerOptions):
    """Write an episode of a run of mbmf mb as a video (MP4), without a display."""

    run_num: str = field(metadata=RUN)
    """Number of the run, <runs_dir>/run_<run_num>, or its name, <runs_dir>/<name>."""

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
    """File to write (default: in the run's folder videos/, by what it shows)."""

    width: int = 640
    """Of the picture, in pixels, even."""

    height: int = 480
    """Of the picture, in pixels, even."""

    nthread: int = 0
    """Threads for planning, 0: one per CPU."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    _check(options)
    from mbmf.show.run_figures import open_model_based
    from mbmf.show.video import save_episode_video
    from mbmf.simulation.renderer import Renderer

    path = run_path(options.runs_dir, options.run_num)
    run, task, _ = open_model_based(path)
    stage = (options.rollouts or "").rpartition("/")[0]
    if stage.startswith("paths/"):
        task = open_model_based(path / stage)[1]
    if options.desired_traj_type is not None:
        task = task.with_path(options.desired_traj_type)
    task = options.applied_to(task)
    # before the minutes that driving may take
    with Renderer(task.model, options.width, options.height):
        pass
    plans = (10 if options.live else 0) if options.plans is None else options.plans
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
    output.parent.mkdir(parents=True, exist_ok=True)
    with _Bar() as bar:
        save_episode_video(
            task,
            episodes,
            index,
            output,
            width=options.width,
            height=options.height,
            overlays=overlays,
            progress=bar.update,
        )
    print(f"{output}: {int(episodes.lengths[index])} steps, reward {episodes.returns[index]:.2f}")


def _check(options: Options) -> None:
    if options.desired_traj_type is not None and not options.live:
        raise ConfigError(
            "--desired_traj_type must be given with --live only: a recorded episode has its path"
        )
    if options.live and (options.rollouts is not None or options.episode != 0):
        raise ConfigError(
            "--rollouts and --episode must not be given with --live: it drives, they are recorded"
        )


def _controller(run: Run, task: Task, options: Options) -> tuple[Planner, DynamicsModel]:
    """The run's planner, with its latest model."""
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.make import make_planner

    found = run.latest_model()
    if found is None:
        raise DataError(f"{run.path / 'models'}: a dynamics model must exist to plan with, got none")
    model = DynamicsModel.load(found, task)
    run.check(found)
    return make_planner(task, model, seed=options.seed, nthread=options.nthread), model


def _drive(task: Task, planner: Planner, options: Options) -> Episodes:
    """An episode of the controller."""
    from mbmf.rollouts.collect import collect_mpc

    settings = task.model_based
    steps = options.steps or (settings.steps_per_rollout if settings else task.episode_steps)
    with _Bar() as bar:
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
    episodes = Episodes.load(path, task=task)
    Run(run.path / stage).check(path)
    if not -len(episodes) <= options.episode < len(episodes):
        raise ConfigError(f"--episode must be one of the {len(episodes)} in {path}, got {options.episode}")
    index = options.episode % len(episodes)
    return f"{name.replace('/', '_')}_episode_{index}", index, episodes


class _Bar:
    """Progress on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(
            transient=True, console=Console(stderr=True), disable=not sys.stderr.isatty()
        )
        self._task = self._progress.add_task("")

    def update(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
