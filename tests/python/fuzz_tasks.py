"""Task files changed as trees, not as bytes: what is left is nearly a task, and reaches what damage does not.

A format of `fuzz.py`: `python tests/python/fuzz.py --format "task trees" --inputs 100000`. What loads is
simulated for a few steps, its plan's cost computed and its configuration written and read again. One tree in
eight is read from a file, the others as mappings: reading text takes longer than all the rest, and is what
the format "task YAML" is for.
"""

from __future__ import annotations

import copy
import json
import random
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

import mbmf
from mbmf.errors import ConfigError, MbmfError
from mbmf.tasks.file import _models
from mbmf.tasks.schema import Source, TaskConfig
from mbmf.yaml_text import parse_yaml

ROBOT = """<mujoco>
<option timestep="0.005"/>
<worldbody><geom name="floor" type="plane" size="3 3 .1"/>
<body name="ball" pos="0 0 .5"><freejoint name="ball"/><geom name="ball" size=".1" mass="1"/>
  <site name="skin" size=".12"/></body>
<body name="arm" pos="1 0 1"><joint name="hip" axis="0 1 0" damping=".1"/>
  <geom name="arm" type="capsule" fromto="0 0 0 .4 0 0" size=".03"/>
  <body name="tip" pos=".4 0 0"><joint name="wrist" type="ball" damping=".05"/>
    <geom name="tip" size=".05"/></body>
</body>
<body name="hand" pos="0 0 .5" mocap="true"><geom size=".05" contype="0" conaffinity="0"/></body>
<body name="target" pos="1 0 1" mocap="true"><site name="target"/></body>
</worldbody>
<equality><weld name="hold" body1="hand" body2="ball" solref="0.05 1"/></equality>
<tendon><fixed name="both"><joint joint="hip" coef="1"/></fixed></tendon>
<actuator><motor name="hip" joint="hip" ctrlrange="-1 1"/>
  <general name="lag" joint="hip" gainprm="3" dyntype="filter" dynprm=".1"/></actuator>
<sensor><touch name="touch" site="skin"/><gyro name="gyro" site="skin"/></sensor>
<keyframe><key name="high" qpos="0 0 1 1 0 0 0 0 1 0 0 0" mpos="0 0 1  2 2 2"/></keyframe>
</mujoco>"""
# a task that has a little of everything
RICH: dict[str, Any] = {
    "name": "rich",
    "model": {"file": "robot.xml"},
    "overrides": {
        "option": {"timestep": 0.004},
        "joints": {"hip": {"damping": 0.2}},
        "actuators": {"gear": 2},
    },
    "physics_steps": 2,
    "episode_steps": 20,
    "start": {"keyframe": "high"},
    "goals": {"height": [0.4, 0.8], "attitude": {"rotation": 1.0}},
    "references": {
        "circle": {
            "time": [0, 1, 2],
            "columns": {"x": [0, 1, 0], "y": [1, 0, 1], "z": [1, 1, 1]},
            "loop": True,
        }
    },
    "mocap": {
        "hand": {"pos": [0, 0, 0.5], "move": {"x": {"low": -1, "high": 1, "speed": 1}, "rz": {"speed": 1}}},
        "target": {"reference": "circle"},
    },
    "state": [
        {"source": "time"},
        {"source": "qpos", "joints": ["ball", "hip"]},
        {"source": "qvel", "clip": [-10, 10]},
        {"source": "act"},
        {"source": "sensor", "sensor": ["touch"]},
        {"source": "goal"},
        {"source": "reference", "reference": "circle", "index": [0, 1]},
        {"source": "body_pos", "body": ["hand", "target"], "index": [0, 2]},
        {"source": "body_quat", "body": "tip"},
        {"source": "geom_distance", "geoms": ["tip", "floor"]},
        {"source": "qacc", "joint": "hip"},
        {"source": "tendon_length", "tendon": "both", "transform": "rate"},
    ],
    "observation": [{"source": "qpos"}, {"source": "goal", "goal": "height"}],
    "reward": [
        {"term": "distance", "state": "qpos.ball.z", "target_state": "goal.height", "weight": -1},
        {"term": "rotation", "state": "qpos.ball", "target_state": "goal.attitude", "weight": -0.1},
        {"term": "quadratic", "state": "qpos.hip", "target": 0.3, "weight": -1},
        {"term": "outside", "state": "qvel.hip", "min": -5, "max": 5, "weight": -1},
        {"term": "action_rate", "weight": -0.1},
    ],
    "terminal_cost": [{"term": "absolute", "state": "qpos.hip"}],
    "alive": [{"state": "qpos.ball.z", "above": 0.05}],
    "dying_cost": 10,
    "healthy": [{"source": "qpos", "joint": "hip", "min": -3, "max": 3}],
    "reset": {
        "default": {
            "qpos": {"normal": 0.01},
            "joints": {"ball": {"qpos": {"uniform": 0.1}, "rotation": {"uniform": 0.2}}},
            "set": {"hip": [-1, 1]},
            "mocap": {"hand": {"x": [-0.1, 0.1], "rotation": {"normal": 0.1}}},
            "time": [0, 1],
        }
    },
    "safe_action": [0, 0, 0, 0],
    "planner": {"search": "icem", "horizon": 3},
    "dynamics": {
        "members": 2,
        "inputs": {"qpos.ball.qw": "rotation"},
        "outputs": {"qpos.ball.qw": "rotation"},
    },
}
NUMBERS: list[Any] = [0, 1, -1, 2, 3, 0.5, -0.0, 1e-9, 1e9, 1e300, -1e300, 2**31, 2**63, 10**40, float("nan")]
VALUES: list[Any] = [
    *NUMBERS,
    float("inf"),
    None,
    True,
    False,
    "",
    "x",
    "qpos",
    "name",
    [],
    {},
    [0, 1],
    [1, 0],
    [[]],
]
MOST_STEPS = 100


