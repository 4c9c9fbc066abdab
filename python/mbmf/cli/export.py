"""``mbmf export``: what was learned, for programs that know nothing of mbmf."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbmf.cli.outputs import check_output
from mbmf.cli.runs import RUN, run_path
from mbmf.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """Write what a run learned for programs without Python.

    --out: a folder with all that a control loop in C++ needs (docs/deployment.md).

    --onnx: a policy, observation in, action in [-1, 1] out.
    """

    out: Path | None = None
    """The folder to write: new, empty, or an earlier export."""

    onnx: Path | None = None
    """The ONNX file to write. Its outputs are `action`, clipped to [-1, 1], and `mean`, before clipping."""

    run_num: str | None = field(default=None, metadata=RUN)
    """The run of mbmf mb, by number or name, whose model it is; with --onnx the run of mbmf mbmf whose
    policy it is: that of its newest fine-tuning, or else that of imitation."""

    iteration: int | None = None
    """With --out: the aggregation iteration whose model it is; the last if not given."""

    policy: Path | None = None
    """A policy file instead of a run (mbmf mf: runs/mf_<agent>_<number>/policy/policy.safetensors)."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""

    allow_other_task: bool = False
    """Take the robot as it is by now, where its MJCF was changed after the run, or an earlier release wrote
    the run."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    if options.out is None and options.onnx is None:
        raise ConfigError("--out (a folder for C++) or --onnx (a file) must be given, got neither")
    if options.policy is not None and options.onnx is None:
        raise ConfigError("--policy must be given with --onnx, which writes it, got --out alone")
    if options.iteration is not None and options.out is None:
        raise ConfigError("--iteration must be given with --out, which writes its model, got --onnx alone")
    if options.out is not None:
        export_folder(options, options.out)
    if options.onnx is not None:
        export_onnx(options, options.onnx)


def export_folder(options: Options, out: Path) -> None:
    """Writes the dynamics model of a run, and all that a control loop needs, to a folder."""
    from mbmf.control.bundle import save_bundle
    from mbmf.runs.trained import load_trained

    if options.run_num is None:
        raise ConfigError("--run_num must be a run's number or name with --out, got none")
    path = run_path(options.runs_dir, options.run_num)
    trained = load_trained(path, options.iteration, allow_other_task=options.allow_other_task)
    task, planned = trained.task, trained.task.planner
    source = f"{path.name}, iteration {trained.iteration}"
    helps: dict[str, Any] = {"value": trained.value, "policy": trained.policy}
    save_bundle(out, task, trained.model, **helps, seed=trained.seed, source=source)
    print(
        f"{out}: {task.name} of {source}, {planned.search} with {planned.candidates} candidates of "
        f"{planned.horizon} steps every {task.dt:g} s"
    )


def export_onnx(options: Options, onnx: Path) -> None:
    """Writes the policy of a run, or of a file, as ONNX."""
    from mbmf.cli.drivers import find_policy, read_policy
    from mbmf.runs.run import Run

    if (options.run_num is None) == (options.policy is None):
        raise ConfigError("either --run_num or --policy must be given, got both or none")
    path = options.policy
    if path is None:
        assert options.run_num is not None
        path = find_policy(run_path(options.runs_dir, options.run_num))
    check_output(onnx, flag="--onnx")
    policy = read_policy(path)
    if options.policy is None:
        Run(path.parent.parent).check(path)
    policy.save_onnx(onnx)
    print(
        f"{onnx}: the policy {path} of {policy.task_name}, {policy.nobservation} observations to "
        f"{policy.naction} actions in [-1, 1]"
    )
