"""``mbmf control``: a learned model drives its robot in real time, simulated, and the loop's timing."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mbmf.cli.outputs import check_output
from mbmf.cli.planner_options import PlannerOptions
from mbmf.cli.runs import RUN, run_path
from mbmf.errors import ConfigError
from mbmf.words import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.console import Console

    from mbmf.control.controller import Controller
    from mbmf.control.live import Drive
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.planner import Planner
    from mbmf.show.page_process import PageProcess
    from mbmf.tasks.task import Task

    Watch = Callable[[int, npt.NDArray[np.float64]], None]

# whose records fit in memory
_MOST_STEPS = 10_000_000
# what only a loop with a clock has
_OF_CLOCK = (
    *("hz", "mode", "share", "compensate", "hold_steps", "phase", "margin", "spin", "priority", "cpus"),
    "lock_memory",
)
# of the page
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options(PlannerOptions):
    """Drive a run's robot in real time, simulated, and report the loop's timing.

    Writes <output>/control.json, a chart, and with --record the episodes.
    """

    run_num: str = field(metadata=RUN)
    """The run of mbmf mb whose model and task are used, by number or name."""

    hz: float = 0.0
    """Control steps per second; 0: one per control step of the task."""

    seconds: float = 60.0
    """How long."""

    mode: Literal["anytime", "fixed", "fitted"] = "anytime"
    """How many candidates a plan searches: as many as there is time for, always all, or as many as take
    --share of the period; never more than --candidates."""

    share: float = 0.7
    """With --mode=fitted, the share of the period to plan in."""

    warm_start: bool = False
    """With random shooting: candidate 0 is the last plan, one step later. Other searches always remember."""

    compensate: bool = True
    """Plan from where the model expects the robot to be when the action acts, one period later."""

    clock: bool = True
    """With --no-clock: the same start states and all candidates, each step waiting for its plan, to compare
    the reward with."""

    hold_steps: int = 3
    """Steps for which the last plan is held where there is no new one; then the safe action."""

    phase: float | None = None
    """Seconds after a tick when the state is taken (default: a fiftieth of the period, at most 0.3 ms)."""

    margin: float | None = None
    """Seconds before the next tick when a plan is to be there (default: 5 % of the period, 0.1 to 1 ms)."""

    spin: float = 0.0
    """Seconds before a tick in which the loop looks at the clock instead of sleeping."""

    priority: int = 0
    """SCHED_FIFO priority of the loop and the planner's threads, 1 to 99; 0: the normal scheduler."""

    cpus: tuple[int, ...] = ()
    """CPUs where these threads may run (default: any)."""

    lock_memory: bool = False
    """Keep the process's memory from being paged out."""

    desired_traj_type: str | None = None
    """Path to follow, for a task that follows paths: a name, or a CSV file of x,y rows in metres (default:
    the run's)."""

    strict_segments: bool = False
    """A segment of the path is over only when the robot itself has passed it."""

    iteration: int | None = None
    """The aggregation iteration whose model it is (default: the last)."""

    seed: int = 0
    """Seed of the start states and the plans."""

    nthread: int = 0
    """Threads of the planner, 0: one per CPU."""

    record: bool = False
    """Keep the episodes, as episodes.npz in the output folder."""

    view: bool = False
    """Show the robot in MuJoCo's viewer while it runs, where there is a display."""

    view_port: int | None = None
    """Show the robot, its plans and the paths to switch to as a page in the browser, at this port of this
    machine, by a process that takes no time from the loop. Needs mbmf[view]."""

    output: Path | None = None
    """Folder for what it writes (default: <runs_dir>/run_<run_num>/control)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""

    allow_other_task: bool = False
    """Take the robot as it is by now, where its MJCF was changed after the run, or an earlier release wrote
    the run."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    _check(options)
    from rich.console import Console

    from mbmf.control.live import drive_in_real_time, drive_without_clock
    from mbmf.planning.make import make_planner
    from mbmf.runs.trained import load_trained

    if options.view_port is not None:
        from mbmf.show.page import check_page

        check_page(_HOST, options.view_port)
    console = Console(highlight=False)
    path = run_path(options.runs_dir, options.run_num)
    trained = load_trained(path, options.iteration, allow_other_task=options.allow_other_task)
    task = trained.task
    if options.desired_traj_type is not None or options.strict_segments:
        rule: Literal["reached"] | None = "reached" if options.strict_segments else None
        task = task.with_path(options.desired_traj_type, rule)
    task = options.applied_to_learned(task)
    if options.warm_start and task.planner.search != "random_shooting":
        raise ConfigError(
            "--warm_start must be given with random_shooting only, as other searches always remember, "
            f"got {task.planner.search}"
        )
    planner = make_planner(
        task,
        trained.model,
        seed=options.seed,
        nthread=options.nthread,
        settings={"warm_start": True} if options.warm_start else {},
        value=trained.value,
        policy=trained.policy,
    )
    steps = max(1, round(options.seconds / task.dt))
    if max(steps, options.seconds * min(options.hz, 1e5)) > _MOST_STEPS:
        raise ConfigError(f"--seconds must be of at most {_MOST_STEPS} control steps, got {options.seconds}")
    output = options.output or path / "control"
    controller = _controller(options, planner) if options.clock else None
    check_output(output, folder=True)
    along = "" if task.path is None else f" along {task.path.name}"
    console.print(
        f"{task.name}{along}, iteration {trained.iteration}: {steps} control steps of {task.dt:g} s, "
        + (f"{options.mode}, a plan every {controller.period:g} s" if controller else "without a clock")
        + f", {planner.search}: at most {planner.core.most_candidates} candidates of {planner.horizon} steps",
        soft_wrap=True,
    )
    # a path begins where the robot is at first: it is followed in one episode
    length = None if task.path is None else steps
    with ExitStack() as stack:
        page = None
        if options.view_port is not None:
            page = _page(task, trained.model, options, console, stack)
        watch = stack.enter_context(_watching(options, task, steps, console, page, controller or planner))
        if controller is not None:
            drive = drive_in_real_time(
                controller, steps, seed=options.seed, episode_steps=length, watch=watch
            )
        else:
            drive = drive_without_clock(planner, steps, seed=options.seed, episode_steps=length, watch=watch)
    _report(console, drive, task)
    _write(options, output, drive, controller, task)
    console.print(f"Everything is in {output}", soft_wrap=True)


