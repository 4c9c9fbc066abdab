"""What a run computed, for tests that compare runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = (
    "seconds",
    *(
        f"seconds_{what}"
        for what in ("training", "control", "tests", "labelling", "sampling", "update", "imagined")
    ),
)


def numbers_of(path: Path, models: bool = True) -> dict[str, Any]:
    """Everything that the run at ``path`` computed, without the seconds that it took, by file."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((path / "summary.json").read_text())
    found: dict[str, Any] = {"metrics": lines, "summary": summary}
    for record in [*lines, summary]:
        for name in SECONDS:
            record.pop(name, None)
    for file in sorted(path.glob("**/*.npz")):
        with np.load(file) as arrays:
            found[str(file.relative_to(path))] = {name: arrays[name].tobytes() for name in arrays.files}
    for file in [path / "policy" / "policy.safetensors", *(sorted(path.glob("models/*")) if models else ())]:
        if file.exists():
            found[str(file.relative_to(path))] = file.read_bytes()
    return found
