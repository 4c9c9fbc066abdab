"""Activations in training: forward into a buffer, backward in place, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Activation:
    """An activation function.

    Attributes:
        forward: from (z, out=buffer), or from z to a new tensor.
        backward: from (gradient, z, activated): the gradient through it, in place. It reads one of the two.
        reads_z: whether that is z; otherwise z need not be kept.
    """

    forward: Callable[..., torch.Tensor]
    backward: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
    reads_z: bool


def _relu(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    return torch.clamp_min(x, 0.0, out=out)


def _relu_backward(gradient: torch.Tensor, z: torch.Tensor, activated: torch.Tensor) -> None:
    torch.ops.aten.threshold_backward(gradient, activated, 0.0, grad_input=gradient)


def _tanh_backward(gradient: torch.Tensor, z: torch.Tensor, activated: torch.Tensor) -> None:
    torch.ops.aten.tanh_backward(gradient, activated, grad_input=gradient)


def _silu(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    if out is None:
        return torch.nn.functional.silu(x)
    return torch.ops.aten.silu.out(x, out=out)  # type: ignore[no-any-return]


def _silu_backward(gradient: torch.Tensor, z: torch.Tensor, activated: torch.Tensor) -> None:
    torch.ops.aten.silu_backward(gradient, z, grad_input=gradient)


ACTIVATION: dict[str, Activation] = {
    "relu": Activation(_relu, _relu_backward, reads_z=False),
    "tanh": Activation(torch.tanh, _tanh_backward, reads_z=False),
    "silu": Activation(_silu, _silu_backward, reads_z=True),
}
