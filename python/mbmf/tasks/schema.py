"""What a task file may say: one frozen pydantic model for each of its parts.

Only what can be checked without the robot is checked here; names of joints, bodies and states are resolved in
build.py. A validator's message is a requirement that completes "<key> must be ...". docs/tasks.md is the
reference for people.
"""

from __future__ import annotations

import functools
import itertools
import operator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

from mbmf import _core
from mbmf.tasks.actuators_section import Actuators
from mbmf.tasks.dynamics_section import DynamicsConfig
from mbmf.tasks.fields import (
    AttributeMap,
    Count,
    Elements,
    FileName,
    FileNames,
    Flag,
    FunctionName,
    Indices,
    Interval,
    Key,
    Names,
    Number,
    Numbers,
    SetPositions,
    States,
    Text,
    integer,
    list_of,
)
from mbmf.tasks.learning import (
    FLAT_DYNAMICS,
    FineTuneConfig,
    ImitationConfig,
    ModelBasedConfig,
    ModelFreeConfig,
)
from mbmf.tasks.motion_section import Goals, JointResets, MocapResets, Mocaps, NoiseConfig, References
from mbmf.tasks.path_section import BoundsConfig, PathConfig
from mbmf.tasks.planner_section import PlannerConfig
from mbmf.tasks.policy_section import PolicyConfig
from mbmf.tasks.value_section import ValueConfig

Source = Literal[
    "time",
    "qpos",
    "qvel",
    "act",
    "sensor",
    "body_pos",
    "body_rotation",
    "site_pos",
    "subtree_com",
    "subtree_linvel",
    "body_euler",
    "contact_force",
    "tendon_length",
    "tendon_velocity",
    "actuator_force",
    "site_rotation",
    "body_velocity",
    "site_velocity",
    "qacc",
    "geom_distance",
    "body_quat",
    "goal",
    "reference",
]
# sections that do not say what the robot has to do, but how it may learn that
LEARNING_SECTIONS = (
    *("agent", "recipe", "recipes", "planner", "dynamics", "value", "policy"),
    *("model_based", "model_free", "imitation", "fine_tune"),
)
# the recipe that every task has: its own sections, as they stand
PAPER = "paper"
OBJECT_KEYS = (
    *("joint", "joints", "actuator", "sensor", "body", "site", "tendon"),
    *("geoms", "goal", "reference"),
)


class Part(BaseModel):
    """A part of a task file: immutable, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- the robot


class ModelSource(Part):
    """Where the robot's MJCF is: an asset of Gymnasium; a file, relative to the task file, or to an installed
    package."""

    asset: Text | None = None
    package: Text | None = None
    file: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> ModelSource:
        if (self.asset is None) == (self.file is None):
            raise ValueError("a mapping with either asset or file")
        if self.package is not None and self.file is None:
            raise ValueError("a mapping with a package only beside a file")
        return self

    @property
    def own_file(self) -> str | None:
        """The file of a robot of the user's own, neither of Gymnasium nor of a package."""
        return self.file if self.package is None else None


KINDS = ("joints", "geoms", "actuators", "bodies", "sites", "tendons", "equalities", "sensors")
# of which the MJCF has classes
Kind = Literal["joints", "geoms", "actuators", "sites", "tendons", "equalities"]


def _some_kind(kinds: dict[str, Any]) -> dict[str, Any]:
    if not kinds:
        raise ValueError("a mapping of kinds (joints, geoms, ...) to attributes")
    return kinds


class Overrides(Part):
    """Changes to the MJCF before it is compiled: attribute to value, for all elements of a kind.

    A mapping as the value changes only the element of that name. Classes are of the MJCF's defaults: by name,
    then kind.
    """

    option: AttributeMap = {}
    flags: dict[Text, Flag] = {}
    classes: dict[Key, Annotated[dict[Kind, AttributeMap], AfterValidator(_some_kind)]] = {}
    joints: Elements = {}
    geoms: Elements = {}
    actuators: Elements = {}
    bodies: Elements = {}
    sites: Elements = {}
    tendons: Elements = {}
    equalities: Elements = {}
    sensors: Elements = {}


class Start(Part):
    """The start state before noise, (nq) and (nv); by default the model's qpos0 and zeros.

    A keyframe's qpos and qvel are the default where one is named; its time, activations and mocap bodies too.
    """

    keyframe: Key | None = None
    qpos: Numbers | None = None
    qvel: Numbers | None = None


# --- what is observed


