"""What a task file may say about the learned dynamics: its section `dynamics` (docs/ensembles.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict

from mbmf.tasks.ensembles import (
    INPUTS,
    MAX_MEMBERS,
    MAX_PARTICLES,
    MAX_RISK,
    OUTPUTS,
    check_ensemble,
    check_frame,
    layer_decay,
    state_map,
)
from mbmf.tasks.fields import Count, Decay, Flag, Text, integer, list_of, number
from mbmf.tasks.learning import FLAT_DYNAMICS, ModelBasedConfig
from mbmf.words import show

Input = Literal["as it is", "sine and cosine", "nothing", "rotation", "vertical", "in the body's frame"]
Output = Literal[
    "difference", "value", "rotation", "difference in the body's frame", "value in the body's frame"
]


class DynamicsConfig(BaseModel):
    """The section as it is written; what is absent is None, and has a default or stands in model_based."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: Annotated[tuple[Annotated[int, integer(1, 65536)], ...] | None, list_of(1, 16)] = None
    activation: Literal["relu", "tanh", "silu"] = "relu"
    members: Annotated[int, integer(1, MAX_MEMBERS)] = 1
    probabilistic: Flag = False
    elites: Annotated[int | None, integer(1, MAX_MEMBERS)] = None
    particles: Annotated[int | None, integer(1, MAX_PARTICLES)] = None
    propagate: Literal["expectation", "ts1", "tsinf"] | None = None
    risk: Annotated[float, number(-MAX_RISK, MAX_RISK)] = 0.0
    weight_decay: Decay = 0.0
    bootstrap: Flag = False
    beta: Annotated[float, number(0, 1)] = 0.0
    statistics: Literal["kept", "refitted"] = "kept"
    inputs: dict[Text, Input] = {}
    outputs: dict[Text, Output] = {}
    epochs: Count | None = None
    first_epochs: Count | None = None
    max_updates: Count | None = None
    batch_size: Annotated[int | None, integer(1, 10_000_000)] = None
    learning_rate: Annotated[float | None, number(0, 1, low_open=True)] = None
    final_learning_rate: Annotated[float | None, number(0, 1, low_open=True)] = None
    noise: Annotated[float | None, number(0, 10)] = None
    fraction_use_new: Annotated[float | None, number(0, 1)] = None
    validation_share: Annotated[float, number(0, 0.9)] = 0.0
    patience: Count | None = None


@dataclass(frozen=True)
class DynamicsSettings:
    """How a task models its robot and trains that, as its file says.

    Attributes:
        model: the arguments of `DynamicsModel` beside the task and the seed.
        epochs, first_epochs: of a fit, and of the first one; None: the file has none.
        max_updates: steps of the optimiser in a fit at most; None: as many as the epochs have.
        others: as in `DynamicsModel.fit`.
    """

    model: dict[str, Any]
    epochs: int | None
    first_epochs: int | None
    max_updates: int | None
    batch_size: int
    learning_rate: float
    final_learning_rate: float | None
    noise: float
    fraction_use_new: float | None
    validation_share: float
    patience: int | None

    @property
    def hidden(self) -> tuple[int, ...]:
        return tuple(self.model["hidden"])

    @property
    def is_ensemble(self) -> bool:
        """Whether the model has members or variances, so that it says how sure it is."""
        return bool(self.model["members"] > 1 or self.model["probabilistic"])


_MODEL = (
    *("activation", "members", "probabilistic", "elites", "particles", "propagate", "risk", "weight_decay"),
    *("bootstrap", "beta", "statistics", "inputs", "outputs"),
)


def dynamics_settings(section: DynamicsConfig | None, flat: ModelBasedConfig | None) -> DynamicsSettings:
    """The section's words, model_based's where it has none, and defaults."""
    own = section or DynamicsConfig()
    found: dict[str, Any] = {}
    for key, default in FLAT_DYNAMICS.items():
        values = (getattr(own, key), None if flat is None else getattr(flat, key), default)
        found[key] = next((value for value in values if value is not None), None)
    model = {"hidden": found.pop("hidden"), **{key: getattr(own, key) for key in _MODEL}}
    return DynamicsSettings(
        model,
        first_epochs=own.first_epochs,
        max_updates=own.max_updates,
        final_learning_rate=own.final_learning_rate,
        validation_share=own.validation_share,
        patience=own.patience,
        **found,
    )


def make_way(data: dict[str, Any], before: DynamicsConfig | None) -> None:
    """Leaves out of model_based the defaults that stood there while the task had no section dynamics, where
    the one that it has now says otherwise."""
    own, flat = data.get("dynamics"), data.get("model_based")
    if before is not None or not isinstance(own, dict) or not isinstance(flat, dict):
        return
    kept = {
        key: value
        for key, value in flat.items()
        if own.get(key) is None or key not in FLAT_DYNAMICS or _plain(value) != _plain(FLAT_DYNAMICS[key])
    }
    data["model_based"] = kept


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def dynamics_problems(
    section: DynamicsConfig | None, flat: ModelBasedConfig | None, state_names: Sequence[str]
) -> Iterator[str]:
    """What is wrong with the section and model_based together, each as "<key> must be ..."."""
    if flat is not None:
        for key in ("epochs", "fraction_use_new"):
            if section is None and getattr(flat, key) is None:
                yield f"model_based.{key} must be given, got nothing"
        if section is not None and section.epochs is None and flat.epochs is None:
            yield "dynamics.epochs must be given, here or in model_based, got nothing"
    if section is None:
        return
    for key in FLAT_DYNAMICS:
        if flat is not None and getattr(section, key) is not None and getattr(flat, key) is not None:
            yield (
                f"dynamics.{key} must be given once, here or in model_based, got "
                f"{show(getattr(section, key))} and {show(getattr(flat, key))}"
            )
    if section.patience is not None and section.validation_share == 0:
        yield f"dynamics.patience must be given with a validation_share above 0, got {section.patience}"
    layers = len(dynamics_settings(section, flat).hidden) + 1
    words: list[Sequence[str]] = []
    for check in (
        lambda: words.append(state_map("inputs", section.inputs, INPUTS, state_names)),
        lambda: words.append(state_map("outputs", section.outputs, OUTPUTS, state_names)),
        # where there are words for both
        lambda: check_frame(*words) if len(words) == 2 else None,
        lambda: layer_decay(section.weight_decay, layers),
        lambda: check_ensemble(
            members=section.members,
            probabilistic=section.probabilistic,
            elites=section.elites,
            particles=section.particles,
            propagate=section.propagate,
            risk=section.risk,
            beta=section.beta,
        ),
    ):
        try:
            check()
        except ValueError as error:
            yield f"dynamics.{error}"
