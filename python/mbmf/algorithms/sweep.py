"""A sweep: a method with several settings, several seeds each, and what came of it.

Each run is a directory of its own, ``<folder>/<case>/run_<seed>`` or ``<folder>/<case>/mf_<agent>_<seed>``,
and goes on where it was when the sweep is begun again. A case is named by its settings, so a sweep may grow.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbmf.algorithms import fine_tune
from mbmf.algorithms.parallel import Chain, Report, run_chains
from mbmf.algorithms.stages import METHODS, Paths, Plan, check_settings, stages_of
from mbmf.cluster.engine import Engine
from mbmf.errors import ConfigError
from mbmf.runs.lock import Lock
from mbmf.tasks.settings import NOT_OF_MODEL_BASED, NOT_OF_MODEL_FREE, changed_task, check_sections
from mbmf.tasks.task import Task
from mbmf.words import show
from mbmf.yaml_text import parse_yaml, read_text

MAX_CASES = 10_000
_STAGES = {"mb": 1, "mbmf": 3, "mf": 1}
_MAX_NAME = 80

#: values by key, both as `mbmf.tasks.settings.changed_task` takes them
Settings = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One of the things that are compared.

    Attributes:
        name: of its folder.
        settings: in place of the task's.
        task: with the settings.
    """

    name: str
    settings: Settings
    task: Task


def grid(words: Sequence[str]) -> list[Settings]:
    """Every combination of the values of ``key=value,value,...``; one that changes nothing for no words.

    Commas within brackets, braces and quotes are part of a value. Raises ConfigError.
    """
    axes: dict[str, list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        values = _values(text)
        if not key or not equals or not all(values):
            raise ConfigError(f"--set must be of the form section.key=value,value,..., got {show(word)}")
        if key in axes:
            raise ConfigError(f"--set must give each key once, with all its values, got {key} twice")
        axes[key] = values
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def listed(path: Path) -> list[Settings]:
    """The settings in a YAML file: a list of mappings from keys to values. Raises ConfigError, OSError."""
    data = parse_yaml(read_text(path, ConfigError), str(path))
    what = f"{path}: cases must be a list of mappings such as {{planner.colour: 0.25}}"
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{what}, got {show(data)}")
    found: list[Settings] = []
    for number, each in enumerate(data):
        if not isinstance(each, dict) or not all(isinstance(key, str) for key in each):
            raise ConfigError(f"{what}, got {show(each)} at {number}")
        found.append({key: _as_word(value) for key, value in each.items()})
    return found


def combined(first: Sequence[Settings], second: Sequence[Settings]) -> list[Settings]:
    """Every one of the first with every one of the second. Raises ConfigError if both set a key."""
    found: list[Settings] = []
    for one, other in itertools.product(first, second):
        if both := sorted({*one} & {*other}):
            raise ConfigError(f"cases must not set what --set varies, got {both[0]} in both")
        found.append({**one, **other})
    return found


def cases_of(task: Task, settings: Sequence[Settings], method: str, plan: Plan) -> list[Case]:
    """The cases of a task, all checked for a method. Raises ConfigError, which names the setting."""
    if len(settings) > MAX_CASES:
        raise ConfigError(f"cases must be at most {MAX_CASES}, got {len(settings)}")
    found: dict[str, Case] = {}
    for each in settings:
        name = _name(each)
        if name in found:
            raise ConfigError(f"cases must be different, got {name} twice")
        words = [f"{key}={value}" for key, value in each.items()]
        if method == "mf":
            check_sections(words, NOT_OF_MODEL_FREE, "model-free learning does not use it")
        elif method == "mb":
            check_sections(words, NOT_OF_MODEL_BASED, "model-based learning does not use it")
        changed = changed_task(task, words)
        check_settings(method, changed, plan)
        found[name] = Case(name, each, changed)
    return list(found.values())


def paths_of(case: Case, method: str, agent: str, folder: Path, plan: Plan) -> list[Paths]:
    """Where the runs of a case are, by seed."""
    std = fine_tune.settings_of(case.task, std=plan.std).initial_std if method == "mbmf" else 1.0
    return [Paths.of(folder / case.name, agent, seed, std) for seed in plan.seeds]


def last_runs(case: Case, method: str, agent: str, folder: Path, plan: Plan) -> list[Path]:
    """The run of the method's last stage, for each seed."""
    last = {"mb": "mb", "mbmf": "fine_tune", "mf": "mf"}[method]
    return [getattr(each, last) for each in paths_of(case, method, agent, folder, plan)]


def sweep(
    engine: Engine,
    method: str,
    cases: Sequence[Case],
    agent: str,
    folder: Path,
    plan: Plan,
    report: Report | None = None,
) -> dict[str, Exception]:
    """Runs, or goes on with, a method for every case and seed; the errors of those that failed, by name.

    Args:
        engine: processes or a cluster, each of whose workers does a run at a time.
        method: "mb", "mbmf" (mb, imitation, fine-tuning) or "mf".
        agent: names the directories of model-free learning.
        folder: of everything.
        report: is told how it goes.

    Raises ConfigError for another method, DataError if another process has the folder, ClusterError if the
    engine cannot go on, and KeyboardInterrupt.
    """
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}, got {show(method)}")
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder, write=True)
    try:
        chains = []
        places = [(case, paths_of(case, method, agent, folder, plan)) for case in cases]
        # all cases of a seed before the next one: a comparison as early as there can be
        for i, seed in enumerate(plan.seeds):
            for case, paths in places:
                paths[i].mb.parent.mkdir(exist_ok=True)
                stages = stages_of(method, case.task, paths[i], seed, plan)
                chains.append(Chain(run_name(case, seed), stages, _STAGES[method]))
        return run_chains(engine, chains, report)
    finally:
        lock.close()


def run_name(case: Case, seed: int) -> str:
    """What a run is called in reports and errors."""
    return f"{case.name} seed {seed}"


def _values(text: str) -> list[str]:
    """The parts of a text between commas that are in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    return [part.strip() for part in parts]


def _as_word(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        raise ConfigError(f"cases must have numbers, texts, lists and mappings, got {show(value)}") from None


def _name(settings: Settings) -> str:
    """A file name that tells settings apart."""
    if not settings:
        return "default"
    whole = ",".join(f"{key}={value}" for key, value in settings.items())
    plain = re.sub(r"[^\w.,=+-]", "_", whole, flags=re.ASCII).strip("._-")
    if plain == whole and len(plain) <= _MAX_NAME:
        return plain
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{plain[: _MAX_NAME - 9]}_{digest}"
