"""``mbmf view``: a learned robot in the browser, with its plans, and what they are made with to change."""

from __future__ import annotations

import functools
import math
import time
import webbrowser
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbmf.cli.planner_options import PlannerOptions
from mbmf.cli.runs import RUN, run_path
from mbmf.cli.terminal import note
from mbmf.errors import ConfigError, CoreError

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.show.driven import Candidates, Driven
    from mbmf.show.page import Page
    from mbmf.tasks.task import Task

# a second; the browser hardly shows more
_PICTURES = 30


@dataclass(frozen=True)
class Options(PlannerOptions):
    """Show a learned robot and its plans in the browser, and change them as it runs.

    Needs mbmf[view]. Ctrl-C ends it.
    """

    run_num: str | None = field(default=None, metadata=RUN)
    """The run of mbmf mb whose model and task are used, by number or name (default: the swimmer that comes
    with mbmf)."""

    iteration: int | None = None
    """The aggregation iteration whose model it is (default: the last)."""

    desired_traj_type: str | None = None
    """Path to follow at first, for a task that follows paths: a name or a CSV file (default: the run's)."""

    plans: int = 10
    """How many of the best candidates are drawn, the best one green; 0: none."""

    seconds: float = 0.0
    """How long; 0: until Ctrl-C."""

    host: str = "127.0.0.1"
    """Address to serve the page at; 0.0.0.0 is every one of this machine: whoever reaches it may steer."""

    port: int = 8080
    """Port to serve the page at."""

    browser: bool = False
    """Open the page in the browser of this machine."""

    seed: int = 0
    """Seed of the starts and the plans."""

    nthread: int = 0
    """Threads of the planner, 0: one per CPU."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""

    allow_other_task: bool = False
    """Take the robot as it is by now, where its MJCF was changed after the run, or an earlier release wrote
    the run."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    if not (0 <= options.seconds <= 1e6):
        raise ConfigError(f"--seconds must be at least 0 and at most 1e6, got {options.seconds}")
    if not 0 <= options.plans <= 50:
        raise ConfigError(f"--plans must be from 0 to 50, got {options.plans}")
    from mbmf.show.page import Page, check_page

    check_page(options.host, options.port)
    if options.browser:
        _check_browser(options)
    task, model, helps = _learned(options)
    from mbmf.show.driven import Driven
    from mbmf.show.overlays import why_no_plans

    driven = Driven(task, model, options.seed, options.nthread, **helps)
    driven.plans = options.plans
    without = why_no_plans(task)
    if without is not None and driven.plans:
        note(f"no plans are drawn: {without}")
        driven.plans = 0
    page = Page(task, options.host, options.port)
    try:
        _offer(page, driven, plans=without is None)
        print(f"{task.name}: {page.url} (Ctrl-C ends it)", flush=True)
        if options.browser:
            webbrowser.open(page.url)
        _drive(page, driven, options.seconds or math.inf)
    except KeyboardInterrupt:
        print()
    finally:
        page.close()
    print(f"episode {driven.episode + 1}: reward {driven.reward:.2f} in {driven.steps} steps")


def _check_browser(options: Options) -> None:
    from mbmf.simulation.renderer import no_window

    reason = no_window()
    if reason is None:
        try:
            webbrowser.get()
            return
        except webbrowser.Error as error:
            reason = str(error)
    raise ConfigError(
        f"--browser must be given where a browser opens, got none ({reason}); without it the page is served "
        f"at port {options.port}, for any browser"
    )


def _learned(options: Options) -> tuple[Task, DynamicsModel, dict[str, Any]]:
    """What drives, as the options change it: the last is what else `Driven` takes of a run."""
    if options.run_num is None:
        from mbmf.cli.trained_swimmer import trained_model

        if options.iteration is not None:
            raise ConfigError(f"--iteration must be given with --run_num only, got {options.iteration}")
        (task, model), helps = trained_model(), {}
    else:
        from mbmf.runs.trained import load_trained

        path = run_path(options.runs_dir, options.run_num)
        trained = load_trained(path, options.iteration, allow_other_task=options.allow_other_task)
        task, model = trained.task, trained.model
        helps = {"value": trained.value, "policy": trained.policy}
    if options.desired_traj_type is not None:
        task = task.with_path(options.desired_traj_type)
    return options.applied_to_learned(task), model, helps


def _offer(page: Page, driven: Driven, *, plans: bool) -> None:
    from mbmf.show.driven import paths, weights

    page.buttons(lambda value: setattr(driven, "paused", value), driven.restart, driven.push)
    page.path_choice(paths(driven.task), driven.follow)
    if plans:
        page.plan_count(driven.plans, lambda value: setattr(driven, "plans", int(value)))
    page.planner_sliders(driven.settings, driven.planner.horizon, driven.plan_with)
    page.weight_sliders(weights(driven.task), driven.weigh)


def _drive(page: Page, driven: Driven, seconds: float) -> None:
    """In real time where plans are made in time, else as fast as they are."""
    from mbmf.show.page import described

    end = time.monotonic() + seconds
    due = shown = time.monotonic()
    steps, since, speed = 0, due, 0.0
    found: Candidates | None = None
    while time.monotonic() < end:
        page.take()
        if driven.paused:
            page.show(driven.data, found)
            time.sleep(0.05)
            due = since = time.monotonic()
            steps = 0
            continue
        try:
            found = driven.step()
        except CoreError as error:  # no candidate is finite
            page.changes.put(functools.partial(_refuse, error))
            driven.restart()
        steps += 1
        now = time.monotonic()
        if now - since > 1:
            speed, steps, since = steps * driven.task.dt / (now - since), 0, now
        if now - shown > 1 / _PICTURES:
            shown = now
            page.show(driven.data, found)
            text = f"episode {driven.episode + 1}, step {driven.steps}: reward {driven.reward:.2f}"
            if speed:
                text += f"; {speed:.2g} times real time"
            page.say(text if found is None else f"{text}\n\n{described(found)}")
        due = max(due + driven.task.dt, now - 0.1)
        time.sleep(max(0.0, min(due - now, end - now)))


def _refuse(error: CoreError) -> None:
    raise ValueError(str(error))
