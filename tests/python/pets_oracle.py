"""A probabilistic ensemble written plainly in PyTorch, with autograd: what the trainer is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import softplus

from mbmf.nn.mlp_state import MlpState

_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "silu": lambda z: z * torch.sigmoid(z)}


class PlainEnsemble:
    """Members as lists of tensors that want a gradient, from a trainer's state."""

    def __init__(self, state: MlpState, activation: str, dtype: torch.dtype = torch.float64) -> None:
        layers = [layer if layer.ndim == 3 else layer[None] for layer in state.layers]
        self.weights = [torch.tensor(layer[:, :, :-1], dtype=dtype, requires_grad=True) for layer in layers]
        self.biases = [
            torch.tensor(layer[:, None, :, -1], dtype=dtype, requires_grad=True) for layer in layers
        ]
        self.bounds: list[torch.Tensor] = []
        if state.bounds is not None:
            self.bounds = [torch.tensor(row, dtype=dtype, requires_grad=True) for row in state.bounds]
        self.activation = _ACTIVATIONS[activation]

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [*self.weights, *self.biases, *self.bounds]

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Means and log variances, (members, n, outputs) each, of inputs (members, n, inputs)."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight.transpose(1, 2))
            if i < len(self.weights) - 1:
                x = self.activation(x)
        if not self.bounds:
            return x, None
        upper, lower = self.bounds
        mean, raw = x.chunk(2, dim=-1)
        log_variance = upper - softplus(upper - raw)
        return mean, lower + softplus(log_variance - lower)

    def member_losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(members): what each is trained with, without decay and bounds."""
        mean, log_variance = self.outputs(x)
        error = (mean - y) ** 2
        if log_variance is None:
            return error.mean((1, 2))
        return (error * torch.exp(-log_variance) + log_variance).mean((1, 2))

    def loss(self, x: torch.Tensor, y: torch.Tensor, decay: Sequence[float]) -> torch.Tensor:
        """What is minimised."""
        loss = self.member_losses(x, y).sum()
        for weight, value in zip(self.weights, decay, strict=True):
            loss = loss + value * 0.5 * (weight**2).sum()
        if self.bounds:
            loss = loss + 0.01 * (self.bounds[0].sum() - self.bounds[1].sum())
        return loss
