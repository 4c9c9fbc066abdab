"""Copies and pickles, for processes: what comes out goes on to the same bits, and shares nothing."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.simulation.envs import TaskEnv, TaskVectorEnv

COPIES = {"pickle": lambda thing: pickle.loads(pickle.dumps(thing)), "deepcopy": copy.deepcopy}


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("swimmer_trajfollow")


@pytest.fixture(scope="module")
def model(task: mbmf.Task) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, hidden=(16,))
    model.fit(mbmf.collect_random(task, 2, 60), epochs=1)
    return model


def in_another_process(what: bytes, code: str, folder: Path) -> Any:
    """What ``code`` makes of the unpickled ``thing``, as ``result``, in a new process."""
    (folder / "thing").write_bytes(what)
    program = (
        "import pickle, sys, numpy as np\n"
        "thing = pickle.load(open('thing', 'rb'))\n"
        f"{code}\n"
        "pickle.dump(result, open('result', 'wb'))\n"
    )
    path = os.pathsep.join([str(Path(mbmf.__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, check=True)
    return pickle.loads((folder / "result").read_bytes())


class Halving(mbmf.Search):
    """A search of one's own."""

    rounds = 2

    def __init__(self, width: float) -> None:
        self.width = width

    def propose(self, plan: Any) -> Any:
        noise = plan.rng.standard_normal((20, plan.horizon, plan.naction))
        return np.clip(plan.mean + self.width / 2**plan.number * noise, -1, 1)

    def update(self, plan: Any, sequences: Any, costs: Any) -> Any:
        return sequences[np.argmin(costs)]


