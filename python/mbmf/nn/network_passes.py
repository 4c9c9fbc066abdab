"""Passes of a policy's mean network over many observations: forward, Jacobian products, and both at once.

What the passes share, the observations and the hidden activations, stays as it is over a whole update of the
policy; each pass goes through it in chunks whose temporaries stay in cache, several chunks at a time. Chunks
have a fixed size and their results are added up in order, in float64, so a sum is the same bits at any number
of threads. float32 or float64, as the observations are.

The tanh of a layer comes from the logistic function, tanh(x) = 2 s(2 x) - 1: within 2e-7 of tanh in float32
(the test sweeps it), and PyTorch computes it in a fifth of the time.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

from mbmf.nn.ending import between_pieces

CHUNK = 4096

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Threads that each compute with one PyTorch thread: `map` over chunks. Use as a context manager."""

    def __init__(self, nthread: int) -> None:
        self._pool = ThreadPoolExecutor(nthread, "mbmf", lambda: torch.set_num_threads(1))

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The results in the order of the items."""
        between_pieces()
        return list(self._pool.map(function, items))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()


class MeanNetwork:
    """The shape of a tanh network with a linear output, and its parameters as one vector.

    The vector holds, layer by layer, the weights (rows, cols) by rows and the biases (rows).
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.nparameter = sum((cols + 1) * rows for cols, rows in itertools.pairwise(sizes))

    def layers(self, vector: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Views of weights and biases in a vector (nparameter), or more: what follows is left alone."""
        layers, first = [], 0
        for cols, rows in itertools.pairwise(self.sizes):
            weights, biases = first + rows * cols, first + rows * (cols + 1)
            layers.append((vector[first:weights].view(rows, cols), vector[weights:biases]))
            first = biases
        return layers


class Buffers:
    """Memory of a thread for the layers of a chunk; without it every pass would map pages of its own."""

    def __init__(self, network: MeanNetwork, dtype: torch.dtype, rows: int = CHUNK) -> None:
        self._layers = [torch.empty(rows * width, dtype=dtype) for width in network.sizes[1:]]

    def layer(self, i: int, rows: int, width: int) -> torch.Tensor:
        """(rows, width) for layer i, contiguous; the last layer's by columns, which its products prefer."""
        part = self._layers[i][: rows * width]
        return part.view(width, rows).t() if i == len(self._layers) - 1 else part.view(rows, width)


def tanh_of_half_(x: torch.Tensor) -> torch.Tensor:
    """tanh(x / 2), in place, within 2e-7 in float32."""
    minus_one = torch.tensor(-1.0, dtype=x.dtype)
    return torch.add(minus_one, x.sigmoid_(), alpha=2, out=x)


def forward(
    network: MeanNetwork, parameters: torch.Tensor, inputs: torch.Tensor, buffers: Buffers | None = None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The outputs (n, nout) for inputs (n, nin), and the activations (n, width) of each hidden layer.

    With buffers, both are in them.
    """
    buffers = buffers or Buffers(network, inputs.dtype, len(inputs))
    hidden: list[torch.Tensor] = []
    x = inputs
    layers = network.layers(parameters)
    for i, (w, b) in enumerate(layers):
        out = buffers.layer(i, len(x), len(w))
        last = i == len(layers) - 1
        _product(x, w, b, out, scale=1 if last else 2)
        if not last:
            x = tanh_of_half_(out)
            hidden.append(x)
    return out, hidden


def jacobian_vector(
    network: MeanNetwork,
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    hidden: Sequence[torch.Tensor],
    direction: torch.Tensor,
    buffers: Buffers | None = None,
) -> torch.Tensor:
    """J v: how the outputs (n, nout) change along ``direction`` (nparameter), by the chain rule forward.

    With buffers, it is in them.
    """
    buffers = buffers or Buffers(network, inputs.dtype, len(inputs))
    layers, changes = network.layers(parameters), network.layers(direction)
    dx = dz = inputs
    for i, ((w, _), (dw, db)) in enumerate(zip(layers, changes, strict=True)):
        dz = buffers.layer(i, len(inputs), len(w))
        _product(hidden[i - 1] if i else inputs, dw, db, dz)
        if i:
            dz.addmm_(dx, w.t())
        if i < len(hidden):
            dx = _through_tanh_(dz, hidden[i])
    return dz


def vector_jacobian(
    network: MeanNetwork,
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    hidden: Sequence[torch.Tensor],
    upstream: torch.Tensor,
    buffers: Buffers | None = None,
) -> torch.Tensor:
    """J' u: the gradient (nparameter) of sum(outputs * u), by the chain rule backward; u (n, nout).

    With buffers, which u may be in, temporaries are there.
    """
    buffers = buffers or Buffers(network, inputs.dtype, len(inputs))
    gradient = parameters.new_empty(network.nparameter)
    layers, gradients = network.layers(parameters), network.layers(gradient)
    dz = upstream
    for i in range(len(layers) - 1, -1, -1):
        dw, db = gradients[i]
        x = hidden[i - 1] if i else inputs
        if dw.shape[0] > dw.shape[1]:
            dw.copy_(torch.mm(x.t(), dz).t())
        else:
            torch.mm(dz.t(), x, out=dw)
        torch.sum(dz, 0, out=db)
        if i:
            below = buffers.layer(i - 1, len(inputs), len(layers[i - 1][0]))
            dz = _through_tanh_(torch.mm(dz, layers[i][0], out=below), hidden[i - 1])
    return gradient


def _product(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, out: torch.Tensor, scale: int = 1) -> None:
    """out = scale * (x w' + b)."""
    if out.is_contiguous():
        torch.addmm(b, x, w.t(), beta=scale, alpha=scale, out=out)
    else:
        torch.addmm(b.unsqueeze(1), w, x.t(), beta=scale, alpha=scale, out=out.t())


def _through_tanh_(gradient: torch.Tensor, activated: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten.tanh_backward(gradient, activated, grad_input=gradient)  # type: ignore[no-any-return]


class Passes:
    """Passes over observations (N, nin) at fixed parameters, whose activations are computed once.

    Args:
        network: its shape.
        parameters: (nparameter), and what follows it.
        inputs: observations (N, nin).
        hidden: what each hidden layer gives for them, (N, width), if that is known already.
        workers: who computes.
    """

    def __init__(
        self,
        network: MeanNetwork,
        parameters: torch.Tensor,
        inputs: torch.Tensor,
        workers: Workers,
        hidden: Sequence[torch.Tensor] | None = None,
    ) -> None:
        self.network, self.parameters, self.workers = network, parameters, workers
        self._local = threading.local()
        self.slices = chunks(len(inputs))
        self._inputs = [inputs[part] for part in self.slices]
        if hidden is None:
            self._hidden = workers.map(lambda x: forward(network, parameters, x)[1], self._inputs)
        else:
            self._hidden = [[layer[part] for layer in hidden] for part in self.slices]

    def map_outputs(
        self, parameters: torch.Tensor, function: Callable[[slice, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """The sum over chunks of what ``function`` makes of a chunk's rows and outputs at ``parameters``."""

        def one(i: int) -> torch.Tensor:
            outputs, _ = forward(self.network, parameters, self._inputs[i], self._buffers())
            return function(self.slices[i], outputs)

        return self._sum(one)

    def gradient(self, upstream: torch.Tensor) -> torch.Tensor:
        """J' u, (nparameter) float64, for u (N, nout)."""

        def one(i: int) -> torch.Tensor:
            u = upstream[self.slices[i]]
            at = (self.network, self.parameters, self._inputs[i], self._hidden[i])
            return vector_jacobian(*at, u, self._buffers())

        return self._sum(one)

    def gauss_newton(self, direction: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """J' diag(w) J v, (nparameter) float64, for v (nparameter) and weights w (nout) of the outputs."""
        v = direction.to(self.parameters.dtype)

        def one(i: int) -> torch.Tensor:
            at = (self.network, self.parameters, self._inputs[i], self._hidden[i])
            buffers = self._buffers()
            return vector_jacobian(*at, jacobian_vector(*at, v, buffers).mul_(weights), buffers)

        return self._sum(one)

    def _buffers(self) -> Buffers:
        """This thread's."""
        if not hasattr(self._local, "buffers"):
            self._local.buffers = Buffers(self.network, self.parameters.dtype)
        buffers: Buffers = self._local.buffers
        return buffers

    def _sum(self, one: Callable[[int], torch.Tensor]) -> torch.Tensor:
        parts = self.workers.map(one, range(len(self.slices)))
        total = torch.zeros_like(parts[0], dtype=torch.float64)
        for part in parts:
            total += part
        return total


def chunks(count: int, size: int = CHUNK) -> list[slice]:
    """``count`` rows as slices of ``size`` rows, the last of which may have fewer."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
