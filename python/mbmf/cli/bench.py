"""``mbmf bench``: how fast simulator, planner and training are on this machine."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mbmf.errors import ConfigError, MbmfError

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

PRESETS = ("swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward")
NSIM = 64
RANDOM_EPISODES, RANDOM_STEPS = 32, 100
BATCH_SIZE = 512


@dataclass(frozen=True)
class Options:
    """Measure simulator, planner and training on this machine, beside others.

    `mbmf bench planner` measures the planner in depth.
    """

    nthread: int = 0
    """Threads for simulation and planning, 0: one per CPU. Training takes one."""

    seconds: float = 1.0
    """About how long to measure each number."""


@dataclass(frozen=True)
class Pair:
    """Two ways to do the same: medians in seconds, of rounds that alternated."""

    ours: float
    baseline: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the baseline."""
        return self.baseline / self.ours


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    if options.nthread < 0:
        raise ConfigError(f"--nthread must be at least 0, got {options.nthread}")
    if not 0 < options.seconds <= 3600:
        raise ConfigError(f"--seconds must be positive and at most 3600, got {options.seconds}")
    from rich.console import Console

    from mbmf import _core
    from mbmf.tasks.load import load_task

    console = Console(highlight=False)
    nthread = options.nthread or len(os.sched_getaffinity(0))
    console.print(f"{nthread} threads, {_core.isa()}, MuJoCo {_core.mujoco_version_loaded()}")
    simulator, planner, training = _tables()
    for preset in PRESETS:
        task = load_task(preset)
        steps = measure_simulator(task, nthread, options.seconds)
        simulator.add_row(
            preset, f"{NSIM / steps.ours:,.0f}", f"{NSIM / steps.baseline:,.0f}", f"{steps.ratio:.2f}"
        )
        data = _random_data(task, nthread)
        settings, seconds = measure_plan(task, data, nthread, options.seconds)
        planner.add_row(preset, settings, f"{1e3 * seconds:.1f}", f"{1 / seconds:.0f}")
        updates = measure_training(task, data, options.seconds)
        rates = (f"{1 / updates.ours:,.0f}", f"{1 / updates.baseline:,.0f}", f"{updates.ratio:.1f}")
        training.add_row(preset, *rates)
    for table in (simulator, planner, training):
        console.print(table)


class SimulatorPair:
    """`NSIM` simulations in mbmf.Simulator, and the same in mujoco.batch.Batch: physics and nothing else."""

    def __init__(self, task: Task, nthread: int) -> None:
        import mujoco.batch

        from mbmf.simulation.simulator import Simulator

        self.task = task
        self.simulator = Simulator(task, nsim=NSIM, nthread=nthread, seed=0)
        self.simulator.reset(kind="random")
        self.batch = mujoco.batch.Batch(task.model, nsim=NSIM, nthread=nthread)
        self._ctrl = self.batch.bind("ctrl")
        # a row of the simulator's state is time, qpos, qvel, ...
        rows, nq, nv = self.simulator.get_state(), task.model.nq, task.model.nv
        self.batch.bind("qpos")[:] = rows[:, 1 : 1 + nq]
        self.batch.bind("qvel")[:] = rows[:, 1 + nq : 1 + nq + nv]
        actions = np.random.default_rng(0).uniform(-1, 1, (100, NSIM, task.naction))
        low, high = task.model.actuator_ctrlrange.T
        limited = task.model.actuator_ctrllimited.astype(bool)
        controls = np.where(limited, (low + high) / 2 + actions * (high - low) / 2, actions)
        self._actions, self._controls = itertools.cycle(actions), itertools.cycle(controls)

    def step_ours(self) -> None:
        """One control step of all simulations, with random actions."""
        self.simulator.step(next(self._actions))

    def step_baseline(self) -> None:
        """The same step of the batch."""
        self._ctrl[:] = next(self._controls)
        self.batch.step(nstep=self.task.physics_steps)

    def check(self) -> None:
        """Raises MbmfError unless both, after as many steps, are in the same positions, and none diverged."""
        ours = self.simulator.get_state()[:, 1 : 1 + self.task.model.nq]
        error = float(np.abs(ours - self.batch.bind("qpos")).max())
        if self.simulator.diverged.any() or not error <= 1e-12:
            raise MbmfError(
                f"{self.task.name}: simulator and mujoco.batch.Batch must agree, got a difference of {error}"
            )


