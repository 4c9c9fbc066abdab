"""Tasks of a user's own: robots that no preset knows, as files and as mappings."""

import importlib.util
import json
import re
import shutil
import warnings
from pathlib import Path
from typing import get_args

import mujoco
import numpy as np
import pytest
import yaml

import mbmf
from mbmf import _core
from mbmf.errors import ConfigError
from mbmf.tasks.learning import (
    FineTuneConfig,
    ImaginedConfig,
    ImitationConfig,
    ModelBasedConfig,
    ModelFreeConfig,
)
from mbmf.tasks.load import load_task
from mbmf.tasks.schema import Source, TaskConfig
from mbmf.tasks.task import Task


def asset(name: str) -> Path:
    folder = importlib.util.find_spec("gymnasium").submodule_search_locations[0]
    return Path(folder) / "envs" / "mujoco" / "assets" / name


def random_batch(task: Task, rng: np.random.Generator, k: int, h: int):
    states = rng.normal(0, 1, (k, h + 1, task.nstate)).astype(np.float32)
    actions = rng.uniform(-1, 1, (k, h, task.naction)).astype(np.float32)
    return states, actions


REACH = """
name: reach
model: {file: robots/arm.xml}
overrides:
  joints: {joint1: {armature: 0.5}, damping: 2}
  actuators: {1: {gear: 100}}
state:
  - {source: qpos, joints: [joint0, joint1], transform: cos}
  - {source: qpos, joints: [joint0, joint1], transform: sin}
  - {source: qvel, joint: joint0}
  - {source: body_pos, body: [fingertip, target], index: [0, 1]}
reward:
  - {term: distance, state: body_pos.fingertip, target_state: body_pos.target, weight: -1e0}
  - {term: action, weight: -0.1}
reset:
  default: {set: {target_x: [-0.2, 0.2], target_y: 0.1}}
"""


def test_own_reacher(tmp_path, monkeypatch):
    (tmp_path / "robots").mkdir()
    shutil.copy(asset("reacher.xml"), tmp_path / "robots" / "arm.xml")
    file = tmp_path / "reach.yaml"
    file.write_text(REACH)
    monkeypatch.chdir("/")
    task = load_task(file)
    assert task.state_names == [
        *("cos.qpos.joint0", "cos.qpos.joint1", "sin.qpos.joint0", "sin.qpos.joint1", "qvel.joint0"),
        *("body_pos.fingertip.x", "body_pos.fingertip.y", "body_pos.target.x", "body_pos.target.y"),
    ]
    assert task.state_units == ["1"] * 4 + ["rad/s"] + ["m"] * 4
    np.testing.assert_array_equal(task.model.dof_damping, [2] * 4)
    np.testing.assert_array_equal(task.model.dof_armature, [1, 0.5, 0, 0])
    np.testing.assert_array_equal(task.model.actuator_gear[:, 0], [200, 100])
    spec = task.core.spec
    assert [(s.index, s.low, s.high) for s in spec.reset[2].set_qpos] == [(2, -0.2, 0.2), (3, 0.1, 0.1)]

    states, actions = random_batch(task, np.random.default_rng(2), 50, 6)
    distance = np.hypot(states[..., 5] - states[..., 7], states[..., 6] - states[..., 8])
    effort = np.sum(np.concatenate([actions, actions[:, -1:]], axis=1) ** 2, axis=2)
    np.testing.assert_allclose(task.cost(states, actions), np.sum(distance + 0.1 * effort, axis=1), rtol=1e-6)

    # the written configuration finds the robot from anywhere
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "copy.yaml").write_text(task.to_yaml())
    assert load_task(moved / "copy.yaml") == task


