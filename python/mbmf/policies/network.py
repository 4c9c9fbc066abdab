"""The PyTorch side of a Gaussian policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class PolicyNetwork(torch.nn.Module):
    """Mean actions of observations: linear layers with tanh between them; the deviations beside.

    Attributes:
        layers: torch.nn.Linear each, from observation to action.
        log_std: logarithms of the standard deviations, (naction,).
    """

    def __init__(
        self,
        weights: Sequence[NDArray[np.float32]],
        biases: Sequence[NDArray[np.float32]],
        log_std: NDArray[np.float32],
    ) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList()
        for weight, bias in zip(weights, biases, strict=True):
            rows, cols = weight.shape
            layer = torch.nn.Linear(cols, rows, device="meta")
            layer.weight = torch.nn.Parameter(torch.tensor(weight))
            layer.bias = torch.nn.Parameter(torch.tensor(bias))
            self.layers.append(layer)
        self.log_std = torch.nn.Parameter(torch.tensor(log_std))

    def ordered_parameters(self) -> list[torch.nn.Parameter]:
        """Weight and bias of each layer, then log_std."""
        return [*self.layers.parameters(), self.log_std]

    @torch.no_grad()
    def set_parameter(self, index: int, values: NDArray[np.floating[Any]]) -> None:
        """Sets the parameter of that place in `ordered_parameters`."""
        self.ordered_parameters()[index].copy_(torch.from_numpy(np.array(values)))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """(..., nobservation) -> mean actions (..., naction)."""
        x = observations
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        mean: torch.Tensor = self.layers[-1](x)
        return mean

    def distribution(self, observations: torch.Tensor) -> torch.distributions.Distribution:
        """The distribution of the actions; its log_prob and kl_divergence sum over the actions."""
        mean = self(observations)
        normal = torch.distributions.Normal(mean, self.log_std.exp().expand_as(mean), validate_args=False)
        return torch.distributions.Independent(normal, 1, validate_args=False)
