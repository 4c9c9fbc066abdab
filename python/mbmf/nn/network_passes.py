"""Passes of a policy's mean network over many observations: forward, Jacobian products, and both at once.

What the passes share, the observations and the hidden activations, stays as it is over a whole update of the
policy. The core goes through it in blocks of rows whose temporaries stay in cache (`_core.NetworkPasses`), in
float32; sums over rows are float64 and the same bits at any number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from mbmf import _core
from mbmf.nn.ending import between_pieces


class MeanNetwork:
    """The shape of a tanh network with a linear output, and its parameters as one vector.

    The vector holds, layer by layer, the weights (rows, cols) by rows and the biases (rows).
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.nparameter = sum((cols + 1) * rows for cols, rows in itertools.pairwise(sizes))

    def at(self, parameters: torch.Tensor) -> _core.NetworkPasses:
        """The network at parameters (nparameter), or more: what follows is left alone."""
        return _core.NetworkPasses(self.sizes, parameters[: self.nparameter].numpy())

    def layers(self, vector: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Views of weights and biases in a vector (nparameter), or more: what follows is left alone."""
        layers, first = [], 0
        for cols, rows in itertools.pairwise(self.sizes):
            weights, biases = first + rows * cols, first + rows * (cols + 1)
            layers.append((vector[first:weights].view(rows, cols), vector[weights:biases]))
            first = biases
        return layers


class Passes:
    """Passes over observations (N, nin) at fixed parameters, whose activations are computed once.

    Args:
        network: its shape.
        parameters: (nparameter), and what follows it.
        inputs: observations (N, nin).
        nthread: threads that compute.
        hidden: what each hidden layer gives for them, (N, width), if that is known already.
    """

    def __init__(
        self,
        network: MeanNetwork,
        parameters: torch.Tensor,
        inputs: torch.Tensor,
        nthread: int,
        hidden: Sequence[torch.Tensor] | None = None,
    ) -> None:
        self._network, self._nthread = network, nthread
        self._inputs = inputs.numpy()
        self._here = network.at(parameters)
        if hidden is None:
            self._hidden = self._here.forward(self._inputs, True, nthread)[1]
        else:
            self._hidden = [layer.numpy() for layer in hidden]

    def outputs(self, parameters: torch.Tensor) -> torch.Tensor:
        """(N, nout) at other parameters."""
        between_pieces()
        outputs, _ = self._network.at(parameters).forward(self._inputs, False, self._nthread)
        return torch.from_numpy(outputs)

    def gradient(self, upstream: torch.Tensor) -> torch.Tensor:
        """J' u, (nparameter) float64, for u (N, nout): the chain rule backward."""
        between_pieces()
        u = upstream.numpy()
        return torch.from_numpy(self._here.gradient(self._inputs, self._hidden, u, self._nthread))

    def gauss_newton(self, direction: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """J' diag(w) J v, (nparameter) float64, for v (nparameter) and weights w (nout) of the outputs: the
        chain rule forward, then backward."""
        between_pieces()
        v, w = direction.to(torch.float32).numpy(), weights.numpy()
        return torch.from_numpy(self._here.gauss_newton(self._inputs, self._hidden, v, w, self._nthread))
