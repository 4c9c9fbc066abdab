"""Each file of a run removed, cut and changed in turn, then every command: what each says, as a table.

`python tests/python/damage_table.py` writes it. A cell is the exit status and what was said:
"names it" where the file is named, "says nothing" where the command went on without a word. What a command
does not need it does not read: `plot` looks at metrics, `export` at one model.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from mbmf.cli import main as cli

SMALL = "random_train: {episodes: 2, steps: 40}, random_validation: {episodes: 2, steps: 110}, hidden: [16]"
REST = "epochs: 2, horizon: 3, candidates: 20, rollouts_per_iteration: 2, rollouts_for_training: 1"
MORE = "steps_per_rollout: 25, min_return: -1000.0, rollouts_to_save: 2"


def task_file(folder: Path) -> Path:
    """A swimmer whose runs take a second."""
    import yaml

    import mbmf

    config = yaml.safe_load(mbmf.load_task("swimmer_forward").to_yaml())
    config["model_based"] |= yaml.safe_load(f"{{iterations: 2, {SMALL}, {REST}, {MORE}}}")
    config["imitation"] |= {"epochs": 2, "iterations": 1, "rollouts_to_label": 1, "test_rollouts": 1}
    config["fine_tune"] |= {"batch_size": 60, "iterations": 1}
    config["model_free"] |= {"hidden": [8, 8], "steps_per_rollout": 25, "batch_size": 60, "iterations": 2}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def commands(runs: Path, task: Path) -> dict[str, list[str]]:
    """By name, on run 1."""
    at = [f"--runs_dir={runs}", "--run_num=1"]
    return {
        "mb --resume": ["mb", f"--yaml_file={task}", *at, "--resume", "--print_minimal"],
        "mbmf": ["mbmf", f"--which_agent={task}", f"--runs_dir={runs}", "--run_num=1"],
        "export": ["export", *at, f"--out={runs / 'out'}"],
        "plot loss": ["plot", "loss", *at],
        "report": ["report", *at],
        "control": ["control", *at, "--seconds=0.5"],
    }


def damages(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    yield "removed", None
    yield "empty", b""
    yield "cut", data[: len(data) // 2]
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 4
    yield "a bit", bytes(flipped)


def said(command: list[str], name: str) -> str:
    """The exit status of a command, and whether it named the file."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status = cli.main(command)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException as error:
            return f"TRACEBACK {type(error).__name__}: {error}"
    text = out.getvalue().replace("\n", "")
    if name in text or Path(name).stem in text:
        return f"{status}, names it"
    return f"{status}, says nothing" if status == 0 else f"{status}, {text[-120:]}"


def digest(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def table(write: Callable[[str], object]) -> None:
    """Writes a line for each file, damage and command."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        task = task_file(folder)
        whole = folder / "whole"
        first = [word for word in commands(whole, task)["mb --resume"] if word != "--resume"]
        assert "TRACEBACK" not in said(first, "run_1")
        unfinished = folder / "unfinished"
        shutil.copytree(whole, unfinished)
        (unfinished / "run_1" / "summary.json").unlink()
        for kind, source in (("finished", whole), ("unfinished", unfinished)):
            files = [path for path in sorted((source / "run_1").rglob("*")) if path.is_file()]
            for file in files:
                name = str(file.relative_to(source / "run_1"))
                if name.startswith(("tensorboard", "board", ".")):
                    continue
                for damage, data in damages(file.read_bytes()):
                    cells = []
                    for what in commands(source, task):
                        runs = folder / "runs"
                        shutil.rmtree(runs, ignore_errors=True)
                        shutil.copytree(source, runs)
                        target = runs / "run_1" / name
                        target.unlink() if data is None else target.write_bytes(data)
                        cells.append(said(commands(runs, task)[what], os.path.basename(name)))
                    write(f"| {kind} | {name} | {damage} | " + " | ".join(cells) + " |")


def main() -> None:
    names = list(commands(Path(), Path()))
    print("| run | file | damage | " + " | ".join(names) + " |")
    print("|---" * (3 + len(names)) + "|", flush=True)
    table(lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main())
