"""Control steps per second of `mbmf.Simulator`, beside MuJoCo's own `mujoco.batch.Batch`.

Same model, threads, actions and start; rounds of the two alternate. The baseline steps physics and nothing
else; the simulator also reads states and observations, computes rewards and checks bounds. `ratio`
(extra_info) is simulator over baseline, of the medians. First, both must arrive at the same positions and
velocities.
"""

from __future__ import annotations

import time
from typing import Any

import mbmf
import mujoco.batch
import numpy as np
import pytest

NSIM = 64
# control steps per round, about 50 ms of work each
STEPS = {"swimmer_forward": 2, "cheetah_forward": 60, "hopper_forward": 30, "ant_forward": 15}


def make_pair(preset: str, nthread: int) -> tuple[mbmf.Task, mbmf.Simulator, mujoco.batch.Batch]:
    """A simulator and a batch in the same start state."""
    task = mbmf.load_task(preset)
    simulator = mbmf.Simulator(task, nsim=NSIM, nthread=nthread, seed=0)
    simulator.reset(kind="random")
    batch = mujoco.batch.Batch(task.model, nsim=NSIM, nthread=nthread)
    # an integration-state row is time, qpos, qvel, ...
    rows, nq, nv = simulator.get_state(), task.model.nq, task.model.nv
    batch.bind("qpos")[:] = rows[:, 1 : 1 + nq]
    batch.bind("qvel")[:] = rows[:, 1 + nq : 1 + nq + nv]
    return task, simulator, batch


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("preset", STEPS)
def test_steps(benchmark: Any, preset: str, nthread: int) -> None:
    task, simulator, batch = make_pair(preset, nthread)
    steps = STEPS[preset]
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, NSIM, task.naction))
    ctrl = batch.bind("ctrl")
    low, high = task.model.actuator_ctrlrange.T
    limited = task.model.actuator_ctrllimited.astype(bool)
    controls = np.where(limited, (low + high) / 2 + actions * (high - low) / 2, actions)

    def run_simulator() -> None:
        for row in actions:
            simulator.step(row)

    def run_batch() -> None:
        for row in controls:
            ctrl[:] = row
            batch.step(nstep=task.physics_steps)

    run_simulator()
    run_batch()
    assert not simulator.diverged.any()
    rows, nq = simulator.get_state(), task.model.nq
    np.testing.assert_allclose(rows[:, 1 : 1 + nq], batch.bind("qpos"), rtol=0, atol=1e-12)

    baseline = []

    def time_batch() -> None:
        begin = time.perf_counter()
        run_batch()
        baseline.append(time.perf_counter() - begin)

    benchmark.pedantic(run_simulator, setup=time_batch, rounds=20)
    if benchmark.enabled:
        benchmark.extra_info["control_steps_per_second"] = round(steps * NSIM / benchmark.stats["median"])
        benchmark.extra_info["ratio"] = round(float(np.median(baseline)) / benchmark.stats["median"], 3)
