"""How the value baseline is fitted to a batch, in PyTorch: ridge regression on simple features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mbmf.algorithms.baseline import Baseline, Floats
from mbmf.nn.workers import Workers, chunks

CLIP = 10.0
_TRIES = 6


def features(observations: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """(n, 2 nobservation + 4) float64: clip(o, +-10), its square, t/100, its square and cube, and 1.

    observations (n, nobservation), times (n): the step within the episode.
    """
    clipped = observations.to(torch.float64).clamp_(-CLIP, CLIP)
    time = (times.to(torch.float64) / 100).unsqueeze(1)
    ones = torch.ones_like(time)
    return torch.cat([clipped, clipped.square(), time, time**2, time**3, ones], dim=1)


class BaselineData:
    """The features of a batch: what a baseline predicts for it, and the baseline that is fitted to it.

    observations (N, nobservation) float32, times (N): the step of each within its episode.
    """

    def __init__(self, observations: NDArray[np.float32], times: NDArray[np.int64], workers: Workers) -> None:
        rows, steps = torch.from_numpy(observations), torch.from_numpy(times)
        self._slices = chunks(len(rows))
        self._workers = workers
        self._features = workers.map(lambda part: features(rows[part], steps[part]), self._slices)

    def predict(self, baseline: Baseline) -> Floats:
        """(N) what is expected from each step on."""
        coefficients = torch.from_numpy(baseline.coefficients)
        parts = self._workers.map(lambda x: torch.mv(x, coefficients).numpy(), self._features)
        return np.concatenate(parts)

    @staticmethod
    def expected(
        baseline: Baseline, observations: NDArray[np.float32], times: NDArray[np.integer[Any]]
    ) -> Floats:
        """(n) what is expected from other observations (n, nobservation) on, at their times (n)."""
        rows = features(torch.from_numpy(observations), torch.from_numpy(times))
        return torch.mv(rows, torch.from_numpy(baseline.coefficients)).numpy()

    def fit(self, returns: Floats, ridge: float) -> Baseline:
        """The baseline that predicts ``returns`` (N) best: least squares with penalty ridge * |c|^2."""
        targets = torch.from_numpy(returns)

        def moments(i: int) -> tuple[torch.Tensor, torch.Tensor]:
            x = self._features[i]
            return x.t() @ x, x.t() @ targets[self._slices[i]]

        parts = self._workers.map(moments, range(len(self._slices)))
        gram, moment = (_sum([part[i] for part in parts]).numpy() for i in range(2))
        return Baseline(solve_ridge(gram, moment, ridge))


def solve_ridge(gram: Floats, moment: Floats, ridge: float) -> Floats:
    """Solves (gram + ridge I) c = moment; the ridge grows tenfold while rounding makes that impossible.

    gram (n, n) symmetric, moment (n). Zeros, if the moments are not finite or no ridge helps.
    """
    for power in range(_TRIES):
        system = torch.from_numpy(gram + ridge * 10.0**power * np.eye(len(gram)))
        factor, failed = torch.linalg.cholesky_ex(system)
        if failed.item():
            continue
        solution = torch.cholesky_solve(torch.from_numpy(moment).unsqueeze(1), factor)[:, 0]
        if bool(torch.isfinite(solution).all()):
            return solution.numpy()
    return np.zeros(len(gram))


def _sum(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    total = torch.zeros_like(parts[0])
    for part in parts:
        total += part
    return total
