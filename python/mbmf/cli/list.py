"""``mbmf list``: the runs that there are."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbmf.errors import DataError
from mbmf.runs.layout import CONFIG, LOCK, PATHS
from mbmf.runs.run import Record, Run


@dataclass(frozen=True)
class Options:
    """List the runs: name, task, seed, state, reward, size."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


_KINDS = {"model_based": "mb", "imitation": "imitation", "fine_tune": "mbmf", "model_free": "mf"}


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not options.runs_dir.is_dir():
        raise DataError(f"{options.runs_dir}: folder of runs must exist, got none: mbmf mb makes one")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "by", "task", "seed", "state", "reward", "size"):
        right = heading in ("seed", "reward", "size")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for path, level in found(options.runs_dir):
        table.add_row("  " * level + escape(path.name), *map(escape, _row(path)))
    if not table.row_count:
        raise DataError(f"{options.runs_dir}: folder must have runs, got none: mbmf mb makes one")
    Console(highlight=False).print(table)


def found(runs_dir: Path) -> Iterator[tuple[Path, int]]:
    """The run directories of a folder in order, each followed by its stages and other paths, and how deep."""

    def order(path: Path) -> tuple[str, int]:
        name, _, number = path.name.rpartition("_")
        return (name, int(number)) if number.isdecimal() else (path.name, -1)

    for config in sorted(runs_dir.glob(f"*/{CONFIG}"), key=lambda each: order(each.parent)):
        yield config.parent, 0
        stages = [*config.parent.glob(f"*/{CONFIG}"), *config.parent.glob(f"{PATHS}/*/{CONFIG}")]
        for stage in sorted(stages, key=lambda each: order(each.parent)):
            yield stage.parent, 1


def _row(path: Path) -> tuple[str, str, str, str, str, str]:
    run = Run(path)
    size = _size(path)
    try:
        config, records, summary = run.config(), run.metrics(), run.summary()
    except DataError:
        return "", "", "", "damaged", "", size
    task = config.get("task")
    name = task.get("name") if isinstance(task, Mapping) else None
    by = _KINDS.get(str(config.get("algorithm")), "?")
    state = _state(path, config, records, summary)
    return by, str(name), str(config.get("seed")), state, _reward(records, summary), size


def _state(path: Path, config: Mapping[str, Any], records: list[Record], summary: Record | None) -> str:
    if summary is not None:
        return "finished"
    task = config.get("task")
    of: Any = None
    if config.get("algorithm") == "model_based" and isinstance(task, Mapping):
        of = (task.get("model_based") or {}).get("iterations")
    elif "limits" in config:
        of = config["limits"].get("iterations")
    elif isinstance(config.get("settings"), Mapping) and isinstance(
        config["settings"].get("iterations"), int
    ):
        of = config["settings"]["iterations"] + 1
    # a run that was gone on with for longer is of an unknown number
    within = isinstance(of, int) and len(records) <= of
    done = f"{len(records)} of {of}" if within else str(len(records))
    return f"{'running' if _is_running(path) else 'stopped'}, {done}"


def _is_running(path: Path) -> bool:
    """Whether a process holds the run's lock."""
    try:
        with open(path / LOCK, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _reward(records: list[Record], summary: Record | None) -> str:
    for record in (summary, *reversed(records)):
        mean = record.get("reward_mean") if record is not None else None
        if mean is not None:
            return f"{mean:,.1f}"
    return "–"


def _size(path: Path) -> str:
    """Of a run with all its stages, as people say it."""
    size = float(sum(each.stat().st_size for each in path.rglob("*") if each.is_file()))
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