def test_own_double_pendulum_as_a_mapping():
    task = load_task(
        {
            "name": "balance",
            "model": {"asset": "inverted_double_pendulum.xml"},
            "state": [
                {"source": "qpos", "joint": "slider"},
                {"source": "qpos", "joints": ["hinge", "hinge2"], "transform": "sin"},
                {"source": "qvel", "clip": [-10, 10]},
                {"source": "site_pos", "site": "tip"},
            ],
            "reward": [{"term": "constant", "weight": 10}],
            "cost": [
                {"term": "constant", "weight": -10},
                {"term": "linear", "state": "site_pos.tip.z", "weight": -0.5},
                {"term": "quadratic", "state": ["site_pos.tip.x", 8], "target": [0, 1.2], "weight": 2},
                {"term": "absolute", "state": "qvel", "weight": 0.01},
                {"term": "distance", "state": "site_pos.tip", "target": 0.1},
                {"term": "outside", "state": ["qpos.slider", 1], "min": -0.5, "below": 0.5, "weight": 3},
                {"term": "action", "weight": 0.2},
            ],
            "alive": [{"state": "site_pos.tip.z", "above": -1}],
            "healthy": [{"source": "site_pos", "site": "tip", "index": 2, "above": 1}],
        }
    )
    rng = np.random.default_rng(3)
    states, actions = random_batch(task, rng, 100, 5)
    s = states.astype(np.float64)
    effort = np.sum(np.concatenate([actions, actions[:, -1:]], axis=1).astype(np.float64) ** 2, axis=2)
    tip, bounded = s[..., 6:9], s[..., :2]
    point = (
        -10
        - 0.5 * tip[..., 2]
        + 2 * (tip[..., 0] ** 2 + (tip[..., 2] - 1.2) ** 2)
        + 0.01 * np.abs(s[..., 3:6]).sum(axis=2)
        + np.sqrt(((tip - 0.1) ** 2).sum(axis=2))
        + 3 * ((bounded < -0.5) | (bounded >= 0.5)).sum(axis=2)
        + 0.2 * effort
    )
    alive = np.logical_and.accumulate(tip[..., 2] > -1, axis=1)
    assert 0 < alive[:, -1].sum() < len(alive)
    np.testing.assert_allclose(
        task.cost(states, actions), np.sum(point * alive, axis=1), rtol=1e-6, atol=1e-6
    )
    assert task.model_based is None


ODD = """
<mujoco>
  <worldbody>
    <body name="base"><freejoint name="float"/><geom size="0.1"/>
      <body name="arm" pos="0 0 0.5"><joint type="ball" name="shoulder"/><geom size="0.1"/>
        <body pos="0 0 0.5"><joint name="elbow" axis="0 1 0"/><geom size="0.1"/><site name="here"/></body>
      </body>
    </body>
  </worldbody>
  <actuator><position name="muscle" joint="elbow" timeconst="0.1" kp="1" ctrlrange="0 2"/></actuator>
  <sensor><framepos name="where" objtype="body" objname="arm"/><jointpos name="angle" joint="elbow"/>
    <accelerometer name="shake" site="here"/></sensor>
</mujoco>
"""


def test_names_of_other_joints_activations_and_sensors(tmp_path):
    (tmp_path / "odd.xml").write_text(ODD)
    data = {
        "name": "odd",
        "model": {"file": str(tmp_path / "odd.xml")},
        "state": [
            *({"source": s} for s in ("time", "qpos", "qvel", "act")),
            {"source": "sensor", "sensor": ["where", "angle"]},
            {"source": "body_euler", "body": "arm", "index": [1, 3]},
        ],
        "reward": [{"term": "linear", "state": "qpos.float"}],
    }
    task = load_task(data)
    assert task.state_names == [
        *("time", *(f"qpos.float.{c}" for c in ("x", "y", "z", "qw", "qx", "qy", "qz"))),
        *(*(f"qpos.shoulder.{c}" for c in ("qw", "qx", "qy", "qz")), "qpos.elbow"),
        *(*(f"qvel.float.{c}" for c in ("x", "y", "z", "wx", "wy", "wz")), "qvel.shoulder.wx"),
        *("qvel.shoulder.wy", "qvel.shoulder.wz", "qvel.elbow", "act.muscle"),
        *("sensor.where.0", "sensor.where.1", "sensor.where.2", "sensor.angle"),
        *("body_euler.arm.1", "body_euler.arm.3"),
    ]
    assert task.state_units[0] == "s"
    assert task.nstate == task.core.nstate
    data["state"] = [{"source": "sensor"}]
    data["reward"] = [{"term": "constant", "weight": 1}]
    assert [name for name in load_task(data).state_names if "shake" in name]


def test_sparse_jacobians_get_a_warning():
    data = yaml.safe_load(load_task("hopper_forward").to_yaml())
    data["overrides"]["option"]["jacobian"] = "sparse"
    if mujoco.__version__ != "4.0.0":
        pytest.skip("only MuJoCo 4.0.0 has the defect")
    with pytest.warns(UserWarning, match="sparse constraint Jacobians"):
        load_task(data)
    data["overrides"]["option"]["jacobian"] = "dense"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_task(data)


