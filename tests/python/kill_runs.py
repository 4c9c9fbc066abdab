"""Runs that are killed at random moments and resumed: the same bits as one that was not, or a refusal.

`python tests/python/kill_runs.py --repeats 100` says, for each command and way to end it, how it went. The
ways are SIGKILL, SIGTERM, and a disk that is full: a small tmpfs, which needs the right to mount one.
Commands run in forked children that have all imported, so that moments are spread over the work. `reproduce`
does both recipes, two runs at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml

from damage_table import task_file
from mbmf.cli.main import main as cli

KINDS = ("mb", "mb --overwrite", "mb, more iterations", "mf", "mbmf", "reproduce", "export", "plot")
# go on with --resume; the others with the same words again
_RESUMED = ("mb", "mf", "mbmf")
_FULL = "full disk"
_PATIENCE = 120.0  # seconds


def command(kind: str, runs: Path, task: Path, *, again: bool) -> list[str]:
    at = [f"--runs_dir={runs}"]
    resume = ["--resume"] if again else []
    quick = ["--print_minimal", "--nthread=1"]
    return {
        "mb": ["mb", f"--yaml_file={task}", *at, "--run_num=1", *quick, *resume],
        "mb --overwrite": [
            *("mb", f"--yaml_file={task}", *at, "--run_num=1", *quick, "--seed=5"),
            "--overwrite",
        ],
        "mb, more iterations": [
            *("mb", *at, "--run_num=1", "--resume", *quick),
            *("--set", "model_based.iterations=4"),
        ],
        "mf": ["mf", f"--which_agent={task}", *at, "--num_workers_trpo=1", *resume],
        "mbmf": ["mbmf", f"--which_agent={task}", *at, "--run_num=1", *quick, *resume],
        "reproduce": [
            *("reproduce", str(task), "--recipe", "paper", "best", "--jobs=2", "--seeds", "1"),
            *(f"--output={runs / 'both'}", *quick),
        ],
        "export": ["export", *at, "--run_num=1", f"--out={runs / 'out'}"],
        "plot": ["plot", "loss", *at, "--run_num=1"],
    }[kind]


def add_recipe(task: Path) -> None:
    """Gives a small task a small recipe `best`, other settings, and rounds in the model."""
    config = yaml.safe_load(task.read_text())
    imagined = {"iterations": 2, "rounds": 2, "episodes": 2, "rollouts": 8, "steps": 10}
    config["recipes"] = {
        "best": {
            "planner": {"search": "icem", "horizon": 3, "candidates": 20},
            "imitation": {**config["imitation"], "epochs": 1, "imagined": imagined},
            "model_free": {**config["model_free"], "gae_lambda": 0.97},
        }
    }
    task.write_text(yaml.safe_dump(config))


def numbers(runs: Path) -> str:
    """A digest of all numbers that were learned or recorded, and of tables, without times."""
    found = hashlib.sha256()
    for path in sorted(runs.rglob("*")):
        if (
            path.is_file()
            and path.suffix in (".safetensors", ".npz", ".jsonl", ".csv")
            and "out" not in path.parts
        ):
            data = _timeless(path).replace(str(runs).encode(), b"")
            found.update(str(path.relative_to(runs)).encode() + hashlib.sha256(data).digest())
    return found.hexdigest()


def _timeless(path: Path) -> bytes:
    """A file's bytes without `"seconds…": …` in records and in the header of a safetensors file."""
    data, header = path.read_bytes(), b""
    if path.suffix == ".safetensors":
        end = 8 + int.from_bytes(data[:8], "little")
        header, data = data[8:end].rstrip(), data[end:]
    elif path.suffix == ".jsonl":
        header, data = data, b""
    return re.sub(rb'\\?"seconds\w*\\?": ?[-+.\w]+', b"", header) + data


