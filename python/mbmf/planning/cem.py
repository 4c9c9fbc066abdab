"""The cross-entropy method as PETS plans with it (Chua et al. 2018, arXiv 1805.12114)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mbmf import _core
from mbmf.planning.plan import HasCore, PathLike, SimulatorModel
from mbmf.planning.planner import Planner
from mbmf.tasks.task import Task

if TYPE_CHECKING:
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.values.value import ValueFunction


class CEM(Planner):
    """Rounds of truncated normals over sequences, whose mean and variance follow the cheapest candidates.

    The mean begins as the last plan's, one step later (its last row 0), the variance as std². A round's
    normals have the variance min(((m + 1) / 2)², ((1 - m) / 2)², v) and are truncated at two deviations.

    Args:
      task, model, horizon, seed, nthread, path, value, policy, proposals: see :class:`mbmf.Planner`.
      candidates: of each round.
      rounds: at most.
      elites: the cheapest candidates of a round, which the next one follows.
      momentum: share of the old mean and variance in the new ones.
      std: deviation at first; an action's range is [-1, 1].
      tolerance: the search ends once no variance is above.
      execute: the mean, or the best candidate of all rounds.

    Example:
      >>> planner = mbmf.CEM(task, model, horizon=30, candidates=400, elites=40)
    """

    def __init__(
        self,
        task: Task,
        model: HasCore | _core.Dynamics | SimulatorModel,
        horizon: int | None = None,
        candidates: int | None = None,
        seed: int = 0,
        nthread: int = 0,
        *,
        rounds: int = 5,
        elites: int = 50,
        momentum: float = 0.1,
        std: float = 0.5,
        tolerance: float = 1e-3,
        execute: Literal["best", "mean"] = "mean",
        path: PathLike | None = None,
        value: ValueFunction | None = None,
        policy: GaussianPolicy | None = None,
        proposals: int | None = None,
    ) -> None:
        settings = {
            "rounds": rounds,
            "elites": elites,
            "momentum": momentum,
            "std": std,
            "tolerance": tolerance,
            "execute": execute,
        }
        named = settings, value, policy, proposals
        super().__init__(task, model, "cem", horizon, candidates, seed, nthread, path, *named)
