"""``mbmf report``: a run as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mbmf.cli.outputs import check_output
from mbmf.cli.runs import RUN, run_path
from mbmf.cli.terminal import note


@dataclass(frozen=True)
class Options:
    """Write a run of mbmf mb as one HTML page: rewards, losses, paths, videos, ..."""

    run_num: str = field(metadata=RUN)
    """Number of the run, <runs_dir>/run_<run_num>, or its name, <runs_dir>/<name>."""

    output: Path | None = None
    """File to write (default: report.html in the run's folder)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from mbmf.show.report import write_report

    if options.output is not None:
        check_output(options.output)
    path, notes = write_report(run_path(options.runs_dir, options.run_num), options.output)
    for text in notes:
        note(text)
    print(path)
