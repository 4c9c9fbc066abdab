"""Wrong task files: each gets a message with the file, the key, what it must be and what it is."""

import contextlib
import copy
import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbmf.errors import ConfigError, MbmfError
from mbmf.tasks.file import PRESETS, parse_yaml
from mbmf.tasks.load import load_task
from mbmf.tasks.task import Task

BASE = yaml.safe_load((PRESETS / "hopper_forward.yaml").read_text())
DELETE = object()


def changed(path: str, value: object) -> dict:
    """The hopper's task with the value at a path ("cost.0.weight") set, or deleted."""
    data = copy.deepcopy(BASE)
    at, keys = data, [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in keys[:-1]:
        at = at[key]
    if value is DELETE:
        del at[keys[-1]]
    else:
        at[keys[-1]] = value
    return data


NUMBER = "must be a finite number"
COUNT = "must be an integer from 1 to 1000000, got"
CASES = [
    # keys
    ("cost.0.wieght", 1, "cost[0].wieght must be a known key (", "nearest: weight), got 'wieght'"),
    ("nmae", 1, "nmae must be a known key (", "nearest: name)"),
    ("model_based.hiden", [5], "model_based.hiden must be a known key (", "nearest: hidden"),
    ("reset.defalt", {}, "reset.defalt must be a known key (control, default, random; nearest: default)"),
    ("start", {"qpso": []}, "start.qpso must be a known key (keyframe, qpos, qvel; nearest: qpos"),
    ("name", DELETE, "name must be given, got nothing"),
    ("reward", DELETE, "reward must be given (terms, reward_function, or load_task's reward), got nothing"),
    ("model_based.epochs", DELETE, "model_based.epochs must be given, got nothing"),
    ("cost.0.term", DELETE, "cost[0].term must be given, got nothing"),
    ("safe_action", [0, 0], "safe_action must be a list of 3 numbers from -1 to 1, got [0.0, 0.0]"),
    ("safe_action", [0, 0, 2], "safe_action must be a list of 3 numbers from -1 to 1, got [0.0, 0.0, 2.0]"),
    # types
    ("name", 5, "name must be a text that is not empty, got 5"),
    ("name", " ", "name must be a text that is not empty, got ' '"),
    ("state", {}, "state must be a list of 1 or more items, got {}"),
    ("cost", [], "cost must be a list of 1 or more items, got []"),
    ("cost.0", 5, "cost[0] must be a mapping, got 5"),
    ("model", "hopper.xml", "model must be a mapping, got 'hopper.xml'"),
    ("overrides.joints", [1], "overrides.joints must be a mapping, got [1]"),
    ("cost.0.weight", "3", f"cost[0].weight {NUMBER}, got '3'"),
    ("cost.0.weight", True, f"cost[0].weight {NUMBER}, got True"),
    ("physics_steps", True, f"physics_steps {COUNT} True"),
    ("physics_steps", 2.0, f"physics_steps {COUNT} 2.0"),
    # numbers
    ("cost.0.weight", float("nan"), f"cost[0].weight {NUMBER}, got nan"),
    ("cost.0.weight", float("-inf"), f"cost[0].weight {NUMBER}, got -inf"),
    ("cost.0.weight", 10**400, f"cost[0].weight {NUMBER}, got 1000"),
    ("physics_steps", 0, f"physics_steps {COUNT} 0"),
    ("episode_steps", -1, f"episode_steps {COUNT} -1"),
    ("model_based.horizon", 0, "model_based.horizon must be an integer from 1 to 10000, got 0"),
    ("model_based.horizon", 10001, "model_based.horizon must be an integer from 1 to 10000, got 10001"),
    (
        "model_based.candidates",
        10**8 + 1,
        "model_based.candidates must be an integer from 1 to 100000000, got",
    ),
    ("model_based.epochs", -3, f"model_based.epochs {COUNT} -3"),
    ("model_based.hidden", [], "model_based.hidden must be a list of 1 to 16 items, got []"),
    ("model_based.hidden", [8, 0], "model_based.hidden[1] must be an integer from 1 to 65536, got 0"),
    ("model_based.learning_rate", 0, f"model_based.learning_rate {NUMBER} above 0 and at most 1, got 0"),
    ("model_based.fraction_use_new", 1.5, f"fraction_use_new {NUMBER} at least 0 and at most 1, got 1.5"),
    ("model_based.random_train", {"episodes": 0, "steps": 9}, f"random_train.episodes {COUNT} 0"),
    ("model_based.rollouts_for_training", 12, "rollouts_for_training is at most its rollouts_per_iteration"),
    ("model_based.min_return", float("-inf"), f"model_based.min_return {NUMBER}, got -inf"),
    # terms and states
    (
        "cost.0.term",
        "linaer",
        "cost[0].term must be a term (constant, linear,",
        "nearest: linear), got 'linaer'",
    ),
    (
        "cost.0.state",
        "subtree_linvel.torso.w",
        "cost[0].state must be a state (",
        "nearest: subtree_linvel.torso.",
    ),
    ("cost.0.state", 17, "cost[0].state must be an index from 0 to 16, got 17"),
    ("cost.0.state", -1, "cost[0].state must be an index from 0 to 16, got -1"),
    ("cost.0.state", 1.5, "cost[0].state must be a state's name or index, or a list of them, got 1.5"),
    ("reward.0.state", "qpos.rootx", "reward[0].state must be a state (", "got 'qpos.rootx'"),
    (
        "cost.0",
        {"term": "distance", "state": [0, 1], "target": [1, 2, 3]},
        "cost[0].target must be one number or",
    ),
    (
        "cost.0",
        {"term": "distance", "state": [0, 1], "target_state": 2},
        "cost[0].target_state must be as many",
    ),
    (
        *("cost.0", {"term": "absolute", "state": 0, "target": 1, "target_state": 1}),
        "cost[0] must be a mapping with at most one of target and target_state",
    ),
    (
        "cost.0",
        {"term": "outside", "state": 0},
        "cost[0] must be a mapping with a bound: min, max, above or below",
    ),
    (
        "alive.0",
        {"state": 0, "min": 1, "above": 2},
        "alive[0] must be a mapping with at most one of min and above",
    ),
    ("alive.0", {"state": 0, "min": 1, "max": 1}, "alive[0] must be a mapping whose lower bound is below"),
    ("alive.0", {"state": "qpos.rotz", "min": 1}, "alive[0].state must be a state (", "nearest: qpos.rootz"),
    # channels
    ("state.0.source", "qps", "state[0].source must be a known word (", "nearest: qpos), got 'qps'"),
    (
        "state.0.joints",
        ["rootz", "rooty1"],
        "state[0].joints must be one of the model's names",
        "got 'rooty1'",
    ),
    ("state.2.body", "tors", "state[2].body must be one of the model's names", "nearest: torso), got 'tors'"),
    (
        "state.2",
        {"source": "site_pos", "site": "tip"},
        "state[2].site must be one of",
        "(there is none), got 'tip'",
    ),
    (
        "state.2",
        {"source": "sensor", "sensor": "x"},
        "state[2].sensor must be one of",
        "(there is none), got 'x'",
    ),
    ("state.2", {"source": "sensor"}, "state[2].source must be one that the model has, got 'sensor'"),
    (
        "state.2",
        {"source": "subtree_com"},
        "state[2] must be a mapping where the source subtree_com has the key body",
    ),
    ("state.0.body", "torso", "state[0] must be a mapping where the source qpos has joint or joints"),
    ("state.2.index", 3, "state[2].index must be below 3 for torso, got 3"),
    ("state.2.index", -1, "state[2].index must be an index (0, 1, ...) or a list of them, got -1"),
    (
        "state.1.clip",
        [1, 1],
        "state[1].clip must be a list [low, high] of two finite numbers, low below high",
    ),
    (
        "state.1.transform",
        "tan",
        "state[1].transform must be a known word (identity, cos, sin, rate), got 'tan'",
    ),
    ("state.1", {"source": "qpos", "joint": "rootz"}, "state[1] must be without what is there already"),
    ("healthy.0.joint", "rotz", "healthy[0].joint must be one of", "nearest: rootz"),
    ("healthy.0.below", 0.1, "healthy[0] must be a mapping whose lower bound is below its upper bound"),
    # the robot
    ("model", {}, "model must be a mapping with either asset or file, got {}"),
    ("model.asset", "hoper.xml", "model.asset must be an MJCF file that exists (", "nearest: hopper.xml"),
    ("model.asset", "../hopper.xml", "model.asset must be an MJCF file that exists ("),
    ("model", {"file": "absent.xml"}, "model.file must be an MJCF file that exists (", "got 'absent.xml'"),
    ("overrides.option.timestep", 0, "overrides.option.timestep must be above 0, got 0"),
    (
        "overrides.option.timstep",
        1,
        "overrides.option.timstep must be a known attribute",
        "nearest: timestep",
    ),
    ("overrides.option.integrator", "RK5", "overrides.option.integrator must be a known word (euler, rk4,"),
    ("overrides.option.iterations", 2.5, "overrides.option.iterations must be an integer, got 2.5"),
    ("overrides.option.iterations", 2**31, "overrides.option.iterations must be an integer of 32 bits"),
    ("overrides.joints", {"rotz": {"armature": 1}}, "overrides.joints.rotz must be one of", "nearest: rootz"),
    (
        "overrides.joints",
        {"rootz": {"armture": 1}},
        "overrides.joints.rootz.armture must be",
        "nearest: armature",
    ),
    ("overrides.joints", {"type": 1}, "overrides.joints.type must be a known attribute"),
    ("overrides.joints", {"limited": 3}, "overrides.joints.limited must be true or false, got 3"),
    (
        "overrides.geoms",
        {"solimp": [1] * 9},
        "overrides.geoms.solimp must be a finite number or a list of at most 5",
    ),
    ("overrides.actuators", {3: {"gear": 1}}, "overrides.actuators.3 must be one of", "(0, 1, 2), got '3'"),
    ("overrides.geoms", {"condim": 2}, "model must be MJCF that compiles: ", "condim"),
    # how it starts
    ("start", {"qpos": [1, 2]}, "start.qpos must be a list of 6 numbers (the model's nq)"),
    ("start", {"qvel": [0] * 7}, "start.qvel must be a list of 6 numbers (the model's nv)"),
    ("start", {"qvel": [float("inf")] * 6}, "start.qvel must be a finite number or a list of them"),
    (
        "reset.control.set",
        {"rooy": 1},
        "reset.control.set.rooy must be a position of a joint (",
        "nearest: rooty",
    ),
    (
        "reset.control.set",
        {"rooty": [2, 1]},
        "reset.control.set.rooty must be a finite number or [low, high]",
    ),
    ("reset.default.qpos", {"normal": -1}, f"reset.default.qpos.normal {NUMBER} at least 0, got -1"),
    ("reset.default.qpos", {}, "reset.default.qpos must be a mapping with either normal or uniform, got {}"),
]


@pytest.mark.parametrize(("path", "value", "parts"), [(c[0], c[1], c[2:]) for c in CASES])
def test_wrong_value(path, value, parts, tmp_path):
    file = tmp_path / "task.yaml"
    data = changed(path, value)
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as caught:
        load_task(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_every_problem_has_a_line(tmp_path):
    data = changed("physics_steps", -1)
    data["cost"][0]["x"] = 1
    data["model_based"]["epohcs"] = 4
    with pytest.raises(ConfigError) as caught:
        load_task(data)
    assert [line.split(" must be ")[0] for line in str(caught.value).splitlines()] == [
        *("task: physics_steps", "task: cost[0].x", "task: model_based.epohcs"),
    ]
    data = changed("state.0.joints", ["rootzz", "rooty"])
    data["start"] = {"qpos": 1}
    with pytest.raises(ConfigError) as caught:
        load_task(data)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", ", line 1, column 6: must be YAML: expected ',' or ']'"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ", line 4, column 3: must be YAML: the key 'c' is there twice"),
        ("a: 1\n\tb: 2", ", line 2, column 1: must be YAML: found character '\\t'"),
        ("", ": must be a mapping of keys to values, got nothing"),
        ("[1, 2]", ": must be a mapping of keys to values, got [1, 2]"),
        (
            "a: !!python/object/apply:os.getcwd []",
            ", line 1, column 4: must be YAML: could not determine a constr",
        ),
        ("a: 2020-13-45", ": must be YAML: month must be in 1..12"),
        ("? [1]\n: 2", ", line 1, column 3: must be YAML: found unhashable key"),
        ("a: 1\n---\nb: 2", ", line 2, column 1: must be YAML: but found another document"),
        ("[" * 5000, ": must be YAML that is nested less deeply"),
        ("a: " + "9" * 5000, ": must be YAML: Exceeds the limit"),
        ("a: *b", ", line 1, column 4: must be YAML: found undefined alias"),
        ("5: x", ": 5 must be a text, as every key, got 5"),
        ("name: &x [*x]", ": name must be a text that is not empty, got [[[[...]]]]"),
    ],
)
def test_malformed_yaml(text, message, tmp_path):
    file = tmp_path / "task.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_task(file)
    assert f"{file}{message}" in str(caught.value)


