"""How good a dynamics model is on episodes: open-loop errors, calibration, deviation over members."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbmf.arguments import number, whole_number
from mbmf.errors import DataError

if TYPE_CHECKING:
    from mbmf import _core
    from mbmf.rollouts.episodes import Episodes

HORIZONS = (1, 5, 10, 50, 100)
CALIBRATION_HORIZONS = (1, 5, 10)
LEVELS = (0.5, 0.9, 0.95)
_OPEN_LOOP_BYTES = 32 << 20

Floats = NDArray[np.float64]


def validation_starts(episodes: Episodes, longest: int) -> NDArray[np.int64]:
    """(n, 2): episode and step of every state with ``longest`` steps after it, in longer episodes."""
    counts = np.where(episodes.lengths > longest, episodes.lengths - longest + 1, 0)
    episode = np.repeat(np.arange(len(counts)), counts)
    step = np.concatenate([np.arange(n) for n in counts]) if len(counts) else episode
    return np.stack([episode, step], axis=1).astype(np.int64)


def validation_error(
    core: _core.Dynamics,
    inverse_std: Floats,
    quaternions: Sequence[int],
    episodes: Episodes,
    horizons: Sequence[int],
    nthread: int,
) -> dict[int, float]:
    """See `DynamicsModel.validation_error`; ``inverse_std`` (nstate) of the states, and the first states of
    ``quaternions``."""
    horizons = _horizons(horizons)
    ahead = np.asarray(horizons)
    total = np.zeros(len(horizons))
    count = 0
    for part in _Parts(episodes, horizons, 1):
        predicted = core.open_loop(part.states, part.actions, nthread)
        with np.errstate(over="ignore", invalid="ignore"):
            predicted = predicted[:, ahead]
            error = (predicted - _of_signs(part.truth, predicted, quaternions)) * inverse_std
            total += np.square(error).sum(axis=(0, 2))
        count += len(part.states)
    mean = total / (count * len(inverse_std))
    return {h: float(e) if np.isfinite(e) else float("inf") for h, e in zip(horizons, mean, strict=True)}


def calibration(
    core: _core.Dynamics,
    moving: NDArray[np.bool_],
    quaternions: Sequence[int],
    episodes: Episodes,
    horizons: Sequence[int],
    levels: Sequence[float],
    particles: int,
    seed: int,
    nthread: int,
) -> dict[int, dict[float, float]]:
    """See `DynamicsModel.calibration`; ``moving`` (nstate): states that count, ``quaternions``: their first
    states, ``particles``: of core."""
    horizons = _horizons(horizons)
    if particles == 1 and max(horizons) > 1:
        raise ValueError(
            f"horizons must be 1 for one member that goes on from its mean (propagate), got {max(horizons)}"
        )
    levels = [number("levels", level, 0, 1) for level in levels]
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels must be one or more numbers between 0 and 1, got {levels}")
    widths = np.array([statistics.NormalDist().inv_cdf((1 + level) / 2) for level in levels])
    inside = np.zeros((len(horizons), len(levels)))
    count = 0
    for part in _Parts(episodes, horizons, particles):
        for i, horizon in enumerate(horizons):
            if horizon == 1:
                mean, deviation = one_step(core, part.states, part.first_actions, nthread)
            else:
                if horizon == next(h for h in horizons if h > 1):
                    # for all horizons at once
                    drawn = core.sample(part.states, part.actions, seed, nthread).astype(np.float64)
                with np.errstate(over="ignore", invalid="ignore"):
                    mean = drawn[:, :, horizon].mean(axis=1)
                    deviation = drawn[:, :, horizon].std(axis=1, ddof=1)
            with np.errstate(over="ignore", invalid="ignore"):
                truth = _of_signs(part.truth[:, i], mean, quaternions)
                apart = np.abs(truth - mean)[:, moving, None]
                # what is not finite is not inside
                inside[i] += (apart <= widths * deviation[:, moving, None]).sum(axis=(0, 1))
        count += len(part.states) * int(moving.sum())
    shares = inside / max(count, 1)
    return {
        horizon: dict(zip(levels, map(float, row), strict=True))
        for horizon, row in zip(horizons, shares, strict=True)
    }


def one_step(
    core: _core.Dynamics, states: Floats, actions: NDArray[np.float32], nthread: int
) -> tuple[Floats, Floats]:
    """Mean and deviation (N, nstate) of the mixture of the members' predictions of one step."""
    means, deviations = (
        np.asarray(each, np.float64) for each in core.predict_members(states, actions, nthread)
    )
    mean = means.mean(axis=0)
    variance = np.square(deviations).mean(axis=0) + np.square(means - mean).mean(axis=0)
    return mean, np.sqrt(variance)


