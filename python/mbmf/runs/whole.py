"""Whether a run is whole: the files are there that must be, as they were written, and no strange ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mbmf import tensor_file
from mbmf.dynamics.file import FORMAT, FORMAT_VERSION
from mbmf.errors import DataError
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.layout import FILES, METRICS, SUMMARY, iterations
from mbmf.runs.manifest import Manifest
from mbmf.runs.records import Record

# of the checkpoints of each algorithm
_CHECKPOINTS = {
    "model_free": "mbmf-policy-optimization",
    "fine_tune": "mbmf-policy-optimization",
    "imitation": "mbmf-imitation",
}

_OPTIMIZED = ("model_free", "fine_tune")


def check_files(
    path: Path, config: Mapping[str, Any], records: Sequence[Record], summary: Record | None
) -> None:
    """Raises DataError, which names the file, unless the run directory ``path`` is whole.

    Of a run without a list of its files (`listed`) only the numbers of iterations are compared.
    """
    # fine-tuning may be over before its first iteration
    at_once = config.get("algorithm") in _OPTIMIZED and summary is not None and summary.get("iterations") == 0
    finished = summary is not None and not at_once
    _check_iterations(path, config, len(records), finished)
    manifest = listed(path, config)
    if manifest is None:
        return
    for name in manifest.names:
        try:
            manifest.check(path / name)
        except DataError:
            _explain(path / name, str(config.get("algorithm")))
            raise
    manifest.check_strangers()


def listed(path: Path, config: Mapping[str, Any]) -> Manifest | None:
    """The recorded files of the run directory ``path``; None for a run of an earlier release, which has none.

    A run that was killed as it began has none either, and no metrics yet. Raises DataError where the list was
    removed: no release that records what a run is of was without it.
    """
    manifest = Manifest(path)
    if manifest.exists:
        return manifest
    if "identity" in config and ((path / METRICS).exists() or (path / SUMMARY).exists()):
        raise DataError(
            f"{path / FILES}: list of files must be there, the run has written it, got none: put it back, or "
            "begin anew with --overwrite"
        )
    return None


def _check_iterations(path: Path, config: Mapping[str, Any], done: int, finished: bool) -> None:
    algorithm = config.get("algorithm")
    if finished and not done:
        raise DataError(f"{path / METRICS}: metrics must be there, the run is finished ({SUMMARY}), got none")
    if algorithm in _CHECKPOINTS and done and not (path / "policy/checkpoint.safetensors").exists():
        checkpoint = path / "policy" / "checkpoint.safetensors"
        raise DataError(f"{checkpoint}: checkpoint must be there after {done} iterations, got none")
    kinds = [("rollouts", ".npz")]
    if algorithm == "model_based" and not config.get("use_existing_dynamics_model"):
        kinds.append(("models", ".safetensors"))
    for folder, ending in kinds:
        found = iterations(path / folder, ending)
        if found and found[-1] > done + 1:
            raise DataError(
                f"{path / METRICS}: metrics must be of {found[-1] - 1} iterations or more, as {folder} has "
                f"iteration_{found[-1]}{ending}, got {done}"
            )
        missing = sorted(set(range(1, done + 1)) - set(found)) if algorithm == "model_based" else []
        if missing:
            file = path / folder / f"iteration_{missing[0]}{ending}"
            raise DataError(f"{file}: file must be there after {done} iterations, got none")


def _explain(file: Path, algorithm: str) -> None:
    """Raises DataError with what a reader says of a damaged file, which is more than that it changed."""
    if not file.is_file():
        return
    if file.suffix == ".npz":
        Episodes.load(file)
    elif file.suffix == ".safetensors":
        kinds = {
            "checkpoint": ("checkpoint", _CHECKPOINTS.get(algorithm, "")),
            "policy": ("policy", "mbmf-policy"),
        }
        kind, form = kinds.get(file.stem, ("dynamics model", FORMAT))
        if file.stem.startswith("value_"):
            kind, form = "value", "mbmf-value"
        if file.stem.startswith("policy_"):
            kind, form = "policy", "mbmf-policy"
        versions = tuple(range(1, FORMAT_VERSION + 1)) if form == FORMAT else 1
        tensor_file.read(file, kind, form, versions, {})
