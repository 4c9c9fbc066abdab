"""Parameters of a multi-layer perceptron in training. NumPy only: models are loaded without PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
ACTIVATIONS = ("relu", "tanh")
MAX_LAYERS = 64


@dataclass
class MlpState:
    """Layers [W | b], each (rows, cols + 1) float32, and Adam's two moments of the same shapes."""

    layers: list[Matrix]
    first: list[Matrix] = field(default_factory=list)
    second: list[Matrix] = field(default_factory=list)
    updates: int = 0

    def __post_init__(self) -> None:
        self.first = self.first or [np.zeros_like(layer) for layer in self.layers]
        self.second = self.second or [np.zeros_like(layer) for layer in self.layers]


def layer_sizes(hidden: Sequence[int] | int) -> list[int]:
    """The sizes of hidden layers, still to be checked. Raises ValueError if that is no list of a few.

    A whole number is one layer.
    """
    if isinstance(hidden, int | np.integer) and not isinstance(hidden, bool):
        return [int(hidden)]
    if isinstance(hidden, str | bytes) or not isinstance(hidden, Iterable) or len(hidden) > MAX_LAYERS:
        raise ValueError(f"hidden must be the sizes of at most {MAX_LAYERS} layers, got {hidden!r}")
    return list(hidden)


def xavier_normal(sizes: Sequence[int], rng: np.random.Generator) -> MlpState:
    """Weights N(0, 2 / (fan in + fan out)) and zero biases, for layers between ``sizes``."""
    layers = []
    for cols, rows in itertools.pairwise(sizes):
        layer = np.zeros((rows, cols + 1), np.float32)
        layer[:, :cols] = rng.standard_normal((rows, cols)) * np.sqrt(2.0 / (rows + cols))
        layers.append(layer)
    return MlpState(layers)
