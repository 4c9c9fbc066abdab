"""What a task file may say about values: its section `value` (docs/values.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from mbmf.tasks.fields import Count, integer, list_of, number


class ValueConfig(BaseModel):
    """A value that ends the horizon of `mbmf mb`'s plans: the network, its returns and its fits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: Annotated[tuple[Annotated[int, integer(1, 65536)], ...], list_of(1, 16)] = (128, 128)
    activation: Literal["relu", "tanh", "silu"] = "silu"
    discount: Annotated[float, number(0, 0.9999)] = 0.99
    trace: Annotated[float, number(0, 1)] = 0.95
    episodes: Count = 10
    first_iteration: Count = 3
    rounds: Count = 25
    epochs: Count = 3
    batch_size: Annotated[int, integer(1, 10_000_000)] = 256
    learning_rate: Annotated[float, number(0, 1, low_open=True)] = 0.001
