"""
The C++ core of mbmf: tasks, batched MuJoCo simulation, learned dynamics and planning.
"""

from __future__ import annotations
import collections.abc
import enum
import numpy
import numpy.typing
import typing

__all__: list[str] = [
    "Bounds",
    "Bundle",
    "Channel",
    "ChannelBound",
    "Controller",
    "ControllerOptions",
    "ControllerStatistics",
    "Dynamics",
    "Error",
    "Fault",
    "GaussianPolicy",
    "Goal",
    "MocapFollow",
    "MocapMove",
    "MocapMoveKind",
    "NetworkPasses",
    "Noise",
    "NoiseKind",
    "PathCost",
    "PlanMemory",
    "PlanMode",
    "Planner",
    "Quantiles",
    "RealtimeSimulation",
    "Reference",
    "Reset",
    "ResetKind",
    "ResetOwn",
    "ResetSet",
    "Simulator",
    "Source",
    "StateBound",
    "StepKind",
    "StepRecord",
    "Task",
    "TaskSpec",
    "Term",
    "TermKind",
    "ThreadSettings",
    "Transform",
    "Value",
    "action_noise",
    "available_isas",
    "check_search",
    "collect_mpc",
    "collect_policy",
    "collect_random",
    "discounted_sums",
    "fault_text",
    "imagine_policy",
    "isa",
    "measure_deadlines",
    "measure_wakes",
    "mujoco_version",
    "mujoco_version_loaded",
    "multiply_add_peak",
    "philox",
    "search_kinds",
    "term_kinds",
]

class Error(RuntimeError):
    pass

class Source(enum.IntEnum):
    """Where a number comes from in mjData."""

    TIME = 0
    QPOS = 1
    QVEL = 2
    ACT = 3
    SENSOR = 4
    BODY_POS = 5
    BODY_ROTATION = 6
    SITE_POS = 7
    SUBTREE_COM = 8
    SUBTREE_LINVEL = 9
    BODY_EULER = 10
    CONTACT_FORCE = 11
    TENDON_LENGTH = 12
    TENDON_VELOCITY = 13
    ACTUATOR_FORCE = 14
    SITE_ROTATION = 15
    BODY_VELOCITY = 16
    SITE_VELOCITY = 17
    QACC = 18
    GEOM_DISTANCE = 19
    BODY_QUAT = 20
    GOAL = 21
    REFERENCE = 22

class Transform(enum.IntEnum):
    """What is done to a number that was read."""

    IDENTITY = 0
    COS = 1
    SIN = 2
    RATE = 3

class TermKind(enum.IntEnum):
    """The kinds of reward and cost terms."""

    CONSTANT = 0
    LINEAR = 1
    QUADRATIC = 2
    ABSOLUTE = 3
    DISTANCE = 4
    OUTSIDE = 5
    ACTION = 6
    PRODUCT = 7
    CLIPPED = 8
    EXCESS = 9
    ACTION_RATE = 10
    ROTATION = 11

class NoiseKind(enum.IntEnum):
    """The kinds of noise on a start state."""

    NONE = 0
    NORMAL = 1
    UNIFORM = 2

class ResetKind(enum.IntEnum):
    """How an episode starts."""

    DEFAULT = 0
    RANDOM = 1
    CONTROL = 2

