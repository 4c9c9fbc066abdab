"""What a dynamics model is, beside its weights: checked once, kept by the model and its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mbmf.arguments import MAX_SEED, count, whole_number
from mbmf.dynamics.normalization import columns_of_each
from mbmf.nn.mlp_state import ACTIVATIONS, layer_sizes
from mbmf.tasks.ensembles import (
    GROUPS,
    INPUTS,
    OUTPUTS,
    STATISTICS,
    check_ensemble,
    check_frame,
    default_inputs,
    layer_decay,
    state_map,
)
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

MAX_LAYER = 1 << 20


@dataclass(frozen=True)
class Settings:
    """The arguments of `DynamicsModel`, checked.

    Attributes:
        inputs, outputs: a word of the core's for each state: what is seen and what is predicted of it.
        weight_decay: of each layer.
        others: as given.
    """

    hidden: tuple[int, ...]
    activation: str
    seed: int
    members: int
    probabilistic: bool
    elites: int | None
    particles: int | None
    propagate: str
    risk: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weight_decay: tuple[float, ...]
    statistics: str
    bootstrap: bool
    beta: float

    @classmethod
    def of(
        cls,
        task: Task,
        hidden: Sequence[int] | int = (500,),
        activation: str = "relu",
        seed: int = 0,
        *,
        members: int = 1,
        probabilistic: bool = False,
        elites: int | None = None,
        particles: int | None = None,
        propagate: str | None = None,
        risk: float = 0.0,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        weight_decay: float | Sequence[float] = 0.0,
        statistics: str = "kept",
        bootstrap: bool = False,
        beta: float = 0.0,
    ) -> Settings:
        """Raises ValueError on what is out of range or does not fit together."""
        try:
            sizes = tuple(whole_number("hidden", size, 1, MAX_LAYER) for size in layer_sizes(hidden))
        except ValueError:
            sizes = ()
        if not sizes:
            raise ValueError(f"hidden must be one or more positive integers, got {hidden!r}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        checked = count("seed", seed, 0, MAX_SEED)
        propagation = check_ensemble(
            members=members,
            probabilistic=probabilistic,
            elites=elites,
            particles=particles,
            propagate=propagate,
            risk=risk,
            beta=beta,
        )
        if statistics not in STATISTICS:
            raise ValueError(f"statistics must be one of {', '.join(STATISTICS)}, got {statistics!r}")
        if not isinstance(bootstrap, bool):
            raise ValueError(f"bootstrap must be true or false, got {show(bootstrap)}")
        seen = state_map("inputs", inputs, INPUTS, task.state_names, default_inputs(task.state_names))
        predicted = state_map("outputs", outputs, OUTPUTS, task.state_names)
        check_frame(seen, predicted)
        return cls(
            sizes,
            activation,
            checked,
            int(members),
            probabilistic,
            elites,
            particles,
            propagation,
            float(risk),
            seen,
            predicted,
            layer_decay(weight_decay, len(sizes) + 1),
            statistics,
            bootstrap,
            float(beta),
        )

    @property
    def is_plain(self) -> bool:
        """Whether the core needs to know of nothing but the network: one member that predicts differences."""
        return (
            self.members == 1
            and not self.probabilistic
            and all(word == "value" for word in self.inputs)
            and all(word == "difference" for word in self.outputs)
        )

    def written(self, state_names: Sequence[str]) -> dict[str, Any]:
        """As arguments of `of`, in words and numbers that JSON has; without hidden, activation and seed."""

        def words(values: Sequence[str], known: Mapping[str, str], defaults: Sequence[str]) -> dict[str, str]:
            names = {core: word for word, core in known.items()}
            rows = zip(state_names, values, defaults, columns_of_each(values), strict=True)
            # what holds for a quaternion or a vector is said of its first number
            return {
                state: names[value]
                for state, value, default, columns in rows
                if value != default and (value not in GROUPS or columns > 0)
            }

        differences = ("difference",) * len(state_names)

        return {
            "members": self.members,
            "probabilistic": self.probabilistic,
            "elites": self.elites,
            "particles": self.particles,
            "propagate": self.propagate,
            "risk": self.risk,
            "inputs": words(self.inputs, INPUTS, default_inputs(state_names)),
            "outputs": words(self.outputs, OUTPUTS, differences),
            "weight_decay": list(self.weight_decay),
            "statistics": self.statistics,
            "bootstrap": self.bootstrap,
            "beta": self.beta,
        }
