"""Tasks: what a robot is, what is observed, what is good, when an episode ends and how it starts.

A task is read from a preset or a YAML file (docs/tasks.md), checked once, and compiled once into the
C++ core's `_core.Task`, which simulator, planner and Gymnasium environment share.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mbmf.arguments import float64_array, numbers, whole_number
from mbmf.errors import ConfigError, DataError
from mbmf.tasks.checks import (
    check_dynamics,
    check_functions,
    check_imagination,
    check_model_free,
    check_planner,
    check_policy,
    check_value,
    warn_of_cheap_death,
    warn_of_sparse_jacobians,
)
from mbmf.tasks.functions import CheckedFunction, RewardFunction, named_function

if TYPE_CHECKING:
    import mujoco

    from mbmf import _core
    from mbmf.tasks.dynamics_section import DynamicsSettings
    from mbmf.tasks.identity import Identity
    from mbmf.tasks.learning import FineTuneConfig, ImitationConfig, ModelBasedConfig, ModelFreeConfig
    from mbmf.tasks.paths import TaskPath
    from mbmf.tasks.schema import ScheduledConfig, TaskConfig
    from mbmf.tasks.searches import PlannerSettings


class Task:
    """A compiled task. Make it with `mbmf.load_task`.

    Attributes:
        config: the checked contents of the task file; its model.file is absolute.
        core: the C++ task.
        path: the path that it follows, resolved, or None.
        state_names, state_units: of the dynamics model's input, (nstate); "1": no unit, "": the model's own.
        observation_names: of the policy's input, (nobservation).
        identity: what files keep of it, so that they are not taken for another robot's.
        reward_function, cost_function: checked forms of load_task's functions, or None.
    """

    config: TaskConfig
    core: _core.Task
    path: TaskPath | None
    identity: Identity

    def __init__(
        self,
        config: TaskConfig,
        directory: Path,
        *,
        file: str = "task",
        reward: RewardFunction | None = None,
        cost: RewardFunction | None = None,
        model: mujoco.MjModel | None = None,
    ) -> None:
        from mbmf.tasks.identity import robot_digests
        from mbmf.tasks.model import compile_model, model_path
        from mbmf.tasks.motion_section import with_tables

        if reward is None and config.reward_function is not None:
            reward = named_function(config.reward_function, f"{file}: reward_function")
        if cost is None and config.cost_function is not None:
            cost = named_function(config.cost_function, f"{file}: cost_function")
        check_functions(config, file, reward, cost)
        given = model is not None
        if model is None:
            found = model_path(config.model, directory, file)
            moves = any(mocap.move for mocap in (config.mocap or {}).values())
            added = config.actuators or ()
            model = compile_model(found, config.overrides, file, added, needs_actuators=not moves)
            if config.references is not None:
                tables = with_tables(config.references, directory, file)
                config = config.model_copy(update={"references": tables})
            if config.model.own_file is not None:
                source = config.model.model_copy(update={"file": str(found)})
                config = config.model_copy(update={"model": source})
        self.config, self._model = config, model
        self._shown: mujoco.MjModel | None = None
        self._robot = robot_digests(model)
        self.reward_function = None if reward is None else CheckedFunction("reward", reward)
        self.cost_function = None if cost is None else CheckedFunction("cost", cost)
        scheduled = self._build(file)
        if given:  # a copy: what is said was said of the first
            return
        warn_of_cheap_death(self, file)
        for i, each in enumerate(scheduled):
            warn_of_cheap_death(each, f"{file}: schedule[{i}]")
        warn_of_sparse_jacobians(self, file)

    def _build(self, file: str) -> list[Task]:
        """Compiles the configuration for the model that there is; returns the tasks of its schedule."""
        from mbmf import _core
        from mbmf.tasks.build import build_spec
        from mbmf.tasks.identity import identity_of
        from mbmf.tasks.model import load_model, save_model
        from mbmf.tasks.motion import following_digest, move_names
        from mbmf.tasks.paths import resolve

        try:
            self.path = None if self.config.path is None else resolve(self.config.path)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from None
        own = self.reward_function is not None, self.cost_function is not None
        built = build_spec(self.config, self._model, file, *own)
        try:
            self.core = _core.Task(save_model(self._model), built.spec)
        except (ValueError, _core.Error) as error:
            raise ConfigError(f"{file}: {error}") from error
        if self.core.nmemory > self._model.nuserdata:
            self._model, self._shown = load_model(self.core.mjb), None
        self.state_names = [entry.name for entry in built.state]
        self.state_units = [entry.unit for entry in built.state]
        self.observation_names = [entry.name for entry in built.observation]
        asset = self.config.model.file or str(self.config.model.asset)
        self.identity = identity_of(
            self._model,
            self._robot | following_digest(self.config),
            asset,
            self.dt,
            built.state,
            built.observation,
            move_names(self.config),
        )
        check_planner(self, file)
        check_dynamics(self, file)
        check_model_free(self, file)
        check_value(self, file)
        check_policy(self, file)
        check_imagination(self, file)
        return self._scheduled(file)

    def with_path(
        self,
        path: str | Path | npt.ArrayLike | None,
        segment_rule: Literal["predicted", "reached"] | None = None,
    ) -> Task:
        """The same task with another path to follow, or another rule; the arguments are `load_task`'s.

        Takes milliseconds: the robot is not compiled anew. Raises ConfigError.
        """
        from mbmf.tasks.paths import follow

        other = copy.copy(self)
        other.config = follow(self.config, path, segment_rule, self.name)
        other._build(self.name)
        return other

    def at_iteration(self, iteration: int) -> Task:
        """The task as that iteration of model-based learning plans it: with its file's ``schedule``, if any.

        Takes milliseconds: the robot is not compiled anew. Raises ConfigError.
        """
        if not self.config.schedule:
            return self
        scheduled = [each for each in self.config.schedule if each.first_iteration <= iteration]
        return self._with_sections(scheduled, self.name)

    def _scheduled(self, file: str) -> list[Task]:
        """The tasks that the schedule makes of it. Raises ConfigError."""
        schedule = self.config.schedule or ()
        return [
            self._with_sections(schedule[: i + 1], f"{file}: schedule[{i}]") for i in range(len(schedule))
        ]

    def _with_sections(self, scheduled: Sequence[ScheduledConfig], file: str) -> Task:
        """With the sections of some of the schedule, of which later ones take the place of earlier ones."""
        sections: dict[str, Any] = {"schedule": None}
        for each in scheduled:
            sections |= each.sections
        if self.cost_function is not None and "cost" in sections:
            raise ConfigError(f"{file}: cost must be left out where the task's cost is a function, got terms")
        other = copy.copy(self)
        other.config = self.config.model_copy(update=sections)
        other._build(file)
        return other

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled robot, with the task's overrides; a copy: to change it does not change the task."""
        if self._shown is None:
            self._shown = copy.copy(self._model)
        return self._shown

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def keyframe_digest(self) -> str | None:
        """Of the MJCF's keyframe that episodes start from, hexadecimal; None where there is none."""
        from mbmf.tasks.identity import keyframe_digest

        number = self.core.spec.keyframe
        return None if number < 0 else keyframe_digest(self._model, number)

    @property
    def unnamed_functions(self) -> list[str]:
        """Which of "reward" and "cost" are functions that were given to load_task: files do not keep them."""
        config = self.config
        reward = self.reward_function is not None and config.reward_function is None
        cost = self.cost_function is not None and config.cost_function is None
        return ["reward"] * reward + ["cost"] * cost

    @property
    def nstate(self) -> int:
        """The size of the dynamics model's state."""
        return len(self.state_names)

    @property
    def nobservation(self) -> int:
        """The size of the policy's observation."""
        return len(self.observation_names)

    @property
    def naction(self) -> int:
        return self.core.naction

    @property
    def dt(self) -> float:
        """Seconds per control step."""
        return float(self._model.opt.timestep) * self.config.physics_steps

    @property
    def physics_steps(self) -> int:
        """MuJoCo steps per control step."""
        return self.config.physics_steps

    @property
    def episode_steps(self) -> int:
        """Control steps of a whole episode."""
        return self.config.episode_steps

    @property
    def model_based(self) -> ModelBasedConfig | None:
        """The settings of model-based learning on the task's path, or None where the file has none."""
        settings = self.config.model_based
        if settings is not None and self.path is not None and self.path.candidates is not None:
            return settings.model_copy(update={"candidates": self.path.candidates})
        return settings

    @property
    def planner(self) -> PlannerSettings:
        """How it plans: its file's ``planner`` section; without one model_based's horizon and candidates."""
        from mbmf.tasks.planner_section import planner_settings

        return planner_settings(self.config.planner, self.model_based)

    @property
    def dynamics(self) -> DynamicsSettings:
        """How it models its robot: its file's ``dynamics`` section, model_based's keys, and defaults."""
        from mbmf.tasks.dynamics_section import dynamics_settings

        return dynamics_settings(self.config.dynamics, self.config.model_based)

    def with_planner(
        self, search: str | None = None, horizon: int | None = None, candidates: int | None = None
    ) -> Task:
        """The same task with another search (and its defaults), horizon or number of candidates.

        Raises ConfigError.
        """
        from mbmf.tasks.file import check_task

        if search is None and horizon is None and candidates is None:
            return self
        now = self.planner
        # without the number of candidates that stands in where there is none: each path may have its own
        given = self.config.planner
        section: dict[str, Any] = {"search": now.search}
        if given is not None:
            section = given.model_dump(exclude_none=True)
        if search is not None and search != now.search:
            section = {"search": search}
        section["horizon"] = now.horizon if horizon is None else horizon
        if candidates is not None:
            section["candidates"] = candidates
        section = {key: value for key, value in section.items() if value is not None}
        other = copy.copy(self)
        checked = check_task({**self.config.model_dump(exclude_none=True), "planner": section}, self.name)
        other.config = self.config.model_copy(update={"planner": checked.planner})
        check_planner(other, self.name)
        return other

    @property
    def path_indices(self) -> tuple[int, int] | None:
        """Which states are the x and y that follow the path, or None where there is none."""
        path = self.core.spec.path
        return None if path is None else (path.x, path.y)

    @property
    def model_free(self) -> ModelFreeConfig | None:
        """The settings of model-free learning, or None where the file has none."""
        return self.config.model_free

    @property
    def imitation(self) -> ImitationConfig | None:
        """The settings of imitation, or None where the file has none."""
        return self.config.imitation

    @property
    def fine_tune(self) -> FineTuneConfig | None:
        """The settings of fine-tuning, or None where the file has none."""
        return self.config.fine_tune

    def to_control(self, action: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """What the robot's actuators are given for an action, in their units.

        Args:
            action: (naction,), finite; clipped to [-1, 1]. Those of mocap bodies come last and are left out.

        Returns:
            float64 (nu,): an action of -1 to 1 on an actuator's control range, or as it is where there is
            none.

        Raises:
            ValueError: an action of another shape, or one that is not finite.

        Example:
            >>> import mbmf
            >>> mbmf.load_task("gym_hopper").to_control([0.5, 0.0, -2.0])
            array([ 0.5,  0. , -1. ])
        """
        row = float64_array("action", action, (self.naction,))
        if not np.isfinite(row).all():
            raise ValueError(f"action must be finite, got {row}")
        return self.core.to_control(np.clip(row, -1.0, 1.0))

    def cost(
        self,
        states: npt.ArrayLike,
        actions: npt.ArrayLike,
        segment: int = 0,
        origin: npt.ArrayLike = (0.0, 0.0),
    ) -> npt.NDArray[np.float64]:
        """The planning cost of K candidates, lower is better (paper, equation 4; summed over t = 0..H).

        Args:
            states: (K, H + 1, nstate), taken as float32.
            actions: (K, H, naction) in [-1, 1], taken as float32; at t = H the cost takes that of H - 1.
            segment: the segment of the path at the start; 0 without a path.
            origin: what is added to the waypoints, metres (2,): where the rollout started.

        Returns:
            (K,) float64.

        Raises:
            DataError: arrays of other shapes, a segment or an origin that cannot be.
        """
        if self.path is None and (segment != 0 or np.any(np.asarray(origin) != 0)):
            raise DataError(
                f"segment and origin must be 0 for a task without a path, got {segment!r} and {origin!r}"
            )
        states32, actions32 = _float32("states", states), _float32("actions", actions)
        if states32.ndim != 3 or states32.shape[2] != self.nstate or states32.shape[1] < 2:
            raise DataError(f"states must be of shape (K, H + 1, {self.nstate}), got {states32.shape}")
        expected = (states32.shape[0], states32.shape[1] - 1, self.naction)
        if actions32.shape != expected:
            raise DataError(f"actions must be of shape {expected}, got {actions32.shape}")
        if self.cost_function is not None:
            of_function = self.cost_function(states32, actions32)
            return of_function + self.core.cost(states32, actions32, 0, [0.0, 0.0])
        at = check_path_start(segment, origin)
        return self.core.cost(states32, actions32, *at)

    def to_yaml(self) -> str:
        """The configuration with every default written out; load_task on it gives an equal task.

        Functions given to load_task are not in it: give them again.
        """
        from mbmf.yaml_text import write_yaml

        return write_yaml(self.to_data())

    def to_data(self) -> dict[str, Any]:
        """What `to_yaml` writes, as mappings and lists."""
        data: dict[str, Any] = _plain(self.config.model_dump(exclude_none=True))
        return data

    def __eq__(self, other: object) -> bool:
        """Equal configurations and the same reward and cost functions."""
        if not isinstance(other, Task):
            return NotImplemented
        return (self.config, self.reward_function, self.cost_function) == (
            other.config,
            other.reward_function,
            other.cost_function,
        )

    def same_robot(self, other: Task) -> bool:
        """Whether the tasks are equal but for the path that they follow, and so are their robots."""
        if self is other:
            return True
        if self.identity.differences(other.identity):
            return False
        without = [task.config.model_copy(update={"path": None}) for task in (self, other)]
        return without[0] == without[1] and (self.reward_function, self.cost_function) == (
            other.reward_function,
            other.cost_function,
        )

    def __copy__(self) -> Task:
        other = Task.__new__(Task)
        other.__dict__.update(self.__dict__)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies in other processes; functions are pickled by name, as Python does, or found again by the
        names in the configuration."""
        from mbmf.tasks.copies import task_of

        given = (
            None if self.config.reward_function is not None else self.reward_function,
            None if self.config.cost_function is not None else self.cost_function,
        )
        return task_of, (self.to_data(), self.core.mjb, given)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<mbmf.Task {self.name}: nstate={self.nstate} naction={self.naction} dt={self.dt:g} s>"


def check_path_start(segment: int, origin: npt.ArrayLike) -> tuple[int, list[float]]:
    """The segment and the origin of a plan, as the core takes them. Raises DataError."""
    try:
        return (
            whole_number("segment", segment, 0, 1_000_000_000),
            [float(x) for x in float64_array("origin", origin, (2,))],
        )
    except ValueError as error:
        raise DataError(str(error)) from None


def _float32(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    try:
        return numbers(name, values, np.float32)
    except ValueError as error:
        raise DataError(str(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
