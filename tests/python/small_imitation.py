"""Imitation of a small model-based run, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mbmf
from mbmf.algorithms import imitation
from mbmf.runs.mb_result import ModelBasedResult


def imitate(
    path: Path,
    task: mbmf.Task,
    source: ModelBasedResult,
    observer: imitation.Observer | None = None,
    *,
    seed: int = 0,
    nthread: int = 1,
    resume: bool = False,
) -> Any:
    settings = imitation.settings_of(task)
    with imitation.open_run(path, task, source, settings, seed=seed, nthread=nthread, resume=resume) as run:
        return imitation.imitate(task, run, source, settings, seed=seed, nthread=nthread, observer=observer)
