"""Model-predictive path integral control (Williams et al. 2017); PDDM's filter (Nagabandi et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mbmf import _core
from mbmf.planning.plan import HasCore, PathLike, SimulatorModel
from mbmf.planning.planner import Planner
from mbmf.tasks.task import Task

if TYPE_CHECKING:
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.values.value import ValueFunction


class MPPI(Planner):
    """Candidates of fixed spread around a mean; the new mean is their average, cheap ones weighted most.

    A candidate's weight is exp(-cost / temperature).

    The mean begins as the last plan's, one step later (its last row again).

    Args:
      task, model, horizon, seed, nthread, path, value, policy, proposals: see :class:`mbmf.Planner`.
      candidates: of each round.
      rounds: of candidates.
      temperature: the difference of costs that divides a weight by e; PDDM's kappa is 1 / temperature.
      smoothing: share of an action that is its own, not the one's before: a_t = smoothing (m_t + noise_t) +
        (1 - smoothing) a_(t-1), beginning with the action executed last. 1: none. PDDM's: 0.9 and 0.7.
      colour: exponent of the noise's power spectrum over time; 0: white.
      std: deviation of the candidates; an action's range is [-1, 1].
      execute: the mean, or the best candidate of all rounds.

    Example:
      >>> planner = mbmf.MPPI(task, model, horizon=20, temperature=0.1, smoothing=0.7, std=0.8)  # PDDM's ant
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
        rounds: int = 1,
        temperature: float = 1.0,
        smoothing: float = 1.0,
        colour: float = 0.0,
        std: float = 0.9,
        execute: Literal["best", "mean"] = "mean",
        path: PathLike | None = None,
        value: ValueFunction | None = None,
        policy: GaussianPolicy | None = None,
        proposals: int | None = None,
    ) -> None:
        settings = {
            "rounds": rounds,
            "temperature": temperature,
            "smoothing": smoothing,
            "colour": colour,
            "std": std,
            "execute": execute,
        }
        named = settings, value, policy, proposals
        super().__init__(task, model, "mppi", horizon, candidates, seed, nthread, path, *named)
