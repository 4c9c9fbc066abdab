"""What is shown of many runs at the same time: what each did, a line each, and how far all are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mbmf.algorithms.parallel import Progress


def print_progress(name: str, lines: Sequence[str], progress: Progress) -> None:
    """Prints the last of several iterations, everything else, and how far all are."""
    shown = [
        line
        for line, following in itertools.zip_longest(lines, lines[1:], fillvalue="")
        if not (_is_iteration(line) and _is_iteration(following))
    ]
    for line in shown:
        print(f"{name}: {line}")
    print(f"  {progress}", flush=True)


def _is_iteration(line: str) -> bool:
    return ": iteration " in line and ": note: " not in line