def deviation_over_members(
    core: _core.Dynamics,
    inverse_std: Floats,
    predicted: Callable[[Floats, Floats], None],
    episodes: Episodes,
    nthread: int,
) -> float:
    """See `DynamicsModel.deviation_over_members`; ``inverse_std`` (nstate) of what the networks predict,
    which ``predicted`` makes of states and their differences (N, nstate), in place."""
    total, count = 0.0, 0
    for part in _Parts(episodes, [1], core.members):
        means = np.asarray(core.predict_members(part.states, part.first_actions, nthread)[0], np.float64)
        means -= part.states
        for member in means:
            predicted(part.states, member)
        total += float((means.std(axis=0) * inverse_std).sum())
        count += len(part.states)
    return total / (count * max(1, int(np.count_nonzero(inverse_std))))


def _of_signs(truth: Floats, predicted: NDArray[Any], quaternions: Sequence[int]) -> Floats:
    """The truth (..., nstate) with its quaternions of the predicted signs: q and -q are one rotation."""
    truth = np.array(truth)
    for first in quaternions:
        four = slice(first, first + 4)
        other = (truth[..., four] * predicted[..., four]).sum(axis=-1) < 0
        truth[..., four] *= np.where(other, -1.0, 1.0)[..., None]
    return truth


class _Part:
    """Some start states: states (n, nstate), actions (n, H, naction), truth (n, horizons, nstate)."""

    def __init__(self, episodes: Episodes, starts: NDArray[np.int64], horizons: Sequence[int]) -> None:
        episode, step = starts.T
        ahead = np.asarray(horizons)
        actions = episodes.actions[episode[:, None], step[:, None] + np.arange(max(horizons))]
        self.actions = np.ascontiguousarray(actions, np.float32)
        self.first_actions = np.ascontiguousarray(self.actions[:, 0])
        self.states = np.ascontiguousarray(episodes.states[episode, step], np.float64)
        self.truth = episodes.states[episode[:, None], step[:, None] + ahead]


class _Parts:
    """The start states of episodes, so many at a time that ``copies`` predictions of them fit the memory."""

    def __init__(self, episodes: Episodes, horizons: Sequence[int], copies: int) -> None:
        longest = max(horizons)
        self._starts = validation_starts(episodes, longest)
        if len(self._starts) == 0:
            raise DataError(
                f"validation episodes must be longer than {longest} steps for the {longest}-step error, "
                f"got lengths up to {max(episodes.lengths, default=0)}"
            )
        self._make: Callable[[NDArray[np.int64]], _Part] = lambda starts: _Part(episodes, starts, horizons)
        self._chunk = max(1, _OPEN_LOOP_BYTES // (4 * copies * (longest + 1) * episodes.states.shape[2]))

    def __iter__(self) -> Iterator[_Part]:
        for first in range(0, len(self._starts), self._chunk):
            yield self._make(self._starts[first : first + self._chunk])


def _horizons(horizons: Sequence[int]) -> list[int]:
    checked = [whole_number("horizons", horizon) for horizon in horizons]
    if not checked:
        raise ValueError("horizons must be one or more, got none")
    return checked
