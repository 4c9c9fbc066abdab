"""What a task file may say about planning: its section `planner` (docs/planning.md), from the registry."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, create_model

from mbmf.tasks.fields import integer
from mbmf.tasks.learning import ModelBasedConfig
from mbmf.tasks.searches import PlannerSettings, SearchKind, SearchOption, default_candidates, search_kinds


class PlannerSection(BaseModel):
    """What the section has whatever the search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: str
    horizon: Annotated[int | None, integer(1, 10_000)] = None


def _checked(option: SearchOption) -> PlainValidator:
    def check(value: Any) -> Any:
        return option.shown(option.check(value))

    return PlainValidator(check)


def _section(kind: SearchKind) -> type[PlannerSection]:
    fields: dict[str, Any] = {
        "search": (Literal[kind.name], ...),
        "candidates": (Annotated[int | None, integer(1, kind.most_candidates)], None),
    }
    for option in kind.options.values():
        fields[option.name] = (Annotated[Any, _checked(option)], option.default)
    return create_model(f"Planner_{kind.name}", __base__=PlannerSection, **fields)


_SECTIONS = tuple(_section(kind) for kind in search_kinds().values())

if TYPE_CHECKING:
    PlannerConfig = PlannerSection
else:
    PlannerConfig = Annotated[functools.reduce(operator.or_, _SECTIONS), Field(discriminator="search")]


def planner_settings(section: PlannerSection | None, flat: ModelBasedConfig | None) -> PlannerSettings:
    """How a task plans: the section's words, and model_based's horizon and candidates where it has none."""
    search = "random_shooting" if section is None else section.search
    given = {} if section is None else section.model_dump(exclude_none=True)
    given.pop("search", None)
    horizon = given.pop("horizon", None if flat is None else flat.horizon)
    candidates = given.pop("candidates", None)
    if candidates is None:
        # a number of random sequences says nothing of another search
        same = flat is not None and search == "random_shooting"
        candidates = flat.candidates if flat is not None and same else default_candidates(search)
    return PlannerSettings(search, horizon, candidates, given)


def parse_planner(recorded: Any) -> PlannerSection | None:
    """The section as a run recorded it. Raises ValueError on one that cannot be."""
    if recorded is None:
        return None
    return TypeAdapter(PlannerConfig).validate_python(recorded)
