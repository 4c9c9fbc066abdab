"""Each file of a run removed, cut and changed in turn, then every command: what each says, as tables.

`python tests/python/damage_table.py` writes them: of runs of mb, mf, mbmf, of a path and of an export. A cell
is the exit status and what was said: "names it" where the file is named, "says nothing" where the command
went on without a word. What a command does not need it does not read: `plot` looks at metrics, `export` at
one model. In capitals is what may not be: a traceback; a file that a command which failed has changed; one
that is gone after a command.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

import mbmf
from mbmf.cli import main as cli
from mbmf.errors import MbmfError

SMALL = "random_train: {episodes: 2, steps: 40}, random_validation: {episodes: 2, steps: 110}, hidden: [16]"
REST = "epochs: 2, horizon: 3, candidates: 20, rollouts_per_iteration: 2, rollouts_for_training: 1"
MORE = "steps_per_rollout: 25, min_return: -1000.0, rollouts_to_save: 2"


def task_file(folder: Path) -> Path:
    """A swimmer whose runs take a second."""
    config = yaml.safe_load(mbmf.load_task("swimmer_forward").to_yaml())
    config["model_based"] |= yaml.safe_load(f"{{iterations: 2, {SMALL}, {REST}, {MORE}}}")
    config["imitation"] |= {"epochs": 2, "iterations": 1, "rollouts_to_label": 1, "test_rollouts": 1}
    config["fine_tune"] |= {"batch_size": 60, "iterations": 1}
    config["model_free"] |= {"hidden": [8, 8], "steps_per_rollout": 25, "batch_size": 60, "iterations": 2}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@dataclass(frozen=True)
class Kind:
    """Commands that make a directory, what of it is damaged, and commands on it by what they are called."""

    make: Callable[[Path, Path], list[list[str]]]  # of the directory and the task
    folder: str  # within the directory
    commands: Callable[[Path, Path], dict[str, list[str] | None]]  # None: the C++ reader of exports


def _at(runs: Path) -> list[str]:
    return [f"--runs_dir={runs}", "--run_num=1"]


def _mb(runs: Path, task: Path) -> list[str]:
    return ["mb", f"--yaml_file={task}", *_at(runs), "--print_minimal", "--nthread=1"]


def _mbmf(runs: Path, task: Path) -> list[str]:
    return ["mbmf", f"--which_agent={task}", *_at(runs), "--print_minimal", "--nthread=1"]


def _mf(runs: Path, task: Path) -> list[str]:
    return ["mf", f"--which_agent={task}", f"--runs_dir={runs}", "--num_workers_trpo=1"]


def _path(runs: Path, task: Path) -> list[str]:
    return [*_mb(runs, _path_task(task)), "--desired_traj_type=left_turn", "--use_existing_dynamics_model"]


def _path_task(task: Path) -> Path:
    return task.with_name("path.yaml")


def _evaluate(runs: Path, *words: str) -> list[str]:
    return ["evaluate", f"--runs_dir={runs}", *words, "--episodes=1", "--steps=5"]


def _make_mbmf(runs: Path, task: Path) -> list[list[str]]:
    return [_mb(runs, task), _mbmf(runs, task)]


def _of_mbmf(runs: Path, task: Path) -> dict[str, list[str] | None]:
    return {
        "mbmf --resume": [*_mbmf(runs, task), "--resume"],
        "evaluate": _evaluate(runs, "--run_num=1", "--policy=newest"),
        "export --onnx": ["export", *_at(runs), f"--onnx={runs / 'policy.onnx'}"],
    }


KINDS = {
    "mb": Kind(
        lambda runs, task: [_mb(runs, task)],
        "run_1",
        lambda runs, task: {
            "mb --resume": [*_mb(runs, task), "--resume"],
            "mbmf": _mbmf(runs, task),
            "export": ["export", *_at(runs), f"--out={runs / 'out'}"],
            "plot loss": ["plot", "loss", *_at(runs)],
            "report": ["report", *_at(runs)],
            "control": ["control", *_at(runs), "--seconds=0.2"],
        },
    ),
    "mf": Kind(
        lambda runs, task: [_mf(runs, task)],
        "mf_swimmer_forward_1",
        lambda runs, task: {
            "mf --resume": [*_mf(runs, task), "--resume"],
            "evaluate": _evaluate(runs, f"--policy={runs / 'mf_swimmer_forward_1'}"),
            "report": ["report", f"--runs_dir={runs}", "--run_num=mf_swimmer_forward_1"],
        },
    ),
    "mbmf, imitation": Kind(_make_mbmf, "run_1/imitation", _of_mbmf),
    "mbmf, fine-tuning": Kind(_make_mbmf, "run_1/mbmf_std1_1", _of_mbmf),
    "path": Kind(
        lambda runs, task: [_mb(runs, _path_task(task)), _path(runs, task)],
        "run_1/paths/left_turn",
        lambda runs, task: {
            "mb --resume": [*_path(runs, task), "--resume"],
            "plot trajfollow": ["plot", "trajfollow", *_at(runs)],
        },
    ),
    "export": Kind(
        lambda runs, task: [_mb(runs, task), ["export", *_at(runs), f"--out={runs / 'out'}"]],
        "out",
        lambda runs, task: {
            "export again": ["export", *_at(runs), f"--out={runs / 'out'}"],
            "the C++ reader": None,
        },
    ),
}


def damages(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    yield "removed", None
    yield "empty", b""
    yield "cut", data[: len(data) // 2]
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 4
    yield "a bit", bytes(flipped)


def said(command: list[str] | None, runs: Path, target: Path) -> str:
    """The exit status of a command, and whether it named the file, with the folders that it is in."""
    before = contents(runs)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status = read_export(runs / "out", out) if command is None else cli.main(command)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException as error:
            return f"TRACEBACK {type(error).__name__}: {error}"
    if status in (cli.EXIT_INTERRUPTED, cli.EXIT_TERMINATED):
        raise KeyboardInterrupt
    text = out.getvalue().replace("\n", "")
    after = contents(runs)
    gone = [path.name for path in before if path not in after]
    changed = [path.name for path in before if status and path in after and after[path] != before[path]]
    more = (f", LOST {gone}" if gone else "") + (f", CHANGED {changed}" if changed else "")
    if str(target.relative_to(runs).with_suffix("")) in text:
        return f"{status}, names it{more}"
    if status == 0:
        return ("0, a note" if "note: " in text else "0, says nothing") + more
    return f"{status}, {text[-120:]}{more}"


def read_export(folder: Path, out: io.StringIO) -> int:
    from mbmf.control.bundle import load_bundle

    try:
        load_bundle(folder)
    except (MbmfError, mbmf.CoreError) as error:
        out.write(str(error))
        return 2
    return 0


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file, but for locks and what is drawn anew."""
    drawn = (".png", ".svg", ".html", ".csv")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in drawn]
    return {
        path: path.read_bytes()
        for path in files
        if not path.name.startswith((".lock", "events.out")) and path.parent.name != "control"
    }


