"""What a policy's rollouts give: every step of whole episodes, end to end."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbmf.arguments import whole_number
from mbmf.words import counted, some

if TYPE_CHECKING:
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.identity import Identity
    from mbmf.tasks.task import Task

# arrays with a row for each step, and for each episode
_OF_STEPS = ("observations", "actions", "means", "log_probs", "rewards", "states", "poses")
_OF_EPISODES = (
    "lengths",
    "terminated",
    "truncated",
    "diverged",
    "final_observations",
    "final_states",
    "final_poses",
)

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PolicyBatch:
    """N control steps of E whole episodes, episode after episode.

    Exactly one of terminated, truncated and diverged holds for an episode.

    Attributes:
        observations: before each step, float32 (N, nobservation).
        actions: as drawn, float32 (N, naction); what was executed are these clipped to [-1, 1].
        means: the policy's mean actions, float32 (N, naction).
        log_probs: log-probability density of each action, float64 (N,); None where no noise was drawn.
        rewards: of the executed actions, float64 (N,).
        lengths: steps of each episode, int32 (E,); 0: it diverged in its first step.
        terminated: it ended by leaving the task's healthy bounds, bool (E,).
        truncated: it ended by the limit of its length, bool (E,).
        diverged: it ended because MuJoCo failed, bool (E,); the failing step is not part of it.
        final_observations: after each episode's last step, float32 (E, nobservation).
        hidden: what each hidden layer gave, tanh included, float32 (N, width) each; None if not asked for.
        states: the task's states before each step, float64 (N, nstate); None if not asked for.
        final_states: after each episode's last step, float64 (E, nstate); None if not asked for.
        poses, final_poses: like states, of `mbmf.Episodes.poses`; None where the states say them.
        first_episode: the number of the first episode.
        task: the task's name.
        identity: what the task was.
    """

    observations: Float32Array
    actions: Float32Array
    means: Float32Array
    log_probs: Float64Array | None
    rewards: Float64Array
    lengths: NDArray[np.int32]
    terminated: Flags
    truncated: Flags
    diverged: Flags
    final_observations: Float32Array
    hidden: tuple[Float32Array, ...] | None
    states: Float64Array | None
    final_states: Float64Array | None
    first_episode: int
    task: str
    identity: Identity | None = None
    poses: Float64Array | None = None
    final_poses: Float64Array | None = None

    @property
    def nsteps(self) -> int:
        """Control steps of all episodes together."""
        return len(self.rewards)

    @property
    def next_episode(self) -> int:
        """The number of the first episode that is not part of the batch: where the next one may begin."""
        return self.first_episode + len(self)

    @property
    def starts(self) -> NDArray[np.int64]:
        """The row of each episode's first step, int64 (E,)."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    @property
    def times(self) -> NDArray[np.int64]:
        """The step within its episode of each row, int64 (N,)."""
        return np.arange(self.nsteps) - np.repeat(self.starts, self.lengths)

    @property
    def returns(self) -> Float64Array:
        """The sum of each episode's rewards, float64 (E,)."""
        returns = np.zeros(len(self))
        np.add.at(returns, np.repeat(np.arange(len(self)), self.lengths), self.rewards)
        return returns

    @classmethod
    def concatenate(cls, batches: Sequence[PolicyBatch]) -> PolicyBatch:
        """The episodes of batches that follow each other, of one task, which kept the same.

        Raises ValueError if there is none, if the numbers of their episodes do not follow each other, and if
        tasks or what was kept differ.
        """
        if not batches:
            raise ValueError("batches must be one or more, got none")
        for before, batch in itertools.pairwise(batches):
            if batch.first_episode != before.next_episode:
                raise ValueError(
                    f"batches must follow each other, got one from episode {batch.first_episode} after one "
                    f"that ends before {before.next_episode}"
                )
            if (batch.task, batch.identity) != (before.task, before.identity):
                raise ValueError(f"batches must be of one task, {before.task}, got one of {batch.task}")
            kept, other = before._kept(), batch._kept()
            if kept != other:
                raise ValueError(f"batches must have kept the same, {some(kept)}, got one with {some(other)}")
        first = batches[0]
        joined: dict[str, Any] = {
            name: None
            if getattr(first, name) is None
            else np.concatenate([getattr(batch, name) for batch in batches])
            for name in (*_OF_STEPS, *_OF_EPISODES)
        }
        if first.hidden is not None:
            joined["hidden"] = tuple(
                np.concatenate(layers)
                for layers in zip(*(batch.hidden or () for batch in batches), strict=True)
            )
        return dataclasses.replace(first, **joined)

    def _kept(self) -> list[str]:
        """What is there of what may be left out."""
        names = ("log_probs", "hidden", "states", "final_states", "poses", "final_poses")
        return [name for name in names if getattr(self, name) is not None]

    def first(self, count: int) -> PolicyBatch:
        """The first ``count`` episodes, or all, if there are fewer. Raises ValueError for another value."""
        count = whole_number("count", count, 0)
        steps = int(self.lengths[:count].sum())
        cut: dict[str, Any] = {}
        for names, size in ((_OF_STEPS, steps), (_OF_EPISODES, count)):
            cut |= {name: array[:size] for name in names if (array := getattr(self, name)) is not None}
        if self.hidden is not None:
            cut["hidden"] = tuple(layer[:steps] for layer in self.hidden)
        return dataclasses.replace(self, **cut)

    def to_episodes(self, task: Task) -> Episodes:
        """The same as `mbmf.Episodes`, padded to the longest, with the executed actions, those in [-1, 1].

        Raises ValueError if the states were not kept, or the batch is of another task.
        """
        from mbmf.rollouts.episodes import Episodes

        if self.states is None or self.final_states is None:
            raise ValueError(
                "states must be kept to make episodes (keep_states=True of collect_policy; imagined batches "
                "keep none), got none"
            )
        sizes = (self.states.shape[1], self.observations.shape[1], self.actions.shape[1])
        if self.task != task.name or sizes != (task.nstate, task.nobservation, task.naction):
            raise ValueError(f"task must be that of the batch, {self.task}, got {task.name}")
        difference = "" if self.identity is None else self.identity.differences(task.identity)
        if difference:
            raise ValueError(f"task must be that of the batch, got {task.name} with {difference}")
        longest = int(self.lengths.max(initial=0))
        episode, step = np.repeat(np.arange(len(self)), self.lengths), self.times

        def padded(rows: NDArray[Any], final: NDArray[Any] | None = None) -> NDArray[Any]:
            points = longest if final is None else longest + 1
            array = np.zeros((len(self), points, *rows.shape[1:]), rows.dtype)
            array[episode, step] = rows
            if final is not None:
                array[np.arange(len(self)), self.lengths] = final
            return array

        observations = None
        if not task.core.observes_state:
            observations = padded(self.observations, self.final_observations).astype(np.float64)
        return Episodes(
            states=padded(self.states, self.final_states),
            actions=padded(np.clip(self.actions, -1.0, 1.0)),
            rewards=padded(self.rewards),
            lengths=self.lengths.copy(),
            terminated=self.terminated.copy(),
            diverged=self.diverged.copy(),
            observations=observations,
            task=self.task,
            identity=self.identity,
            poses=None if self.poses is None else padded(self.poses, self.final_poses),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return (
            f"<mbmf.PolicyBatch {self.task}: {counted(len(self), 'episode')}, {counted(self.nsteps, 'step')}>"
        )
