"""What a task file may say about imitation and fine-tuning (docs/presets.md): see task_schema.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from mbmf.task_fields import Count, integer, number


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImitationConfig(_Section):
    """The settings of imitation: a policy that learns to act as MPC does (paper, section V-A; DAgger)."""

    epochs: Count
    iterations: Annotated[int, integer(0, 1_000_000)]
    rollouts_to_label: Count
    test_rollouts: Count
    noise: Annotated[float, number(0, 10)] = 0.005
    noise_from_iteration: Annotated[int | None, integer(1, 1_000_000)] = None
    validation_points: Annotated[int, integer(1, 1_000_000_000)] = 700
    batch_size: Annotated[int, integer(1, 10_000_000)] = 512
    learning_rate: Annotated[float, number(0, 1, low_open=True)] = 1e-3


class FineTuneConfig(_Section):
    """The settings of fine-tuning an imitation policy; all else is as in model_free (paper, section V-B)."""

    std_on_mlp_policy: Annotated[float, number(0, 1e6, low_open=True)] = 1.0
    batch_size: Annotated[int | None, integer(1, 1_000_000_000)] = None
    iterations: Annotated[int | None, integer(1, 1_000_000)] = None