def test_numbers_of_yaml_1_2():
    assert parse_yaml("[1e-3, 5E+2, -1e4, 1.5e3, 2.0]", "") == [0.001, 500.0, -1e4, 1500.0, 2.0]


def test_unreadable_files(tmp_path):
    binary = tmp_path / "task.yaml"
    binary.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="must be UTF-8 text, got a wrong byte at 6"):
        load_task(binary)
    for path in (tmp_path / "absent.yaml", tmp_path, str(tmp_path / "absent.yaml"), "a\0.yaml"):
        with pytest.raises(ConfigError, match="task file must be a file that exists, got "):
            load_task(path)


def test_unknown_preset():
    with pytest.raises(ConfigError) as caught:
        load_task("hoper_forward")
    message = str(caught.value)
    assert message.startswith("task name must be a preset (ant_forward, ant_trajfollow, cheetah_forward, ")
    assert "nearest: hopper_forward" in message
    assert message.endswith("or a path ending in .yaml, got 'hoper_forward'")
    assert isinstance(caught.value, MbmfError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("mjcf", "message"),
    [
        ("<mujoco><worldbody><body>", "XML parse error"),
        ("not xml", "XML"),
        (
            "<mujoco><worldbody><body><joint/></body></worldbody></mujoco>",
            "mass and inertia of moving bodies",
        ),
        ("<mujoco><worldbody><boddy/></worldbody></mujoco>", "unrecognized element"),
        (
            "<mujoco><worldbody><body><joint/><geom size='1'/></body></worldbody></mujoco>",
            "model must have an actuator, got none",
        ),
    ],
)
def test_mjcf_that_does_not_compile(mjcf, message, tmp_path):
    (tmp_path / "robot.xml").write_text(mjcf)
    file = tmp_path / "task.yaml"
    data = changed("overrides", {}) | {"model": {"file": "robot.xml"}}
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as caught:
        load_task(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: model must ")
    assert str(tmp_path / "robot.xml") in text
    assert message in text


# --- whatever is put anywhere, the answer is a task or a ConfigError


def places(data: object, path: tuple = ()) -> list[tuple]:
    """The paths of every value in nested mappings and lists."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [p for key, value in items for p in ((*path, key), *places(value, (*path, key)))]


PLACES = {name: places(yaml.safe_load((PRESETS / f"{name}.yaml").read_text())) for name in (
    "hopper_forward", "ant_forward", "swimmer_forward"
)}  # fmt: skip
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-3, 20), st.integers(), st.floats(), st.text(max_size=5)),
    *(st.sampled_from(["qpos", "torso", "rootz", "linear", "x", "cos"]), st.binary(max_size=3), st.dates()),
)
KEYS = st.one_of(
    *(st.text(max_size=5), st.integers(-1, 3), st.booleans(), st.none()),
    st.sampled_from(["term", "state", "weight", "min", "above", "index", "target", "joint", "file", "geoms"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_change_gives_a_task_or_a_config_error(data):
    name = data.draw(st.sampled_from(sorted(PLACES)))
    task = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        *path, key = data.draw(st.sampled_from(PLACES[name]))
        at = task
        try:
            for part in path:
                at = at[part]
            action = data.draw(st.sampled_from(["set", "delete", "rename"]))
            if action == "set":
                at[key] = data.draw(VALUES)
            elif action == "delete":
                del at[key]
            else:
                at[data.draw(KEYS)] = at.pop(key)
        except (AttributeError, KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = load_task(task)
        except ConfigError as error:
            result = error
    if isinstance(result, Task):
        assert result.nstate == len(result.state_names) > 0
    else:
        assert str(result).startswith("task: ")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_yaml_or_a_config_error(text):
    with contextlib.suppress(ConfigError):
        parse_yaml(text, "file")


def test_the_base_is_right():
    assert isinstance(load_task(BASE), Task)
    assert Path(PRESETS / "hopper_forward.yaml").is_file()


def _places(value: object, place: tuple = ()) -> list[tuple]:
    """Where a task file has numbers."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, item in items for found in _places(item, (*place, key))]
    return [place] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.parametrize("preset", ["gym_half_cheetah", "hopper_forward", "ant_trajfollow"])
def test_a_number_beyond_floats_is_an_error_anywhere(preset: str) -> None:
    whole = yaml.safe_load((PRESETS / f"{preset}.yaml").read_text())
    places = _places(whole)
    assert len(places) > 20
    for *keys, last in places:
        data = copy.deepcopy(whole)
        at = data
        for key in keys:
            at = at[key]
        at[last] = 10**400
        with pytest.raises(ConfigError):
            load_task(data)