class ChannelConfig(Part):
    """Numbers of the simulation: a source, of some or all of its objects, transformed, then clipped."""

    source: Source
    joint: Names | None = None
    joints: Names | None = None
    actuator: Names | None = None
    sensor: Names | None = None
    body: Names | None = None
    site: Names | None = None
    tendon: Names | None = None
    geoms: Names | None = None
    goal: Names | None = None
    reference: Names | None = None
    index: Indices | None = None
    transform: Literal["identity", "cos", "sin", "rate"] = "identity"
    lagged: bool = False
    clip: Interval | None = None

    @property
    def objects(self) -> tuple[str, tuple[str, ...]] | None:
        """The key that names objects and the names, or None where the channel is of the whole source."""
        for key in OBJECT_KEYS:
            names = getattr(self, key)
            if names is not None:
                return key, names
        return None

    @model_validator(mode="after")
    def _fits(self) -> ChannelConfig:
        allowed = {
            **{"time": (), "qpos": ("joint", "joints"), "qvel": ("joint", "joints"), "act": ("actuator",)},
            **{"sensor": ("sensor",), "actuator_force": ("actuator",)},
            **{"tendon_length": ("tendon",), "tendon_velocity": ("tendon",)},
            **{"qacc": ("joint", "joints"), "geom_distance": ("geoms",)},
            **{"goal": ("goal",), "reference": ("reference",)},
            **{"site_pos": ("site",), "site_rotation": ("site",), "site_velocity": ("site",)},
        }.get(self.source, ("body",))
        given = [k for k in OBJECT_KEYS if getattr(self, k)]
        if len(given) > 1 or any(key not in allowed for key in given):
            keys = " or ".join(allowed) or "no key"
            raise ValueError(f"a mapping where the source {self.source} has {keys} and no other object")
        if not given and allowed in (("body",), ("site",), ("geoms",)):
            raise ValueError(f"a mapping where the source {self.source} has the key {allowed[0]}")
        if self.source == "time" and self.index is not None:
            raise ValueError("a mapping where the source time has no index")
        if self.source == "geom_distance" and (len(self.geoms or ()) != 2 or self.index is not None):
            raise ValueError("a mapping where geoms are two, without an index")
        if self.source == "goal" and self.transform == "rate":
            raise ValueError("a mapping where a goal, which stays, has no transform: rate")
        if self.lagged and self.source != "body_pos":
            raise ValueError("a mapping where only the source body_pos has lagged: true")
        return self


class StateBoundConfig(BoundsConfig):
    """States that must stay within bounds for a candidate plan to stay alive."""

    state: States


class HealthyConfig(ChannelConfig, BoundsConfig):
    """Numbers of the simulation that must stay within bounds for an episode to go on."""


# --- what is good


class TermPart(Part):
    """A term of a reward or a planning cost: its kind and weight, and what its kind may have beside them.

    The kinds are the core's (cpp/include/mbmf/task/term_kinds.h); what a kind does not have is None here.
    """

    term: str
    weight: Number = 1.0
    state: States | None = None
    target: Numbers | None = None
    target_state: States | None = None
    min: Number | None = None
    max: Number | None = None
    above: Number | None = None
    below: Number | None = None


def _one_target(self: Any) -> Any:
    if self.target is not None and self.target_state is not None:
        raise ValueError("a mapping with at most one of target and target_state")
    return self


def _term(kind: dict[str, Any]) -> type[BaseModel]:
    """The schema class of one kind of term."""
    fields: dict[str, Any] = {
        "term": (Literal[kind["name"]], ...),
        "weight": (Number, 1.0 if kind["default_weight"] else ...),
    }
    validators: dict[str, Any] = {}
    if kind["states"]:
        fields["state"] = (States, ...)
    if kind["targets"]:
        fields |= {"target": (Numbers | None, None), "target_state": (States | None, None)}
        validators["_one_target"] = model_validator(mode="after")(_one_target)
    base: type[BaseModel] = BoundsConfig if kind["bounds"] else Part
    name = kind["name"].capitalize()
    return create_model(name, __base__=base, __doc__=kind["meaning"], __validators__=validators, **fields)


_TERMS = tuple(_term(kind) for kind in _core.term_kinds())

if TYPE_CHECKING:
    TermConfig = TermPart
else:
    TermConfig = Annotated[functools.reduce(operator.or_, _TERMS), Field(discriminator="term")]


# --- how an episode starts


class ResetConfig(Part):
    """The start state plus noise, then some positions set; mocap bodies and the time set."""

    qpos: NoiseConfig | None = None
    qvel: NoiseConfig | None = None
    joints: JointResets = {}
    set: SetPositions = {}
    mocap: MocapResets = {}
    time: Interval | None = None


