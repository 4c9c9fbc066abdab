"""``mbmf export``: what was learned, for programs that know nothing of mbmf."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mbmf.errors import ConfigError, DataError


@dataclass(frozen=True)
class Options:
    """Write a trained policy as ONNX: observation in, action in [-1, 1] out."""

    onnx: Path
    """The ONNX file to write. Its outputs are `action`, clipped to [-1, 1], and `mean`, before clipping."""

    run_num: int | None = None
    """The run of mbmf mbmf whose policy it is: that of its newest fine-tuning, or else that of imitation."""

    policy: Path | None = None
    """A policy file instead of a run (mbmf mf: runs/mf_<agent>_<number>/policy/policy.safetensors)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from mbmf.policy import GaussianPolicy

    if (options.run_num is None) == (options.policy is None):
        raise ConfigError("either --run_num or --policy must be given, got both or none")
    path = options.policy
    if path is None:
        assert options.run_num is not None
        path = find_policy(options.runs_dir / f"run_{options.run_num}")
    policy = GaussianPolicy.load(path)
    options.onnx.parent.mkdir(parents=True, exist_ok=True)
    policy.save_onnx(options.onnx)
    print(
        f"{options.onnx}: the policy {path} of {policy.task_name}, {policy.nobservation} observations to "
        f"{policy.naction} actions in [-1, 1]"
    )


def find_policy(run: Path) -> Path:
    """The policy of a run: of its newest fine-tuning, or else of imitation. Raises DataError without one."""
    if not run.is_dir():
        raise DataError(f"{run}: run must exist, got none")
    tuned = sorted(run.glob("mbmf_*/policy/policy.safetensors"), key=lambda path: path.stat().st_mtime)
    for path in (*reversed(tuned), run / "imitation/policy/policy.safetensors"):
        if path.is_file():
            return path
    raise DataError(f"{run}: run must have a policy, got none: mbmf mbmf learns one")
