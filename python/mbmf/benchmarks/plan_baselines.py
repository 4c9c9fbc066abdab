"""The same plan as a user would write it, in PyTorch and in NumPy, and the check that all agree.

Both baselines do what a good user would: normalisation folded into the weights, all candidates in one matrix,
buffers made once, no gradients, costs added while rolling forward. Neither removes the dead or gives
the predicted states of the best candidate, as the planner does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mbmf import _core
from mbmf.errors import MbmfError

if TYPE_CHECKING:
    import torch

    from mbmf.benchmarks.plan_cases import PlanCase

Floats = NDArray[np.floating[Any]]
Float32 = NDArray[np.float32]
Chosen = tuple[int, float, Float32]

TOLERANCE = 1e-4


@dataclass(frozen=True)
class PlainCost:
    """The planning cost of the forward presets: Σ weight · state + constant + action · |u|², while alive."""

    linear: tuple[tuple[int, float], ...]
    constant: float
    action: float
    alive: tuple[tuple[int, float, float], ...]  # state, low, high

    @classmethod
    def of(cls, case: PlanCase) -> PlainCost:
        """Raises MbmfError where the task's cost has other terms."""
        from mbmf.tasks.build import build_spec

        spec = build_spec(case.task.config, case.task.model, case.name).spec
        linear: list[tuple[int, float]] = []
        constant = action = 0.0
        for term in spec.cost:
            if term.kind == _core.TermKind.LINEAR:
                linear += [(index, term.weight) for index in term.index]
            elif term.kind == _core.TermKind.CONSTANT:
                constant += term.weight
            elif term.kind == _core.TermKind.ACTION:
                action += term.weight
            else:
                raise MbmfError(f"{case.name}: the baselines know no cost term {term.kind}")
        alive = tuple((bound.index, bound.bounds.low, bound.bounds.high) for bound in spec.alive)
        return cls(tuple(linear), constant, action, alive)


def folded_layers(case: PlanCase) -> list[tuple[Float32, Float32]]:
    """Weights (rows, cols) and biases (rows, 1) from raw states and actions to raw differences, float32."""
    exported, normalization = case.model.exported()
    layers: list[tuple[Floats, Floats]] = [(layer[:, :-1], layer[:, -1]) for layer in exported]
    mean = np.concatenate([normalization.state.mean, normalization.action.mean])
    scale = np.concatenate([normalization.state.inverse_std, normalization.action.inverse_std])
    weight, bias = layers[0]
    layers[0] = (weight * scale, bias - weight @ (mean * scale))
    weight, bias = layers[-1]
    std = normalization.delta.std
    layers[-1] = (weight * std[:, None], bias * std + normalization.delta.mean)
    return [(weight.astype(np.float32), bias.astype(np.float32)[:, None]) for weight, bias in layers]


class NumpyPlan:
    """Random shooting in NumPy; its threads are those of NumPy's BLAS."""

    def __init__(self, case: PlanCase) -> None:
        nstate, naction, K = case.task.nstate, case.task.naction, case.candidates
        self._cost = PlainCost.of(case)
        self._layers = folded_layers(case)
        self._rng = np.random.default_rng(0)
        self._nstate = nstate
        self._actions = np.empty((case.horizon, naction, K), np.float32)
        self._x = np.empty((nstate + naction, K), np.float32)
        self._outputs = [np.empty((len(bias), K), np.float32) for _, bias in self._layers]
        self._costs = np.empty(K, np.float32)
        self._alive = np.empty(K, bool)

    def plan(self, state: Floats) -> Chosen:
        """The best candidate, its cost and its actions (H, naction)."""
        self._rng.random(out=self._actions, dtype=np.float32)
        self._actions *= 2
        self._actions -= 1
        self._roll(state)
        best = int(np.argmin(self._costs))
        return best, float(self._costs[best]), self._actions[:, :, best].copy()

    def costs(self, state: Floats, actions: Float32) -> Float32:
        """The costs (K,) of given actions (K, H, naction)."""
        self._actions[:] = actions.transpose(1, 2, 0)
        self._roll(state)
        return self._costs.copy()

    def _roll(self, state: Floats) -> None:
        self._x[: self._nstate] = state.astype(np.float32)[:, None]
        self._costs[:] = 0
        self._alive[:] = True
        for actions in self._actions:
            self._x[self._nstate :] = actions
            self._add_point()
            output = self._x
            for (weight, bias), buffer in zip(self._layers, self._outputs, strict=True):
                if output is not self._x:
                    np.maximum(output, 0, out=output)
                output = np.matmul(weight, output, out=buffer)
                output += bias
            self._x[: self._nstate] += output
        self._add_point()

    def _add_point(self) -> None:
        states, actions, cost = self._x[: self._nstate], self._x[self._nstate :], self._cost
        point = cost.action * np.einsum("ik,ik->k", actions, actions)
        point += cost.constant
        for index, weight in cost.linear:
            point += weight * states[index]
        for index, low, high in cost.alive:
            self._alive &= (states[index] > low) & (states[index] < high)
        if cost.alive:
            point[~self._alive] = 0
        self._costs += point


