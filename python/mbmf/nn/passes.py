"""Passes forward and backward over minibatches, written out on buffers that are allocated once.

Activations are kept transposed, (features, batch), with a last row of ones: a layer is then the one product
[W | b] @ [x; 1], its gradient dz @ [x; 1]', and no bias needs a pass of its own. Members of an ensemble are a
first dimension of everything, and a product is then one of batches of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from mbmf.nn.activations import Activation
from mbmf.nn.ending import between_pieces
from mbmf.nn.losses import GaussianLikelihood, SquaredError

Loss = GaussianLikelihood | SquaredError


class Passes:
    """Buffers for batches of one size, and the passes over them.

    Args:
        layers, gradients: [W | b] of each layer, (rows, cols + 1) or (members, rows, cols + 1).
        activation: of the hidden layers.
        loss: makes the loss of an output's buffer.
        batch: points of a batch, of each member.
        width: of a row of data: inputs, 1, targets.
        group: batches that are gathered at once.
    """

    def __init__(
        self,
        layers: Sequence[torch.Tensor],
        gradients: Sequence[torch.Tensor],
        activation: Activation,
        loss: Callable[[torch.Tensor], Loss],
        batch: int,
        width: int,
        group: int,
    ) -> None:
        self._layers, self._gradients, self._activation = layers, gradients, activation
        ahead = layers[0].shape[:-2]
        self._members = ahead.numel()
        self._product = torch.bmm if ahead else torch.mm
        rows = [layer.shape[-2] for layer in layers]
        ninput = layers[0].shape[-1]
        self._gathered = torch.empty(group * self._members * batch, width)
        self._batches = [
            (rows[..., :ninput], rows[..., :ninput].mT, rows[..., ninput:].mT)
            for rows in self._gathered.view(group, *ahead, batch, width)
        ]
        # hidden activations with their row of ones, and the gradients with respect to them
        self._hidden = [torch.ones(*ahead, n + 1, batch) for n in rows[:-1]]
        self._activated = [with_ones[..., :-1, :] for with_ones in self._hidden]
        self._hidden_gradients = [torch.empty(*ahead, n, batch) for n in rows[:-1]]
        self._z = [
            torch.empty(*ahead, n, batch) if activation.reads_z else activated
            for n, activated in zip(rows[:-1], self._activated, strict=True)
        ]
        self._hidden_t = [with_ones.mT for with_ones in self._hidden]
        self._weights_t = [layer[..., :-1].mT for layer in layers]
        self._output = torch.empty(*ahead, rows[-1], batch)
        self._loss = loss(self._output)

    def epoch(
        self, data: torch.Tensor, index: torch.Tensor, update: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One update for each row of ``index`` (batches, members x batch size).

        Returns float32 (batches, members): sums of each batch's squared errors and likelihoods.
        """
        ahead = self._layers[0].shape[:-2]
        squares = torch.empty(len(index), *ahead)
        likelihoods = torch.empty(len(index), *ahead)
        done = 0
        for group in torch.split(index, len(self._batches)):
            # contiguous rows for a group of batches at once
            torch.index_select(data, 0, group.reshape(-1), out=self._gathered[: group.numel()])
            for x, x_t, target in self._batches[: len(group)]:
                between_pieces()
                self._forward(x_t)
                self._loss.gradient_(target, squares[done], likelihoods[done])
                self._backward(x)
                update()
                done += 1
        return squares.view(len(index), -1), likelihoods.view(len(index), -1)

    def _forward(self, x: torch.Tensor) -> None:
        *hidden_layers, last = self._layers
        for layer, z, activated, with_ones in zip(
            hidden_layers, self._z, self._activated, self._hidden, strict=True
        ):
            self._product(layer, x, out=z)
            self._activation.forward(z, out=activated)
            x = with_ones
        self._product(last, x, out=self._output)

    def _backward(self, x: torch.Tensor) -> None:
        upstream = self._output
        for i in range(len(self._layers) - 1, 0, -1):
            self._product(upstream, self._hidden_t[i - 1], out=self._gradients[i])
            below = self._hidden_gradients[i - 1]
            self._product(self._weights_t[i], upstream, out=below)
            self._activation.backward(below, self._z[i - 1], self._activated[i - 1])
            upstream = below
        self._product(upstream, x, out=self._gradients[0])