class ResetsConfig(Part):
    """For rollouts of a policy (default), of random actions, and of MPC (control); default's if absent."""

    default: ResetConfig = ResetConfig()
    random: ResetConfig | None = None
    control: ResetConfig | None = None


# --- its name (docs/presets.md)


class AgentConfig(Part):
    """What --which_agent calls the robot of a preset: its number in the paper's code, and names."""

    number: Annotated[int, integer(0, 1_000_000)]
    names: FileNames


Channels = Annotated[tuple[ChannelConfig, ...], list_of(1)]
Terms = Annotated[tuple[TermConfig, ...], list_of(1)]
StateBounds = Annotated[tuple[StateBoundConfig, ...], list_of()]


class ScheduledConfig(Part):
    """Sections that take the place of the task's own from an iteration of model-based learning on."""

    first_iteration: Annotated[int, integer(2, 1_000_000)]
    cost: Terms | None = None
    terminal_cost: Terms | None = None
    alive: StateBounds | None = None
    dying_cost: Number | None = None
    planner: PlannerConfig | None = None

    @property
    def sections(self) -> dict[str, Any]:
        """What takes a section's place, by its name."""
        names = [name for name in type(self).model_fields if name != "first_iteration"]
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _some(self) -> ScheduledConfig:
        if not self.sections:
            raise ValueError("a mapping with a section beside first_iteration: cost, planner, ...")
        return self


def _in_order(schedule: tuple[ScheduledConfig, ...]) -> tuple[ScheduledConfig, ...]:
    first = [each.first_iteration for each in schedule]
    if any(one >= other for one, other in itertools.pairwise(first)):
        raise ValueError("a list whose first_iteration increases")
    return schedule


Schedule = Annotated[tuple[ScheduledConfig, ...], list_of(), AfterValidator(_in_order)]


class RecipeConfig(Part):
    """Sections that take the place of the task's own where the recipe is asked for."""

    cost: Terms | None = None
    terminal_cost: Terms | None = None
    alive: StateBounds | None = None
    dying_cost: Number | None = None
    schedule: Schedule | None = None
    planner: PlannerConfig | None = None
    dynamics: DynamicsConfig | None = None
    value: ValueConfig | None = None
    policy: PolicyConfig | None = None
    model_based: ModelBasedConfig | None = None
    model_free: ModelFreeConfig | None = None
    imitation: ImitationConfig | None = None
    fine_tune: FineTuneConfig | None = None


def _no_paper(recipes: dict[str, RecipeConfig] | None) -> dict[str, RecipeConfig] | None:
    if recipes is not None and PAPER in recipes:
        raise ValueError(f"a mapping without {PAPER}, which is the file's own sections")
    return recipes


class TaskConfig(Part):
    """A whole task file."""

    name: FileName
    model: ModelSource
    actuators: Actuators | None = None
    overrides: Overrides = Overrides()
    physics_steps: Count = 1
    episode_steps: Count = 1000
    start: Start = Start()
    goals: Goals | None = None
    references: References | None = None
    mocap: Mocaps | None = None
    state: Channels
    observation: Channels | None = None
    reward_state: Channels | None = None
    reward: Terms | None = None
    reward_function: FunctionName | None = None
    healthy_reward: Number = 0.0
    cost: Terms | None = None
    cost_function: FunctionName | None = None
    terminal_cost: Terms | None = None
    alive: StateBounds = ()
    dying_cost: Number = 0.0
    schedule: Schedule | None = None
    healthy: Annotated[tuple[HealthyConfig, ...], list_of()] = ()
    reset: ResetsConfig = ResetsConfig()
    safe_action: Numbers | None = None
    path: PathConfig | None = None
    agent: AgentConfig | None = None
    planner: PlannerConfig | None = None
    dynamics: DynamicsConfig | None = None
    value: ValueConfig | None = None
    policy: PolicyConfig | None = None
    model_based: ModelBasedConfig | None = None
    model_free: ModelFreeConfig | None = None
    imitation: ImitationConfig | None = None
    fine_tune: FineTuneConfig | None = None
    recipe: FileName | None = None
    recipes: Annotated[dict[FileName, RecipeConfig] | None, AfterValidator(_no_paper)] = None

    @model_validator(mode="before")
    @classmethod
    def _flat_dynamics(cls, data: Any) -> Any:
        """Without a section dynamics, model_based has its defaults: they are part of what a run records."""
        flat = data.get("model_based") if isinstance(data, dict) else None
        if not isinstance(flat, dict) or data.get("dynamics") is not None:
            return data
        defaults = {key: value for key, value in FLAT_DYNAMICS.items() if value is not None}
        return {**data, "model_based": {**defaults, **flat}}