def prepare(folder: Path) -> Path:
    """The tasks of all kinds."""
    task = task_file(folder)
    config = yaml.safe_load(mbmf.load_task("swimmer_trajfollow").to_yaml())
    config["model_based"] = yaml.safe_load(task.read_text())["model_based"]
    _path_task(task).write_text(yaml.safe_dump(config))
    return task


def table(kind: Kind, chosen: Sequence[str], write: Callable[[str], object]) -> None:
    """Writes a line for each file and each of the damages that are chosen (none: all)."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        task, whole, runs = prepare(folder), folder / "whole", folder / "runs"
        whole.mkdir()
        for words in kind.make(runs, task):
            assert said(words, runs, runs / "none").startswith("0"), words
        shutil.copytree(runs, whole, dirs_exist_ok=True)
        unfinished = folder / "unfinished"
        shutil.copytree(whole, unfinished)
        summaries = sorted((unfinished / kind.folder).rglob("summary.json"))
        if summaries:  # of what was made last
            max(summaries, key=lambda path: (path.stat().st_mtime, str(path))).unlink()
        for state, source in (("finished", whole), ("unfinished", unfinished))[: 1 + bool(summaries)]:
            for file in sorted(contents(source / kind.folder)):
                name = str(file.relative_to(source / kind.folder))
                for damage, data in damages(file.read_bytes()):
                    if chosen and damage not in chosen:
                        continue
                    cells = []
                    for words in kind.commands(runs, task).values():
                        shutil.rmtree(runs, ignore_errors=True)
                        shutil.copytree(source, runs)
                        target = runs / kind.folder / name
                        target.unlink() if data is None else target.write_bytes(data)
                        cells.append(said(words, runs, target))
                    write(f"| {state} | {name} | {damage} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--damage", action="append", choices=[name for name, _ in damages(b"x")])
    options = parser.parse_args()
    for name in options.only or KINDS:
        columns = list(KINDS[name].commands(Path("runs"), Path("task.yaml")))
        print(f"## {name}\n\n| run | file | damage | " + " | ".join(columns) + " |")
        print("|---" * (3 + len(columns)) + "|", flush=True)
        table(KINDS[name], options.damage or (), lambda line: print(line, flush=True))
        print()


if __name__ == "__main__":
    sys.exit(main())
