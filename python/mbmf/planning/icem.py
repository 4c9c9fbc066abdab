"""The improved cross-entropy method, iCEM (Pinneri et al. 2020, arXiv 2008.06389)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mbmf import _core
from mbmf.planning.plan import HasCore, PathLike, SimulatorModel
from mbmf.planning.planner import Planner
from mbmf.tasks.task import Task

if TYPE_CHECKING:
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.values.value import ValueFunction


class ICEM(Planner):
    """Few candidates of coloured noise around a mean; elites stay from round to round and step to step.

    The mean begins as the last plan's, one step later (its last row again), the deviation as ``std``.

    Args:
      task, model, horizon, seed, nthread, path, value, policy, proposals: see :class:`mbmf.Planner`.
      candidates: of the first round, without the elites that are kept.
      rounds: round i has max(2 elites, candidates / decay^i) candidates; the last one's first is the mean.
      elites: the cheapest candidates of a round, which the next one follows.
      keep: share of the elites that are candidates again in the next round and, shifted, in the next step.
      decay: see ``rounds``.
      momentum: share of the old mean and deviation in the new ones.
      colour: exponent of the noise's power spectrum over time, 1 / f^colour; 0: white. The authors' numbers:
        half cheetah 0.25, humanoid 2, door 2.5, fetch 3.
      std: deviation at first; an action's range is [-1, 1].
      execute: the best sequence of the last round, or the mean. With a learned model the best one profits
        most from the model's errors.

    Example:
      >>> planner = mbmf.ICEM(task, model, horizon=30, candidates=40)
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
        rounds: int = 3,
        elites: int = 10,
        keep: float = 0.3,
        decay: float = 1.25,
        momentum: float = 0.1,
        colour: float = 0.25,
        std: float = 0.5,
        execute: Literal["best", "mean"] = "best",
        path: PathLike | None = None,
        value: ValueFunction | None = None,
        policy: GaussianPolicy | None = None,
        proposals: int | None = None,
    ) -> None:
        settings = {
            "rounds": rounds,
            "elites": elites,
            "keep": keep,
            "decay": decay,
            "momentum": momentum,
            "colour": colour,
            "std": std,
            "execute": execute,
        }
        named = settings, value, policy, proposals
        super().__init__(task, model, "icem", horizon, candidates, seed, nthread, path, *named)
