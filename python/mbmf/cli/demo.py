"""``mbmf demo``: a swimmer that has learned, then the whole method, in about three minutes on two cores."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.runs import print_next
from mbmf.cli.trained_swimmer import PRESET, show_trained

if TYPE_CHECKING:
    from mbmf.cli.console import ConsoleObserver
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.rollouts.episodes import Episodes
    from mbmf.runs.run import Record, Run
    from mbmf.tasks.task import Task

# validation data for the 100-step error; costs little and needs no option
VALIDATION_EPISODES, VALIDATION_STEPS = 3, 150


@dataclass(frozen=True)
class Options:
    """See it work in three minutes: a swimmer that has learned, then one that learns.

    Both are videos in the end; the first is shown in a window where one opens.
    """

    output: Path = Path("runs/demo")
    """Folder for everything that it writes; an earlier demo there is replaced."""

    seed: int = 0
    """Seed of everything random."""

    iterations: int = 4
    """How often it learns from all data so far and then drives the robot."""

    random_episodes: int = 10
    """Episodes of random actions to learn from at first."""

    episodes: int = 3
    """Episodes that it drives per iteration."""

    steps: int = 333
    """Control steps of each episode, 0.15 s each."""

    epochs: int = 30
    """Passes over the data per iteration."""

    candidates: int = 2000
    """Plans that it compares before each step."""

    nthread: int = 0
    """Threads for simulation and planning, 0: one per CPU. The numbers do not depend on it."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from mbmf.algorithms import model_based
    from mbmf.cli.console import ConsoleObserver
    from mbmf.show.run_figures import baseline

    class Observer(ConsoleObserver):
        """A line per iteration, after one for the random actions; below, live, what it does and earned."""

        earned = ""

        @contextlib.contextmanager
        def stage(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
            with super().stage(title + self.earned, total) as update:
                yield update

        def iteration(self, record: Record, model: DynamicsModel, rollouts: Episodes) -> None:
            if record["iteration"] == 1:
                random = baseline(directory, task)
                print(f"random actions: reward {random.returns.mean():.2f} ± {random.returns.std():.2f}")
            text = f"reward {record['reward_mean']:.2f} ± {record['reward_std']:.2f}"
            print(f"iteration {record['iteration']} of {options.iterations}: {text}")
            self.earned = f" ({text} before)" if self.console.is_terminal else ""

    begin = time.perf_counter()
    task = small_task(options)
    run_options = model_based.Options(seed=options.seed, nthread=options.nthread)
    with model_based.open_run(options.output, task, run_options, overwrite=True) as directory:
        observer = Observer(options.iterations)
        with directory.writing(directory.video("trained")) as path:
            show_trained(path, options.nthread, observer.note)
        print("Now one that learns from nothing:")
        model_based.model_based(task, directory, run_options, observer)
        pictures = _show(directory, task, options, observer)
    print(f"Done in {time.perf_counter() - begin:.0f} seconds. Learning curve and video:")
    for path in pictures:
        print(f"  {path}")
    print_next(options.output, imitates=False)


def small_task(options: Options) -> Task:
    """The preset, with the demo's settings. Raises ConfigError for one that is out of range."""
    from mbmf.tasks.load import load_task

    config = load_task(PRESET).to_data()
    config["model_based"] |= {
        "random_train": {"episodes": options.random_episodes, "steps": options.steps},
        "random_validation": {"episodes": VALIDATION_EPISODES, "steps": VALIDATION_STEPS},
        "epochs": options.epochs,
        "candidates": options.candidates,
        "iterations": options.iterations,
        "rollouts_per_iteration": options.episodes,
        "rollouts_for_training": options.episodes,
        "steps_per_rollout": options.steps,
        "rollouts_to_save": 0,
    }
    return load_task(config)


def _show(directory: Run, task: Task, options: Options, observer: ConsoleObserver) -> list[Path]:
    """Writes the learning curve and a video of the last rollout; returns the files that there are."""
    from mbmf.rollouts.episodes import Episodes
    from mbmf.show.plots import plot_learning_curve, save_figure
    from mbmf.show.run_figures import baseline
    from mbmf.show.video import save_episode_video
    from mbmf.simulation.renderer import RenderError

    last = Episodes.load(directory.rollouts(options.iterations), task=task)
    records = directory.metrics()
    figure = plot_learning_curve(
        [record["returns"] for record in records],
        baseline(directory, task).returns.tolist(),
        task_name=task.name,
        points=[record["steps_total"] for record in records],
    )
    with directory.writing(directory.plot("learning_curve")) as path:
        written = save_figure(figure, path)
    try:
        with directory.writing(directory.video("last_rollout")) as path:
            written.append(save_episode_video(task, last, -1, path))
    except RenderError as error:
        observer.note(f"no video: {error}")
    return written
