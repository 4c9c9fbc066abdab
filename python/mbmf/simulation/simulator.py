"""Many MuJoCo simulations of one task, on MuJoCo's C batch API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mbmf import _core
from mbmf.arguments import MAX_SEED, MAX_THREADS, a_task, float64_array, whole_number, whole_numbers

if TYPE_CHECKING:
    import mujoco

    from mbmf.tasks.task import Task

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Ids = npt.ArrayLike | None
ResetName = Literal["default", "random", "control"]

_KINDS = {
    "default": _core.ResetKind.DEFAULT,
    "random": _core.ResetKind.RANDOM,
    "control": _core.ResetKind.CONTROL,
}


def reset_kind(kind: str) -> _core.ResetKind:
    """The core's kind of reset. Raises ValueError for a name that is none."""
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}, got {kind!r}")
    return _KINDS[kind]


class Simulator:
    """``nsim`` simulations that advance together, bit for bit the same at any number of threads.

    A simulation is its MuJoCo integration state (`get_state`, `set_state`); a step equals plain
    `mujoco.mj_step` calls with the same controls. Start states are a pure function of (seed, simulation, how
    often it was reset). Not to be used from several Python threads at once.

    Args:
        task: what is simulated.
        nsim: simulations, at least 1.
        nthread: threads, 0 to 1024; 0: one for every CPU.
        seed: of the start states, 0 to 2^64 - 1.

    Raises:
        ValueError: an argument is out of range.
        mbmf.CoreError: MuJoCo cannot make the simulations.
    """

    def __init__(self, task: Task, nsim: int = 1, nthread: int = 0, seed: int = 0) -> None:
        a_task("task", task)
        self.task = task
        self._nthread = whole_number("nthread", nthread, 0, MAX_THREADS)
        self._core = _core.Simulator(
            task.core,
            whole_number("nsim", nsim),
            self._nthread,
            whole_number("seed", seed, 0, MAX_SEED),
        )
        self._states: FloatArray = self._core.states
        self._observations: FloatArray = self._core.observations
        self._rewards: FloatArray = self._core.rewards
        self._terminated: BoolArray = self._core.terminated
        self._diverged: BoolArray = self._core.diverged
        self._own_rewards: FloatArray | None = None
        if task.reward_function is not None:
            self._own_rewards = np.zeros(self.nsim)
            self._rewards = self._own_rewards.view()
            self._rewards.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies, which go on to the same bits; their rewards and flags are 0, as after `set_state`."""
        return _copy, (
            *(self.task, self.nsim, self._nthread, self._core.seed),
            *(self._core.draws, self.get_state()),
        )

    @property
    def nsim(self) -> int:
        return self._core.nsim

    @property
    def nthread(self) -> int:
        """Threads that are used: no more than simulations."""
        return self._core.nthread

    @property
    def states(self) -> FloatArray:
        """The dynamics model's states, float64 (nsim, nstate): a live, read-only view."""
        return self._states

    @property
    def observations(self) -> FloatArray:
        """The policy's observations, float64 (nsim, nobservation): a live, read-only view."""
        return self._observations

    @property
    def rewards(self) -> FloatArray:
        """Rewards of each simulation's last step, float64 (nsim,); 0 after a reset. Live and read-only."""
        return self._rewards

    @property
    def terminated(self) -> BoolArray:
        """Whether each last step left the healthy bounds or diverged, bool (nsim,). Live and read-only."""
        return self._terminated

    @property
    def diverged(self) -> BoolArray:
        """Whether MuJoCo failed in each last step, bool (nsim,): such a simulation keeps the state it had.

        `error` says why. Live and read-only.
        """
        return self._diverged

    def error(self, sim: int) -> str:
        """Why simulation ``sim`` diverged in its last step, or ``""``."""
        return self._core.error(whole_number("sim", sim, 0, self.nsim - 1))

    def reseed(self, seed: int | npt.ArrayLike, ids: Ids = None) -> None:
        """Takes later start states from other seeds, as if simulations had not been reset before.

        Args:
            seed: of all simulations together; or (n,), one for each of ``ids``, which then starts as the only
                one of a simulator with that seed.
            ids: as for `reset`; the others go on as before.
        """
        which = self._ids(ids)
        if np.ndim(seed) == 0:
            together = whole_number("seed", seed, 0, MAX_SEED)
            if which is None:
                self._core.reseed(together)
                return
            draws = self._core.draws
            for i in which:
                draws[i] = together, i, 0
            self._core.draws = draws
            return
        count = self.nsim if which is None else len(which)
        self._core.reseed_each(which, whole_numbers("seed", seed, (count,), 0, MAX_SEED, np.uint64))

    def reset(self, ids: Ids = None, kind: ResetName = "default") -> None:
        """Starts simulations anew.

        Args:
            ids: the simulations, as sorted whole numbers or a mask (nsim,); None: all.
            kind: which of the task's resets: "default", "random" (for random data) or "control" (for MPC).
        """
        which = self._ids(ids)
        self._core.reset(which, reset_kind(kind))
        if self._own_rewards is not None:
            self._own_rewards[slice(None) if which is None else which] = 0

    def start_episodes(self, episodes: npt.ArrayLike, kind: ResetName = "default", ids: Ids = None) -> None:
        """Starts simulations as the episodes of these numbers (n,), whichever simulations run them.

        With kind "control", episode e starts as it does in `mbmf.collect_mpc` with this simulator's seed.
        """
        which = self._ids(ids)
        count = self.nsim if which is None else len(which)
        numbers = whole_numbers("episodes", episodes, (count,), 0, MAX_SEED, np.uint64)
        self._core.start(which, reset_kind(kind), numbers)
        if self._own_rewards is not None:
            self._own_rewards[slice(None) if which is None else which] = 0

    def step(self, actions: npt.ArrayLike, ids: Ids = None) -> None:
        """Advances simulations by one control step.

        Args:
            actions: (n, naction) for the n simulations of the call, finite; clipped to [-1, 1].
            ids: as for `reset`; the others and their results stay as they are.
        """
        which = self._ids(ids)
        count = self.nsim if which is None else len(which)
        rows = float64_array("actions", actions, (count, self.task.naction))
        self._core.step(which, rows)
        if self._own_rewards is not None and self.task.reward_function is not None:
            stepped = np.arange(self.nsim) if which is None else which
            good = ~self._diverged[stepped]
            self._own_rewards[stepped[~good]] = 0
            stepped = stepped[good]
            if len(stepped):
                clipped = np.clip(rows[good], -1, 1)
                own = self.task.reward_function(self._states[stepped], clipped)
                self._own_rewards[stepped] = own + self._core.rewards[stepped]

    def get_state(self, ids: Ids = None) -> FloatArray:
        """MuJoCo's integration states, a copy: float64 (n, state_size), in mj_getState's order."""
        return self._core.get_state(self._ids(ids))

    def set_state(self, rows: npt.ArrayLike, ids: Ids = None) -> None:
        """Continues simulations from rows (n, state_size) of `get_state`; their reward and flags become 0."""
        which = self._ids(ids)
        count = self.nsim if which is None else len(which)
        self._core.set_state(which, float64_array("rows", rows, (count, self.state_size)))
        if self._own_rewards is not None:
            self._own_rewards[slice(None) if which is None else which] = 0

    @property
    def state_size(self) -> int:
        """The length of a row of `get_state`."""
        return self._core.state_size

    def mujoco_data(self, sim: int = 0) -> mujoco.MjData:
        """A new MjData of ``task.model`` in the state of simulation ``sim``, after mj_forward.

        For rendering, or for MuJoCo's own functions.
        """
        import mujoco

        from mbmf.simulation import mujoco_log

        data = mujoco.MjData(self.task.model)
        row = self.get_state([whole_number("sim", sim, 0, self.nsim - 1)])[0]
        mujoco.mj_setState(self.task.model, data, row, mujoco.mjtState.mjSTATE_INTEGRATION.value)
        with mujoco_log.quiet():
            mujoco.mj_forward(self.task.model, data)
        return data

    def __repr__(self) -> str:
        return f"<mbmf.Simulator {self.task.name}: nsim={self.nsim} nthread={self.nthread}>"

    def _ids(self, ids: Ids) -> npt.NDArray[np.int32] | None:
        """Sorted unique int32 ids; None for all."""
        if ids is None:
            return None
        array = np.asarray(ids)
        if array.dtype == np.bool_:
            if array.shape != (self.nsim,):
                raise ValueError(f"ids must be a mask of shape ({self.nsim},), got {array.shape}")
            return np.flatnonzero(array).astype(np.int32)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(f"ids must be a list of whole numbers or a mask, got {ids!r}")
        if array.size and not (array.min() >= 0 and array.max() < self.nsim):
            raise ValueError(f"ids must be in [0, {self.nsim}), got {ids!r}")
        if (np.diff(array.astype(np.int64)) <= 0).any():
            raise ValueError(f"ids must be sorted and unique, got {ids!r}")
        return np.ascontiguousarray(array, dtype=np.int32)


def _copy(
    task: Task, nsim: int, nthread: int, seed: int, draws: npt.NDArray[np.uint64], rows: FloatArray
) -> Simulator:
    """What `Simulator.__reduce__` took apart."""
    simulator = Simulator(task, nsim, nthread, seed)
    simulator._core.draws = draws
    simulator.set_state(rows)
    return simulator
