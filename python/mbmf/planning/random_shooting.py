"""Random shooting (paper, section IV-C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbmf import _core
from mbmf.planning.plan import HasCore, PathLike, SimulatorModel
from mbmf.planning.planner import Planner
from mbmf.tasks.task import Task

if TYPE_CHECKING:
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.values.value import ValueFunction


class RandomShooting(Planner):
    """Draws K action sequences of length H, rolls a model forward and takes the first action of the cheapest.

    Args:
      task, model, horizon, candidates, seed, nthread, path, value, policy, proposals: see
        :class:`mbmf.Planner`.
      warm_start: candidate 0 is the last plan of the episode, one step later, in place of random actions.

    Example:
      >>> planner = mbmf.RandomShooting(task, model, horizon=20, candidates=5000, seed=0)
      >>> action = planner.act(state)
    """

    def __init__(
        self,
        task: Task,
        model: HasCore | _core.Dynamics | SimulatorModel,
        horizon: int | None = None,
        candidates: int | None = None,
        seed: int = 0,
        nthread: int = 0,
        warm_start: bool = False,
        path: PathLike | None = None,
        value: ValueFunction | None = None,
        policy: GaussianPolicy | None = None,
        proposals: int | None = None,
    ) -> None:
        settings = {"warm_start": warm_start}
        named = settings, value, policy, proposals
        super().__init__(task, model, "random_shooting", horizon, candidates, seed, nthread, path, *named)
        self.warm_start = warm_start
