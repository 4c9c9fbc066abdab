"""Adam on one vector of all parameters (Kingma and Ba 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam's steps, with both bias corrections folded into the step and into epsilon.

    Args:
        parameters, gradient, first, second: vectors of one length; all but the gradient are changed in place.
        updates: how many there were before.
    """

    def __init__(
        self,
        parameters: torch.Tensor,
        gradient: torch.Tensor,
        first: torch.Tensor,
        second: torch.Tensor,
        updates: int,
    ) -> None:
        self._parameters, self._gradient = parameters, gradient
        self._first, self._second = first, second
        self._denominator = torch.zeros_like(parameters)
        self.updates = updates

    def step(self, learning_rate: float) -> None:
        self.updates += 1
        correction1 = 1 - BETA1**self.updates
        correction2 = (1 - BETA2**self.updates) ** 0.5
        self._first.lerp_(self._gradient, 1 - BETA1)
        self._second.mul_(BETA2).addcmul_(self._gradient, self._gradient, value=1 - BETA2)
        torch.sqrt(self._second, out=self._denominator).add_(EPSILON * correction2)
        step = learning_rate * correction2 / correction1
        self._parameters.addcdiv_(self._first, self._denominator, value=-step)


class DecayingAdam:
    """Adam in PyTorch's fused kernel, which also adds decay * weight to the gradient.

    A fifth of the time of `Adam` where the parameters do not fit a cache, and other bits.

    Args:
        parameters, gradients, first, second: the layers' views [W | b] (..., rows, cols + 1) of each, and
            others behind them, which do not decay.
        decay: one number for each layer; biases do not decay.
        updates: how many there were before.
    """

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        gradients: Sequence[torch.Tensor],
        first: Sequence[torch.Tensor],
        second: Sequence[torch.Tensor],
        decay: Sequence[float],
        updates: int,
    ) -> None:
        all_decay = [*decay, *[0.0] * (len(parameters) - len(decay))]
        self._groups = []
        for value in dict.fromkeys(all_decay):
            chosen = [i for i, own in enumerate(all_decay) if own == value]
            group = [[tensors[i] for i in chosen] for tensors in (parameters, gradients, first, second)]
            self._groups.append((value, group))
        # what the kernel adds to the biases' gradients too, and they must not have
        self._biases = [
            (gradient[..., -1], layer[..., -1], value)
            for layer, gradient, value in zip(parameters, gradients, decay, strict=False)
            if value
        ]
        self._step = torch.tensor(float(updates))
        self.updates = updates

    def step(self, learning_rate: float) -> None:
        self.updates += 1
        self._step.fill_(self.updates)
        for gradient, bias, value in self._biases:
            gradient.sub_(bias, alpha=value)
        for value, (parameters, gradients, first, second) in self._groups:
            torch._fused_adam_(
                parameters,
                gradients,
                first,
                second,
                [],
                [self._step] * len(parameters),
                lr=learning_rate,
                beta1=BETA1,
                beta2=BETA2,
                weight_decay=value,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
