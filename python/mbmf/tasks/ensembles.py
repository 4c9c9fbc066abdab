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
INPUTS = {"as it is": "value", "sine and cosine": "sine_cosine", "nothing": "nothing"}
OUTPUTS = {"difference": "difference", "value": "value"}
MAX_MEMBERS = 1000
MAX_PARTICLES = 100_000
MAX_RISK = 1e6


def state_map(
    name: str, given: Mapping[str, str] | None, words: Mapping[str, str], state_names: Sequence[str]
) -> tuple[str, ...]:
    """What the mapping ``given``, from states' names to ``words``, says of each state, in the core's words.

    Raises ValueError, whose message begins with ``name``, the argument's.
    """
    default = next(iter(words.values()))
    if given is None:
        return (default,) * len(state_names)
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a mapping from names of states to words, got {show(given)}")
    found = dict.fromkeys(state_names, default)
    for state, word in given.items():
        if state not in found:
            raise ValueError(f"{name} must name {one_of(state, found, 'states')}, got {show(state)}")
        if not isinstance(word, str) or word not in words:
            raise ValueError(f"{name}[{state!r}] must be {nearest(word, list(words))}, got {show(word)}")
        found[state] = words[word]
    return tuple(found.values())


def check_ensemble(
    *,
    members: Any = 1,
    probabilistic: Any = False,
    elites: Any = None,
    particles: Any = None,
    propagate: Any = None,
    risk: Any = 0.0,
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
    return str(propagate)


def layer_decay(value: Any, layers: int) -> tuple[float, ...]:
    """The weight decay of each of ``layers`` layers. Raises ValueError."""
    values = value if isinstance(value, list | tuple) else [value] * layers
    if len(values) != layers:
        raise ValueError(
            f"weight_decay must be a number, or one for each of the {layers} layers, got {len(values)}"
        )
    return tuple(number("weight_decay", each, 0, 1e6) for each in values)
