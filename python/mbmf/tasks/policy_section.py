"""What a task file may say about a policy that helps the planner: its section `policy` (docs/values.md)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from mbmf.tasks.fields import Count, integer, list_of, number


class PolicyConfig(BaseModel):
    """A policy that imitates `mbmf mb`'s planner and proposes candidates to it: its network and training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: Annotated[tuple[Annotated[int, integer(1, 65536)], ...], list_of(1, 16)] = (64, 64)
    proposals: Annotated[int, integer(1, 10_000)] = 8
    std: Annotated[float, number(0, 10, low_open=True)] = 0.3
    episodes: Count = 20
    first_iteration: Count = 2
    epochs: Count = 10
    batch_size: Annotated[int, integer(1, 10_000_000)] = 256
    learning_rate: Annotated[float, number(0, 1, low_open=True)] = 0.001
