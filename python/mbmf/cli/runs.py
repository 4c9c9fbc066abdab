"""Which run a command is about: its number or its name, the newest, or a free number."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mbmf.arguments import MAX_COUNT
from mbmf.errors import ConfigError, DataError
from mbmf.names import PLAIN_NAME, is_plain_name
from mbmf.words import show

_COLUMNS = 80  # of a terminal that is not wide

#: for a field ``run_num``: what its help calls the value
RUN: dict[str, Any] = {"metavar": "NUMBER|NAME"}
#: the same, for several
RUNS: dict[str, Any] = {"metavar": "NUMBER|NAME..."}


def run_path(runs_dir: Path, run: str | int) -> Path:
    """The folder of a run: <runs_dir>/run_<number>, or <runs_dir>/<name>. Raises ConfigError."""
    text = str(run)
    if re.fullmatch(r"-?[0-9]+", text):
        if text.startswith("-"):
            raise ConfigError(f"--run_num must be at least 0, got {text}")
        if len(text) > 20 or int(text) > MAX_COUNT:
            raise ConfigError(f"--run_num must be at most {MAX_COUNT}, got {text}")
        path, named = runs_dir / f"run_{int(text)}", runs_dir / text
        # a path's results have its name, which may be a number
        return named if not path.exists() and named.is_dir() else path
    if not is_plain_name(text):
        raise ConfigError(f"--run_num must be a number or {PLAIN_NAME}, got {show(text)}")
    return runs_dir / text


def name_of(path: Path) -> str:
    """What --run_num takes for the run at ``path``: its number where it has one, or its name."""
    number = path.name.removeprefix("run_")
    return number if number.isdecimal() and number.isascii() else path.name


def free_number(runs_dir: Path) -> int:
    """One more than the highest number of a run there, from 0."""
    names = [name_of(path) for path in runs_dir.glob("run_*")]
    return max((int(name) for name in names if not name.startswith("run_")), default=-1) + 1


def newest_run(runs_dir: Path) -> Path:
    """The run of mbmf mb that was begun last. Raises DataError if there is none."""
    from mbmf.runs.layout import CONFIG
    from mbmf.runs.run import Run

    found = sorted(runs_dir.glob(f"*/{CONFIG}"), key=lambda path: (path.stat().st_mtime_ns, path))
    for path in reversed(found):
        try:
            if Run(path.parent).config().get("algorithm") == "model_based":
                return path.parent
        except DataError:
            continue
    raise DataError(f"{runs_dir}: a run of mbmf mb must exist, got none: mbmf mb makes one")


def recorded_mapping(path: Path) -> dict[str, Any]:
    """The task that the run at ``path`` was made with, as its configuration has it. Raises DataError.

    Its MJCF is where it is now from the run, if the project was moved.
    """
    from mbmf.runs.run import Run
    from mbmf.tasks.record import located_model, with_model

    config = Run(path).config()
    task = config["task"]
    if not isinstance(task, dict):
        raise DataError(f"{path / 'config.yaml'}: task must be a mapping, got {show(task)}")
    return with_model(task, located_model(config, path))


def own_seed(path: Path, given: int | None, resume: bool) -> int:
    """The seed given, or that of the run at ``path`` that is gone on with, or 0. Raises DataError."""
    from mbmf.runs.run import Run

    if given is not None:
        return given
    return Run(path).seed() if resume and Run(path).exists else 0


@contextlib.contextmanager
def saying_what_to_type(
    flags: Mapping[str, str], task: str, other: str = "the command that the run was made with"
) -> Iterator[None]:
    """Adds to the refusal to continue a run with other settings what would continue it.

    Args:
        flags: by the key of a run's configuration, the flag that sets it.
        task: what to type for the run's own task.
        other: what to type for what no flag sets.
    """
    from mbmf.runs.run import OtherConfigError

    try:
        yield
    except OtherConfigError as error:
        flag = flags.get(error.key)
        if error.key.startswith("task"):
            remedy = task
        elif flag is None:
            remedy = other
        elif isinstance(error.old, bool):
            remedy = f"{flag}" if error.old else f"the command without {flag}"
        else:
            remedy = f"the command without {flag}" if error.old is None else f"{flag}={error.old}"
        raise DataError(f"{error}; to go on with the run, give {remedy}") from None


def print_next(path: Path, imitates: bool) -> None:
    """Says what may be typed after a run of mbmf mb or mbmf demo."""
    commands = {"report": "the run as one page", "video": "a video of its last iteration"}
    if imitates:
        commands = {"mbmf": "a policy that imitates it, then improves", **commands}
    print_commands(path, commands)


def print_commands(path: Path, commands: Mapping[str, str]) -> None:
    """Says what may be typed next about the run at ``path``: commands with their options, and what for."""
    where = f"--run_num={shlex.quote(name_of(path))}"
    if path.parent != Path("runs"):
        where += f" --runs_dir={shlex.quote(str(path.parent))}"
    lines = {}
    for command, meaning in commands.items():
        name, *options = command.split()
        lines[" ".join(["mbmf", name, where, *options])] = meaning
    width = max(map(len, lines))
    print("Next:")
    for line, meaning in lines.items():
        if width + max(map(len, commands.values())) + len("    # ") <= _COLUMNS:
            print(f"  {line:{width}}  # {meaning}")
        else:
            print(f"  # {meaning}\n  {line}")
