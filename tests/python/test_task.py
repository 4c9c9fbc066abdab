"""Tasks against the figures of the paper and plain NumPy, and tasks of a user's own."""

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mbmf.errors import ConfigError, DataError
from mbmf.tasks.file import preset_names
from mbmf.tasks.load import load_task
from mbmf.tasks.task import Task

FORWARD = ["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"]


@pytest.fixture(scope="module", params=FORWARD)
def preset(request):
    return load_task(request.param)


def asset(name: str) -> Path:
    folder = importlib.util.find_spec("gymnasium").submodule_search_locations[0]
    return Path(folder) / "envs" / "mujoco" / "assets" / name


def random_batch(task: Task, rng: np.random.Generator, k: int, h: int):
    states = rng.normal(0, 1, (k, h + 1, task.nstate)).astype(np.float32)
    actions = rng.uniform(-1, 1, (k, h, task.naction)).astype(np.float32)
    return states, actions


# --- the presets


def test_presets_are_there():
    assert set(FORWARD) <= set(preset_names())


@pytest.mark.parametrize(
    ("name", "timestep", "integrator", "steps", "dt", "gear", "sizes"),
    [
        ("swimmer_forward", 0.001, mujoco.mjtIntegrator.mjINT_EULER, 150, 0.15, [50] * 2, (16, 16, 2)),
        (
            *("cheetah_forward", 0.01, mujoco.mjtIntegrator.mjINT_EULER, 1, 0.01),
            *([120, 90, 60, 120, 60, 30], (24, 24, 6)),
        ),
        ("hopper_forward", 0.02, mujoco.mjtIntegrator.mjINT_RK4, 1, 0.02, [200] * 3, (17, 17, 3)),
        ("ant_forward", 0.02, mujoco.mjtIntegrator.mjINT_RK4, 1, 0.02, [150] * 8, (41, 44, 8)),
    ],
)
def test_preset_model(name, timestep, integrator, steps, dt, gear, sizes):
    task = load_task(name)
    assert task.model.opt.timestep == timestep
    assert task.model.opt.integrator == int(integrator.value)
    assert task.physics_steps == steps
    assert task.dt == pytest.approx(dt, abs=1e-15)
    np.testing.assert_array_equal(task.model.actuator_gear[:, 0], gear)
    assert (task.model.actuator_gear[:, 1:] == 0).all()
    np.testing.assert_array_equal(task.model.actuator_ctrlrange, [[-1, 1]] * len(gear))
    assert (task.nstate, task.nobservation, task.naction) == sizes
    core = task.core
    assert (core.nstate, core.nobservation, core.naction, core.name) == (*sizes, name)
    assert core.dt == pytest.approx(dt, abs=1e-15)


