"""What a dynamics model may be: its words, and which settings fit together. Task files and models share
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mbmf.arguments import number, whole_number
from mbmf.tasks.searches import nearest
from mbmf.words import one_of, show

PROPAGATIONS = ("expectation", "ts1", "tsinf")
STATISTICS = ("kept", "refitted")
# as people write them, and as the core does
INPUTS = {
    "as it is": "value",
    "sine and cosine": "sine_cosine",
    "nothing": "nothing",
    "rotation": "rotation",
    "vertical": "vertical",
    "in the body's frame": "body",
}
OUTPUTS = {
    "difference": "difference",
    "value": "value",
    "rotation": "rotation",
    "difference in the body's frame": "body_difference",
    "value in the body's frame": "body_value",
}
# of the core's words that are said of the first of several states: the ends of their names
_QUATERNION, _VECTOR = ("qw", "qx", "qy", "qz"), ("x", "y", "z")
GROUPS = {
    "rotation": _QUATERNION,
    "vertical": _QUATERNION,
    "body": _VECTOR,
    "body_difference": _VECTOR,
    "body_value": _VECTOR,
}
_GIVEN = ("goal", "reference", "time", "cos", "sin", "rate")
MAX_MEMBERS = 1000
MAX_PARTICLES = 100_000
MAX_RISK = 1e6


def given_states(state_names: Sequence[str]) -> list[bool]:
    """Which states no network has to predict: goals stay, references and, with them, the time are known."""
    sources = [
        {"goal", "reference", "time"} & set(name.split(".")[:2]) if name.split(".")[0] in _GIVEN else set()
        for name in state_names
    ]
    clocked = any("reference" in source for source in sources)
    return [bool(source - ({"time"} if not clocked else set())) for source in sources]


def default_inputs(state_names: Sequence[str]) -> tuple[str, ...]:
    """The core's word for each state of which nothing is said: goals, references, their time are not seen."""
    return tuple("nothing" if given else "value" for given in given_states(state_names))


def value_inputs(state_names: Sequence[str]) -> tuple[str, ...]:
    """The same for what a state is worth: goals and references are seen, by which rewards go; their time is
    not, which only grows."""
    sources = [{"goal", "reference"} & set(name.split(".")[:2]) for name in state_names]
    return tuple(
        "nothing" if given and not source else "value"
        for given, source in zip(given_states(state_names), sources, strict=True)
    )


