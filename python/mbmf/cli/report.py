"""``mbmf report``: a run as one HTML page."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from mbmf.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """Write a run of mbmf mb as one HTML page: rewards, losses, predictions, paths, videos, configuration."""

    run_num: int
    """Number of the run: <runs_dir>/run_<run_num>."""

    output: Path | None = None
    """File to write (default: report.html in the run's folder)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from mbmf.show.report import write_report

    if options.run_num < 0:
        raise ConfigError(f"--run_num must be at least 0, got {options.run_num}")
    path, notes = write_report(options.runs_dir / f"run_{options.run_num}", options.output)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(path)
