"""Minibatch training of a multi-layer perceptron, or of the members of an ensemble at once, in float32, in
PyTorch: mean squared error or a Gaussian's likelihood, Adam.

The updates are those of autograd and torch.optim.Adam, without what these cost per batch (bench_training.py
measures it): the data are resident in one matrix, whose rows a whole group of batches takes in one gather;
passes forward and backward are written out on buffers that are allocated once (`passes.py`); Adam runs on one
vector of all parameters (`adam.py`).

Tried, and not worth it on 2 cores of an AMD EPYC (Zen 4): one hidden layer of 500, batch 512, 18 inputs, 16
outputs: activations as (batch, features): 5 % slower at 2 threads; the fused Adam kernel: 5 % faster, but
with other bits, so only ensembles have it, where it is five times as fast; oneDNN's fused linear and ReLU
(private): 10 % less for the first layer; batches taken in parts that fit the L2 cache: 3 % slower in halves,
12 % in quarters. Over eight tenths of an update are matrix products.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mbmf.nn.activations import ACTIVATION
from mbmf.nn.adam import Adam, DecayingAdam
from mbmf.nn.ending import between_pieces, torch_at_work
from mbmf.nn.losses import GaussianLikelihood, SquaredError, log_variance
from mbmf.nn.mlp_state import Matrix, MlpState
from mbmf.nn.passes import Loss, Passes

_GATHER_BYTES = 4 << 20


def pack(inputs: Matrix, targets: Matrix) -> torch.Tensor:
    """Training data as one matrix with rows [x, 1, y]: inputs (N, nin), targets (N, nout)."""
    rows = np.concatenate([inputs, np.ones((len(inputs), 1), np.float32), targets], axis=1)
    return torch.from_numpy(rows)


def concatenate(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Several packed data sets as one; no copy of a single one."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


@contextlib.contextmanager
def torch_threads(nthread: int) -> Iterator[None]:
    """PyTorch uses ``nthread`` threads within the block, and float32 on the CPU; then what it did before."""
    before, dtype, device = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    torch.set_num_threads(nthread)
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":  # to set one makes every operation slower
        torch.set_default_device(None)
    try:
        with torch_at_work(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)


def batch_shares(old: int, new: int, batch_size: int, fraction_use_new: float) -> tuple[int, int]:
    """How many old and new points a batch has: the new share is a fraction of it, one at least, or all new
    data if less."""
    share_new = min(int(batch_size * fraction_use_new + 1e-9), new)
    if fraction_use_new > 0 and batch_size > 1:  # some of them, however small it is
        share_new = max(share_new, min(1, new))
    return min(batch_size - share_new, old), share_new


def batches_of_epoch(old: int, new: int, batch_size: int, fraction_use_new: float) -> int:
    """How many full batches a pass over the old points (without an old share: the new ones) has."""
    share_old, share_new = batch_shares(old, new, batch_size, fraction_use_new)
    return old // share_old if share_old else new // share_new


def epoch_rate(first: float, last: float | None, epoch: int, epochs: int) -> float:
    """The learning rate of an epoch, from 0, on the way from ``first`` to ``last``, if there is one."""
    if last is None or epochs == 1:
        return first
    return float(first * (last / first) ** (epoch / (epochs - 1)))


@dataclass
class History:
    """What a training did, epoch by epoch.

    Attributes:
        losses: mean squared error of the epoch's batches, each before its update, averaged over the members
            that are finite.
        squares: the same, of each member: (epochs, members).
        likelihoods: of a probabilistic model, the loss that it is trained with; else as ``squares``.
        held_out: loss of each member on the held-out data after each epoch, (epochs, members); empty without.
        best: the epoch, from 0, whose parameters were kept: the last, or that of the least held-out loss.
    """

    losses: list[float] = field(default_factory=list)
    squares: list[NDArray[np.float64]] = field(default_factory=list)
    likelihoods: list[NDArray[np.float64]] = field(default_factory=list)
    held_out: list[NDArray[np.float64]] = field(default_factory=list)
    best: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Means over data and dimensions, float64 (members): squared errors, and the loss that is trained, of the
    outputs that the trainer is to judge by."""

    squares: NDArray[np.float64]
    loss: NDArray[np.float64]