def measure_simulator(task: Task, nthread: int, seconds: float) -> Pair:
    """A control step of `NSIM` simulations, beside mujoco.batch.Batch doing the physics alone."""
    pair = SimulatorPair(task, nthread)
    for _ in range(20):
        pair.step_ours()
        pair.step_baseline()
    pair.check()
    return alternate(pair.step_ours, pair.step_baseline, seconds)


def measure_plan(task: Task, data: Episodes, nthread: int, seconds: float) -> tuple[str, float]:
    """The preset's horizon and candidates in words, and the seconds of one plan."""
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.make import make_planner

    model = DynamicsModel(task, **task.dynamics.model)
    model.fit(data, epochs=1)
    planner = make_planner(task, model, nthread=nthread)
    state = data.states[0, 0]
    return f"{planner.candidates} × {planner.horizon}", median_time(lambda: planner.act(state), seconds)


def measure_training(task: Task, data: Episodes, seconds: float) -> Pair:
    """One update (a batch of 512, Adam), beside a loop over PyTorch's DataLoader that does the same."""
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.nn import training

    epochs = 20
    model = DynamicsModel(task, hidden=task.dynamics.hidden)
    updates = epochs * (data.nsteps // BATCH_SIZE)  # a last batch that is not full is left out
    step = _loader_loop(model.sizes, data)

    def baseline() -> None:
        for _ in range(epochs):
            step()

    with training.torch_threads(1):
        pair = alternate(lambda: model.fit(data, epochs=epochs, batch_size=BATCH_SIZE), baseline, seconds)
    return Pair(pair.ours / updates, pair.baseline / updates)


def alternate(ours: Callable[[], object], baseline: Callable[[], object], seconds: float) -> Pair:
    """Medians of both, run in turn for about ``seconds`` each, after one run to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    ours(), baseline()
    while not times[0] or min(sum(times[0]), sum(times[1])) < seconds:
        for function, taken in zip((ours, baseline), times, strict=True):
            begin = time.perf_counter()
            function()
            taken.append(time.perf_counter() - begin)
    return Pair(statistics.median(times[0]), statistics.median(times[1]))


def median_time(function: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, over about ``seconds`` of calls, after one to warm up."""
    times: list[float] = []
    function()
    while not times or sum(times) < seconds:
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _random_data(task: Task, nthread: int) -> Episodes:
    from mbmf.rollouts.collect import collect_random

    return collect_random(task, RANDOM_EPISODES, RANDOM_STEPS, seed=0, nthread=nthread)


def _loader_loop(sizes: tuple[int, ...], data: Episodes) -> Callable[[], None]:
    """An epoch of the plain PyTorch loop over normalised data."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    states, actions, next_states = data.transitions()
    deltas = next_states - states
    inputs, targets = (
        torch.from_numpy(((values - values.mean(0)) / np.maximum(values.std(0), 1e-8)).astype(np.float32))
        for values in (np.concatenate([states, actions], axis=1), deltas)
    )
    layers: list[torch.nn.Module] = []
    for first, second in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(first, second), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=BATCH_SIZE, shuffle=True, drop_last=True)

    def epoch() -> None:
        for batch, target in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(batch), target).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return epoch


def _tables() -> tuple[Table, Table, Table]:
    from rich.table import Table

    tables = []
    for title, columns in (
        (f"simulator: control steps per second, {NSIM} simulations", ("mbmf", "mujoco.batch.Batch", "ratio")),
        ("planner: random shooting", ("candidates × horizon", "ms per plan", "plans per second")),
        (f"training: updates per second, batch {BATCH_SIZE}", ("mbmf", "DataLoader loop", "ratio")),
    ):
        table = Table(title=title, title_justify="left")
        table.add_column("task")
        for column in columns:
            table.add_column(column, justify="right")
        tables.append(table)
    simulator, planner, training = tables
    return simulator, planner, training
