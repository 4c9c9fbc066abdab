"""The first draft of a task file for a robot: what its MJCF says, and settings that learn something."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import mujoco

from mbmf.names import plain_name
from mbmf.tasks.model import compile_model, model_path
from mbmf.tasks.schema import ModelSource, Overrides
from mbmf.tasks.sources import given_names

# seconds, about: of a control step and of an episode
_CONTROL_STEP, _EPISODE = 0.02, 10.0

# kinds of a robot's first joint with which it can go somewhere
_MOVE = (int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_SLIDE))

_TEXT = """\
# {name}: written by `mbmf new` from {origin}. docs/tasks.md has every key.
name: {name}
model: {{{model}}}
# overrides:                   # changes of the MJCF before it is compiled
#   option: {{timestep: {timestep:g}}}
#   joints: {{damping: 1}}
physics_steps: {physics_steps}               # of {timestep:g} s each: a control step of {dt:g} s
episode_steps: {episode_steps}             # control steps of an episode: {seconds:g} s

# what the model learns to predict, and the policy sees
state:
  - {{source: qpos}}             # positions of {joints}
  - {{source: qvel}}             # their velocities
{more_state}
# what is good, per control step: SAY IT HERE. Actions u are in [-1, 1], for
#   {actuators}
reward:
{reward}
# healthy:                     # an episode ends when it leaves these bounds
#   - {{source: subtree_com, body: {root}, index: 2, above: 0.2}}

# how an episode starts: the MJCF's pose, and noise
reset:
  default: {{qpos: {{uniform: 0.05}}, qvel: {{normal: 0.05}}}}

# learning (docs/presets.md): mbmf mb
model_based:
  random_train: {{episodes: 50, steps: 200}}
  random_validation: {{episodes: 10, steps: 200}}
  hidden: [500]
  epochs: 30
  fraction_use_new: 0.5
  horizon: {horizon}                  # control steps that a plan looks ahead: {look:g} s
  candidates: 1000
  iterations: 5
  rollouts_per_iteration: 5
  rollouts_for_training: 4
  steps_per_rollout: {episode_steps}
  min_return: -1.0e+9          # of rollouts to imitate
  rollouts_to_save: 20

# mbmf mbmf: a policy that imitates the controller, then improves by itself
imitation: {{epochs: 25, iterations: 3, rollouts_to_label: 5, test_rollouts: 3}}
model_free: {{steps_per_rollout: {episode_steps}, iterations: 200, batch_size: 20000, gae_lambda: 0.97}}
"""


def draft(name: str, source: ModelSource, directory: Path, origin: str) -> str:
    """The text of a task file in ``directory``.

    Args:
        name: of the task.
        source: the robot's MJCF.
        origin: what the user called it.

    Raises ConfigError if the name is no plain file name, or the MJCF is not there or does not compile.
    """
    plain_name("output's name", name)
    model = compile_model(model_path(source, directory, name), Overrides(), name)
    timestep = float(model.opt.timestep)
    physics_steps = max(1, round(_CONTROL_STEP / timestep))
    dt = timestep * physics_steps
    joints = _names(model, mujoco.mjtObj.mjOBJ_JOINT)
    bodies = _names(model, mujoco.mjtObj.mjOBJ_BODY)
    root = bodies[int(model.jnt_bodyid[0])] if model.njnt else bodies[-1]
    moves = model.njnt > 0 and int(model.jnt_type[0]) in _MOVE
    more = ["  - {source: act}             # activations of actuators"] if model.na else []
    if moves:
        more += [f"  - {{source: subtree_com, body: {root}}}     # metres: where the robot is"]
        more += [f"  - {{source: subtree_linvel, body: {root}}}  # m/s: and how fast"]
        speed = _yaml(f"subtree_linvel.{_plain(root)}.x")
        reward = [f"  - {{term: linear, state: {speed}}}  # for example: forwards"]
    else:
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        # the last body that a joint moves; a target may come after it
        moved = [i for i in range(1, model.nbody) if model.body_weldid[i] and model.body_mocapid[i] < 0]
        leaf = max(moved, default=model.nbody - 1)
        place = ", ".join(f"{value:.3g}" for value in data.xpos[leaf])
        more += [f"  - {{source: body_pos, body: {bodies[leaf]}}}      # metres: where its end is"]
        reward = ["  # for example: its end is near a point (here, where it starts)"]
        end = _yaml(f"body_pos.{_plain(bodies[leaf])}")
        reward += [f"  - {{term: distance, state: {end}, target: [{place}], weight: -1}}"]
    reward.append("  - {term: action, weight: -0.005}  # and little effort: |u|^2")
    where = f"file: {_yaml(source.file)}" if source.file else f"asset: {_yaml(str(source.asset))}"
    horizon = 20
    return _TEXT.format(
        name=_yaml(name),
        origin=" ".join(origin.split()),
        model=where,
        timestep=timestep,
        physics_steps=physics_steps,
        dt=dt,
        episode_steps=max(120, round(_EPISODE / dt)),
        seconds=max(120, round(_EPISODE / dt)) * dt,
        joints=_listed(joints),
        actuators=_listed([_actuator(model, i) for i in range(model.nactuator)]),
        root=root,
        more_state="\n".join(more) + "\n",
        reward="\n".join(reward) + "\n",
        horizon=horizon,
        look=horizon * dt,
    )


def _actuator(model: mujoco.MjModel, number: int) -> str:
    """An actuator's name, or what it moves."""
    name = given_names(model, mujoco.mjtObj.mjOBJ_ACTUATOR)[number]
    if not name and int(model.actuator_trntype[number]) == int(mujoco.mjtTrn.mjTRN_JOINT):
        joint = int(model.actuator_trnid[number, 0])
        name = given_names(model, mujoco.mjtObj.mjOBJ_JOINT)[joint]
    return name or str(number)


def _names(model: mujoco.MjModel, kind: mujoco.mjtObj) -> list[str]:
    """Of all elements of a kind, as YAML has them; one without a name goes by its number."""
    return [_yaml(name or str(i)) for i, name in enumerate(given_names(model, kind))]


def _yaml(word: str) -> str:
    """A word that YAML reads as this text, also within brackets."""
    plain = re.fullmatch(r"[A-Za-z_/][\w./-]*", word) and word.lower() not in (
        *("true", "false", "yes", "no", "on", "off", "null", "y", "n"),
    )
    return word if plain else json.dumps(word, ensure_ascii=False)


def _plain(word: str) -> str:
    return str(json.loads(word)) if word.startswith('"') else word


def _listed(names: Sequence[str], most: int = 8) -> str:
    """Names for a comment, in a line."""
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")
