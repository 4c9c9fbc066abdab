"""What a task file may say about learning (docs/presets.md): see schema.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mbmf.errors import ConfigError
from mbmf.tasks.fields import Count, Flag, Number, Text, integer, list_of, number


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RandomData(_Section):
    """How many random episodes, of how many control steps."""

    episodes: Count
    steps: Count


# what may stand in model_based or in dynamics, and the defaults where it stands in neither
FLAT_DYNAMICS: dict[str, Any] = {
    "hidden": (500,),
    "epochs": None,
    "batch_size": 512,
    "learning_rate": 1e-3,
    "fraction_use_new": None,
    "noise": 0.01,
}


class ModelBasedConfig(_Section):
    """The settings of model-based learning (paper, section IV and appendix).

    What is None of `FLAT_DYNAMICS` stands in the section dynamics, if anywhere.
    """

    random_train: RandomData
    random_validation: RandomData | None = None
    hidden: Annotated[tuple[Annotated[int, integer(1, 65536)], ...] | None, list_of(1, 16)] = None
    epochs: Count | None = None
    batch_size: Annotated[int | None, integer(1, 10_000_000)] = None
    learning_rate: Annotated[float | None, number(0, 1, low_open=True)] = None
    fraction_use_new: Annotated[float | None, number(0, 1)] = None
    noise: Annotated[float | None, number(0, 10)] = None
    horizon: Annotated[int, integer(1, 10_000)]
    candidates: Annotated[int, integer(1, 100_000_000)]
    iterations: Count
    rollouts_per_iteration: Count
    rollouts_for_training: Count
    action_noise: Annotated[float, number(0, 10)] = 0.0
    steps_per_rollout: Count
    min_return: Number
    rollouts_to_save: Annotated[int, integer(0, 1_000_000)] = 60

    @model_validator(mode="after")
    def _enough(self) -> ModelBasedConfig:
        if self.rollouts_for_training > self.rollouts_per_iteration:
            raise ValueError("a mapping whose rollouts_for_training is at most its rollouts_per_iteration")
        return self


class TrpoConfig(_Section):
    """The settings of one update by trust region policy optimisation, and of its advantages."""

    discount: Annotated[float, number(0, 1)] = 0.995
    gae_lambda: Annotated[float, number(0, 1)] = 1.0
    kl_step: Annotated[float, number(0, 1e6, low_open=True)] = 0.05
    cg_iterations: Annotated[int, integer(1, 10_000)] = 10
    cg_damping: Annotated[float, number(0, 1e6)] = 1e-5
    line_search_ratio: Annotated[float, number(0, 0.999, low_open=True)] = 0.8
    line_search_tries: Annotated[int, integer(1, 1000)] = 15
    baseline_ridge: Annotated[float, number(0, 1e6, low_open=True)] = 1e-5
    bootstrap_truncated: Flag = False


class ModelFreeConfig(TrpoConfig):
    """The settings of model-free learning (paper, section VI-D and appendix)."""

    hidden: Annotated[tuple[Annotated[int, integer(1, 65536)], ...], list_of(1, 16)] = (64, 64)
    initial_std: Annotated[float, number(0, 1e6, low_open=True)] = 1.0
    batch_size: Annotated[int, integer(1, 1_000_000_000)] = 50_000
    steps_per_rollout: Count
    iterations: Count
    fit_baseline_first: Flag = False
    normalize_observations: Flag = False
    inputs: dict[Text, Literal["as it is", "nothing"]] = {}


class ImaginedConfig(_Section):
    """Updates of an imitation policy in its run's model, which may go on learning between rounds of them."""

    iterations: Count = 50
    first_iterations: Count | None = None
    rounds: Count = 1
    episodes: Count = 10
    rollouts: Count = 100
    steps: Count = 100
    std: Annotated[float, number(0, 1e6, low_open=True)] = 0.3

    @model_validator(mode="after")
    def _fits(self) -> ImaginedConfig:
        # a batch is held as a whole
        if self.rollouts * self.steps > 10_000_000:
            raise ValueError("a mapping whose rollouts times steps is at most 10000000")
        return self


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
    patience: Annotated[int | None, integer(1, 1_000_000)] = None
    normalize_observations: Flag | None = None
    imagined: ImaginedConfig | None = None


class FineTuneConfig(_Section):
    """The settings of fine-tuning an imitation policy; all else is as in model_free (paper, section V-B)."""

    std_on_mlp_policy: Annotated[float, number(0, 1e6, low_open=True)] = 1.0
    batch_size: Annotated[int | None, integer(1, 1_000_000_000)] = None
    iterations: Annotated[int | None, integer(1, 1_000_000)] = None
    gae_lambda: Annotated[float | None, number(0, 1)] = None
    fit_baseline_first: Flag | None = None


_SectionT = TypeVar("_SectionT", bound=_Section)


def with_changes(settings: _SectionT, section: str, **changes: Any) -> _SectionT:
    """The settings with changes that are not None. Raises ConfigError, which names the key in ``section``."""
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        return type(settings).model_validate({**settings.model_dump(exclude_none=True), **given})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name, value = ".".join(map(str, problem["loc"])), problem["input"]
        raise ConfigError(f"{section}.{name} must be {problem['ctx']['error']}, got {value}") from None