PLANNERS = {
    "random_shooting": lambda t, m: mbmf.RandomShooting(t, m, horizon=4, candidates=50, seed=3, nthread=2),
    "icem": lambda t, m: mbmf.ICEM(t, m, horizon=4, candidates=30, colour=1.0, execute="mean", nthread=1),
    "mppi": lambda t, m: mbmf.MPPI(t, m, horizon=4, candidates=30, nthread=1),
    "simulator": lambda t, m: mbmf.CEM(
        t, mbmf.SimulatorModel(t), horizon=3, candidates=20, elites=5, nthread=1
    ),
    "own": lambda t, m: mbmf.Planner(t, m, Halving(0.5), horizon=4, nthread=1),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", PLANNERS)
def test_a_copied_planner_goes_on_as_the_first(
    task: mbmf.Task, model: mbmf.DynamicsModel, kind: str, way: str
) -> None:
    """In the middle of an episode, on another path than the task's, after the model went on learning."""
    learning = copy.deepcopy(model)
    planner = PLANNERS[kind](task, learning)
    learning.fit(mbmf.collect_random(task, 1, 30, seed=8), epochs=1)
    planner.set_path("left_turn")
    planner.reset(episode=5)
    simulator = mbmf.Simulator(task, seed=2)

    def start() -> Any:
        return (simulator.get_state() if kind == "simulator" else simulator.states)[0]

    for _ in range(3):
        simulator.step(planner.act(start())[None])
    other = COPIES[way](planner)
    assert type(other) is type(planner)
    assert repr(other) == repr(planner)
    for _ in range(3):
        action = planner.act(start())
        np.testing.assert_array_equal(other.act(start()), action)
        simulator.step(action[None])
    assert other.segment == planner.segment
    fresh = PLANNERS[kind](task, learning)
    assert kind == "simulator" or not np.array_equal(fresh.act(start()), planner.act(start()))


def test_a_pickled_planner_plans_the_same_bits_in_another_process(
    task: mbmf.Task, model: mbmf.DynamicsModel, tmp_path: Path
) -> None:
    planner = mbmf.ICEM(task, model, horizon=5, candidates=40, seed=1, nthread=1)
    state = mbmf.Simulator(task, seed=4).states[0].copy()
    planner.act(state)
    pickled = pickle.dumps((planner, state))
    code = "planner, state = thing\nresult = [planner.plan(state) for _ in range(2)]"
    results = in_another_process(pickled, code, tmp_path)
    for theirs in results:
        mine = planner.plan(state)
        assert mine.cost == theirs.cost
        np.testing.assert_array_equal(mine.actions, theirs.actions)
        np.testing.assert_array_equal(mine.states, theirs.states)


def test_a_planner_of_a_core_is_not_copied(task: mbmf.Task, model: mbmf.DynamicsModel) -> None:
    planner = mbmf.RandomShooting(task, model.core, horizon=2, candidates=5)
    with pytest.raises(TypeError, match="planner must be one of a DynamicsModel to be copied or pickled"):
        pickle.dumps(planner)


ROBOT = """<mujoco><worldbody><body><joint name="j" axis="0 1 0"/><geom size="{}" pos=".2 0 0"/></body>
</worldbody><actuator><motor joint="j"/></actuator></mujoco>"""


def reward(states: Any, actions: Any) -> Any:
    return states[:, 0]


def cost(states: Any, actions: Any) -> Any:
    return states[:, :, 0].sum(axis=1)


def test_a_copied_task_has_its_robot_whatever_became_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "robot.xml"
    path.write_text(ROBOT.format(0.1))
    config = {"name": "t", "model": {"file": str(path)}, "state": [{"source": "qpos"}, {"source": "qvel"}]}
    with pytest.warns(UserWarning, match="slower than terms"):
        task = mbmf.load_task(config, reward=reward, cost=cost)
    for change in (lambda: path.write_text(ROBOT.format(0.3)), path.unlink):
        change()
        for way in COPIES.values():
            other = way(task)
            assert other == task
            assert other.identity == task.identity
            assert other.model is not task.model
            first, second = (mbmf.collect_random(each, 2, 20, seed=5) for each in (task, other))
            np.testing.assert_array_equal(first.states, second.states)
            np.testing.assert_array_equal(first.rewards, second.rewards)
    assert copy.copy(task).core is task.core


@pytest.mark.parametrize("way", [*COPIES, "copy"])
def test_copied_models_and_policies(task: mbmf.Task, model: mbmf.DynamicsModel, way: str) -> None:
    made = copy.copy if way == "copy" else COPIES[way]
    data = mbmf.collect_random(task, 1, 40, seed=9)
    states, actions, _ = data.transitions()
    before, other = model.predict(states, actions), made(model)
    np.testing.assert_array_equal(other.predict(states, actions), before)
    other.fit(data, epochs=1)
    again = copy.deepcopy(model)
    again.fit(data, epochs=1)  # continues as the first would: Adam's moments are there
    np.testing.assert_array_equal(again.predict(states, actions), other.predict(states, actions))
    np.testing.assert_array_equal(model.predict(states, actions), before)
    assert not np.array_equal(other.predict(states, actions), before)

    policy = mbmf.GaussianPolicy(task, hidden=(8,), seed=1)
    for trained in (False, True):
        if trained:
            policy.parameters()
        theirs = made(policy)
        means = policy.mean(states)
        np.testing.assert_array_equal(theirs.mean(states), means)
        assert theirs.identity == policy.identity
        theirs.set_parameter_vector(np.zeros_like(policy.parameter_vector()))
        np.testing.assert_array_equal(policy.mean(states), means)


@pytest.mark.parametrize("way", COPIES)
def test_copied_environments_go_on(task: mbmf.Task, way: str) -> None:
    rng = np.random.default_rng(0)
    one, many = TaskEnv(task), TaskVectorEnv(task, num_envs=3, max_episode_steps=4, nthread=1)
    one.reset(seed=4)
    many.reset(seed=5)
    for _ in range(3):
        one.step(rng.uniform(-1, 1, task.naction))
        many.step(rng.uniform(-1, 1, (3, task.naction)))
    other, others = COPIES[way](one), COPIES[way](many)
    for _ in range(6):  # over the end of the vector's episodes
        action, actions = rng.uniform(-1, 1, task.naction), rng.uniform(-1, 1, (3, task.naction))
        for mine, theirs in (
            (one.step(action), other.step(action)),
            (many.step(actions), others.step(actions)),
        ):
            for a, b in zip(mine[:4], theirs[:4], strict=True):
                np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.reset()[0], other.reset()[0])
    np.testing.assert_array_equal(many.reset()[0], others.reset()[0])


def test_episodes_pickle(task: mbmf.Task) -> None:
    data = mbmf.collect_random(task, 2, 10)
    other = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(other.states, data.states)
    assert other.identity == task.identity