# --- the pages about tasks and presets

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_of_the_page_works(tmp_path):
    text = (DOCS / "tasks.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "reach.yaml").write_text(example, encoding="utf-8")
    task = load_task(tmp_path / "reach.yaml")
    assert (task.nstate, task.naction, task.dt) == (10, 2, 0.02)
    assert task.model_based.horizon == 10
    # every source, term and key is on the page
    terms = [kind["name"] for kind in _core.term_kinds()]
    words = [*get_args(Source), *TaskConfig.model_fields, *terms, "target_state", "rate", "lagged: true"]
    assert [word for word in words if f"`{word}`" not in text] == []


def test_the_table_of_presets_is_right():
    page = (DOCS / "presets.md").read_text(encoding="utf-8").split("### Metrics")[0]
    forward, _, others = page.partition("## Following paths")
    lines = [*forward.splitlines(), *others.partition("\n## ")[2].splitlines()]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    rows = [row for row in rows if len(row) == 5]
    assert len(rows) > 10
    for column, name in enumerate(["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"], 1):
        settings = load_task(name).model_based.model_dump()
        for row in rows:
            value = settings[row[0].split("`")[1]]
            if isinstance(value, dict):
                assert row[column] == f"{value['episodes']} × {value['steps']}"
            else:
                assert float(row[column]) == value, (name, row)
    described = {line.split("`")[1] for line in lines if line.startswith("| `")}
    assert described == set(ModelBasedConfig.model_fields)


def test_the_page_describes_the_metrics_of_a_run(small_runs):
    page = (DOCS / "presets.md").read_text(encoding="utf-8")
    table = page.split("### Metrics")[1].split("## Model-free learning")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    described = set(re.findall("`([^`]+)`", " ".join(cells)))
    lines = (small_runs / "run_1/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    # what ensembles.md describes
    found = set().union(*map(json.loads, lines)) - {"validated_on"}
    assert described == found | {"tracking"}


def test_the_page_describes_model_free_settings_and_metrics():
    section = (DOCS / "presets.md").read_text(encoding="utf-8").split("## Model-free learning")[1]
    settings, metrics = section.split("| key | meaning |\n")[0], section.split("| key | meaning |\n")[1]
    rows = [line.strip("|").split("|") for line in settings.splitlines() if line.startswith("| `")]
    assert {row[0].strip(" `") for row in rows} == set(ModelFreeConfig.model_fields)
    for name in ("swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"):
        values = load_task(name).model_free.model_dump()
        for row in rows:
            default = row[-1].strip()
            if default != "required":
                assert yaml.safe_load(default) == pytest.approx(values[row[0].strip(" `")])
    for key in ("steps_total", "reward_mean", "kl", "explained_variance", "seconds_update"):
        assert f"`{key}`" in metrics


def test_the_page_describes_imitation_and_fine_tuning():
    section = (DOCS / "presets.md").read_text(encoding="utf-8").split("## Imitation and fine-tuning")[1]
    tables = [table.splitlines() for table in section.split("\n\n") if table.startswith("| ")]
    rows = [{row.split("|")[1].strip(" `"): row.split("|") for row in table[2:]} for table in tables]
    imitation, imagined, fine_tune, presets, metrics = rows
    assert set(imitation) == set(ImitationConfig.model_fields)
    assert set(imagined) == set(ImaginedConfig.model_fields)
    for key, row in imagined.items():
        default = None if key == "first_iterations" else yaml.safe_load(row[4])
        assert default == ImaginedConfig.model_fields[key].default
    assert set(fine_tune) == set(FineTuneConfig.model_fields)
    names = ("swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward")
    tasks = [load_task(name) for name in names]
    for key, row in presets.items():
        of_fine_tune = "of fine-tuning" in key or key == "std_on_mlp_policy"
        name = key.split("`")[0]
        for cell, task in zip(row[2:6], tasks, strict=True):
            value = getattr(task.fine_tune if of_fine_tune else task.imitation, name)
            if value is None:
                value = "never" if name == "noise_from_iteration" else getattr(task.model_free, name)
            assert yaml.safe_load(cell) == value, (key, task.name)
    for key, row in imitation.items():
        default = yaml.safe_load(row[4])
        if default not in ("required", "never", "model_free's"):
            assert default == ImitationConfig.model_fields[key].default
    for key in ("steps_total", "loss_validation", "reward_mean", "steps_labelled", "seconds_labelling"):
        assert any(f"`{key}`" in "|".join(row) for row in metrics.values())


def test_a_number_that_is_another_ones_name_is_an_error(tmp_path):
    """An unnamed joint goes by its number; a joint of that name would take its place without a word."""
    text = """<mujoco><worldbody>
    <body><freejoint {name}/><geom size=".05"/></body>
    <body><joint name="0" axis="0 1 0"/><geom size=".1" pos=".2 0 0"/>
    <body pos=".4 0 0"><joint name="1" axis="0 1 0"/><geom size=".1" pos=".2 0 0"/></body></body>
    </worldbody><actuator><motor joint="0"/><motor joint="1"/></actuator></mujoco>"""
    task = {
        "name": "cad",
        "model": {"file": str(tmp_path / "a.xml")},
        "state": [{"source": "qpos"}, {"source": "qvel"}],
        "reward": [{"term": "action", "weight": -1}],
    }
    (tmp_path / "a.xml").write_text(text.format(name=""))
    with pytest.raises(ConfigError, match="joint number 0 must have a name in the MJCF, since joint"):
        load_task(task)
    (tmp_path / "a.xml").write_text(text.format(name='name="base"'))
    assert load_task(task).nstate == 9 + 8


def test_an_mjcf_behind_a_link(tmp_path):
    """As caches and build systems lay files out: the meshes are beside the link, not beside its target."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "arm.xml").write_text(
        '<mujocoinclude><body><joint name="j"/><geom size=".1"/></body></mujocoinclude>'
    )
    (tmp_path / "blobs" / "5d41402a").write_text(
        '<mujoco><worldbody><include file="arm.xml"/></worldbody>'
        '<actuator><motor joint="j"/></actuator></mujoco>'
    )
    (tmp_path / "snapshot" / "robot.xml").symlink_to("../blobs/5d41402a")
    task = load_task(
        {
            "name": "linked",
            "model": {"file": str(tmp_path / "snapshot" / "robot.xml")},
            "state": [{"source": "qpos"}],
            "reward": [{"term": "action", "weight": -1}],
        }
    )
    assert task.state_names == ["qpos.j"]
    assert task.config.model.file.endswith("snapshot/robot.xml")


CLIFF = {
    "name": "cliff",
    "model": {"file": "cliff.xml"},
    "physics_steps": 10,
    "state": [{"source": "qpos"}, {"source": "qvel"}],
    "reward": [{"term": "distance", "state": "qpos.x", "target": 1, "weight": -1}],
    "alive": [{"state": "qpos.x", "above": -0.05}],
}


def _after(task, steps=15):
    simulator = mbmf.Simulator(task, nsim=1, nthread=1)
    planner = mbmf.RandomShooting(task, mbmf.SimulatorModel(task), horizon=20, candidates=500)
    for _ in range(steps):
        simulator.step(planner.act(simulator.get_state()[0])[None])
    return simulator.states[0, 0]


def test_dying_may_cost(tmp_path, monkeypatch):
    """Without it a planner whose costs are above 0 seeks the cliff, and the file says so by a warning."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cliff.xml").write_text(
        '<mujoco><worldbody><body><joint name="x" type="slide" axis="1 0 0" damping="1"/>'
        '<geom size=".1" mass="1"/></body></worldbody>'
        '<actuator><motor joint="x" gear="20" ctrlrange="-1 1"/></actuator></mujoco>'
    )
    with pytest.warns(UserWarning, match="dying_cost should be above 0 where costs are: at rest they are 1"):
        cheap = load_task(CLIFF)
    assert _after(cheap) < -0.05
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dear = load_task(CLIFF | {"dying_cost": 100})
        load_task("hopper_forward")  # the paper's rule and costs
    assert _after(dear) > 0.3

    # the same in the kernels, in the simulator's cost and in Python
    rng = np.random.default_rng(0)
    model = mbmf.DynamicsModel(dear, hidden=(8,), seed=1)
    model.fit(mbmf.collect_random(dear, 4, 50, seed=0), epochs=2)
    sequences = rng.uniform(-1, 1, (200, 12, 1)).astype(np.float32)
    start = np.zeros((200, dear.nstate), np.float32)
    states = model.core.open_loop(start, sequences, 1)
    planner = mbmf.RandomShooting(dear, model, horizon=12, candidates=10)
    got = planner.roll(start[0].astype(np.float64), sequences)
    want = np.zeros(200)
    for k in range(200):
        for t in range(13):
            if not states[k, t, 0] > -0.05:
                want[k] += 100
                break
            want[k] += abs(states[k, t, 0] - 1)
    assert 0 < (want >= 100).sum() < 200
    np.testing.assert_allclose(got, want, rtol=1e-4)
    np.testing.assert_allclose(dear.cost(states, sequences), want, rtol=1e-4)


def test_sleeping_bodies_are_refused(tmp_path):
    """Which trees sleep is no part of an integration state: a restored simulation would go on otherwise."""
    robot = """<mujoco><option>{}</option><worldbody>
    <geom type="plane" size="1 1 .1"/><body pos="0 0 .1"><freejoint/><geom size=".1"/></body>
    <body pos="1 0 1"><joint name="j"/><geom size=".1"/></body></worldbody>
    <actuator><motor joint="j"/></actuator></mujoco>"""
    task = {"name": "t", "model": {"file": str(tmp_path / "a.xml")}, "state": [{"source": "qpos"}]}
    task["reward"] = [{"term": "action", "weight": -1}]
    (tmp_path / "a.xml").write_text(robot.format('<flag sleep="enable"/>'))
    with pytest.raises(
        ConfigError, match=r"task: model must be one without sleeping bodies \(option flag sleep"
    ):
        load_task(task)
    assert load_task(task | {"overrides": {"option": {"enableflags": 0}}}).nstate == 8
    (tmp_path / "a.xml").write_text(robot.format(""))
    assert load_task(task).nstate == 8
