"""Starts in which MuJoCo raises an error, which would end the process where nothing catches it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mbmf
from mbmf.control.live import drive_in_real_time, drive_without_clock
from mbmf.errors import CoreError

MEMORY = "mj_stackAlloc: out of memory"


def boxes(folder: Path, memory: str) -> mbmf.Task:
    """Boxes in a row whose control episodes may begin in more contacts than the memory is for."""
    bodies = "".join(
        f'<body pos="0 0 {i}"><joint name="j{i}" type="slide" axis="0 0 1" damping="1"/>'
        '<geom type="box" size=".2 .2 .2"/></body>'
        for i in range(8)
    )
    (folder / "boxes.xml").write_text(
        f'<mujoco><size memory="{memory}"/><option gravity="0 0 0"/><worldbody>{bodies}</worldbody>'
        '<actuator><motor joint="j0" ctrlrange="-1 1"/></actuator></mujoco>'
    )
    (folder / "boxes.yaml").write_text(
        """
name: boxes
model: {file: boxes.xml}
physics_steps: 5
episode_steps: 5
state:
  - {source: qpos, joints: [j0]}
  - {source: qvel, joints: [j0]}
  - {source: qacc, joints: [j0]}
reward: [{term: linear, state: qpos.j0}]
cost: [{term: linear, state: qpos.j0, weight: -1}]
reset:
  default: {qpos: {uniform: 0.01}}
  control: {qpos: {uniform: 1.0}}
"""
    )
    return mbmf.load_task(folder / "boxes.yaml")


def planner_of(task: mbmf.Task) -> mbmf.RandomShooting:
    model = mbmf.DynamicsModel(task, hidden=(8,))
    model.fit(mbmf.collect_random(task, episodes=2, steps=20, seed=0, nthread=1), epochs=1)
    return mbmf.RandomShooting(task, model, horizon=4, candidates=20, nthread=1)


def starts(task: mbmf.Task, seed: int) -> bool:
    try:
        mbmf.Simulator(task, nsim=1, nthread=1, seed=seed).start_episodes([0], "control")
    except CoreError:
        return False
    return True


def test_of_an_episode(tmp_path: Path) -> None:
    task = boxes(tmp_path, "16K")
    assert starts(task, 0)  # that of a controller's measurement
    bad = next(seed for seed in range(1, 200) if not starts(task, seed))
    good = next(seed for seed in range(1, 200) if starts(task, seed))
    planner = planner_of(task)
    controller = mbmf.Controller(planner)
    assert drive_in_real_time(controller, 3, seed=good).episodes.lengths.tolist() == [3]
    with pytest.raises(CoreError, match=MEMORY):
        drive_in_real_time(controller, 3, seed=bad)
    assert not controller.running
    with pytest.raises(CoreError, match=MEMORY):
        drive_without_clock(planner, 3, seed=bad)
    with pytest.raises(CoreError, match=MEMORY):
        mbmf.collect_mpc(task, planner, episodes=1, steps=3, seed=bad)
    collected = mbmf.collect_mpc(task, planner, episodes=1, steps=3, seed=good)
    reference = drive_without_clock(planner, 3, seed=good).episodes
    np.testing.assert_array_equal(collected.states, reference.states)


def test_of_a_controllers_measurement(tmp_path: Path) -> None:
    """It takes the start of seed 0, and says why it cannot."""
    learned = planner_of(boxes(tmp_path, "1M"))
    (tmp_path / "small").mkdir()
    task = boxes(tmp_path / "small", "8K")
    assert not starts(task, 0)
    planner = mbmf.RandomShooting(task, learned.dynamics, horizon=4, candidates=20, nthread=1)
    with pytest.raises(CoreError, match=MEMORY):
        mbmf.Controller(planner)