def _check(options: Options) -> None:
    if not (options.hz >= 0 and math.isfinite(options.hz)):
        raise ConfigError(f"--hz must be above 0, or 0 for the task's rate, got {options.hz}")
    if not 0 < options.seconds <= 1e6:
        raise ConfigError(f"--seconds must be above 0 and at most 1e6, got {options.seconds}")
    if not options.clock:
        given = [name for name in _OF_CLOCK if getattr(options, name) != getattr(Options, name)]
        if given:
            warnings.warn(
                f"{' and '.join(f'--{name}' for name in given)}: without a clock there is no loop to set",
                stacklevel=2,
            )


def _controller(options: Options, planner: Planner) -> Controller:
    from mbmf.control.controller import Controller

    period = 1 / options.hz if options.hz else planner.task.dt
    steps = options.seconds / period
    return Controller(
        planner,
        period,
        mode=options.mode,
        share=options.share,
        margin=options.margin,
        phase=min(0.02 * period, 3e-4) if options.phase is None else options.phase,
        compensate=options.compensate,
        hold_steps=options.hold_steps,
        spin=options.spin,
        priority=options.priority,
        cpus=options.cpus,
        lock_memory=options.lock_memory,
        history=max(1000, math.ceil(1.1 * steps) + 100),
    )


@contextmanager
def _watching(
    options: Options,
    task: Task,
    steps: int,
    console: Console,
    page: PageProcess | None,
    loop: Controller | Planner,
) -> Iterator[Watch]:
    """What is called while it runs: the progress, the viewer and the page where they were asked for."""
    from rich.progress import Progress

    with ExitStack() as stack:
        # redrawn by this thread, once a second, so that no other one competes with the loop
        progress = stack.enter_context(
            Progress(console=console, transient=True, auto_refresh=False, disable=not console.is_terminal)
        )
        bar = progress.add_task("driving", total=steps)
        show = _viewer(task, console, stack) if options.view else None
        shown = -math.inf

        def watch(done: int, row: npt.NDArray[np.float64]) -> None:
            nonlocal shown
            if shown == -math.inf and options.clock:
                _yield_to_the_loop()
            if time.monotonic() - shown > 1:
                shown = time.monotonic()
                progress.update(bar, completed=done, refresh=True)
            if show is not None:
                show(row)
            if page is not None:
                page.show(row)
                wanted = page.wanted_path()
                if wanted is not None:
                    loop.set_path(wanted)
                    console.print(f"path {wanted} from step {done} on", markup=False)

        yield watch


def _page(
    task: Task, model: DynamicsModel, options: Options, console: Console, stack: ExitStack
) -> PageProcess:
    from mbmf.show.page_process import PageProcess

    assert options.view_port is not None
    page = PageProcess(task, model, options.seed, _HOST, options.view_port)
    stack.callback(page.close)
    console.print(f"page: {page.url}", markup=False)
    return page


