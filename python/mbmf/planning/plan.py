"""What a planner takes and gives: models, plans, memories, rounds."""

from __future__ import annotations

import copyreg
import dataclasses
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mbmf import _core
from mbmf.tasks.task import Task

FloatArray = npt.NDArray[np.float64]
Sequences = npt.NDArray[np.float32]

PathLike = str | Path | npt.ArrayLike | Task

#: What one plan leaves for the next of its episode: copyable, and accepted by any planner like the one that
#: wrote it. An empty one, `PlanMemory()`, begins an episode.
PlanMemory = _core.PlanMemory

_MEMORY = ("search", "task", "horizon", "naction", "filled", "step", "segment")
_MEMORY_ARRAYS = ("mean", "deviation", "kept", "executed")


def _memory_of(values: dict[str, Any]) -> PlanMemory:
    memory = PlanMemory()
    for name, value in values.items():
        setattr(memory, name, value)
    return memory


def _parts_of(memory: PlanMemory) -> tuple[Any, ...]:
    arrays = {name: np.ascontiguousarray(getattr(memory, name)) for name in _MEMORY_ARRAYS}
    return _memory_of, ({name: getattr(memory, name) for name in _MEMORY} | arrays,)


copyreg.pickle(PlanMemory, _parts_of)


class HasCore(Protocol):
    """A dynamics model with a compiled form, such as :class:`mbmf.DynamicsModel`."""

    @property
    def core(self) -> _core.Dynamics: ...


@dataclasses.dataclass(frozen=True)
class SimulatorModel:
    """The simulator in the place of a learned model: planning with it is the upper bound for one.

    A planner with it starts from integration-state rows (:meth:`mbmf.Simulator.get_state`), since a state
    need not say all that MuJoCo must know. ``task`` is of the planner's robot, whose task says costs.
    """

    task: Task


@dataclasses.dataclass(frozen=True, repr=False)
class Plan:
    """What one search found.

    Attributes:
      action: the first action to execute, float32 (naction,), in [-1, 1].
      cost: the planning cost of the actions; lower is better.
      actions: the whole sequence, float32 (H, naction).
      states: the states that the model predicts for it, float32 (H + 1, nstate), the first being the present.
      candidate: its position among the candidates of the last round; -1 if it is none of them, as the mean.
      candidates_done: candidates that were rolled, over all rounds: all of them where there was no deadline.
      moved: on a path, whether it moves on from the segment where it begins.
      segment: on a path, the segment of the next plan.
      rounds_done: rounds that were begun.
      proposals_done: of the candidates, those that a policy proposed.
    """

    action: npt.NDArray[np.float32]
    cost: float
    actions: Sequences
    states: npt.NDArray[np.float32]
    candidate: int
    candidates_done: int
    moved: bool = False
    segment: int = 0
    rounds_done: int = 1
    proposals_done: int = 0

    def __repr__(self) -> str:
        action = ", ".join(f"{value:.3g}" for value in self.action)
        return (
            f"<mbmf.Plan: action [{action}], cost {self.cost:.4g}, {len(self.actions)} steps, "
            f"{self.candidates_done} candidates>"
        )


@dataclasses.dataclass(frozen=True)
class Round:
    """A round of a search as it was.

    Attributes:
      sequences: its candidates, float32 (n, H, naction).
      costs: of them, float64 (n,); not finite where one cannot be rolled.
      mean, deviation: of the search after it, float32 (H, naction), or (0, naction) where it has none.
    """

    sequences: Sequences
    costs: FloatArray
    mean: Sequences
    deviation: Sequences
