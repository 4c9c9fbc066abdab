"""Gymnasium environments of tasks: one simulation, or many that step together in C++.

`gymnasium.make("mbmf/Swimmer-v0")` gives a `TaskEnv`, `gymnasium.make_vec` a `TaskVectorEnv`; both also take
any task of one's own: `TaskEnv("my_robot.yaml")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from mbmf.arguments import MAX_SEED, check_size, whole_number
from mbmf.simulation import (
    registration as registration,  # the ids, also for those who import only this module
)
from mbmf.simulation.simulator import ResetName, Simulator, reset_kind
from mbmf.tasks.load import load_task
from mbmf.tasks.task import Task

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]

# MuJoCo gives up on a simulation whose positions or velocities are larger
_LARGEST = 1e10


class TaskEnv(gymnasium.Env[FloatArray, npt.NDArray[np.float32]]):
    """One simulation of a task.

    Observations are the task's policy observations, float64; actions are in [-1, 1], float32, clipped. A step
    is terminated where the task's healthy bounds are left or MuJoCo fails (``info["diverged"]``; the
    observation is then the last good one). `gymnasium.make` adds the time limit, which truncates.

    Args:
        task: a task, or what `mbmf.load_task` takes.
        render_mode: "rgb_array", or None.
        width, height: of the pictures, in pixels, even numbers.
        reset_kind: which of the task's resets starts an episode: "default", "random" or "control"; also
            ``reset(options={"kind": ...})``.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(
        self,
        task: Task | str | Path,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 360,
        reset_kind: ResetName = "default",
    ) -> None:
        self.task = _task(task)
        self.render_mode = _render_mode(render_mode)
        self.metadata = {**self.metadata, "render_fps": _render_fps(self.task)}
        self.observation_space = _observation_space(self.task)
        self.action_space = _action_space(self.task)
        self._pictures = _Pictures(self.task, width, height)
        self._reset_kind = _reset_name(reset_kind)
        self._simulator = Simulator(self.task, nthread=1)
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Starts an episode; with a seed, the one that ``Simulator(task, seed=seed)`` starts."""
        super().reset(seed=seed)
        _reseed(self._simulator, seed, self._seeded)
        self._seeded = True
        self._simulator.reset(kind=_kind(options, self._reset_kind))
        return self._simulator.observations[0].copy(), self._info()

    def step(self, action: npt.NDArray[np.float32]) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """One control step. Raises ValueError if the action is of another shape or not finite, ResetNeeded
        before the first reset."""
        _check_reset(self._seeded)
        simulator = self._simulator
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise ValueError(f"action must be of shape {self.action_space.shape}, got {action.shape}")
        simulator.step(action[None])
        observation = simulator.observations[0].copy()
        ended = bool(simulator.terminated[0])
        return observation, float(simulator.rewards[0]), ended, False, self._info()

    def render(self) -> Picture | None:
        """The present picture, uint8 (height, width, 3), or None without a render mode."""
        return None if self.render_mode is None else self._pictures.draw(self._simulator, 0)

    def close(self) -> None:
        self._pictures.close()

    @property
    def simulator(self) -> Simulator:
        """The simulation behind the environment."""
        return self._simulator

    def _info(self) -> dict[str, Any]:
        diverged = bool(self._simulator.diverged[0])
        return {"diverged": diverged} | ({"error": self._simulator.error(0)} if diverged else {})


class TaskVectorEnv(VectorEnv[FloatArray, npt.NDArray[np.float32], npt.NDArray[Any]]):
    """Many simulations of a task that step together in C++.

    ``terminations`` are the task's healthy bounds and simulations that MuJoCo fails (``infos["diverged"]``),
    ``truncations`` the time limit. Start states are a pure function of (seed, environment, episode); with a
    list of seeds they are those of a `TaskEnv` with each.

    What follows an episode's end is one of Gymnasium's three modes:

    - next step: the step after the end ignores that environment's action, starts its next episode and
      returns the first observation with reward 0;
    - same step: the step that ends an episode starts the next one and returns its first observation; the
      last one is in ``infos["final_obs"]``, what was said of it in ``infos["final_info"]``;
    - disabled: the user resets what has ended, by ``reset(options={"reset_mask": mask})``.

    Args:
        task: a task, or what `mbmf.load_task` takes.
        num_envs: environments, at least 1.
        max_episode_steps: the time limit in control steps; None: the task's.
        render_mode, width, height, reset_kind: as for `TaskEnv`.
        nthread: threads; 0: one for every CPU.
        autoreset_mode: one of Gymnasium's, or its value: "NextStep", "SameStep" or "Disabled".

    Example:
        >>> import mbmf
        >>> from mbmf.simulation.envs import TaskVectorEnv
        >>> env = TaskVectorEnv("gym_hopper", num_envs=2, autoreset_mode="SameStep")
        >>> observations, infos = env.reset(seed=[7, 8])
        >>> observations.shape
        (2, 11)
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own declaration
        "render_modes": ["rgb_array"],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        task: Task | str | Path,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 360,
        reset_kind: ResetName = "default",
        nthread: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        self.task = _task(task)
        self._mode = _autoreset_mode(autoreset_mode)
        self.num_envs = whole_number("num_envs", num_envs)
        self.max_episode_steps = (
            self.task.episode_steps
            if max_episode_steps is None
            else whole_number("max_episode_steps", max_episode_steps)
        )
        self.render_mode = _render_mode(render_mode)
        self.metadata = {
            **self.metadata,
            "render_fps": _render_fps(self.task),
            "autoreset_mode": self._mode,
        }
        self.single_observation_space = _observation_space(self.task)
        self.single_action_space = _action_space(self.task)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._pictures = _Pictures(self.task, width, height)
        self._reset_kind = _reset_name(reset_kind)
        self._simulator = Simulator(self.task, nsim=self.num_envs, nthread=nthread)
        self._seeded = False
        self._steps = np.zeros(self.num_envs, np.int64)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Starts episodes everywhere, or in the environments of ``options["reset_mask"]``, (num_envs,).

        Args:
            seed: of all environments together; or one for each, where None goes on as before. With a mask
                the environments that it leaves out go on as before.
            options: ``"reset_mask"``, and ``"kind"`` as ``reset_kind``.

        Raises ResetNeeded where the first reset leaves environments out.
        """
        mask = np.ones(self.num_envs, np.bool_)
        if options and options.get("reset_mask") is not None:
            mask = np.asarray(options["reset_mask"])
            if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
                raise ValueError(
                    f"reset_mask must be a mask of shape ({self.num_envs},) with a True, got {mask!r}"
                )
            if not self._seeded and not mask.all():
                which = ", ".join(map(str, np.flatnonzero(~mask)))
                raise ResetNeeded(f"the first reset must be of all environments, got none of {which}")
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            if seed is None or mask.all():
                _reseed(self._simulator, seed, self._seeded)
            else:
                self._simulator.reseed(int(seed), mask)
        else:
            own = _seeds(seed, self.num_envs)
            _reseed(self._simulator, None, self._seeded)
            new = {i: one for i, one in enumerate(own) if mask[i] and one is not None}
            if new:
                self._simulator.reseed(list(new.values()), list(new))
        self._seeded = True
        self._start(mask, _kind(options, self._reset_kind))
        return self._simulator.observations.copy(), self._infos()

    def step(
        self, actions: npt.NDArray[np.float32]
    ) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """One control step of all. Raises ValueError if actions are of another shape or not finite,
        ResetNeeded before the first reset."""
        _check_reset(self._seeded)
        simulator, ended = self._simulator, self._ended
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, self.task.naction):
            raise ValueError(
                f"actions must be of shape {(self.num_envs, self.task.naction)}, got {actions.shape}"
            )
        if ended.any():
            if self._mode == AutoresetMode.DISABLED:
                which = ", ".join(map(str, np.flatnonzero(ended)))
                raise ResetNeeded(f"reset must come after an episode's end, got none in environments {which}")
            running = ~ended
            simulator.step(actions[running], ids=running)
            self._start(ended.copy(), self._reset_kind)
            self._steps[running] += 1
        else:
            simulator.step(actions)
            self._steps += 1
        terminations = simulator.terminated.copy()
        truncations = self._steps >= self.max_episode_steps
        rewards = simulator.rewards.copy()
        self._ended = terminations | truncations
        final: dict[str, Any] = {}
        if self._mode == AutoresetMode.SAME_STEP and self._ended.any():
            final = self._final(self._ended)
            self._start(self._ended.copy(), self._reset_kind)
        return simulator.observations.copy(), rewards, terminations, truncations, {**self._infos(), **final}

    def render(self) -> tuple[Picture, ...] | None:
        """The present pictures, uint8 (height, width, 3) each, or None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(self._pictures.draw(self._simulator, i) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        self._pictures.close()

    @property
    def simulator(self) -> Simulator:
        """The simulations behind the environments."""
        return self._simulator

    def _start(self, mask: BoolArray, kind: ResetName) -> None:
        self._simulator.reset(mask, kind=kind)
        self._steps[mask] = 0
        self._ended[mask] = False

    def _infos(self) -> dict[str, Any]:
        every = np.ones(self.num_envs, np.bool_)
        return {"diverged": self._simulator.diverged.copy(), "_diverged": every, **self._errors(every)}

    def _errors(self, mask: BoolArray) -> dict[str, Any]:
        """What MuJoCo said of the simulations of ``mask`` that diverged, if any."""
        diverged = self._simulator.diverged & mask
        if not diverged.any():
            return {}
        errors = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(diverged):
            errors[i] = self._simulator.error(int(i))
        return {"error": errors, "_error": diverged}

    def _final(self, ended: BoolArray) -> dict[str, Any]:
        """What Gymnasium's wrappers read of the episodes that have just ended."""
        observations = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            observations[i] = self._simulator.observations[i].copy()
        info = {
            "diverged": self._simulator.diverged & ended,
            "_diverged": ended.copy(),
            **self._errors(ended),
        }
        return {
            "final_obs": observations,
            "_final_obs": ended.copy(),
            "final_info": info,
            "_final_info": ended.copy(),
        }


class _Pictures:
    """Draws simulations, with a renderer that is made when the first picture is wanted."""

    def __init__(self, task: Task, width: int, height: int) -> None:
        check_size(width, height)
        self._task = task
        self._size = width, height
        self._renderer: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None}

    def draw(self, simulator: Simulator, sim: int) -> Picture:
        if self._renderer is None:
            from mbmf.simulation.renderer import Renderer

            self._renderer = Renderer(self._task.model, *self._size)
        return cast(Picture, self._renderer.render(simulator.mujoco_data(sim)))

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _task(task: Task | str | Path) -> Task:
    return task if isinstance(task, Task) else load_task(task)