def _yield_to_the_loop() -> None:
    """Lets this thread, which only watches from here on, run when nothing else wants to."""
    # what other systems than Linux would do to the whole process
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _viewer(
    task: Task, console: Console, stack: ExitStack
) -> Callable[[npt.NDArray[np.float64]], None] | None:
    from mbmf.simulation.renderer import no_window

    reason = no_window()
    if reason is not None:
        console.print(f"no viewer: {reason}", markup=False)
        return None
    import mujoco
    import mujoco.viewer

    data = mujoco.MjData(task.model)
    viewer = stack.enter_context(mujoco.viewer.launch_passive(task.model, data))

    def show(row: npt.NDArray[np.float64]) -> None:
        if viewer.is_running():
            with viewer.lock():
                mujoco.mj_setState(task.model, data, row, mujoco.mjtState.mjSTATE_INTEGRATION.value)
                mujoco.mj_forward(task.model, data)
            viewer.sync()

    return show


def _report(console: Console, drive: Drive, task: Task) -> None:
    returns = drive.returns
    spread = f" ± {returns.std():.2f}" if len(returns) > 1 else ""
    what = counted(len(returns), "episode") if drive.whole.any() else "a part of an episode"
    total = drive.episodes.rewards.sum()
    console.print(
        f"reward {returns.mean():.2f}{spread} ({what}); {total:.2f} in {drive.episodes.nsteps} steps"
    )
    diverged = int(drive.episodes.diverged.sum())
    if diverged:
        console.print(f"[yellow]{counted(diverged, 'episode')} diverged[/] and do not count in the mean")
    s = drive.statistics
    if s is None:
        return
    from rich.table import Table

    table = Table("ms", title=f"{s['steps']} steps", title_justify="left")
    for column in ("median", "99 %", "99.9 %", "max"):
        table.add_column(column, justify="right")
    for name in ("period", "compute", "jitter", "age"):
        table.add_row(name, *(f"{1e3 * s[name][key]:.3f}" for key in ("p50", "p99", "p999", "max")))
    console.print(table)
    ticks = s["steps"] + s["skipped"] - s["waiting"]
    met = ticks - s["misses"]
    console.print(
        f"candidates per plan {s['candidates']:.0f} (from {s['fewest']} to {s['most']})\n"
        f"deadlines met {met} of {ticks} ({100 * met / max(ticks, 1):.3f} %); misses {s['misses']}: "
        f"{s['late']} late plans, not sent, and {s['skipped']} skipped ticks\n"
        f"actions: planned {s['planned']}, held {s['held']}, safe {s['safe']} "
        f"({s['waiting']} before the first state)",
        soft_wrap=True,
    )
    faults = {
        "old states": s["stale"],
        "states of the future": s["future"],
        "states not finite": s["bad_state"],
        "no plan": s["no_plan"],
    }
    if any(faults.values()):
        console.print("; ".join(f"{name}: {count}" for name, count in faults.items() if count))
    if drive.overruns:
        console.print(f"the simulation itself was late {drive.overruns} times")
    console.print(f"memory grew by {drive.memory / 1024:.0f} KiB since the first second")
    for note in drive.notes:
        console.print(f"note: {note}", soft_wrap=True)


def _write(options: Options, output: Path, drive: Drive, controller: Controller | None, task: Task) -> None:
    from mbmf.files import atomic_write

    output.mkdir(parents=True, exist_ok=True)
    name = "control" if options.clock else "reference"
    contents: dict[str, Any] = {
        "task": task.name,
        "options": {key: _plain(value) for key, value in vars(options).items()},
        "returns": drive.episodes.returns.tolist(),
        "whole": drive.whole.tolist(),
        "diverged": drive.episodes.diverged.tolist(),
        "steps": drive.episodes.nsteps,
        "statistics": drive.statistics,
        "overruns": drive.overruns,
        "memory_growth": drive.memory,
        "notes": drive.notes,
    }
    with atomic_write(output / f"{name}.json") as file:
        file.write((json.dumps(contents, indent=2) + "\n").encode())
    if options.record:
        drive.episodes.save(output / "episodes.npz")
    else:  # those of an earlier drive are not what the other files are of
        (output / "episodes.npz").unlink(missing_ok=True)
    if controller is not None and drive.records is not None and len(drive.records["step"]):
        from mbmf.show.control_chart import plot_control
        from mbmf.show.plots import save_figure

        settings = controller.core.options
        figure = plot_control(
            drive.records,
            controller.period,
            f"{task.name}, {options.mode}, every {1e3 * controller.period:g} ms",
            controller.period - settings.phase - settings.margin,
        )
        save_figure(figure, output / name)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
