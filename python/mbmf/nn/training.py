"""Minibatch training of a multi-layer perceptron: mean squared error, Adam, in float32, in PyTorch.

The updates are those of autograd and torch.optim.Adam, without what these cost per batch (bench_training.py
measures it): the data are resident in one matrix, whose rows a whole group of batches takes in one gather;
passes forward and backward are written out on buffers that are allocated once; Adam runs on one vector of
all parameters.

Activations are kept transposed, (features, batch), with a last row of ones: a layer is then the one product
[W | b] @ [x; 1], its gradient dz @ [x; 1]', and no bias needs a pass of its own.

Tried, and not worth it on 2 cores of an AMD EPYC (Zen 4): one hidden layer of 500, batch 512, 18 inputs, 16
outputs: activations as (batch, features): 5 % slower at 2 threads; the fused (private) Adam kernel: 5 %
faster; oneDNN's fused linear and ReLU (private): 10 % less for the first layer; batches taken in parts that
fit the L2 cache: 3 % slower in halves, 12 % in quarters. Over eight tenths of an update are matrix products.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from mbmf.nn.ending import between_pieces, torch_at_work
from mbmf.nn.mlp_state import Matrix, MlpState

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
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
    """PyTorch uses ``nthread`` threads within the block, and what it used before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(nthread)
    try:
        with torch_at_work():
            yield
    finally:
        torch.set_num_threads(before)


def batch_shares(old: int, new: int, batch_size: int, fraction_use_new: float) -> tuple[int, int]:
    """How many old and new points a batch has: the new share is a fraction of it, or all new data if less."""
    share_new = min(int(batch_size * fraction_use_new), new)
    return min(batch_size - share_new, old), share_new


class Trainer:
    """Trains a network in place of autograd. Use within `torch_threads`; not thread-safe."""

    def __init__(self, state: MlpState, activation: str) -> None:
        self._shapes = [layer.shape for layer in state.layers]
        self._parameters = _flatten(state.layers)
        self._first, self._second = _flatten(state.first), _flatten(state.second)
        self._gradient = torch.zeros_like(self._parameters)
        self._denominator = torch.zeros_like(self._parameters)
        self._layers = self._views(self._parameters)
        self._layer_gradients = self._views(self._gradient)
        self._updates = state.updates
        self._activate, self._activate_backward = _ACTIVATIONS[activation]

    def state(self) -> MlpState:
        """A copy of the parameters and of Adam's moments."""
        layers, first, second = (
            [view.numpy().copy() for view in self._views(vector)]
            for vector in (self._parameters, self._first, self._second)
        )
        return MlpState(layers, first, second, self._updates)

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
        rng: np.random.Generator,
        progress: Callable[[int, float], None] | None = None,
    ) -> list[float]:
        """Runs epochs over ``data`` (see `pack`): first ``old`` rows of old points, then new ones.

        An epoch is one pass over the old points in random order, each batch filled up with new points drawn
        with replacement; with no old share, one pass over the new points. A last batch that is not full is
        left out. ``progress`` is called with the epochs done and the loss of the last. Returns the mean loss
        of each epoch's batches, each measured before its update.
        """
        new = len(data) - old
        share_old, share_new = batch_shares(old, new, batch_size, fraction_use_new)
        batch = share_old + share_new
        count = old // share_old if share_old else new // share_new
        passes = _Passes(self, batch, data.shape[1], group=min(count, _group_size(data, batch)))
        index = np.empty((count, batch), np.int64)
        losses = []
        for epoch in range(epochs):
            if share_old:
                index[:, :share_old] = rng.permutation(old)[: count * share_old].reshape(count, share_old)
                if share_new:
                    index[:, share_old:] = rng.integers(old, old + new, (count, share_new))
            else:
                index[:] = old + rng.permutation(new)[: count * share_new].reshape(count, share_new)
            losses.append(passes.epoch(data, torch.from_numpy(index), learning_rate))
            if progress is not None:
                progress(epoch + 1, losses[-1])
        return losses

    @torch.no_grad()
    def loss(self, data: torch.Tensor, block: int = 8192) -> float:
        """The mean squared error over all rows of ``data`` (see `pack`)."""
        ninput = self._shapes[0][1]
        total = 0.0
        for rows in torch.split(data, block):
            between_pieces()
            x = rows[:, :ninput].t()
            for layer in self._layers[:-1]:
                x = torch.cat([self._activate(layer @ x), torch.ones(1, len(rows))])
            error = self._layers[-1] @ x - rows[:, ninput:].t()
            total += float(error.double().square().sum())
        return total / (len(data) * int(self._shapes[-1][0]))

    def _update(self, learning_rate: float) -> None:
        """One step of Adam, with both bias corrections folded into the step and into epsilon."""
        self._updates += 1
        correction1 = 1 - _BETA1**self._updates
        correction2 = (1 - _BETA2**self._updates) ** 0.5
        self._first.lerp_(self._gradient, 1 - _BETA1)
        self._second.mul_(_BETA2).addcmul_(self._gradient, self._gradient, value=1 - _BETA2)
        torch.sqrt(self._second, out=self._denominator).add_(_EPSILON * correction2)
        step = learning_rate * correction2 / correction1
        self._parameters.addcdiv_(self._first, self._denominator, value=-step)

    def _views(self, vector: torch.Tensor) -> list[torch.Tensor]:
        sizes = [rows * cols for rows, cols in self._shapes]
        return [
            part.view(shape) for part, shape in zip(torch.split(vector, sizes), self._shapes, strict=True)
        ]