def begin(words: list[str], log: Path) -> int:
    """A forked child that runs a command, in a group of its own, and writes what it says to ``log``."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = cli(words)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finished(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(words: list[str], log: Path) -> int:
    return finished(begin(words, log))


def contents(runs: Path) -> dict[str, bytes]:
    """Every file, but for locks."""
    return {
        str(path): path.read_bytes()
        for path in runs.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


def end_early(kind: str, how: str, runs: Path, task: Path, log: Path, lasted: float, need: int) -> bool:
    """Begins a command and has it ended: whether it was not over by itself."""
    if how == _FULL:
        with full_disk(runs, random.uniform(0.05, 1.05) * need):
            return run(command(kind, runs, task, again=False), log) != 0
    child = begin(command(kind, runs, task, again=False), log)
    time.sleep(random.uniform(0, lasted))
    os.kill(child, signal.Signals[how])
    return finished(child) != 0


def _on_disk(path: Path) -> int:
    """The bytes that a file takes on a tmpfs."""
    return -(-path.stat().st_size // 4096) * 4096 if path.is_file() else 0


@contextlib.contextmanager
def full_disk(runs: Path, room: float) -> Iterator[None]:
    """``runs`` on a disk that has so many bytes left; what is on it is copied back."""
    used = sum(map(_on_disk, runs.rglob("*")))
    kept = runs.with_name("kept")
    runs.rename(kept)
    runs.mkdir()
    options = f"size={used + max(4096, int(room) // 4096 * 4096)}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(runs)], check=True)
    try:
        shutil.copytree(kept, runs, dirs_exist_ok=True)
        with contextlib.ExitStack() as opened:
            # what is deleted, or overwritten, makes no room as long as somebody has it open
            for path in runs.rglob("*"):
                if path.is_file():
                    opened.enter_context(path.open("rb"))
            yield
        shutil.rmtree(kept)
        shutil.copytree(runs, kept)
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=True)
        runs.rmdir()
        kept.rename(runs)


def attempt(kind: str, how: str, start: Path, task: Path, lasted: float, need: int, want: str) -> str:
    """Starts a command, has it ended after a while, and does it again: how that went."""
    with tempfile.TemporaryDirectory() as place:
        runs, log = Path(place) / "runs", Path(place) / "log"
        shutil.copytree(start, runs)
        ended = end_early(kind, how, runs, task, log, lasted, need)
        said = log.read_text() if how == _FULL and ended else ""
        before = contents(runs)
        code = run(command(kind, runs, task, again=kind in _RESUMED), log)
        # a worker that has lost its parent ends with what it is at
        end = time.monotonic() + _PATIENCE
        while code and "must not be in use" in " ".join(log.read_text().split()) and time.monotonic() < end:
            time.sleep(1)
            code = run(command(kind, runs, task, again=kind in _RESUMED), log)
        if code and "config.yaml: run must exist" in log.read_text().replace("\n", ""):
            code = run(command(kind, runs, task, again=False), log)
        text = log.read_text()
        when = "" if ended else " (it was over already)"
        if "Traceback" in text + said:
            return f"TRACEBACK: {(text + said).strip().splitlines()[-1][-120:]}"
        if code == 0:
            same = numbers(runs) == want
            left = [path.name for path in runs.rglob("*") if path.name.startswith((".", "saving_"))]
            left = [name for name in left if name.endswith(".tmp") or name.startswith("saving_")]
            return ("the same bits" if same else "OTHER BITS") + when + (f", left {left}" if left else "")
        line = (text.strip().splitlines() or [""])[-1][-120:].replace(str(place), "")
        return f"refused, {'nothing touched' if contents(runs) == before else 'TOUCHED'}{when}: {line}"


def warm_up() -> None:
    """Imports what the commands import. Nothing is run here: a child inherits it all."""
    for name in ("mb", "mbmf", "mf", "reproduce", "export", "plot"):
        importlib.import_module(f"mbmf.cli.{name}")
    for name in ("torch", "matplotlib.pyplot", "onnx", "mbmf.algorithms.reproduce", "mbmf.show.plots"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="in all, at most")
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--how", action="append", choices=("SIGKILL", "SIGTERM", _FULL))
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    os.environ["MUJOCO_GL"] = "egl"
    warnings.simplefilter("ignore")
    warm_up()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        task, log = task_file(folder), folder / "log"
        add_recipe(task)
        nothing, learned = folder / "nothing", folder / "learned"
        nothing.mkdir()
        assert run(command("mb", learned, task, again=False), log) == 0, log.read_text()
        for kind in options.only or KINDS:
            start = nothing if kind in ("mb", "mf", "reproduce") else learned
            whole = folder / f"whole {kind}"
            shutil.copytree(start, whole)
            began = time.monotonic()
            assert run(command(kind, whole, task, again=False), log) == 0, log.read_text()
            lasted, want = time.monotonic() - began, numbers(whole)
            files = [path for path in whole.rglob("*") if path.is_file()]
            # one that is overwritten stays until the new one is whole
            new = [
                path
                for path in files
                if "--overwrite" in kind or not (start / path.relative_to(whole)).exists()
            ]
            need = sum(map(_on_disk, new))
            for how in options.how or ("SIGKILL", "SIGTERM", _FULL):
                counts: Counter[str] = Counter()
                for _ in range(options.repeats):
                    if time.monotonic() > end:
                        break
                    counts[attempt(kind, how, start, task, lasted, need, want)] += 1
                for text, count in counts.most_common():
                    print(f"| {kind} | {how} | {count} | {text} |", flush=True)


if __name__ == "__main__":
    main()
