"""How a dynamics model is fitted: the arguments of `DynamicsModel.fit`, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mbmf.arguments import MAX_COUNT, MAX_SEED, MAX_THREADS, count, number


@dataclass(frozen=True)
class FitOptions:
    """Attributes as the arguments of `DynamicsModel.fit`."""

    epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float | None
    fraction_use_new: float | None
    noise: float
    seed: int
    nthread: int
    validation_share: float
    patience: int | None
    drop_failed: bool
    progress: Callable[[int, float], None] | None

    @classmethod
    def of(cls, **given: Any) -> FitOptions:
        """Raises ValueError on what is out of range or does not fit together."""
        checked = dict(given)
        for name in ("epochs", "batch_size"):
            checked[name] = count(name, given[name], 1, MAX_COUNT)
        rate = _positive("learning_rate", given["learning_rate"])
        checked["learning_rate"] = number("learning_rate", rate, 0, 1e37)  # what float32 holds
        if given["final_learning_rate"] is not None:
            last = _positive("final_learning_rate", given["final_learning_rate"])
            checked["final_learning_rate"] = number("final_learning_rate", last, 0, 1e37)
        if given["fraction_use_new"] is not None:
            checked["fraction_use_new"] = number("fraction_use_new", given["fraction_use_new"], 0, 1)
        checked["noise"] = number("noise", given["noise"], 0, 1e6)
        checked["seed"] = count("seed", given["seed"], 0, MAX_SEED)
        checked["nthread"] = count("nthread", given["nthread"], 1, MAX_THREADS)
        checked["validation_share"] = share = number("validation_share", given["validation_share"], 0, 1)
        if share == 1:
            raise ValueError("validation_share must be below 1, got 1")
        if given["patience"] is not None:
            checked["patience"] = patience = count("patience", given["patience"], 1, MAX_COUNT)
            if share == 0:
                raise ValueError(f"patience must be given with a validation_share above 0, got {patience}")
        if not isinstance(given["drop_failed"], bool | np.bool_):
            raise ValueError(f"drop_failed must be true or false, got {given['drop_failed']!r}")
        checked["drop_failed"] = bool(given["drop_failed"])
        return cls(**checked)


def _positive(name: str, value: Any) -> float:
    """A finite number above 0. Raises ValueError."""
    checked = number(name, value, -np.inf, np.inf)
    if not 0 < checked < np.inf:
        raise ValueError(f"{name} must be positive, got {value}")
    return checked
