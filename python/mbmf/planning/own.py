"""A search of one's own: two methods, rolled by the core."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mbmf.arguments import whole_number

Sequences = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]


@dataclasses.dataclass
class SearchRound:
    """What a search knows when it is asked: passed to :meth:`Search.propose` and :meth:`Search.update`.

    Attributes:
      number: of the round, from 0.
      episode, step: of the plan.
      mean: float32 (H, naction): at first the last plan's, one step later (zeros at the beginning of an
        episode); then what the last update returned.
      rng: NumPy's generator; its numbers are a pure function of (seed, episode, step, number).
      data: what the search wants to keep from round to round of a plan, for instance a deviation.
    """

    number: int
    episode: int
    step: int
    mean: Sequences
    rng: np.random.Generator
    data: dict[str, Any]

    @property
    def horizon(self) -> int:
        return int(self.mean.shape[0])

    @property
    def naction(self) -> int:
        return int(self.mean.shape[1])


class Search:
    """Derive from it and write two methods; then ``mbmf.Planner(task, model, MySearch())`` plans with it.

    It works wherever a planner does, but for the real-time controller and exports, which run without Python.

    Attributes:
      rounds: of candidates, 1 to 255.
      candidates: of a round at most, where the planner is not told.
      execute: the "mean" that the last update returned, or the "best" candidate of all rounds.

    Example:
      >>> class Halving(mbmf.Search):
      ...     rounds = 4
      ...
      ...     def propose(self, plan):
      ...         noise = plan.rng.standard_normal((100, plan.horizon, plan.naction))
      ...         return np.clip(plan.mean + 0.8 / 2**plan.number * noise, -1, 1)
      ...
      ...     def update(self, plan, sequences, costs):
      ...         return sequences[np.argmin(costs)]
    """

    rounds: int = 1
    candidates: int = 1000
    execute: Literal["best", "mean"] = "mean"

    def propose(self, plan: SearchRound) -> npt.ArrayLike:
        """The candidates of a round: (n, H, naction) in [-1, 1], n from 1 to the planner's candidates."""
        raise TypeError(f"{type(self).__name__} must have a method propose(plan)")

    def update(self, plan: SearchRound, sequences: Sequences, costs: FloatArray) -> npt.ArrayLike:
        """Takes the costs (n,) of candidates (n, H, naction), infinite where not finite; gives the new mean.

        Where a deadline cut the round short, n is what was rolled: the first ones. Where a policy proposes
        candidates, they are there in place of the first round's last ones.
        """
        raise TypeError(f"{type(self).__name__} must have a method update(plan, sequences, costs)")


@dataclasses.dataclass
class _Work:
    """One plan."""

    mean: Sequences
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    round: SearchRound | None = None
    best: tuple[float, int, Sequences] | None = None  # of all rounds
    found_in: int = -1


class _Adapter:
    """What the core calls (bindings/python_search.h): checks what the author returns."""

    def __init__(self, search: Search, horizon: int, naction: int, candidates: int, seed: int) -> None:
        self._search, self._seed = search, seed
        self._shape = (horizon, naction)
        self._candidates = candidates
        self._name = type(search).__name__
        self.rounds = whole_number(f"{self._name}.rounds", search.rounds, 1, 255)
        if search.execute not in ("best", "mean"):
            raise ValueError(f"{self._name}.execute must be 'best' or 'mean', got {search.execute!r}")

    def begin(self, mean: Sequences) -> _Work:
        return _Work(mean)

    def propose(self, work: _Work, number: int, episode: int, step: int) -> Sequences | None:
        sequence = np.random.SeedSequence([self._seed, episode, step, number])
        rng = np.random.Generator(np.random.Philox(sequence))
        work.round = SearchRound(number, episode, step, work.mean, rng, work.data)
        what = f"{self._name}.propose must return actions"
        sequences = self._checked(self._search.propose(work.round), what, 3)
        if not 1 <= len(sequences) <= self._candidates:
            raise ValueError(
                f"{what} of 1 to {self._candidates} candidates (the planner's), got {len(sequences)}"
            )
        return sequences

    def update(self, work: _Work, sequences: Sequences, costs: FloatArray) -> None:
        assert work.round is not None
        least = int(np.argmin(costs))
        if not np.isfinite(costs[least]):
            return
        if work.best is None or costs[least] < work.best[0]:
            work.best = (float(costs[least]), least, sequences[least].copy())
            work.found_in = work.round.number
        what = f"{self._name}.update must return the mean"
        mean = self._search.update(work.round, sequences, costs)
        work.mean = self._checked(mean, what, 2)

    def choose(self, work: _Work) -> tuple[Sequences, int, float] | None:
        if work.best is None:
            return None
        if self._search.execute == "mean":
            return work.mean, -1, float("nan")
        cost, position, sequence = work.best
        assert work.round is not None
        return sequence, position if work.found_in == work.round.number else -1, cost

    def mean(self, work: _Work) -> Sequences:
        return work.mean

    def _checked(self, values: Any, what: str, ndim: int) -> Sequences:
        try:
            # a copy: a search may write into its array again
            array = np.array(values, dtype=np.float32, order="C")
        except (TypeError, ValueError):
            raise ValueError(f"{what} as an array of numbers, got {type(values).__name__}") from None
        if array.ndim != ndim or array.shape[-2:] != self._shape:
            shape = ", ".join(["n"] * (ndim - 2) + [str(size) for size in self._shape])
            raise ValueError(f"{what} of shape ({shape}), got {array.shape}")
        bad = ~(np.abs(array) <= 1)
        if bad.any():
            raise ValueError(f"{what} in [-1, 1], got {array[bad][0]}")
        return array


def adapted(search: Search, horizon: int, naction: int, candidates: int, seed: int) -> _Adapter:
    """The object that the core calls. Raises ValueError on a search that cannot be."""
    if not isinstance(search, Search):
        raise ValueError(f"search must be a name or a mbmf.Search, got {search!r}")
    return _Adapter(search, horizon, naction, candidates, seed)