def _render_mode(mode: str | None) -> str | None:
    if mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode must be 'rgb_array' or None, got {mode!r}")
    return mode


def _render_fps(task: Task) -> int:
    return max(1, round(1 / task.dt))


def _reset_name(name: ResetName) -> ResetName:
    """Raises ValueError where there is no such kind of reset."""
    reset_kind(name)
    return name


def _check_reset(seeded: bool) -> None:
    if not seeded:
        raise ResetNeeded("step must come after reset, got none")


def _kind(options: dict[str, Any] | None, default: ResetName) -> ResetName:
    return cast(ResetName, (options or {}).get("kind", default))


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(repr(each.value) for each in AutoresetMode)
        raise ValueError(f"autoreset_mode must be one of {allowed}, got {mode!r}") from None


def _seeds(seeds: Sequence[int | None], count: int) -> list[int | None]:
    """Each environment's own. Raises ValueError if they are not that."""
    if isinstance(seeds, str) or not hasattr(seeds, "__len__"):
        raise ValueError(f"seed must be a whole number or a list of them, got {seeds!r}")
    if len(seeds) != count:
        raise ValueError(f"seed must have one seed for each of {count} environments, got {len(seeds)}")
    return [
        None if seed is None else whole_number(f"seed[{i}]", seed, 0, MAX_SEED)
        for i, seed in enumerate(seeds)
    ]


def _reseed(simulator: Simulator, seed: int | None, seeded: bool) -> None:
    """Takes start states from a seed; from one of the system's where none was ever given."""
    if seed is not None:
        simulator.reseed(seed)
    elif not seeded:
        simulator.reseed(int(np.random.SeedSequence().generate_state(1, np.uint64)[0]))


def _observation_space(task: Task) -> spaces.Space[FloatArray]:
    """As large as MuJoCo lets a simulation grow, or as a channel's clipping says."""
    channels = task.core.spec.observation
    low = [max(-_LARGEST, channel.low) for channel in channels]
    high = [min(_LARGEST, channel.high) for channel in channels]
    space = spaces.Box(np.array(low), np.array(high), dtype=np.float64)
    return cast(spaces.Space[FloatArray], space)


def _action_space(task: Task) -> spaces.Space[npt.NDArray[np.float32]]:
    return cast(spaces.Space[npt.NDArray[np.float32]], spaces.Box(-1.0, 1.0, (task.naction,), np.float32))
