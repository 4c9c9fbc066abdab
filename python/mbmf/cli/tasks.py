"""``mbmf tasks``: the presets."""

from __future__ import annotations

from dataclasses import dataclass

import tyro


@dataclass(frozen=True)
class Options:
    """List the presets, or print one: a task file to start from."""

    name: tyro.conf.Positional[str | None] = None
    """The preset to print (default: list them)."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from mbmf.tasks.file import PRESETS, find_task_file, preset_names

    if options.name is not None:
        print(find_task_file(options.name.removesuffix(".yaml")).read_text(encoding="utf-8"), end="")
        return
    width = max(map(len, preset_names()))
    for name in preset_names():
        first = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
        print(f"{name:{width}}  {first.removeprefix('# ').partition(' (paper')[0]}")
    print("\n`mbmf tasks <name> > my_task.yaml` is a copy to change; `mbmf new` begins one for an MJCF.")
