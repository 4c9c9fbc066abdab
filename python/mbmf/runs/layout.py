"""Where the files of a run are.

runs/run_<N>/  config.yaml      the resolved configuration, seed and versions
               metrics.jsonl    a line per finished iteration (JSON; infinite or missing numbers are null)
               summary.json     of the finished run
               files.json       which files the run has, and their SHA-256 (mbmf.runs.manifest)
               tb/              the same numbers as TensorBoard events, rebuilt from metrics.jsonl
               data/ models/ rollouts/ policy/ plots/ videos/
               imitation/ mbmf_std<deviation>_<number>/    run directories of what starts from this run
               paths/<path>/    run directories of other paths (mbmf.runs.path_runs)
               services/        which runs of W&B and MLflow are this one (mbmf.runs.services)
               unfinished/      episodes of a stage that is not over (mbmf.runs.parts)
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

CONFIG, METRICS, SUMMARY, FILES = "config.yaml", "metrics.jsonl", "summary.json", "files.json"
REPORT, EVALUATION, CONTROL = "report.html", "evaluation", "control"
BOARD, LOCK, PATHS, UNFINISHED, SERVICES = "tb", ".lock", "paths", "unfinished", "services"
FOLDERS = ("data", "models", "rollouts", "plots", "videos")
# what a run learned, and learns from: it knows each file there
KEPT = ("data", "models", "rollouts", "policy")
# run directories within a run's
PARTS = ("imitation", "mbmf_std*")
# what a run wrote, the configuration first: without it there is no run
CONTENTS = (
    CONFIG,
    SUMMARY,
    FILES,
    METRICS,
    *FOLDERS,
    BOARD,
    "policy",
    PATHS,
    UNFINISHED,
    SERVICES,
    *PARTS,
    REPORT,
    EVALUATION,
    CONTROL,
)


class Layout:
    """The files of the run at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shared: dict[str, Path] = {}  # folders that are another run's

    def data(self, name: str) -> Path:
        return self._shared.get("data", self.path / "data") / f"{name}.npz"

    def model(self, iteration: int) -> Path:
        return self._shared.get("models", self.path / "models") / f"iteration_{iteration}.safetensors"

    def value(self, iteration: int) -> Path:
        return self.model(iteration).with_name(f"value_{iteration}.safetensors")

    def proposing_policy(self, iteration: int) -> Path:
        return self.model(iteration).with_name(f"policy_{iteration}.safetensors")

    def rollouts(self, name: str | int) -> Path:
        return self.path / "rollouts" / (f"{name}.npz" if isinstance(name, str) else f"iteration_{name}.npz")

    def plot(self, name: str) -> Path:
        return self.path / "plots" / f"{name}.png"

    def video(self, name: str) -> Path:
        return self.path / "videos" / f"{name}.mp4"

    def policy(self, name: str) -> Path:
        return self.path / "policy" / f"{name}.safetensors"


def iterations(folder: Path, ending: str) -> list[int]:
    """The numbers of a folder's files iteration_<number><ending>, in order."""
    found = (
        path.name.removesuffix(ending).removeprefix("iteration_")
        for path in folder.glob(f"iteration_*{ending}")
    )
    return sorted(int(number) for number in found if number.isdecimal() and number.isascii())


def enclosing(path: Path) -> Path | None:
    """The run that the run directory ``path`` is a part of, or None."""
    if path.parent.name == PATHS:
        parent = path.parent.parent
    elif any(fnmatch(path.name, name) for name in PARTS):
        parent = path.parent
    else:
        return None
    return parent if (parent / CONFIG).is_file() else None


def others(path: Path) -> str:
    """The runs beside one that is not there, in words."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    names = sorted((each.parent.name for each in path.parent.glob(f"*/{CONFIG}")), key=lambda n: (len(n), n))
    return f"; in {path.parent} there are {', '.join(names) or 'no runs'}"