def state_map(
    name: str,
    given: Mapping[str, str] | None,
    words: Mapping[str, str],
    state_names: Sequence[str],
    defaults: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """What the mapping ``given``, from states' names to ``words``, says of each state, in the core's words.

    A rotation or a vertical is said of the first of the four states qw, qx, qy, qz, and holds for all of
    them; so is what is in the body's frame, of the first of x, y, z.

    Raises ValueError, whose message begins with ``name``, the argument's.
    """
    defaults = defaults or (next(iter(words.values())),) * len(state_names)
    if given is None:
        return tuple(defaults)
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a mapping from names of states to words, got {show(given)}")
    found = dict(zip(state_names, defaults, strict=True))
    for state, word in given.items():
        if state not in found:
            raise ValueError(f"{name} must name {one_of(state, found, 'states')}, got {show(state)}")
        if not isinstance(word, str) or word not in words:
            raise ValueError(f"{name}[{state!r}] must be {nearest(word, list(words))}, got {show(word)}")
        if name == "outputs" and given_states(state_names)[list(state_names).index(state)]:
            raise ValueError(
                f"outputs must leave out goals, references and their time, which nothing has to predict, got "
                f"{show(state)}"
            )
        if words[word] in GROUPS:
            ends = GROUPS[words[word]]
            group = _group(state, ends, state_names)
            if not group or any(other in given for other in group[1:]):
                raise ValueError(
                    f"{name}[{state!r}] must be of a state {ends[0]} that {', '.join(ends[1:-1])} and "
                    f"{ends[-1]} follow, of which nothing is said, for {word!r}"
                )
            if ends == _VECTOR and state.endswith(".wx") and {"qvel", "qacc"} & set(state.split(".")):
                plain = ", ".join(other for other in words if words[other] not in GROUPS)
                raise ValueError(
                    f"{name}[{state!r}] must be one of {plain}: MuJoCo has the angular motion of a free "
                    f"joint in the body's frame, got {show(word)}"
                )
            found |= dict.fromkeys(group, words[word])
            continue
        found[state] = words[word]
    return tuple(found.values())


def check_frame(inputs: Sequence[str], outputs: Sequence[str] = ()) -> None:
    """Of the core's words for all states; without ``outputs``, of what is no model of motion.

    Raises ValueError where something is in the body's frame, and not one quaternion is seen, or where a
    heading is predicted that is not seen.
    """
    pairs = zip(inputs, outputs, strict=False)
    if any(seen == "vertical" and predicted != "rotation" for seen, predicted in pairs):
        raise ValueError(
            "outputs must be 'rotation' of a quaternion whose input is 'vertical': its change in the world "
            "depends on the heading, which is not seen"
        )
    quaternions = sum(word in ("rotation", "vertical") for word in inputs) // 4
    for name, words in (("inputs", inputs), ("outputs", outputs)):
        if quaternions != 1 and any(GROUPS.get(word) == _VECTOR for word in words):
            raise ValueError(
                f"{name} in the body's frame need one quaternion whose input is 'rotation' or 'vertical', "
                f"got {quaternions}"
            )


def _group(state: str, ends: Sequence[str], state_names: Sequence[str]) -> list[str]:
    """The states that begin with ``state``, whose names end so; none where they do not follow one
    another."""
    at = list(state_names).index(state)
    stem = state.removesuffix(ends[0])
    group = list(state_names[at : at + len(ends)])
    return group if group == [f"{stem}{end}" for end in ends] else []


def check_ensemble(
    *,
    members: Any = 1,
    probabilistic: Any = False,
    elites: Any = None,
    particles: Any = None,
    propagate: Any = None,
    risk: Any = 0.0,
    beta: Any = 0.0,
) -> str:
    """How the model propagates. Raises ValueError, with the setting that does not fit first in its
    message."""
    whole_number("members", members, 1, MAX_MEMBERS)
    if not isinstance(probabilistic, bool):
        raise ValueError(f"probabilistic must be true or false, got {show(probabilistic)}")
    if elites is not None:
        try:
            whole_number("elites", elites, 1, members)
        except ValueError:
            raise ValueError(f"elites must be from 1 to members = {members}, got {show(elites)}") from None
    planning = members if elites is None else elites
    if propagate is None:
        propagate = "tsinf" if probabilistic else "expectation"
    if propagate not in PROPAGATIONS:
        raise ValueError(f"propagate must be {nearest(propagate, list(PROPAGATIONS))}, got {show(propagate)}")
    if propagate != "expectation" and not probabilistic and members == 1:
        raise ValueError(
            f"propagate must be expectation for one member that is not probabilistic, got {propagate}"
        )
    if particles is not None:
        whole_number("particles", particles, 1, MAX_PARTICLES)
        if propagate == "expectation" and particles != planning:
            raise ValueError(
                f"particles must be {planning}, one for each member that plans, where propagate is "
                f"expectation, got {particles}"
            )
        if particles % planning:
            raise ValueError(
                f"particles must be divisible by the {planning} members that plan, got {particles}"
            )
    if number("risk", risk, -MAX_RISK, MAX_RISK) != 0 and planning == 1:
        raise ValueError(f"risk must be 0 where one member plans (nothing deviates), got {risk:g}")
    if number("beta", beta, 0, 1) != 0 and not probabilistic:
        raise ValueError(f"beta must be 0 where the model is not probabilistic, got {beta:g}")
    return str(propagate)


def layer_decay(value: Any, layers: int) -> tuple[float, ...]:
    """The weight decay of each of ``layers`` layers. Raises ValueError."""
    values = value if isinstance(value, list | tuple) else [value] * layers
    if len(values) != layers:
        raise ValueError(
            f"weight_decay must be a number, or one for each of the {layers} layers, got {len(values)}"
        )
    return tuple(number("weight_decay", each, 0, 1e6) for each in values)
