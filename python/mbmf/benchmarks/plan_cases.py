"""What the planner's benchmarks plan: a task, a model trained briefly on random data, a start, K and H."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.random_shooting import RandomShooting
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

PRESETS = ("cheetah_forward", "swimmer_forward", "hopper_forward", "ant_forward")
EPISODES, STEPS, EPOCHS = 20, 200, 40
UNREACHABLE = 1e30


@dataclass(frozen=True)
class PlanCase:
    """One plan to measure.

    Attributes:
        name: of the task, and what was changed.
        state: the start, float64 (nstate,), as an episode of MPC begins.
    """

    name: str
    task: Task
    model: DynamicsModel
    state: NDArray[np.float64]
    horizon: int
    candidates: int

    @property
    def flops(self) -> int:
        """Of all candidates' networks, whatever a planner skips: K H 2 Σ rows · columns."""
        sizes = self.model.sizes
        return 2 * self.candidates * self.horizon * sum(a * b for a, b in itertools.pairwise(sizes))

    def planner(self, nthread: int) -> RandomShooting:
        """The planner that is measured."""
        from mbmf.planning.random_shooting import RandomShooting

        return RandomShooting(
            self.task, self.model, horizon=self.horizon, candidates=self.candidates, nthread=nthread
        )

    def resized(self, horizon: int | None = None, candidates: int | None = None) -> PlanCase:
        """The same with another H or K."""
        return dataclasses.replace(
            self, horizon=horizon or self.horizon, candidates=candidates or self.candidates
        )


class CaseMaker:
    """Makes the cases of one preset; its random data are collected once."""

    def __init__(self, preset: str, episodes: int = EPISODES, steps: int = STEPS, nthread: int = 0) -> None:
        from mbmf.rollouts.collect import collect_random
        from mbmf.simulation.simulator import Simulator
        from mbmf.tasks.load import load_task

        self.task = load_task(preset)
        self.data: Episodes = collect_random(self.task, episodes, steps, seed=0, nthread=nthread)
        simulator = Simulator(self.task, nsim=1, nthread=1, seed=0)
        simulator.reset(kind="control")
        self.state = np.array(simulator.states[0])

    def make(self, hidden: Sequence[int] | None = None, epochs: int = EPOCHS) -> PlanCase:
        """The preset's plan, with a model of the preset's or other hidden layers."""
        from mbmf.dynamics.model import DynamicsModel

        settings = self.task.model_based
        assert settings is not None
        model = DynamicsModel(self.task, hidden=tuple(hidden or self.task.dynamics.hidden))
        model.fit(self.data, epochs=epochs)
        return PlanCase(self.task.name, self.task, model, self.state, settings.horizon, settings.candidates)


def never_dying(case: PlanCase) -> PlanCase:
    """The case with bounds that nobody leaves: they are checked all the same, and no work is skipped."""

    from mbmf.tasks.load import load_task

    config = case.task.to_data()
    config["alive"] = [
        {"state": bound["state"], "above": -UNREACHABLE, "below": UNREACHABLE} for bound in config["alive"]
    ]
    return dataclasses.replace(case, name=f"{case.name}, nobody dies", task=load_task(config))


def has_bounds(case: PlanCase) -> bool:
    """Whether candidates can die."""
    return bool(case.task.config.alive)
