"""Parameters of multi-layer perceptrons in training. NumPy only: models are loaded without PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
ACTIVATIONS = ("relu", "tanh", "silu")
MAX_LAYERS = 64
UPPER_BOUND, LOWER_BOUND = 0.5, -10.0
"""Of normalised log variances, at the start."""


@dataclass
class MlpState:
    """A network, or members of an ensemble, with Adam's two moments, of the shapes of what they are of.

    Attributes:
        layers: [W | b], each (rows, cols + 1) float32; of several members (members, rows, cols + 1).
        first, second: of the layers.
        updates: so far.
        bounds: of a probabilistic model's log variances, float32 (2, n): the upper, then the lower ones, with
            their moments; None for another model.
    """

    layers: list[Matrix]
    first: list[Matrix] = field(default_factory=list)
    second: list[Matrix] = field(default_factory=list)
    updates: int = 0
    bounds: Matrix | None = None
    bounds_first: Matrix | None = None
    bounds_second: Matrix | None = None

    def __post_init__(self) -> None:
        self.first = self.first or [np.zeros_like(layer) for layer in self.layers]
        self.second = self.second or [np.zeros_like(layer) for layer in self.layers]
        if self.bounds is not None:
            self.bounds_first = np.zeros_like(self.bounds) if self.bounds_first is None else self.bounds_first
            self.bounds_second = (
                np.zeros_like(self.bounds) if self.bounds_second is None else self.bounds_second
            )

    @property
    def members(self) -> int:
        return 1 if self.layers[0].ndim == 2 else len(self.layers[0])

    def has_finite_bounds(self) -> bool:
        """Whether the bounds of the log variances and their moments are finite, if there are any."""
        arrays = (self.bounds, self.bounds_first, self.bounds_second)
        return all(array is None or bool(np.isfinite(array).all()) for array in arrays)

    def with_bounds_of(self, other: MlpState) -> MlpState:
        """A copy with the bounds of another state, and their moments."""
        arrays = (other.bounds, other.bounds_first, other.bounds_second)
        bounds = [None if array is None else array.copy() for array in arrays]
        return MlpState(self.layers, self.first, self.second, self.updates, *bounds)

    def with_members_of(self, other: MlpState, index: Sequence[int]) -> MlpState:
        """A copy in which the members of ``index`` are those of another state of the same shapes."""
        chosen = list(index)

        def mixed(own: Sequence[Matrix], others: Sequence[Matrix]) -> list[Matrix]:
            arrays = [array.copy() for array in own]
            for array, source in zip(arrays, others, strict=True):
                if array.ndim == 2:
                    array[:] = source
                else:
                    array[chosen] = source[chosen]
            return arrays

        return MlpState(
            mixed(self.layers, other.layers),
            mixed(self.first, other.first),
            mixed(self.second, other.second),
            self.updates,
            self.bounds,
            self.bounds_first,
            self.bounds_second,
        )


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


def truncated_normal(
    sizes: Sequence[int], members: int, rng: np.random.Generator, *, probabilistic: bool = False
) -> MlpState:
    """Members of an ensemble as in PETS: weights normal with deviation 1 / (2 sqrt(fan in)), those beyond two
    deviations drawn anew, and zero biases. A probabilistic one has bounds, for half of its outputs."""
    layers = []
    for cols, rows in itertools.pairwise(sizes):
        weights = rng.standard_normal((members, rows, cols))
        beyond = np.abs(weights) > 2
        while beyond.any():
            weights[beyond] = rng.standard_normal(int(beyond.sum()))
            beyond = np.abs(weights) > 2
        layer = np.zeros((members, rows, cols + 1), np.float32)
        layer[:, :, :cols] = weights / (2.0 * np.sqrt(cols))
        layers.append(layer if members > 1 else layer[0])
    n = sizes[-1] // 2
    bounds = np.tile(np.array([[UPPER_BOUND], [LOWER_BOUND]], np.float32), (1, n)) if probabilistic else None
    return MlpState(layers, bounds=bounds)