class _Passes:
    """Buffers for batches of one size, and the passes over them."""

    def __init__(self, trainer: Trainer, batch: int, width: int, group: int) -> None:
        self._trainer = trainer
        shapes = trainer._shapes
        ninput, noutput = shapes[0][1], shapes[-1][0]
        self._gathered = torch.empty(group * batch, width)
        self._batches = [
            (rows[:, :ninput], rows[:, :ninput].t(), rows[:, ninput:].t())
            for rows in torch.split(self._gathered, batch)
        ]
        # hidden activations with their row of ones, and the gradients with respect to them
        self._hidden = [torch.ones(rows + 1, batch) for rows, _ in shapes[:-1]]
        self._hidden_gradients = [torch.empty(rows, batch) for rows, _ in shapes[:-1]]
        self._output = torch.empty(noutput, batch)
        self._scale = 2.0 / (noutput * batch)

    def epoch(self, data: torch.Tensor, index: torch.Tensor, learning_rate: float) -> float:
        """One update for each row of ``index`` (batches, batch size); returns the mean of their losses."""
        squares = torch.empty(len(index))
        flat_output = self._output.view(-1)
        done = 0
        for group in torch.split(index, len(self._batches)):
            # contiguous rows for a group of batches at once
            torch.index_select(data, 0, group.reshape(-1), out=self._gathered[: group.numel()])
            for x, x_t, target in self._batches[: len(group)]:
                between_pieces()
                self._forward(x_t)
                error = self._output.sub_(target)
                torch.dot(flat_output, flat_output, out=squares[done])
                error.mul_(self._scale)
                self._backward(x)
                self._trainer._update(learning_rate)
                done += 1
        return squares.double().mean().item() / self._output.numel()

    def _forward(self, x: torch.Tensor) -> None:
        *hidden_layers, last = self._trainer._layers
        for layer, with_ones in zip(hidden_layers, self._hidden, strict=True):
            z = with_ones[:-1]
            torch.mm(layer, x, out=z)
            self._trainer._activate(z, out=z)
            x = with_ones
        torch.mm(last, x, out=self._output)

    def _backward(self, x: torch.Tensor) -> None:
        layers, gradients = self._trainer._layers, self._trainer._layer_gradients
        upstream = self._output
        for i in range(len(layers) - 1, 0, -1):
            torch.mm(upstream, self._hidden[i - 1].t(), out=gradients[i])
            below = self._hidden_gradients[i - 1]
            torch.mm(layers[i][:, :-1].t(), upstream, out=below)
            self._trainer._activate_backward(below, self._hidden[i - 1][:-1])
            upstream = below
        torch.mm(upstream, x, out=gradients[0])


def _relu(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    return torch.clamp_min(x, 0.0, out=out)


def _relu_backward(gradient: torch.Tensor, activated: torch.Tensor) -> None:
    torch.ops.aten.threshold_backward(gradient, activated, 0.0, grad_input=gradient)


def _tanh_backward(gradient: torch.Tensor, activated: torch.Tensor) -> None:
    torch.ops.aten.tanh_backward(gradient, activated, grad_input=gradient)


# from (z, out=z) to the activation, and the gradient through it, in place
_ACTIVATIONS: dict[str, tuple[Callable[..., torch.Tensor], Callable[[torch.Tensor, torch.Tensor], None]]] = {
    "relu": (_relu, _relu_backward),
    "tanh": (torch.tanh, _tanh_backward),
}


def _flatten(matrices: Sequence[Matrix]) -> torch.Tensor:
    return torch.cat([torch.from_numpy(matrix).reshape(-1) for matrix in matrices])


def _group_size(data: torch.Tensor, batch: int) -> int:
    return max(1, _GATHER_BYTES // (batch * data.shape[1] * data.element_size()))