class TorchPlan:
    """Random shooting in PyTorch, a candidate a row or a column of every matrix: which is faster differs."""

    def __init__(self, case: PlanCase, layout: Literal["rows", "columns"], nthread: int) -> None:
        import torch

        self.layout, self.nthread = layout, nthread
        nstate, naction, K = case.task.nstate, case.task.naction, case.candidates

        def matrix(*shape: int) -> torch.Tensor:
            """(..., n, K) in memory, or the transpose of (..., K, n) in memory."""
            *outer, n, k = shape
            return torch.empty(shape) if layout == "columns" else torch.empty(*outer, k, n).mT

        self._torch = torch
        self._cost = PlainCost.of(case)
        self._layers = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in folded_layers(case)]
        self._rng = torch.Generator().manual_seed(0)
        self._actions = matrix(case.horizon, naction, K)
        self._x = matrix(nstate + naction, K)
        self._state, self._action = self._x[:nstate], self._x[nstate:]
        self._outputs = [matrix(len(bias), K) for _, bias in self._layers]
        self._costs = torch.empty(K)
        self._alive = torch.empty(K, dtype=torch.bool)

    def plan(self, state: Floats) -> Chosen:
        """The best candidate, its cost and its actions (H, naction)."""
        torch = self._torch
        torch.set_num_threads(self.nthread)
        with torch.inference_mode():
            self._actions.uniform_(-1, 1, generator=self._rng)
            self._roll(state)
            best = int(torch.argmin(self._costs))
            return best, float(self._costs[best]), self._actions[:, :, best].numpy().copy()

    def costs(self, state: Floats, actions: Float32) -> Float32:
        """The costs (K,) of given actions (K, H, naction)."""
        torch = self._torch
        torch.set_num_threads(self.nthread)
        with torch.inference_mode():
            self._actions.copy_(torch.from_numpy(actions).permute(1, 2, 0))
            self._roll(state)
            return np.array(self._costs.numpy())

    def _roll(self, state: Floats) -> None:
        torch = self._torch
        self._state.copy_(torch.from_numpy(state.astype(np.float32))[:, None])
        self._costs.zero_()
        self._alive.fill_(True)
        for actions in self._actions:
            self._action.copy_(actions)
            self._add_point()
            output = self._x
            for (weight, bias), buffer in zip(self._layers, self._outputs, strict=True):
                if output is not self._x:
                    output.relu_()
                output = torch.addmm(bias, weight, output, out=buffer)
            self._state.add_(output)
        self._add_point()

    def _add_point(self) -> None:
        cost = self._cost
        squares = (self._action * self._action).sum(0)
        if not cost.alive:
            self._costs.add_(squares, alpha=cost.action).add_(cost.constant)
            for index, weight in cost.linear:
                self._costs.add_(self._state[index], alpha=weight)
            return
        point = squares.mul_(cost.action).add_(cost.constant)
        for index, weight in cost.linear:
            point.add_(self._state[index], alpha=weight)
        for index, low, high in cost.alive:
            self._alive &= (self._state[index] > low) & (self._state[index] < high)
        self._costs.addcmul_(point, self._alive)


@dataclass(frozen=True)
class Oracle:
    """What all must agree with, computed in float64 from the network and its normalisation as trained.

    Attributes:
        costs: (K,) float64.
        sure: (K,) bool; False where a state is so close to a bound that rounding decides who dies.
        live_share: of the K · H evaluations of the network, those whose candidate was not dead yet.
    """

    costs: NDArray[np.float64]
    sure: NDArray[np.bool_]
    live_share: float

    @classmethod
    def of(cls, case: PlanCase, actions: Float32) -> Oracle:
        """Of the case's start and given actions (K, H, naction)."""
        K, H, _ = actions.shape
        exported, normalization = case.model.exported()
        states = np.empty((K, H + 1, case.task.nstate), np.float32)
        x = np.repeat(case.state.astype(np.float32).astype(np.float64)[None], K, axis=0)
        bounds = PlainCost.of(case).alive
        alive, sure, live = np.ones(K, bool), np.ones(K, bool), 0
        for t in range(H + 1):
            states[:, t] = x
            for index, low, high in bounds:
                for bound in (low, high):
                    close = np.abs(x[:, index] - bound) < TOLERANCE * (1 + abs(bound))
                    sure &= ~(alive & close)
                alive &= (x[:, index] > low) & (x[:, index] < high)
            if t == H:
                break
            live += int(alive.sum())
            output = np.concatenate(
                [
                    (x - normalization.state.mean) * normalization.state.inverse_std,
                    (actions[:, t] - normalization.action.mean) * normalization.action.inverse_std,
                ],
                axis=1,
            )
            for i, layer in enumerate(exported):
                output = (np.maximum(output, 0) if i else output) @ layer[:, :-1].T + layer[:, -1]
            x = x + output * normalization.delta.std + normalization.delta.mean
        return cls(case.task.cost(states, actions), sure, live / (K * H))

    def check(self, case: PlanCase, costs: Mapping[str, Floats]) -> None:
        """Raises MbmfError unless each of ``costs``, (K,) by name, is right and its best candidate is best.

        Differences count relative to the largest cost; candidates for whom rounding decides are left out.
        """
        if not np.isfinite(self.costs).all():
            raise MbmfError(
                f"{case.name}: costs must be finite, got {self.costs[~np.isfinite(self.costs)][0]}"
            )
        if self.sure.mean() < 0.9:
            raise MbmfError(
                f"{case.name}: 9 of 10 candidates must not be at a bound, got {self.sure.mean():.2f}"
            )
        scale = np.abs(self.costs).max()
        for name, values in costs.items():
            error = float(np.abs(values - self.costs)[self.sure].max()) / scale
            if not error <= TOLERANCE:
                raise MbmfError(
                    f"{case.name}: costs of {name} must be within {TOLERANCE:g} of the oracle's, "
                    f"got a difference of {error:g}"
                )
            best = int(np.argmin(values))
            lost = float(self.costs[best] - self.costs.min()) / scale
            if self.sure[best] and not lost <= 2 * TOLERANCE:
                raise MbmfError(
                    f"{case.name}: {name} must choose the best candidate, got {best}, worse by {lost:g}"
                )