class Goal:
    """
    What an episode has to reach: a number, or a unit quaternion.
    """

    is_rotation: bool
    def __init__(
        self,
        is_rotation: bool,
        low: typing.SupportsFloat | typing.SupportsIndex,
        high: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    @property
    def high(self) -> float: ...
    @high.setter
    def high(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def low(self) -> float: ...
    @low.setter
    def low(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class Reference:
    """
    Numbers over time (mbmf/task/motion.h).
    """

    loop: bool
    def __init__(self) -> None: ...
    def at(self, t: typing.SupportsFloat | typing.SupportsIndex) -> list[float]:
        """
        The numbers at a time in seconds, (columns).
        """
    @property
    def columns(self) -> int: ...
    @columns.setter
    def columns(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def quaternion(self) -> list[int]: ...
    @quaternion.setter
    def quaternion(
        self, arg0: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    ) -> None: ...
    @property
    def time(self) -> list[float]: ...
    @time.setter
    def time(self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]) -> None: ...
    @property
    def value(self) -> list[float]:
        """
        Row by row.
        """
    @value.setter
    def value(self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]) -> None: ...

class MocapFollow:
    """
    A mocap body that follows a reference.
    """
    def __init__(
        self,
        body: typing.SupportsInt | typing.SupportsIndex,
        reference: typing.SupportsInt | typing.SupportsIndex,
        position: typing.SupportsInt | typing.SupportsIndex,
        quaternion: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @property
    def body(self) -> int: ...
    @body.setter
    def body(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def position(self) -> int: ...
    @position.setter
    def position(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def quaternion(self) -> int: ...
    @quaternion.setter
    def quaternion(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def reference(self) -> int: ...
    @reference.setter
    def reference(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class MocapMoveKind(enum.IntEnum):
    """How an action moves a body."""

    POSITION = 0
    VELOCITY = 1
    TURN = 2

class MocapMove:
    """
    A mocap body moved by an action.
    """

    kind: MocapMoveKind
    def __init__(
        self,
        kind: MocapMoveKind,
        body: typing.SupportsInt | typing.SupportsIndex,
        axis: typing.SupportsInt | typing.SupportsIndex,
        low: typing.SupportsFloat | typing.SupportsIndex,
        high: typing.SupportsFloat | typing.SupportsIndex,
        speed: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    @property
    def axis(self) -> int: ...
    @axis.setter
    def axis(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def body(self) -> int: ...
    @body.setter
    def body(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def high(self) -> float: ...
    @high.setter
    def high(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def low(self) -> float: ...
    @low.setter
    def low(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def speed(self) -> float: ...
    @speed.setter
    def speed(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class Bounds:
    """
    An interval; NaN is outside.
    """

    high_open: bool
    low_open: bool
    def __init__(
        self,
        low: typing.SupportsFloat | typing.SupportsIndex,
        high: typing.SupportsFloat | typing.SupportsIndex,
        low_open: bool = False,
        high_open: bool = False,
    ) -> None: ...
    @property
    def high(self) -> float: ...
    @high.setter
    def high(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def low(self) -> float: ...
    @low.setter
    def low(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class Channel:
    """
    One dimension of a state: a source, transformed, then clipped.
    """

    lagged: bool
    source: Source
    transform: Transform
    def __init__(
        self,
        source: Source,
        address: typing.SupportsInt | typing.SupportsIndex = 0,
        transform: Transform = Transform.IDENTITY,
        low: typing.SupportsFloat | typing.SupportsIndex = ...,
        high: typing.SupportsFloat | typing.SupportsIndex = ...,
        lagged: bool = False,
    ) -> None: ...
    @property
    def address(self) -> int: ...
    @address.setter
    def address(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def high(self) -> float: ...
    @high.setter
    def high(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def low(self) -> float: ...
    @low.setter
    def low(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class ChannelBound:
    """
    A number of mjData that must stay within bounds.
    """

    bounds: Bounds
    channel: Channel
    def __init__(self, channel: Channel, bounds: Bounds) -> None: ...

class StateBound:
    """
    A state dimension that must stay within bounds.
    """

    bounds: Bounds
    def __init__(self, index: typing.SupportsInt | typing.SupportsIndex, bounds: Bounds) -> None: ...
    @property
    def index(self) -> int: ...
    @index.setter
    def index(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class Term:
    """
    One term of a reward or a cost.
    """

    bounds: Bounds
    kind: TermKind
    terminal: bool
    def __init__(
        self,
        kind: TermKind,
        weight: typing.SupportsFloat | typing.SupportsIndex,
        index: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
        target: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [],
        target_index: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
        bounds: Bounds = ...,
        terminal: bool = False,
    ) -> None: ...
    @property
    def index(self) -> list[int]: ...
    @index.setter
    def index(self, arg0: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> None: ...
    @property
    def target(self) -> list[float]: ...
    @target.setter
    def target(self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]) -> None: ...
    @property
    def target_index(self) -> list[int]: ...
    @target_index.setter
    def target_index(
        self, arg0: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    ) -> None: ...
    @property
    def weight(self) -> float: ...
    @weight.setter
    def weight(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class Noise:
    """
    Noise on a start vector: scale * N(0, 1), or uniform in [-scale, scale).
    """

    kind: NoiseKind
    def __init__(
        self, kind: NoiseKind = NoiseKind.NONE, scale: typing.SupportsFloat | typing.SupportsIndex = 0.0
    ) -> None: ...
    @property
    def scale(self) -> float: ...
    @scale.setter
    def scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class ResetSet:
    """
    A start qpos that is set to a value uniform in [low, high).
    """
    def __init__(
        self,
        index: typing.SupportsInt | typing.SupportsIndex,
        low: typing.SupportsFloat | typing.SupportsIndex,
        high: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    @property
    def high(self) -> float: ...
    @high.setter
    def high(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def index(self) -> int: ...
    @index.setter
    def index(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def low(self) -> float: ...
    @low.setter
    def low(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class ResetOwn:
    """
    Noise of one number of a start, or of one quaternion.
    """

    noise: Noise
    def __init__(self, index: typing.SupportsInt | typing.SupportsIndex, noise: Noise) -> None: ...
    @property
    def index(self) -> int: ...
    @index.setter
    def index(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class Reset:
    """
    How an episode starts (mbmf/task/reset.h).
    """

    qpos: Noise
    qvel: Noise
    def __init__(
        self, qpos: Noise = ..., qvel: Noise = ..., set_qpos: collections.abc.Sequence[ResetSet] = []
    ) -> None: ...
    @property
    def mocap_turns(self) -> list[ResetOwn]: ...
    @mocap_turns.setter
    def mocap_turns(self, arg0: collections.abc.Sequence[ResetOwn]) -> None: ...
    @property
    def own_qpos(self) -> list[ResetOwn]: ...
    @own_qpos.setter
    def own_qpos(self, arg0: collections.abc.Sequence[ResetOwn]) -> None: ...
    @property
    def own_qvel(self) -> list[ResetOwn]: ...
    @own_qvel.setter
    def own_qvel(self, arg0: collections.abc.Sequence[ResetOwn]) -> None: ...
    @property
    def set_mocap(self) -> list[ResetSet]: ...
    @set_mocap.setter
    def set_mocap(self, arg0: collections.abc.Sequence[ResetSet]) -> None: ...
    @property
    def set_qpos(self) -> list[ResetSet]: ...
    @set_qpos.setter
    def set_qpos(self, arg0: collections.abc.Sequence[ResetSet]) -> None: ...
    @property
    def set_time(self) -> list[ResetSet]: ...
    @set_time.setter
    def set_time(self, arg0: collections.abc.Sequence[ResetSet]) -> None: ...
    @property
    def turns(self) -> list[ResetOwn]: ...
    @turns.setter
    def turns(self, arg0: collections.abc.Sequence[ResetOwn]) -> None: ...

class PathCost:
    """
    A path of waypoints to follow, and its cost (mbmf/task/path.h).
    """

    relative: bool
    strict: bool
    def __init__(self) -> None: ...
    @property
    def distance(self) -> float: ...
    @distance.setter
    def distance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def far(self) -> float: ...
    @far.setter
    def far(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def far_factor(self) -> float: ...
    @far_factor.setter
    def far_factor(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def forward(self) -> float: ...
    @forward.setter
    def forward(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def heading(self) -> int: ...
    @heading.setter
    def heading(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def last_segment(self) -> int: ...
    @last_segment.setter
    def last_segment(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def turn(self) -> float: ...
    @turn.setter
    def turn(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def turn_beyond(self) -> float: ...
    @turn_beyond.setter
    def turn_beyond(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def turn_limit(self) -> float: ...
    @turn_limit.setter
    def turn_limit(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def waypoints(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        x and y, float64 (P, 2).
        """
    @waypoints.setter
    def waypoints(self, arg1: numpy.ndarray) -> None: ...
    @property
    def x(self) -> int: ...
    @x.setter
    def x(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def y(self) -> int: ...
    @y.setter
    def y(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class TaskSpec:
    """
    What a task is. Lists are copied when read: assign a whole list to change one.
    """

    name: str
    path: PathCost | None
    def __init__(self) -> None: ...
    @property
    def alive(self) -> list[StateBound]: ...
    @alive.setter
    def alive(self, arg0: collections.abc.Sequence[StateBound]) -> None: ...
    @property
    def cost(self) -> list[Term]: ...
    @cost.setter
    def cost(self, arg0: collections.abc.Sequence[Term]) -> None: ...
    @property
    def dying_cost(self) -> float: ...
    @dying_cost.setter
    def dying_cost(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def follows(self) -> list[MocapFollow]: ...
    @follows.setter
    def follows(self, arg0: collections.abc.Sequence[MocapFollow]) -> None: ...
    @property
    def goals(self) -> list[Goal]: ...
    @goals.setter
    def goals(self, arg0: collections.abc.Sequence[Goal]) -> None: ...
    @property
    def healthy(self) -> list[ChannelBound]: ...
    @healthy.setter
    def healthy(self, arg0: collections.abc.Sequence[ChannelBound]) -> None: ...
    @property
    def healthy_reward(self) -> float: ...
    @healthy_reward.setter
    def healthy_reward(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def keyframe(self) -> int:
        """
        Of the model; -1: none.
        """
    @keyframe.setter
    def keyframe(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def moves(self) -> list[MocapMove]: ...
    @moves.setter
    def moves(self, arg0: collections.abc.Sequence[MocapMove]) -> None: ...
    @property
    def observation(self) -> list[Channel]: ...
    @observation.setter
    def observation(self, arg0: collections.abc.Sequence[Channel]) -> None: ...
    @property
    def physics_steps(self) -> int: ...
    @physics_steps.setter
    def physics_steps(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def references(self) -> list[Reference]: ...
    @references.setter
    def references(self, arg0: collections.abc.Sequence[Reference]) -> None: ...
    @property
    def reset(self) -> typing.Annotated[list[Reset], "FixedSize(3)"]:
        """
        Three resets, by ResetKind.
        """
    @reset.setter
    def reset(self, arg1: typing.Annotated[collections.abc.Sequence[Reset], "FixedSize(3)"]) -> None: ...
    @property
    def reward(self) -> list[Term]: ...
    @reward.setter
    def reward(self, arg0: collections.abc.Sequence[Term]) -> None: ...
    @property
    def reward_state(self) -> list[Channel]: ...
    @reward_state.setter
    def reward_state(self, arg0: collections.abc.Sequence[Channel]) -> None: ...
    @property
    def safe_action(self) -> list[float]: ...
    @safe_action.setter
    def safe_action(
        self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...
    @property
    def start_mocap(self) -> list[float]:
        """
        (nmocap * 7); empty: the model's.
        """
    @start_mocap.setter
    def start_mocap(
        self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...
    @property
    def start_qpos(self) -> list[float]: ...
    @start_qpos.setter
    def start_qpos(
        self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...
    @property
    def start_qvel(self) -> list[float]: ...
    @start_qvel.setter
    def start_qvel(
        self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...
    @property
    def state(self) -> list[Channel]: ...
    @state.setter
    def state(self, arg0: collections.abc.Sequence[Channel]) -> None: ...

class Task:
    """
    A compiled task. Immutable; may be used from several threads.
    """
    def __init__(self, mjb: bytes, spec: TaskSpec) -> None: ...
    def cost(
        self,
        states: numpy.ndarray,
        actions: numpy.ndarray,
        segment: typing.SupportsInt | typing.SupportsIndex = 0,
        origin: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ] = [0.0, 0.0],
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Planning cost of K candidates: states float32 (K, H + 1, nstate), actions float32 (K, H, naction) -> float64 (K,).
        """
    def to_control(self, action: numpy.ndarray) -> numpy.typing.NDArray[numpy.float64]:
        """
        The actuators' controls of an action (naction): float64 (nu,).
        """
    @property
    def dt(self) -> float:
        """
        Seconds of one control step.
        """
    @property
    def ends_are_predicted(self) -> bool:
        """
        Whether a model says where episodes end: alive does, or all of healthy are states.
        """
    @property
    def is_sparse(self) -> bool:
        """
        Whether MuJoCo would use sparse constraint Jacobians.
        """
    @property
    def known_states(self) -> list[int]:
        """
        Which states a plan knows beforehand: the time and references, where there are references.
        """
    @property
    def mjb(self) -> bytes:
        """
        The compiled robot in MuJoCo's binary format, with room for that.
        """
    @property
    def naction(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def nmemory(self) -> int:
        """
        Numbers of a simulation's user data that the task keeps.
        """
    @property
    def nobservation(self) -> int: ...
    @property
    def nstate(self) -> int: ...
    @property
    def observes_state(self) -> bool:
        """
        Whether the observation is the state, channel by channel.
        """
    @property
    def spec(self) -> TaskSpec:
        """
        A copy of the specification.
        """
    @property
    def unpredicted_observations(self) -> list[int]:
        """
        Which observations do not follow from the states, so that no model predicts them.
        """

class Simulator:
    """
    Many MuJoCo simulations of one task. Not to be used from several threads at once.
    """
    def __init__(
        self,
        task: Task,
        nsim: typing.SupportsInt | typing.SupportsIndex,
        nthread: typing.SupportsInt | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def error(self, sim: typing.SupportsInt | typing.SupportsIndex) -> str: ...
    def get_state(self, ids: typing.Any) -> numpy.typing.NDArray[numpy.float64]:
        """
        float64 (nid, state_size).
        """
    def reseed(self, seed: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def reseed_each(self, ids: typing.Any, seeds: numpy.ndarray) -> None:
        """
        Simulations draw start states as the only one of a simulator with their seed: uint64 (nid,).
        """
    def reset(self, ids: typing.Any, kind: ResetKind) -> None: ...
    def set_state(self, ids: typing.Any, rows: numpy.ndarray) -> None: ...
    def start(self, ids: typing.Any, kind: ResetKind, episodes: numpy.ndarray) -> None:
        """
        Starts simulations as the episodes of these numbers: uint64 (nid,).
        """
    def step(self, ids: typing.Any, actions: numpy.ndarray) -> None:
        """
        actions: float64 (nid, naction).
        """
    @property
    def diverged(self) -> numpy.ndarray: ...
    @property
    def draws(self) -> numpy.typing.NDArray[numpy.uint64]:
        """
        What start states are drawn from: seed, sequence and resets of each simulation, uint64 (nsim, 3).
        """
    @draws.setter
    def draws(self, arg1: numpy.ndarray) -> None: ...
    @property
    def nsim(self) -> int: ...
    @property
    def nthread(self) -> int: ...
    @property
    def observations(self) -> numpy.ndarray: ...
    @property
    def rewards(self) -> numpy.ndarray: ...
    @property
    def seed(self) -> int: ...
    @property
    def state_size(self) -> int: ...
    @property
    def states(self) -> numpy.ndarray: ...
    @property
    def terminated(self) -> numpy.ndarray: ...

class Dynamics:
    """
    A learned dynamics model in the C++ core.

    One network or an ensemble of them (members), in float32. The normalisation is folded into the first and the last
    layer. Immutable. States may be float32 or float64: those that are large beside their deviation are kept less a centre,
    so that float64 loses nothing.
    """
    def __init__(
        self,
        nstate: typing.SupportsInt | typing.SupportsIndex,
        naction: typing.SupportsInt | typing.SupportsIndex,
        weights: collections.abc.Sequence[numpy.ndarray],
        biases: collections.abc.Sequence[numpy.ndarray],
        activation: str,
        state_mean: numpy.ndarray,
        state_std: numpy.ndarray,
        action_mean: numpy.ndarray,
        action_std: numpy.ndarray,
        delta_mean: numpy.ndarray,
        delta_std: numpy.ndarray,
        *,
        inputs: collections.abc.Sequence[str] | None = None,
        outputs: collections.abc.Sequence[str] | None = None,
        log_variance_min: numpy.ndarray | None = None,
        log_variance_max: numpy.ndarray | None = None,
        particles: typing.SupportsInt | typing.SupportsIndex = 0,
        propagate: str = "expectation",
        risk: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        whole_mean: numpy.ndarray | None = None,
        whole_std: numpy.ndarray | None = None,
        task: Task | None = None,
    ) -> None:
        """
        whole_mean, whole_std (nstate): of the states themselves, for the digits of those that are not seen. task: whose known states are not predicted. weights[i] (rows, cols) or, of several members, (members, rows, cols); biases[i] likewise.
        """
    def open_loop(
        self,
        states: numpy.ndarray,
        actions: numpy.ndarray,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        states (N, nstate), actions float32 (N, H, naction) -> states float32 (N, H + 1, nstate), the first row being the start; by the mean over members at every step.
        """
    def predict(
        self,
        states: numpy.ndarray,
        actions: numpy.ndarray,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        states (N, nstate), actions float32 (N, naction) -> next states float32 (N, nstate), the mean over members.
        """
    def predict_members(
        self,
        states: numpy.ndarray,
        actions: numpy.ndarray,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
        """
        states (N, nstate), actions float32 (N, naction) -> of each member next states and their deviations, float32 (members, N, nstate); deviations of 0 without a variance head.
        """
    def sample(
        self,
        states: numpy.ndarray,
        actions: numpy.ndarray,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        states (N, nstate), actions float32 (N, H, naction) -> states float32 (N, particles, H + 1, nstate), as a planner rolls out its candidates.
        """
    @property
    def is_probabilistic(self) -> bool: ...
    @property
    def members(self) -> int: ...
    @property
    def naction(self) -> int: ...
    @property
    def nstate(self) -> int: ...
    @property
    def particles(self) -> int:
        """
        Of a candidate.
        """

class Value:
    """
    A learned value in the C++ core, in float32: immutable.
    """
    def __init__(
        self,
        nstate: typing.SupportsInt | typing.SupportsIndex,
        weights: collections.abc.Sequence[numpy.ndarray],
        biases: collections.abc.Sequence[numpy.ndarray],
        activation: str,
        state_mean: numpy.ndarray,
        state_std: numpy.ndarray,
        inputs: collections.abc.Sequence[str],
        mean: typing.SupportsFloat | typing.SupportsIndex,
        std: typing.SupportsFloat | typing.SupportsIndex,
        low: typing.SupportsFloat | typing.SupportsIndex,
        high: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None:
        """
        weights[i] (rows, cols), biases[i] (rows,).
        """
    def evaluate(self, states: numpy.ndarray) -> numpy.typing.NDArray[numpy.float64]:
        """
        states (N, nstate) -> values float64 (N,).
        """
    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def nstate(self) -> int: ...

class GaussianPolicy:
    """
    A Gaussian policy in the C++ core.

    The mean of the action is an MLP of the observation, with tanh between the layers, in float32; the logarithms of the
    standard deviations are numbers of their own. Immutable.
    """
    def __init__(
        self,
        weights: collections.abc.Sequence[numpy.ndarray],
        biases: collections.abc.Sequence[numpy.ndarray],
        log_std: numpy.ndarray,
    ) -> None:
        """
        weights float32 (rows, cols) and biases float32 (rows,) of each layer, log_std float32 (naction,).
        """
    def mean(
        self, observations: numpy.ndarray, nthread: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        observations float32 (N, nobservation) -> mean actions float32 (N, naction).
        """
    @property
    def naction(self) -> int: ...
    @property
    def nobservation(self) -> int: ...

class NetworkPasses:
    """
    Passes of a tanh network over many inputs, on several threads.

    Parameters are one vector, layer by layer the weights (rows, cols) by rows and the biases (rows). Immutable.
    """
    def __init__(
        self,
        sizes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        parameters: numpy.ndarray,
    ) -> None:
        """
        sizes of the inputs, the hidden layers and the outputs; parameters float32 (nparameter,).
        """
    def forward(
        self,
        inputs: numpy.ndarray,
        keep_hidden: bool = False,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], list[numpy.typing.NDArray[numpy.float32]]]:
        """
        inputs float32 (n, ninput) -> outputs (n, noutput), and what each hidden layer gives (n, width), if wanted.
        """
    def gauss_newton(
        self,
        inputs: numpy.ndarray,
        hidden: collections.abc.Sequence[numpy.ndarray],
        v: numpy.ndarray,
        w: numpy.ndarray,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        J' diag(w) J v float64 (nparameter,), for v float32 (nparameter,) and w float32 (noutput,).
        """
    def gradient(
        self,
        inputs: numpy.ndarray,
        hidden: collections.abc.Sequence[numpy.ndarray],
        u: numpy.ndarray,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        J' u float64 (nparameter,), the gradient of sum(outputs * u), for u float32 (n, noutput).
        """
    @property
    def nparameter(self) -> int: ...

class PlanMemory:
    """
    What one plan leaves for the next of its episode; an empty one begins an episode. May be copied, stored and given again.
    """

    task: str
    def __copy__(self) -> PlanMemory: ...
    def __deepcopy__(self, arg0: dict[str, typing.Any]) -> PlanMemory: ...
    def __init__(self) -> None: ...
    @property
    def deviation(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        float32 (H, naction)
        """
    @deviation.setter
    def deviation(self, arg1: numpy.ndarray) -> None: ...
    @property
    def executed(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        the action, float32 (naction,)
        """
    @executed.setter
    def executed(self, arg1: numpy.ndarray) -> None: ...
    @property
    def filled(self) -> bool:
        """
        Whether a plan wrote it.
        """
    @filled.setter
    def filled(self, arg0: bool) -> None: ...
    @property
    def horizon(self) -> int: ...
    @horizon.setter
    def horizon(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def kept(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        sequences, float32 (any, H, naction)
        """
    @kept.setter
    def kept(self, arg1: numpy.ndarray) -> None: ...
    @property
    def mean(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        float32 (H, naction)
        """
    @mean.setter
    def mean(self, arg1: numpy.ndarray) -> None: ...
    @property
    def naction(self) -> int: ...
    @naction.setter
    def naction(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def search(self) -> str:
        """
        Of the planner that wrote it.
        """
    @search.setter
    def search(self, arg0: str) -> None: ...
    @property
    def segment(self) -> int:
        """
        On a path, where the next plan begins.
        """
    @segment.setter
    def segment(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def step(self) -> int:
        """
        Of that plan.
        """
    @step.setter
    def step(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class Planner:
    """
    A search over action sequences; a plan is a pure function of (model, task, seed, start, episode, step, memory).
    """
    def __init__(
        self,
        task: Task,
        dynamics: Dynamics | None,
        search: typing.Any,
        horizon: typing.SupportsInt | typing.SupportsIndex,
        candidates: typing.SupportsInt | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        nthread: typing.SupportsInt | typing.SupportsIndex = 0,
        settings: collections.abc.Mapping[str, typing.SupportsFloat | typing.SupportsIndex] = {},
        cost: typing.Any = None,
        value: Value | None = None,
        policy: GaussianPolicy | None = None,
        proposals: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None:
        """
        dynamics None: through the simulator. search: a name, or an object as mbmf.planning.own makes it. cost: a function (states float32 (n, H + 1, nstate), actions float32 (n, H, naction)) -> float64 (n,). value: of a candidate's last state, which it costs less. policy: whose actions in the model are so many of the first round's candidates.
        """
    def costs(
        self,
        state: numpy.ndarray,
        episode: typing.SupportsInt | typing.SupportsIndex,
        step: typing.SupportsInt | typing.SupportsIndex,
        segment: typing.SupportsInt | typing.SupportsIndex = 0,
        origin: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ] = [0.0, 0.0],
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        The costs of the first round's candidates of an episode's first plan: float64 (K,).
        """
    def make_memory(self) -> PlanMemory:
        """
        An empty memory.
        """
    def plan(
        self,
        state: numpy.ndarray,
        episode: typing.SupportsInt | typing.SupportsIndex,
        step: typing.SupportsInt | typing.SupportsIndex,
        segment: typing.SupportsInt | typing.SupportsIndex = 0,
        origin: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ] = [0.0, 0.0],
        deadline: typing.SupportsInt | typing.SupportsIndex | None = None,
        candidates: typing.SupportsInt | typing.SupportsIndex = 0,
        predict: bool = True,
        memory: PlanMemory | None = None,
    ) -> tuple[typing.Any, ...]:
        """
        state float64 (start_size,), deadline in nanoseconds of the monotonic clock, candidates at most in all (0: all), memory read and written -> (candidate, cost, actions float32 (H, naction), states float32 (H + 1, nstate) or none, candidates done, moved, segment of the next plan, rounds done, proposals done).
        """
    def plan_batch(
        self,
        states: numpy.ndarray,
        episodes: numpy.ndarray,
        steps: numpy.ndarray,
        segments: typing.Any = None,
        origins: typing.Any = None,
        memories: collections.abc.Sequence[PlanMemory] | None = None,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.int32],
    ]:
        """
        states float64 (n, start_size), episodes and steps uint64 (n,), segments int32 (n,) and origins float64 (n, 2) or None, memories (n) or None -> first actions float32 (n, naction), costs float64 (n,), segments of the next plans int32 (n,).
        """
    def roll(
        self,
        state: numpy.ndarray,
        sequences: numpy.ndarray,
        segment: typing.SupportsInt | typing.SupportsIndex = 0,
        origin: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ] = [0.0, 0.0],
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        The costs of action sequences float32 (n, H, naction) from a state: float64 (n,).
        """
    def sample(
        self,
        episode: typing.SupportsInt | typing.SupportsIndex,
        step: typing.SupportsInt | typing.SupportsIndex,
        first: typing.SupportsInt | typing.SupportsIndex,
        count: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        The actions of some candidates of an episode's first plan: float32 (count, H, naction).
        """
    def set_task(self, task: Task) -> None:
        """
        Goes on with another task of the same robot and state.
        """
    def shortest_plan(self, state: numpy.ndarray) -> float:
        """
        Seconds that a plan with a deadline takes at least, measured.
        """
    def trace(
        self,
        state: numpy.ndarray,
        episode: typing.SupportsInt | typing.SupportsIndex,
        step: typing.SupportsInt | typing.SupportsIndex,
        segment: typing.SupportsInt | typing.SupportsIndex = 0,
        origin: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ] = [0.0, 0.0],
        candidates: typing.SupportsInt | typing.SupportsIndex = 0,
        memory: PlanMemory | None = None,
    ) -> tuple[tuple[typing.Any, ...], list[typing.Any]]:
        """
        A plan and its rounds: (plan, [(sequences float32 (n, H, naction), costs float64 (n,), mean and deviation after the round float32 (H, naction) or none)]).
        """
    @property
    def most_candidates(self) -> int:
        """
        Of a plan, over all rounds.
        """
    @property
    def proposals_left_out(self) -> int:
        """
        Of the policy, of all plans so far: those that were not finite.
        """
    @property
    def scratch_bytes(self) -> int:
        """
        Bytes of working memory of a thread, with all that the threads share.
        """
    @property
    def start_size(self) -> int: ...
    @property
    def times(self) -> typing.Annotated[list[int], "FixedSize(4)"]:
        """
        Of the last plan, nanoseconds: in all; drawing and rolling candidates; of that drawing, summed over the threads; predicting the plan's states.
        """

class PlanMode(enum.IntEnum):
    """How many candidates a plan searches."""

    ANYTIME = 0
    FIXED = 1
    FITTED = 2

class StepKind(enum.IntEnum):
    """What a step sent."""

    PLANNED = 0
    HELD = 1
    SAFE = 2

class Fault(enum.IntEnum):
    """Why a step was not planned."""

    NONE = 0
    NO_STATE = 1
    STALE_STATE = 2
    FUTURE_STATE = 6
    BAD_STATE = 3
    LATE_PLAN = 4
    NO_PLAN = 5

class ThreadSettings:
    """
    What threads ask of the operating system.
    """

    lock_memory: bool
    def __init__(self) -> None: ...
    @property
    def cpus(self) -> list[int]: ...
    @cpus.setter
    def cpus(self, arg0: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> None: ...
    @property
    def priority(self) -> int: ...
    @priority.setter
    def priority(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class ControllerOptions:
    """
    Settings of a control loop (mbmf/control/controller.h).
    """

    compensate: bool
    mode: PlanMode
    thread: ThreadSettings
    def __init__(self) -> None: ...
    @property
    def actuation_delay(self) -> float: ...
    @actuation_delay.setter
    def actuation_delay(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def episode(self) -> int: ...
    @episode.setter
    def episode(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def history(self) -> int: ...
    @history.setter
    def history(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def hold_steps(self) -> int: ...
    @hold_steps.setter
    def hold_steps(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def margin(self) -> float: ...
    @margin.setter
    def margin(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def period(self) -> float: ...
    @period.setter
    def period(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def phase(self) -> float: ...
    @phase.setter
    def phase(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def safe_action(self) -> list[float]: ...
    @safe_action.setter
    def safe_action(
        self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...
    @property
    def share(self) -> float: ...
    @share.setter
    def share(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def spin(self) -> float: ...
    @spin.setter
    def spin(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def stale_after(self) -> float: ...
    @stale_after.setter
    def stale_after(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class Quantiles:
    """
    Of durations, in seconds.
    """
    @property
    def count(self) -> int: ...
    @property
    def max(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def p50(self) -> float: ...
    @property
    def p99(self) -> float: ...
    @property
    def p999(self) -> float: ...

class ControllerStatistics:
    """
    Counts and times of a control loop.
    """
    @property
    def age(self) -> Quantiles: ...
    @property
    def bad_state(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def compute(self) -> Quantiles: ...
    @property
    def fewest(self) -> int: ...
    @property
    def future(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def jitter(self) -> Quantiles: ...
    @property
    def late(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def most(self) -> int: ...
    @property
    def no_plan(self) -> int: ...
    @property
    def period(self) -> Quantiles: ...
    @property
    def planned(self) -> int: ...
    @property
    def safe(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def stale(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def waiting(self) -> int: ...

class StepRecord:
    """
    One step of a control loop.
    """
    @property
    def age_ns(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def compute_ns(self) -> int: ...
    @property
    def fault(self) -> Fault: ...
    @property
    def kind(self) -> StepKind: ...
    @property
    def segment(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def wake_ns(self) -> int: ...

class Controller:
    """
    A real-time control loop in a thread of its own.
    """
    def __init__(
        self,
        task: Task,
        dynamics: Dynamics,
        search: str,
        horizon: typing.SupportsInt | typing.SupportsIndex,
        candidates: typing.SupportsInt | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex,
        nthread: typing.SupportsInt | typing.SupportsIndex,
        settings: collections.abc.Mapping[str, typing.SupportsFloat | typing.SupportsIndex],
        options: ControllerOptions,
        value: Value | None = None,
        policy: GaussianPolicy | None = None,
        proposals: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def get_action(self) -> tuple[numpy.typing.NDArray[numpy.float64], int, int, StepKind, Fault, bool]:
        """
        The latest action: (action float64 (naction,), tick, its time in nanoseconds, kind, fault, whether it is new since the last call).
        """
    def put_state(
        self, state: numpy.ndarray, when: typing.SupportsInt | typing.SupportsIndex | None = None
    ) -> None:
        """
        The latest state, float64 (nstate,), and when it was measured, in nanoseconds of the monotonic clock.
        """
    def records(self) -> dict[str, typing.Any]:
        """
        The last steps as arrays by name; after stop.
        """
    def set_path(self, task: Task) -> None:
        """
        Goes on along another task's path, from the next step on.
        """
    def start(self, first: typing.SupportsInt | typing.SupportsIndex | None = None) -> None:
        """
        Tick 0 in nanoseconds of the monotonic clock; now if not given.
        """
    def statistics(self) -> ControllerStatistics: ...
    def status(self) -> StepRecord:
        """
        The last step.
        """
    def stop(self) -> None: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def options(self) -> ControllerOptions: ...
    @property
    def running(self) -> bool: ...
    @property
    def shortest_period(self) -> float: ...

class RealtimeSimulation:
    """
    A simulation that steps in real time in a thread of its own.
    """
    def __init__(
        self,
        task: Task,
        steps: typing.SupportsInt | typing.SupportsIndex,
        episode_steps: typing.SupportsInt | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        first_episode: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def latest(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        MuJoCo's integration-state row before the latest step, for a viewer.
        """
    def record(self) -> dict[str, typing.Any]:
        """
        What happened, as arrays by name, one row per step; once it is finished.
        """
    def start(self, controller: Controller, first: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Tick 0 in nanoseconds of the monotonic clock.
        """
    def stop(self) -> None: ...
    @property
    def done(self) -> int:
        """
        Steps so far.
        """
    @property
    def finished(self) -> bool: ...
    @property
    def overruns(self) -> int: ...

class Bundle:
    """
    An exported folder, read and checked.
    """
    def __init__(self, folder: str) -> None: ...
    @property
    def candidates(self) -> int: ...
    @property
    def dynamics(self) -> Dynamics: ...
    @property
    def horizon(self) -> int: ...
    @property
    def mbmf_version(self) -> str: ...
    @property
    def mujoco_version(self) -> str: ...
    @property
    def period(self) -> float: ...
    @property
    def policy(self) -> GaussianPolicy: ...
    @property
    def proposals(self) -> int: ...
    @property
    def search(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def settings(self) -> dict[str, float]: ...
    @property
    def source(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def value(self) -> Value: ...

def action_noise(
    seed: typing.SupportsInt | typing.SupportsIndex,
    episode: typing.SupportsInt | typing.SupportsIndex,
    step: typing.SupportsInt | typing.SupportsIndex,
    naction: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    The N(0, 1) that collect_mpc scales and adds to the action of a step: float64 (naction,).
    """

def available_isas() -> list[str]:
    """
    Instruction sets that this machine can run, best first.
    """

def check_search(
    task: Task,
    search: str,
    horizon: typing.SupportsInt | typing.SupportsIndex,
    candidates: typing.SupportsInt | typing.SupportsIndex,
    settings: collections.abc.Mapping[str, typing.SupportsFloat | typing.SupportsIndex],
) -> None:
    """
    Raises ValueError on a search that cannot be for a task.
    """

def collect_mpc(
    planner: Planner,
    episodes: typing.SupportsInt | typing.SupportsIndex,
    steps: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first_episode: typing.SupportsInt | typing.SupportsIndex,
    action_noise: typing.SupportsFloat | typing.SupportsIndex,
    keep_poses: bool,
    progress: typing.Any,
) -> dict[str, typing.Any]:
    """
    Episodes of the planner's actions, as a dictionary of arrays.
    """

def collect_policy(
    task: Task,
    policy: GaussianPolicy,
    steps: typing.SupportsInt | typing.SupportsIndex,
    episodes: typing.SupportsInt | typing.SupportsIndex,
    max_steps: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first_episode: typing.SupportsInt | typing.SupportsIndex,
    nthread: typing.SupportsInt | typing.SupportsIndex,
    start: ResetKind,
    noise_std: typing.SupportsFloat | typing.SupportsIndex | None,
    keep_hidden: bool,
    keep_states: bool,
    keep_poses: bool,
    progress: typing.Any,
) -> dict[str, typing.Any]:
    """
    Episodes of a policy's actions, end to end, as a dictionary of arrays.
    """

def collect_random(
    task: Task,
    episodes: typing.SupportsInt | typing.SupportsIndex,
    steps: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first_episode: typing.SupportsInt | typing.SupportsIndex,
    nthread: typing.SupportsInt | typing.SupportsIndex,
    progress: typing.Any,
) -> dict[str, typing.Any]:
    """
    Episodes of random actions, as a dictionary of arrays.
    """

def discounted_sums(
    values: numpy.ndarray, lengths: numpy.ndarray, factor: typing.SupportsFloat | typing.SupportsIndex
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Sums over l of factor^l values[t + l], to the end of the step's episode: values float64 (n,), lengths int32 (nepisode,) -> float64 (n,).
    """

def fault_text(fault: Fault) -> str:
    """
    A fault in words.
    """

def imagine_policy(
    task: Task,
    dynamics: Dynamics,
    policy: GaussianPolicy,
    starts: numpy.ndarray,
    max_steps: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first_episode: typing.SupportsInt | typing.SupportsIndex,
    nthread: typing.SupportsInt | typing.SupportsIndex,
    keep_hidden: bool,
    progress: typing.Any,
) -> dict[str, typing.Any]:
    """
    Episodes of a policy's actions through a learned model, from starts float64 (n, nstate), as a dictionary of arrays like collect_policy's.
    """

def isa() -> str:
    """
    The instruction set that a planner made now would use.
    """

def measure_deadlines(
    planner: Planner, state: numpy.ndarray, seconds: numpy.ndarray, settings: ThreadSettings
) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], list[str]]:
    """
    How long after their deadlines plans return: int64 (n,) nanoseconds, below 0 for before them, int64 (n,) candidates, and what was refused.
    """

def measure_wakes(
    count: typing.SupportsInt | typing.SupportsIndex,
    period: typing.SupportsFloat | typing.SupportsIndex,
    spin: typing.SupportsFloat | typing.SupportsIndex,
    settings: ThreadSettings,
) -> tuple[numpy.typing.NDArray[numpy.int64], list[str]]:
    """
    How late a loop wakes that does nothing but wait: int64 (count,) nanoseconds, and what was refused.
    """

def mujoco_version() -> str:
    """
    The MuJoCo release this was built for.
    """

def mujoco_version_loaded() -> str:
    """
    The MuJoCo release in this process.
    """

def multiply_add_peak(
    nthread: typing.SupportsInt | typing.SupportsIndex = 1,
    seconds: typing.SupportsFloat | typing.SupportsIndex = 0.2,
) -> float:
    """
    Multiply-add peak in GFLOP/s: a register-only loop on each of nthread threads.
    """

def philox(
    key: typing.Annotated[
        collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"
    ],
    counter: typing.Annotated[
        collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(4)"
    ],
) -> typing.Annotated[list[int], "FixedSize(4)"]:
    """
    One Philox4x32-10 block of 32-bit words.
    """

def search_kinds() -> list[typing.Any]:
    """
    The searches, their options and defaults, as dictionaries.
    """

def term_kinds() -> list[typing.Any]:
    """
    The kinds of terms and what each may have, as dictionaries.
    """