def test_preset_overrides_change_only_what_they_name():
    for name, file, changed in [
        ("swimmer_forward", "swimmer.xml", {"dof_armature", "actuator_gear"}),
        ("cheetah_forward", "half_cheetah.xml", set()),
        ("hopper_forward", "hopper.xml", set()),
        ("ant_forward", "ant.xml", {"geom_solimp"}),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = mujoco.MjSpec.from_file(str(asset(file))).compile()
        model = load_task(name).model
        arrays = [n for n in dir(plain) if n.split("_")[0] in ("body", "jnt", "dof", "geom", "actuator")]
        arrays = [n for n in arrays if isinstance(getattr(plain, n), np.ndarray)]
        assert len(arrays) > 80
        differ = {
            n for n in arrays if not np.array_equal(getattr(plain, n), getattr(model, n), equal_nan=True)
        }
        # what MuJoCo derives from the armature and the gear
        derived = {"actuator_acc0", "body_invweight0", "dof_M0", "dof_invweight0"}
        assert differ - derived == changed, name


def test_swimmer_has_no_armature_and_the_ants_contacts_are_stiff():
    assert (load_task("swimmer_forward").model.dof_armature == 0).all()
    ant = load_task("ant_forward").model
    np.testing.assert_array_equal(ant.geom_solimp, [[0.8, 0.8, 0.01, 0.5, 2]] * ant.ngeom)


def test_start_states():
    for name in FORWARD:
        task = load_task(name)
        spec = task.core.spec
        expected = task.model.qpos0
        if name == "ant_forward":
            expected = [0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1]
        np.testing.assert_array_equal(spec.start_qpos, expected)
        np.testing.assert_array_equal(spec.start_qvel, np.zeros(task.model.nv))


def test_resets(preset):
    default, random, control = preset.core.spec.reset
    for reset in (default, random):
        assert (reset.qpos.kind.name, reset.qpos.scale) == ("NORMAL", 0.01)
        assert (reset.qvel.kind.name, reset.qvel.scale) == ("NORMAL", 0.1)
        assert len(reset.set_qpos) == 0
    assert (control.qpos.kind.name, control.qpos.scale) == ("UNIFORM", 0.1)
    swims = preset.name == "swimmer_forward"
    assert (control.qvel.kind.name, control.qvel.scale) == ("UNIFORM" if swims else "NORMAL", 0.1)
    assert [(s.index, s.low, s.high) for s in control.set_qpos] == ([(2, 0, 0)] if swims else [])


def test_state_layouts():
    swimmer = load_task("swimmer_forward").state_names
    assert swimmer[2:5] == ["qpos.free_body_rot", "qpos.motor1_rot", "qpos.motor2_rot"]
    assert swimmer[10:12] + swimmer[13:14] == [
        *("subtree_com.torso.x", "subtree_com.torso.y", "subtree_linvel.torso.x")
    ]
    cheetah = load_task("cheetah_forward").state_names
    assert cheetah[:3] + cheetah[6:9] == [
        f"qpos.{j}" for j in ("rootx", "rootz", "rooty", "fthigh", "fshin", "ffoot")
    ]
    assert [cheetah[i] for i in (18, 20, 21)] == [
        *("subtree_com.torso.x", "subtree_com.torso.z", "subtree_linvel.torso.x")
    ]
    hopper = load_task("hopper_forward")
    joints = ["rooty", "thigh_joint", "leg_joint", "foot_joint"]
    assert hopper.state_names[:11] == [
        *("qpos.rootz", *(f"qpos.{j}" for j in joints)),
        *("qvel.rootz", "qvel.rootx", *(f"qvel.{j}" for j in joints)),
    ]
    assert hopper.state_names[14] == "subtree_linvel.torso.x"
    assert hopper.state_units == ["m", *["rad"] * 4, *["m/s"] * 2, *["rad/s"] * 4, *["m"] * 3, *["m/s"] * 3]
    spec = hopper.core.spec
    assert [c.address for c in spec.state] == [1, 2, 3, 4, 5, 1, 0, 2, 3, 4, 5, 3, 4, 5, 3, 4, 5]
    assert [(c.low, c.high) for c in spec.state[5:11]] == [(-10, 10)] * 6
    assert all(np.isinf(c.high) for c in spec.state[:5] + spec.state[11:])
    ant = load_task("ant_forward")
    assert [ant.state_names[i] for i in (29, 31, 32, 37, 38)] == [
        *("subtree_com.torso.x", "subtree_com.torso.z", "body_euler.torso.0", "body_euler.torso.5"),
        "subtree_linvel.torso.x",
    ]
    assert [ant.observation_names[i] for i in (14, 28, 29, 37, 38, 41)] == [
        *("qpos.ankle_4", "qvel.ankle_4", "body_rotation.torso.0", "body_rotation.torso.8"),
        *("subtree_com.torso.x", "subtree_linvel.torso.x"),
    ]
    assert ant.state_names[3:5] == ["qpos.root.qw", "qpos.root.qx"]
    assert ant.state_units[3] == "1"


def test_hopper_ends_by_unclipped_numbers():
    task = load_task("hopper_forward")
    spec = task.core.spec
    found = [(b.channel.source.name, b.channel.address, b.bounds.low, b.bounds.high) for b in spec.healthy]
    assert found == [
        *[("QPOS", 1, 0.7, np.inf), ("QPOS", 2, -0.3, 0.3)],
        *[("QPOS", i, -100, 100) for i in (3, 4, 5)],
        *[("QVEL", i, -100, 100) for i in range(6)],
    ]
    assert all(b.bounds.low_open for b in spec.healthy)
    assert all(b.bounds.high_open for b in spec.healthy[1:])
    assert all(np.isinf(b.channel.high) for b in spec.healthy)


def test_model_based_settings():
    keys = (
        *("epochs", "fraction_use_new", "horizon", "candidates", "iterations", "rollouts_per_iteration"),
        *("rollouts_for_training", "action_noise", "steps_per_rollout", "min_return"),
    )
    table = {
        "swimmer_forward": ((25, 333, 20, 333), (30, 0.9, 20, 5000, 6, 10, 9, 0.005, 333, 0)),
        "cheetah_forward": ((10, 1000, 20, 1000), (60, 0.9, 20, 1000, 7, 10, 9, 0.005, 1000, 0)),
        "hopper_forward": ((20, 200, 20, 200), (40, 0.9, 40, 1000, 5, 11, 10, 0, 1000, 0)),
        "ant_forward": ((700, 1000, 20, 200), (20, 0.5, 5, 15000, 1, 2, 1, 0, 1000, 0)),
    }
    for name, (data, values) in table.items():
        task = load_task(name)
        mb = task.model_based
        train, validation = mb.random_train, mb.random_validation
        assert (train.episodes, train.steps, validation.episodes, validation.steps) == data
        assert tuple(getattr(mb, key) for key in keys) == values
        assert (mb.hidden, mb.batch_size, mb.learning_rate) == ((500,), 512, 1e-3)
        assert (mb.noise, mb.rollouts_to_save) == (0.01, 60)
        assert task.episode_steps == (333 if name == "swimmer_forward" else 1000)


# --- planning costs: section 3 of the method's facts, point by point


def reference_cost(name: str, states, actions):
    s, a = states.astype(np.float64), actions.astype(np.float64)
    total = np.zeros(len(s))
    for k in range(len(s)):
        dead = False
        for t in range(s.shape[1]):
            x, u2 = s[k, t], np.sum(a[k, min(t, a.shape[1] - 1)] ** 2)
            if name == "swimmer_forward":
                point = -x[13] + 0.5 * u2 / 50**2
            elif name == "cheetah_forward":
                point = -x[21] + 0.05 * u2
            elif name == "hopper_forward":
                dead = dead or abs(x[1]) >= 0.3 or x[0] <= 0.7
                point = -x[14] - 1 + 0.005 * u2 / 200**2
            else:
                dead = dead or x[31] > 1 or x[31] < 0.3
                point = -x[38] - 0.5 + 0.005 * u2 / 150**2
            total[k] += 0 if dead else point
    return total


def test_cost_equals_the_formulas(preset):
    rng = np.random.default_rng(0)
    states, actions = random_batch(preset, rng, 200, 12)
    if preset.name == "hopper_forward":
        states[..., 0] = rng.normal(1.2, 0.25, states.shape[:2])
        states[..., 1] = rng.normal(0, 0.12, states.shape[:2])
    if preset.name == "ant_forward":
        states[..., 31] = rng.normal(0.65, 0.18, states.shape[:2])
    cost = preset.cost(states, actions)
    expected = reference_cost(preset.name, states, actions)
    assert cost.dtype == np.float64
    np.testing.assert_allclose(cost, expected, rtol=1e-6, atol=1e-9)
    if preset.config.alive:
        # some candidates die on the way, some never
        changed = states.copy()
        changed[:, -1, {"hopper_forward": 14, "ant_forward": 38}[preset.name]] += 1
        alive = preset.cost(changed, actions) != cost
        assert 10 < alive.sum() < 190


def test_the_dead_stay_dead():
    task = load_task("hopper_forward")
    states = np.zeros((3, 5, 17), np.float32)
    states[..., 0], states[..., 14] = 1.25, 2.0
    states[1, 2, 1] = 0.5  # pitches at t = 2 and comes back
    states[2, 0, 0] = 0.1  # has fallen at the start
    np.testing.assert_allclose(task.cost(states, np.zeros((3, 4, 3))), [-15, -6, 0], rtol=1e-6)


def test_ant_lives_on_its_bounds():
    task = load_task("ant_forward")
    states = np.zeros((3, 2, 41), np.float32)
    states[:, :, 31] = np.array([1.0, 1.0000001, 0.29], np.float32)[:, None]
    np.testing.assert_allclose(task.cost(states, np.zeros((3, 1, 8))), [-1, 0, 0], rtol=1e-6)


def test_cost_checks_its_arguments():
    task = load_task("hopper_forward")
    good = np.zeros((2, 4, 17)), np.zeros((2, 3, 3))
    assert task.cost(*good).shape == (2,)
    assert task.cost(good[0][:0], good[1][:0]).shape == (0,)
    with pytest.raises(DataError, match=r"states must be of shape \(K, H \+ 1, 17\), got \(2, 4, 16\)"):
        task.cost(np.zeros((2, 4, 16)), good[1])
    with pytest.raises(DataError, match=r"actions must be of shape \(2, 3, 3\), got \(2, 4, 3\)"):
        task.cost(good[0], np.zeros((2, 4, 3)))
    with pytest.raises(DataError, match="states must be an array of numbers, got 'far'"):
        task.cost("far", good[1])
    with pytest.raises(DataError, match="segment and origin must be 0 for a task without a path, got 1"):
        task.cost(*good, segment=1)


def test_import_of_torch_is_not_needed():
    code = "import sys, mbmf; mbmf.load_task('hopper_forward'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- round trips


def test_to_yaml_round_trip(preset, tmp_path):
    file = tmp_path / "again.yaml"
    file.write_text(preset.to_yaml())
    again = load_task(file)
    assert again == preset
    assert again.to_yaml() == preset.to_yaml()
    other = next(name for name in FORWARD if name != preset.name)
    assert again != load_task(other)


def test_copy_of_a_preset_with_a_change_is_another_task(preset, tmp_path):
    file = tmp_path / "changed.yaml"
    file.write_text(preset.to_yaml().replace("physics_steps: ", "physics_steps: 1"))
    assert load_task(str(file)) != preset


def test_functions_take_the_place_of_terms():
    rng = np.random.default_rng(1)
    with pytest.warns(UserWarning, match=r"slower.*leaves the C\+\+ core") as caught:
        task = load_task("swimmer_forward", cost=lambda s, a: s[:, :, 13].max(axis=1) + a[:, 0, 0])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    states, actions = random_batch(task, rng, 7, 3)
    expected = states[:, :, 13].max(axis=1) + actions[:, 0, 0]
    np.testing.assert_array_equal(task.cost(states, actions), expected.astype(np.float64))
    assert task != load_task("swimmer_forward")


@pytest.mark.filterwarnings("ignore:.*slower")
def test_functions_are_checked_when_used():
    for function, message in [
        (lambda s, a: s[:, 0, 0].sum(), r"cost must return shape \(2,\), got \(\)"),
        (lambda s, a: np.array([1.0, np.nan]), "cost must return finite numbers, got nan in row 1"),
        (lambda s, a: "cheap", "cost must return numbers, got str"),
    ]:
        task = load_task("swimmer_forward", cost=function)
        with pytest.raises(DataError, match=message):
            task.cost(np.zeros((2, 4, 16)), np.zeros((2, 3, 2)))
    # the cost of predictions that overflow is infinite: such a candidate is none
    task = load_task("swimmer_forward", cost=lambda s, a: s[:, -1, 0])
    states = np.zeros((3, 4, 16))
    states[1, 3, 0] = np.nan
    assert task.cost_function(states, np.zeros((3, 3, 2))).tolist() == [0, np.inf, 0]
    reward = load_task("swimmer_forward", reward=lambda s, a: s[:, 0]).reward_function
    np.testing.assert_array_equal(reward(np.ones((3, 16)), np.zeros((3, 2))), [1, 1, 1])
    assert load_task("swimmer_forward").reward_function is None


def test_arguments_of_load_task():
    with pytest.raises(ConfigError, match=r"path must be None for a robot .*, got 'left_turn'; presets that"):
        load_task("swimmer_forward", path="left_turn")
    with pytest.raises(ConfigError, match="cost must be a function"):
        load_task("swimmer_forward", cost=5)
    with pytest.raises(ConfigError, match="name_or_path must be a preset's name, a path or a mapping, got 5"):
        load_task(5)
