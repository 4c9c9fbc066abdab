"""What a planner would have done in episodes that someone else drove (paper, section V-A; DAgger)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf.arguments import MAX_SEED, whole_number
from mbmf.rollouts.episodes import Episodes
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.planning.planner import Planner


def label_episodes(
    planner: Planner,
    episodes: Episodes,
    *,
    first_episode: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> npt.NDArray[np.float32]:
    """The planner's action in every state of the episodes, but the last of each.

    The planner goes along each episode as if it drove: what its search remembers, and on a path the segment,
    pass from step to step. Episode e is a pure function of (planner, its states, first_episode + e).

    Args:
        planner: of a learned model.
        episodes: whose states are labelled.
        first_episode: the number of the first one, which the plans' random numbers derive from.
        progress: called with the labels made so far.

    Returns:
        float32 (episodes, steps, naction); zeros past an episode's length.

    Raises:
        DataError: the episodes are of another task than the planner.
        mbmf.CoreError: no candidate of a plan has a finite cost.
    """
    if not isinstance(episodes, Episodes):
        raise ValueError(f"episodes must be mbmf.Episodes, got {show(episodes)}")
    episodes.check_task(planner.task, "episodes", observations=False)
    first_episode = whole_number("first_episode", first_episode, 0, MAX_SEED)
    labels = np.zeros_like(episodes.actions)
    numbers = np.arange(len(episodes), dtype=np.uint64) + np.uint64(first_episode)
    memories = [planner.make_memory() for _ in range(len(episodes))]
    task, origins = planner.task, np.zeros((len(episodes), 2))
    if task.path is not None and task.path.relative:
        assert task.path_indices is not None
        origins = episodes.states[:, 0, list(task.path_indices)]
    done = 0
    for step in range(labels.shape[1]):
        live = np.flatnonzero(episodes.lengths > step)
        if not len(live):
            break
        along = [memories[i] for i in live]
        on: dict[str, Any] = {}
        if task.path is not None:
            on = {"segments": np.array([m.segment for m in along]), "origins": origins[live]}
        actions, _ = planner.plan_batch(
            episodes.states[live, step], numbers[live], np.full(len(live), step), memories=along, **on
        )
        labels[live, step] = actions
        done += len(live)
        if progress is not None:
            progress(done)
    return labels
