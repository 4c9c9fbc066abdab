"""Resolves a task's names against its compiled robot: `TaskConfig` to the core's TaskSpec.

Every problem of a file is collected before the error is raised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np

from mbmf.errors import ConfigError
from mbmf.tasks.file import one_of, show
from mbmf.tasks.motion import Motion, goal_entries, move_names, reference_entries
from mbmf.tasks.path_section import BoundsConfig, PathConfig
from mbmf.tasks.paths import resolve
from mbmf.tasks.schema import (
    ChannelConfig,
    ResetConfig,
    TaskConfig,
    TermConfig,
    TermPart,
)
from mbmf.tasks.sources import Entry, distance_entry, element_names, entries, keyframes, matching

if TYPE_CHECKING:
    from mbmf import _core


@dataclass(frozen=True)
class Built:
    """What the core needs, and the names and units of the state and the names of the observation."""

    spec: _core.TaskSpec
    state: list[Entry]
    observation: list[Entry]


def build_spec(
    config: TaskConfig, model: mujoco.MjModel, file: str, own_reward: bool = False, own_cost: bool = False
) -> Built:
    """The core's specification of a task. Raises ConfigError with a line for each problem.

    own_reward, own_cost: a function in Python takes the place of the terms.
    """
    return _Builder(config, model, file, own_reward, own_cost).build()


class _Builder:
    def __init__(
        self, config: TaskConfig, model: mujoco.MjModel, file: str, own_reward: bool, own_cost: bool
    ) -> None:
        from mbmf import _core

        self.core = _core
        self.config = config
        self.model = model
        self.file = file
        self.own_reward, self.own_cost = own_reward, own_cost
        self.problems: list[str] = []
        self.state: list[Entry] = []
        self.own = {"goal": goal_entries(config), "reference": reference_entries(config)}
        self.motion = Motion(config, model, self.problem)

    def build(self) -> Built:
        config, spec = self.config, self.core.TaskSpec()
        spec.name = config.name
        spec.physics_steps = config.physics_steps
        spec.state, self.state = self.channels(config.state, "state")
        if config.observation is None:
            spec.observation, observation = spec.state, self.state
        else:
            spec.observation, observation = self.channels(config.observation, "observation")
        spec.reward_state, more = self.channels(config.reward_state or (), "reward_state", self.state)
        self.check_control_ranges()
        spec.keyframe = self.keyframe()
        spec.start_qpos, spec.start_qvel = self.start(spec.keyframe)
        self.motion.put(spec)
        resets = config.reset
        kinds = {"default": resets.default, "random": resets.random, "control": resets.control}
        spec.reset = [
            self.reset(reset or resets.default, f"reset.{kind if reset else 'default'}")
            for kind, reset in kinds.items()
        ]
        for kind, given in kinds.items():
            if self.model.nhistory > 0 and given is not None and given.time is not None:
                what = "left out where an actuator or a sensor has a delay or an interval, which count from 0"
                self.problem(f"reset.{kind}.time", what, list(given.time))
        if config.path is not None and config.path.start_joint is not None:
            self.add_start_heading(spec, config.path.start_joint)
        spec.healthy = self.healthy()
        spec.safe_action = self.safe_action()
        # terms name states, so they are worth reading only where the states are right
        self.raise_problems()
        rewarded = self.terms(config.reward or (), "reward", [*self.state, *more])
        # a function takes the place of the terms, and of nothing else
        spec.reward = [] if self.own_reward else rewarded
        spec.healthy_reward = config.healthy_reward
        if config.cost is not None or config.path is not None:
            spec.cost = self.terms(config.cost or (), "cost", self.state)
        else:
            spec.cost = self.negated([*self.state, *more])
        spec.cost = [*([] if self.own_cost else spec.cost), *self.terminal()]
        if config.path is not None:
            spec.path = self.path(config.path)
            spec.cost = [*spec.cost, *self.path_penalties(config.path)]
        spec.alive = self.alive()
        spec.dying_cost = config.dying_cost
        self.raise_problems()
        return Built(spec, self.state, observation)

    def problem(self, key: str, requirement: str, value: Any) -> None:
        self.problems.append(f"{self.file}: {key} must be {requirement}, got {show(value)}")

    def raise_problems(self) -> None:
        if self.problems:
            raise ConfigError("\n".join(dict.fromkeys(self.problems)))

    # --- channels

    def entries(self, channel: ChannelConfig, key: str) -> list[Entry]:
        """The numbers that a channel stands for; what is wrong is noted."""
        if channel.source == "geom_distance":
            return self.distances(channel, key)
        known = self.own.get(channel.source) or entries(self.model, channel.source)
        if not known and channel.source in ("goal", "reference"):
            self.problem(
                f"{key}.source", f"one that the task has (it has no {channel.source}s)", channel.source
            )
            return []
        if channel.objects is None:
            groups = [("", [entry for group in known.values() for entry in group])]
        else:
            objects, names = channel.objects
            for name in names:
                if name not in known:
                    what = one_of(name, known, f"one of the model's names for {channel.source}")
                    self.problem(f"{key}.{objects}", what, name)
            groups = [(name, known[name]) for name in names if name in known]
        chosen: list[Entry] = []
        for name, group in groups:
            if channel.index is None:
                chosen += group
                continue
            for index in channel.index:
                if index < len(group):
                    chosen.append(group[index])
                else:
                    of = f" for {name}" if name else ""
                    self.problem(f"{key}.index", f"below {len(group)}{of}", index)
        if not chosen and channel.objects is None and not channel.index:
            self.problem(f"{key}.source", "one that the model has", channel.source)
        if channel.lagged:
            chosen = [entry.as_lagged() for entry in chosen]
        return [replace(entry.transformed(channel.transform), clip=channel.clip) for entry in chosen]

    def distances(self, channel: ChannelConfig, key: str) -> list[Entry]:
        assert channel.geoms is not None
        known = element_names(self.model, mujoco.mjtObj.mjOBJ_GEOM)
        for name in channel.geoms:
            if name not in known:
                self.problem(f"{key}.geoms", one_of(name, known, "two of the model's geoms"), name)
                return []
        if channel.geoms[0] == channel.geoms[1]:
            self.problem(f"{key}.geoms", "two geoms", list(channel.geoms))
        kinds = [int(self.model.geom_type[known.index(name)]) for name in channel.geoms]
        plane, field = int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_HFIELD)
        if field in kinds or kinds == [plane, plane]:
            requirement = "two geoms whose distance MuJoCo measures (no height field, no two planes)"
            self.problem(f"{key}.geoms", requirement, list(channel.geoms))
            return []
        entry = distance_entry(self.model, *channel.geoms)
        return [replace(entry.transformed(channel.transform), clip=channel.clip)]

    def channel(self, entry: Entry, channel: ChannelConfig) -> _core.Channel:
        low, high = channel.clip or (-math.inf, math.inf)
        source = getattr(self.core.Source, channel.source.upper())
        transform = getattr(self.core.Transform, channel.transform.upper())
        return self.core.Channel(source, entry.address, transform, low, high, channel.lagged)

    def channels(
        self, configs: Iterable[ChannelConfig], key: str, beside: Iterable[Entry] = ()
    ) -> tuple[list[_core.Channel], list[Entry]]:
        channels, found, names = [], [], {entry.name for entry in beside}
        for number, config in enumerate(configs):
            for entry in self.entries(config, f"{key}[{number}]"):
                if entry.name in names:
                    self.problem(f"{key}[{number}]", "without what is there already", entry.name)
                names.add(entry.name)
                channels.append(self.channel(entry, config))
                found.append(entry)
        return channels, found

    def healthy(self) -> list[_core.ChannelBound]:
        return [
            self.core.ChannelBound(self.channel(entry, config), self.bounds(config))
            for number, config in enumerate(self.config.healthy)
            for entry in self.entries(config, f"healthy[{number}]")
        ]

    def bounds(self, config: BoundsConfig | TermPart) -> _core.Bounds:
        low = config.above if config.min is None else config.min
        high = config.below if config.max is None else config.max
        return self.core.Bounds(
            -math.inf if low is None else low,
            math.inf if high is None else high,
            low_open=config.above is not None,
            high_open=config.below is not None,
        )

    # --- states that terms name

    def states(
        self, references: Iterable[str | int], key: str, known: Iterable[Entry] | None = None
    ) -> list[int]:
        """Indices of known states: by number, by name, or all under the leading part of a name."""
        among = self.state if known is None else list(known)
        names = [entry.name for entry in among]
        found: list[int] = []
        for reference in references:
            if isinstance(reference, int):
                if 0 <= reference < len(names):
                    found.append(reference)
                else:
                    self.problem(key, f"an index from 0 to {len(names) - 1}", reference)
                continue
            matches = matching(among, reference, self.model)
            if not matches:
                self.problem(key, one_of(reference, names, "a state"), reference)
            found += matches
        return found

    def alive(self) -> list[_core.StateBound]:
        return [
            self.core.StateBound(index, self.bounds(config))
            for number, config in enumerate(self.config.alive)
            for index in self.states(config.state, f"alive[{number}].state")
        ]

    def path(self, config: PathConfig) -> _core.PathCost:
        """The path that the task follows, and its cost."""
        follows, path = resolve(config), self.core.PathCost()
        path.waypoints = follows.waypoints
        path.relative = follows.relative
        path.x, path.y = self.one_state(config.x, "path.x"), self.one_state(config.y, "path.y")
        path.distance, path.forward = follows.distance, follows.forward
        if config.far_distance is not None:
            path.far, path.far_factor = config.far_distance, config.far_factor
        if config.heading is not None:
            path.heading = self.one_state(config.heading, "path.heading")
            path.turn, path.turn_limit = follows.heading, config.heading_limit
            path.turn_beyond = config.heading_beyond
        path.strict = follows.segment_rule == "reached"
        path.last_segment = follows.last_segment
        return path

    def path_penalties(self, config: PathConfig) -> list[_core.Term]:
        factor = resolve(config).heading
        return [
            self.core.Term(
                self.core.TermKind.OUTSIDE,
                penalty.weight * factor,
                self.states(penalty.state, f"path.penalties[{number}].state"),
                bounds=self.bounds(penalty),
            )
            for number, penalty in enumerate(config.penalties)
        ]

    def one_state(self, references: Iterable[str | int], key: str) -> int:
        found = self.states(references, key)
        if len(found) > 1:
            self.problem(key, "one state", list(references))
        return found[0] if found else 0

    def terms(self, configs: Iterable[TermConfig], key: str, known: list[Entry]) -> list[_core.Term]:
        return [self.term(config, f"{key}[{number}]", known) for number, config in enumerate(configs)]

    def terminal(self) -> list[_core.Term]:
        terms = self.terms(self.config.terminal_cost or (), "terminal_cost", self.state)
        for term in terms:
            term.terminal = True
        return terms

    def negated(self, known: list[Entry]) -> list[_core.Term]:
        """The cost where the file has none."""
        terms = self.terms(self.config.reward or (), "reward", known)
        for term in terms:
            term.weight = -term.weight
            if max([-1, *term.index, *term.target_index]) >= len(self.state):
                self.problem("cost", "given where the reward reads reward_state", None)
        if self.config.healthy_reward != 0:
            terms.append(self.core.Term(self.core.TermKind.CONSTANT, -self.config.healthy_reward))
        return terms

    def term(self, config: TermConfig, key: str, known: list[Entry]) -> _core.Term:
        kind = getattr(self.core.TermKind, config.term.upper())
        info = self.core.term_kinds()[int(kind)]
        if not info["states"]:
            return self.core.Term(kind, config.weight)
        assert config.state is not None
        index = self.states(config.state, f"{key}.state", known)
        if info["bounds"]:
            return self.core.Term(kind, config.weight, index, bounds=self.bounds(config))
        if not info["targets"]:
            return self.core.Term(kind, config.weight, index)
        if info["quaternions"]:
            index = self.quaternions(index, f"{key}.state", known)
        if config.target_state is not None:
            target_index = self.states(config.target_state, f"{key}.target_state", known)
            if info["quaternions"]:
                target_index = self.quaternions(target_index, f"{key}.target_state", known)
            if len(target_index) != len(index):
                self.problem(
                    f"{key}.target_state", f"as many states as state ({len(index)})", len(target_index)
                )
            return self.core.Term(kind, config.weight, index, target_index=target_index)
        target = list(config.target or ((1.0, 0.0, 0.0, 0.0) if info["quaternions"] else (0.0,)))
        if info["quaternions"] and len(target) == 4:
            if math.hypot(*target) < 1e-3:
                self.problem(f"{key}.target", "a quaternion of a length above 0", config.target)
            target *= len(index) // 4
        if len(target) == 1:
            target *= len(index)
        if len(target) != len(index):
            self.problem(f"{key}.target", f"one number or as many as states ({len(index)})", config.target)
        return self.core.Term(kind, config.weight, index, target=target)

    def quaternions(self, index: list[int], key: str, known: list[Entry]) -> list[int]:
        """Those of states that are quaternions' numbers, which must be whole."""
        parts = ("qw", "qx", "qy", "qz")
        chosen = [i for i in index if known[i].component in parts]
        whole = tuple(known[i].component for i in chosen) == parts * (len(chosen) // 4)
        if not chosen or not whole:
            names = [known[i].name for i in index]
            self.problem(key, "quaternions, whose states are qw, qx, qy, qz in this order", names)
        return chosen

    def check_control_ranges(self) -> None:
        """An action of 0 is the middle of a range, which must be a number that MuJoCo takes."""
        names = element_names(self.model, mujoco.mjtObj.mjOBJ_ACTUATOR)
        for i in np.flatnonzero(self.model.actuator_ctrllimited):
            low, high = self.model.actuator_ctrlrange[i]
            if max(abs(low), abs(high)) > mujoco.mjMAXVAL:
                self.problem(
                    f"overrides.actuators.{names[i]}.ctrlrange",
                    f"two numbers of at most {mujoco.mjMAXVAL:g} in size in place of the robot's own",
                    [float(low), float(high)],
                )

    # --- how episodes start

    def keyframe(self) -> int:
        """The number of the keyframe that episodes start from, or -1."""
        name = self.config.start.keyframe
        if name is None:
            return -1
        known = keyframes(self.model)
        if name not in known:
            what = (
                one_of(name, known, "one of the model's keyframes") if known else "left out: there are none"
            )
            self.problem("start.keyframe", what, name)
            return -1
        return known.index(name)

    def start(self, keyframe: int) -> tuple[list[float], list[float]]:
        model, start = self.model, self.config.start
        default = model.qpos0 if keyframe < 0 else model.key_qpos[keyframe]
        still = np.zeros(model.nv) if keyframe < 0 else model.key_qvel[keyframe]
        qpos = [float(x) for x in (default if start.qpos is None else start.qpos)]
        qvel = [float(x) for x in (still if start.qvel is None else start.qvel)]
        if len(qpos) != model.nq:
            self.problem("start.qpos", f"a list of {model.nq} numbers (the model's nq)", start.qpos)
        elif not all(np.linalg.norm(qpos[first : first + 4]) > 0 for first in _quaternions(model)):
            self.problem("start.qpos", "without quaternions of length 0", start.qpos)
        if len(qvel) != model.nv:
            self.problem("start.qvel", f"a list of {model.nv} numbers (the model's nv)", start.qvel)
        return qpos, qvel

    def safe_action(self) -> list[float]:
        action = list(self.config.safe_action or ())
        naction = self.model.nu + len(move_names(self.config))
        if self.config.safe_action is not None and not (
            len(action) == naction and all(-1 <= value <= 1 for value in action)
        ):
            self.problem("safe_action", f"a list of {naction} numbers from -1 to 1", action)
        return action

    def add_start_heading(self, spec: _core.TaskSpec, joint: str) -> None:
        """Control rollouts begin with the path's heading."""
        position = self.position(joint, "path.start_joint")
        if position is None:
            return
        assert self.config.path is not None
        heading, address = resolve(self.config.path).start_heading, position.address
        resets = list(spec.reset)
        control = resets[int(self.core.ResetKind.CONTROL)]
        others = [each for each in control.set_qpos if each.index != address]
        control.set_qpos = [*others, self.core.ResetSet(address, heading, heading)]
        spec.reset = resets

    def position(self, name: str, key: str) -> Entry | None:
        """The robot's position of a name; what is wrong is noted."""
        known = [entry for group in entries(self.model, "qpos").values() for entry in group]
        found = [entry for entry in known if entry.name == f"qpos.{name}"]
        if len(found) > 1:
            owners = " and ".join(entry.owner for entry in found)
            self.problem(key, f"a name of one position (the joints {owners} both have it)", name)
        elif not found:
            names = [entry.name.removeprefix("qpos.") for entry in known]
            self.problem(key, one_of(name, names, "a position of a joint"), name)
        return found[0] if found else None

    def reset(self, config: ResetConfig, key: str) -> _core.Reset:
        sets = []
        for name, (low, high) in config.set.items():
            position = self.position(name, f"{key}.set.{name}")
            if position is not None:
                sets.append(self.core.ResetSet(position.address, low, high))
        noise = self.motion.noise
        reset = self.core.Reset(noise(config.qpos), noise(config.qvel), sets)
        self.motion.reset(config, key, reset)
        return reset


def _quaternions(model: mujoco.MjModel) -> list[int]:
    """Where in qpos the quaternions of free and ball joints begin."""
    offsets = {int(mujoco.mjtJoint.mjJNT_FREE.value): 3, int(mujoco.mjtJoint.mjJNT_BALL.value): 0}
    joints = zip(model.jnt_type, model.jnt_qposadr, strict=True)
    return [int(address) + offsets[int(kind)] for kind, address in joints if int(kind) in offsets]
