"""``mbmf new``: a task file for a robot of one's own, written from its MJCF."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from mbmf.cli.outputs import check_output
from mbmf.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """Write a commented task file for a robot, from its MJCF."""

    output: tyro.conf.Positional[Path]
    """The file to write: my_robot.yaml."""

    from_: str = field(metadata={"name": "from", "metavar": "MJCF"})
    """The robot's MJCF, or the name of one that Gymnasium ships, such as swimmer.xml."""

    overwrite: bool = False
    """Replace the file if there is one."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from mbmf.files import atomic_write
    from mbmf.tasks.draft import draft
    from mbmf.tasks.schema import ModelSource

    if options.output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"output must end in .yaml, got {options.output}")
    if options.output.exists() and not options.overwrite:
        raise ConfigError(
            f"{options.output} must be a new file, got one that is there: --overwrite replaces it"
        )
    robot = Path(options.from_)
    if robot.is_file():
        folder = options.output.parent.resolve()
        source = ModelSource(file=os.path.relpath(robot.resolve(), folder))
    else:
        source = ModelSource(asset=options.from_)
    text = draft(options.output.stem, source, options.output.parent, options.from_)
    check_output(options.output, flag="output")
    with atomic_write(options.output) as file:
        file.write(text.encode())
    quoted = shlex.quote(str(options.output))
    print(f"{options.output}: say what is good in it (reward), then\n  mbmf check {quoted}")
    print(f"  mbmf mb --yaml_file={quoted}")