def known_words() -> list[str]:
    """Every key of a task file and every word that a key may have."""
    found: set[str] = set(Source.__args__)  # type: ignore[attr-defined]
    waiting: list[type[BaseModel]] = [TaskConfig]
    done: set[type[BaseModel]] = set()
    while waiting:
        model = waiting.pop()
        if model in done:
            continue
        done.add(model)
        for name, field in model.model_fields.items():
            found.add(name)
            waiting += _models(field.annotation)
    return sorted(found | {kind["name"] for kind in mbmf._core.term_kinds()})


def task_trees() -> list[bytes]:
    """Whole tasks, as JSON, which is YAML: the presets and `RICH`."""
    names = ("swimmer_forward", "hopper_forward", "cheetah_forward", "ant_trajfollow", "gym_half_cheetah")
    presets = [parse_yaml(mbmf.load_task(name).to_yaml(), name) for name in names]
    return [json.dumps(each).encode() for each in (RICH, RICH, *presets)]


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            waiting.append(node[key])
    return found


def mutate_tree(seeds: list[bytes], where: float, number: int) -> bytes:
    """Input ``number``: a task with one to five changes of its tree."""
    del where
    rng = random.Random(number)
    tree = json.loads(rng.choice(seeds))
    words = _WORDS or _WORDS.extend(known_words()) or _WORDS
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        places = _places(tree)
        if not places:
            break
        node, key = rng.choice(places)
        value = node[key]
        if rng.random() < 0.75:
            _change_gently(rng, seeds, node, key)
            continue
        match rng.randrange(10):
            case 0:
                del node[key]
            case 1:
                node[key] = rng.choice(VALUES)
            case 2 if isinstance(value, int | float) and not isinstance(value, bool):
                node[key] = rng.choice([value + 1, -value, value * 10, value / 7, *NUMBERS])
            case 3:  # what stands elsewhere, of this task or of another
                others = _places(json.loads(rng.choice(seeds)) if rng.random() < 0.5 else tree)
                other, at = rng.choice(others)
                node[key] = copy.deepcopy(other[at])
            case 4 if isinstance(node, dict):  # under another name
                node[rng.choice(words)] = node.pop(key)
            case 5 if isinstance(node, list):
                node.insert(key, copy.deepcopy(value))
            case 6 if isinstance(node, list):
                rng.shuffle(node)
            case 7:
                node[key] = [value] if rng.random() < 0.5 else {rng.choice(words): value}
            case 8 if isinstance(node, dict):  # one key more
                node[rng.choice(words)] = rng.choice([*VALUES, *words])
            case _:
                node[key] = rng.choice(words)
    return json.dumps(tree).encode()


def _change_gently(rng: random.Random, seeds: list[bytes], node: Any, key: Any) -> None:
    """A change that keeps what kind of value it is: most of these are tasks still."""
    value = node[key]
    choice = rng.randrange(4)
    if isinstance(value, bool):
        node[key] = not value
    elif isinstance(value, int) and choice:
        node[key] = rng.choice([value + 1, max(value - 1, 0), 2 * value, rng.randrange(10)])
    elif isinstance(value, float) and choice:
        node[key] = value * rng.choice([-1, 0, 0.5, 1.001, 2, 10])
    elif isinstance(value, list) and value and choice < 3:
        at = rng.randrange(len(value))
        if choice == 0:
            del value[at]
        elif choice == 1:
            value.insert(at, copy.deepcopy(value[at]))
        else:
            rng.shuffle(value)
    elif isinstance(node, dict) and choice == 0:
        del node[key]
    else:  # what the same key has elsewhere
        others = [other[at] for other, at in _places(json.loads(rng.choice(seeds))) if at == key]
        if others:
            node[key] = copy.deepcopy(rng.choice(others))


_WORDS: list[str] = []


def _load_mapping(tree: dict[str, Any], file: Path) -> mbmf.Task:
    """A task of a mapping, whose errors name "task" in place of a file."""
    try:
        return mbmf.load_task(tree)
    except ConfigError as error:
        if str(error).startswith("task: ") or str(file.parent) in str(error):
            raise ConfigError(f"{file}: {error}") from error
        raise


def read_tree(place: Path, data: bytes) -> object:
    """Loads a task and uses it a little; what is wrong with the file is an error of `load_task` alone."""
    robot, file = place / "robot.xml", place / "task.yaml"
    robot.write_text(ROBOT)
    from_file = zlib.crc32(data) % 8 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if from_file:
            file.write_bytes(data)
            task = mbmf.load_task(file)
        else:
            task = _load_mapping(
                json.loads(data.replace(b'"robot.xml"', json.dumps(str(robot)).encode())), file
            )
        assert mbmf.load_task(task.to_data()) == task
    states = np.zeros((2, 3, task.nstate), np.float32)
    task.cost(states, np.zeros((2, 2, task.naction), np.float32))
    if task.physics_steps > MOST_STEPS or task.model.opt.timestep < 1e-6:
        return task
    try:
        simulator = mbmf.Simulator(task, 2, nthread=1, seed=1)
        for _ in range(3):
            simulator.step(np.ones((2, task.naction)))
        mbmf.DynamicsModel(task, **task.dynamics.model)
    except (MbmfError, mbmf.CoreError, ValueError) as error:
        # a start that is not usable is MuJoCo's reason, in words
        if not str(error):
            raise AssertionError("an error without words") from error
    return task
