"""What ``mbmf demo`` shows first: a swimmer whose dynamics are learned already, driven by plans.

The model, ``presets/swimmer_forward.safetensors``, is that of a run's last iteration: CONTRIBUTING.md has the
command that made it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mbmf.cli.progress import Bar

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.tasks.task import Task

PRESET = "swimmer_forward"
# as in the run that the model is of
PLANNER = {"search": "icem", "colour": 2, "execute": "mean"}
STEPS = 60
PLANS = 1  # more cost more to draw than the robot does


def show_trained(video: Path, nthread: int, note: Callable[[str], None]) -> None:
    """Drives it for some seconds and shows that in the viewer, or as a video where no window opens.

    ``note`` is told which of them, and why neither, where that is so.
    """
    from mbmf.planning.make import make_planner
    from mbmf.rollouts.collect import collect_mpc
    from mbmf.show.overlays import Plans
    from mbmf.show.viewer import never_stopping, show_episode

    begin = time.perf_counter()
    task, model = trained_model()
    planner = make_planner(task, model, nthread=nthread)
    with Bar("a trained swimmer", STEPS) as bar:
        episode = collect_mpc(task, planner, 1, STEPS, progress=bar.update)
    print(
        f"A swimmer that has learned: reward {episode.returns[0]:.2f} in {STEPS * task.dt:.0f} s, "
        f"planned in {time.perf_counter() - begin:.1f} s"
    )
    with never_stopping("picture of the trained swimmer", note):
        show_episode(task, episode, 0, video, note, [Plans(planner, model, episode, 0, PLANS)])


def trained_task() -> Task:
    """The preset, with the planner of the run that the model is of."""
    from mbmf.tasks.load import load_task

    return load_task({**load_task(PRESET).to_data(), "planner": PLANNER})


def trained_model() -> tuple[Task, DynamicsModel]:
    """That task, and the model."""
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.tasks.file import PRESETS

    task = trained_task()
    return task, DynamicsModel.load(PRESETS / f"{PRESET}.safetensors", task)