class Trainer:
    """Trains networks in place of autograd. Use within `torch_threads`; not thread-safe.

    One network with squared errors is trained by plain products, whose bits are those of every release;
    members of an ensemble, and probabilistic ones, by products of batches of matrices. Each member draws its
    batches for itself.

    Args:
        state: where to start. With bounds, the model is probabilistic: its last layer has means, then raw log
            variances.
        activation: of the hidden layers.
        weight_decay: of each layer, or of all: its half times the squared weights is added to the loss.
        beta: of a probabilistic model's loss (`GaussianLikelihood`).
        judged: which outputs (of n, without log variances) `Evaluation.loss` is of; None: all.
    """

    def __init__(
        self,
        state: MlpState,
        activation: str,
        weight_decay: float | Sequence[float] = 0.0,
        beta: float = 0.0,
        judged: NDArray[np.bool_] | None = None,
    ) -> None:
        self._beta = beta
        some = judged is not None and judged.any() and not judged.all()
        self._judged = torch.from_numpy(np.flatnonzero(judged)) if some else None  # type: ignore[arg-type]
        decay = [weight_decay] * len(state.layers) if isinstance(weight_decay, int | float) else weight_decay
        self._like = state
        self._plain = state.layers[0].ndim == 2 and state.bounds is None
        self._shapes = [layer.shape for layer in state.layers]
        if state.layers[0].ndim == 2 and not self._plain:
            self._shapes = [(1, *shape) for shape in self._shapes]
        self._parameters, self._first, self._second = (
            _flatten([*arrays, *([] if bounds is None else [bounds])])
            for arrays, bounds in (
                (state.layers, state.bounds),
                (state.first, state.bounds_first),
                (state.second, state.bounds_second),
            )
        )
        self._gradient = torch.zeros_like(self._parameters)
        self._views = [self._split(vector) for vector in self._vectors]
        self._layers, self._gradients = self._views[0][: len(decay)], self._views[1][: len(decay)]
        self._bounds = None if state.bounds is None else (self._views[0][-1], self._views[1][-1])
        self._activation = ACTIVATION[activation]
        self._adam = (
            Adam(*self._vectors, state.updates)
            if self._plain and not any(decay)
            else DecayingAdam(
                self._views[0], self._views[1], self._views[2], self._views[3], decay, state.updates
            )
        )

    @property
    def _vectors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._parameters, self._gradient, self._first, self._second

    @property
    def members(self) -> int:
        return self._like.members

    def state(self) -> MlpState:
        """A copy of the parameters and of Adam's moments, of the shapes that they came in."""
        layers, first, second = (
            [
                view.numpy().copy().reshape(like.shape)
                for view, like in zip(self._views[i], self._like.layers, strict=False)
            ]
            for i in (0, 2, 3)
        )
        bounds = (
            [None] * 3 if self._bounds is None else [self._views[i][-1].numpy().copy() for i in (0, 2, 3)]
        )
        return MlpState(layers, first, second, self._adam.updates, *bounds)

    @torch.no_grad()
    def train(
        self,
        data: torch.Tensor,
        old: int,
        *,
        epochs: int,
        batch_size: int,
        fraction_use_new: float,
        learning_rate: float,
        final_learning_rate: float | None = None,
        rng: np.random.Generator,
        progress: Callable[[int, float], None] | None = None,
        bootstrap: np.random.Generator | None = None,
        held_out: torch.Tensor | None = None,
        patience: int | None = None,
    ) -> History:
        """Runs epochs over ``data`` (see `pack`): first ``old`` rows of old points, then new ones.

        An epoch is one pass over the old points in random order, each batch filled up with new points drawn
        with replacement; with no old share, one pass over the new points. A last batch that is not full is
        left out. ``progress`` is called with the epochs done and the loss of the last.

        Args:
            final_learning_rate: of the last epoch; between it and the first the rate falls by the same factor
                from epoch to epoch. None: the rate stays.
            bootstrap: each member has its own data, drawn from both parts with replacement, as many as there
                are.
            held_out: data, as ``data``, on which each epoch is measured.
            patience: stop after so many epochs without a lower held-out loss (the mean over members), and go
                back to the best.
        """
        new = len(data) - old
        share_old, share_new = batch_shares(old, new, batch_size, fraction_use_new)
        batch = share_old + share_new
        count = batches_of_epoch(old, new, batch_size, fraction_use_new)
        per_batch = batch * self.members
        passes = self._passes(batch, data.shape[1], group=min(count, _group_size(data, per_batch)))
        pools = self._pools(old, new, bootstrap)
        index = np.empty((count, self.members, batch), np.int64)
        history, best, least = History(), None, np.inf
        for epoch in range(epochs):
            for member, (pool_old, pool_new) in enumerate(pools):
                chosen = index[:, member]
                if share_old:
                    order = rng.permutation(old)[: count * share_old]
                    chosen[:, :share_old] = _of(pool_old, order).reshape(count, share_old)
                    if share_new:
                        chosen[:, share_old:] = _of(
                            pool_new, rng.integers(old, old + new, (count, share_new)), old
                        )
                else:
                    order = old + rng.permutation(new)[: count * share_new]
                    chosen[:] = _of(pool_new, order, old).reshape(count, share_new)
            flat = torch.from_numpy(index.reshape(count, per_batch))
            rate = epoch_rate(learning_rate, final_learning_rate, epoch, epochs)
            sums = passes.epoch(data, flat, functools.partial(self._adam.step, rate))
            self._record(history, sums, batch)
            if held_out is not None:
                history.held_out.append(self.evaluate(held_out).loss)
                loss = finite_mean(history.held_out[-1])
                if patience is None or not loss >= least:
                    history.best, least = epoch, loss
                    best = None if patience is None else self._parameters_and_moments()
            else:
                history.best = epoch
            if progress is not None:
                progress(epoch + 1, history.losses[-1])
            if patience is not None and epoch - history.best >= patience:
                break
        if best is not None and history.best < len(history.losses) - 1:
            self._restore(best)
        return history

    @torch.no_grad()
    def evaluate(self, data: torch.Tensor, block: int = 8192) -> Evaluation:
        """Each member's losses over all rows of ``data`` (see `pack`)."""
        ninput = self._shapes[0][-1]
        ahead = self._shapes[0][:-2]
        squares = np.zeros(ahead or (1,))
        losses = np.zeros(ahead or (1,))
        for rows in torch.split(data, block):
            between_pieces()
            output, target = self._output(rows), rows[:, ninput:].t()
            if self._bounds is None:
                error = (output - target).double().square()
                loss = error
            else:
                mean, raw = output.chunk(2, dim=-2)
                error = (mean - target).double().square()
                variance = log_variance(raw, self._bounds[0]).double()
                loss = error * torch.exp(-variance) + variance
            squares += _sum(error)
            losses += _sum(loss if self._judged is None else loss.index_select(-2, self._judged))
        noutput = data.shape[1] - ninput
        njudged = noutput if self._judged is None else len(self._judged)
        return Evaluation(squares / (len(data) * noutput), losses / (len(data) * njudged))

    @torch.no_grad()
    def log_variances(self, data: torch.Tensor) -> NDArray[np.float32]:
        """Of a probabilistic model: (members, n, outputs), for the rows of ``data`` (see `pack`)."""
        assert self._bounds is not None
        raw = self._output(data).chunk(2, dim=-2)[1]
        return log_variance(raw, self._bounds[0]).mT.numpy()

    @torch.no_grad()
    def outputs(self, data: torch.Tensor) -> NDArray[np.float32]:
        """What one network gives for the rows of ``data`` (see `pack`), (n, outputs)."""
        return self._output(data).mT.numpy()

    def loss(self, data: torch.Tensor, block: int = 8192) -> float:
        """The mean squared error over all rows of ``data`` (see `pack`), averaged over members."""
        return finite_mean(self.evaluate(data, block).squares)

    def _output(self, rows: torch.Tensor) -> torch.Tensor:
        """(outputs, n), or of members (members, outputs, n)."""
        ones = torch.ones(*self._shapes[0][:-2], 1, len(rows))
        x = rows[:, : self._shapes[0][-1]].t()
        for layer in self._layers[:-1]:
            x = torch.cat([self._activation.forward(layer @ x), ones], dim=-2)
        return self._layers[-1] @ x

    def _passes(self, batch: int, width: int, group: int) -> Passes:
        def loss(output: torch.Tensor) -> Loss:
            if self._bounds is None:
                return SquaredError(output)
            return GaussianLikelihood(output, *self._bounds, self._beta)

        return Passes(self._layers, self._gradients, self._activation, loss, batch, width, group)

    def _pools(
        self, old: int, new: int, bootstrap: np.random.Generator | None
    ) -> list[tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]]:
        """Of each member: the rows that its old and its new points stand for, or None: themselves."""
        if bootstrap is None:
            return [(None, None)] * self.members
        return [
            (bootstrap.integers(0, old, old), old + bootstrap.integers(0, new, new) if new else None)
            for _ in range(self.members)
        ]

    def _record(self, history: History, sums: tuple[torch.Tensor, torch.Tensor], batch: int) -> None:
        noutput = self._shapes[-1][-2] // (1 if self._bounds is None else 2)
        squares, likelihoods = (
            (each.double().mean(0) / (noutput * batch)).numpy()
            for each in (sums[0], sums[0 if self._bounds is None else 1])
        )
        history.squares.append(squares)
        history.likelihoods.append(likelihoods)
        history.losses.append(finite_mean(squares))

    def _parameters_and_moments(self) -> tuple[list[torch.Tensor], int]:
        return [
            vector.clone() for vector in (self._parameters, self._first, self._second)
        ], self._adam.updates

    def _restore(self, saved: tuple[list[torch.Tensor], int]) -> None:
        for vector, values in zip((self._parameters, self._first, self._second), saved[0], strict=True):
            vector.copy_(values)
        self._adam.updates = saved[1]

    def _split(self, vector: torch.Tensor) -> list[torch.Tensor]:
        shapes = [*self._shapes, *([] if self._like.bounds is None else [self._like.bounds.shape])]
        sizes = [int(np.prod(shape)) for shape in shapes]
        return [part.view(shape) for part, shape in zip(torch.split(vector, sizes), shapes, strict=True)]


def finite_mean(values: NDArray[np.float64]) -> float:
    """The mean over the members that are finite; NaN if none is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _sum(values: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray((values.sum() if values.dim() == 2 else values.sum((1, 2))).numpy())


def _of(pool: NDArray[np.int64] | None, rows: NDArray[np.int64], first: int = 0) -> NDArray[np.int64]:
    return rows if pool is None else pool[rows - first]


def _flatten(matrices: Sequence[Matrix]) -> torch.Tensor:
    return torch.cat([torch.from_numpy(matrix).reshape(-1) for matrix in matrices])


def _group_size(data: torch.Tensor, batch: int) -> int:
    return max(1, _GATHER_BYTES // (batch * data.shape[1] * data.element_size()))
