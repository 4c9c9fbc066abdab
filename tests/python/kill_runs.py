"""Runs that are killed at random moments and resumed: the same bits as one that was not, or a refusal.

`python tests/python/kill_runs.py --repeats 100` says, for each command and signal, how it went.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from damage_table import task_file

# what differs between two runs that are the same: clocks
_INCIDENTAL = ("config.yaml", "metrics.jsonl", "summary.json", "files.json")


def command(kind: str, runs: Path, task: Path, *, again: bool) -> list[str]:
    start = [sys.executable, "-W", "ignore", "-m", "mbmf.cli.main"]
    at = [f"--runs_dir={runs}"]
    resume = ["--resume"] if again else []
    return {
        "mb": [*start, "mb", f"--yaml_file={task}", *at, "--run_num=1", "--print_minimal", *resume],
        "mb --overwrite": [
            *(*start, "mb", f"--yaml_file={task}", *at, "--run_num=1", "--print_minimal", "--seed=5"),
            "--overwrite",
        ],
        "mf": [*start, "mf", f"--which_agent={task}", *at, "--num_workers_trpo=1", *resume],
        "mbmf": [*start, "mbmf", f"--which_agent={task}", *at, "--run_num=1", *resume],
        "export": [*start, "export", *at, "--run_num=1", f"--out={runs / 'out'}"],
        "plot": [*start, "plot", "loss", *at, "--run_num=1"],
    }[kind]


def weights(runs: Path) -> str:
    """A digest of all numbers that were learned or recorded, without times."""
    found = hashlib.sha256()
    for path in sorted(runs.rglob("*")):
        if path.is_file() and path.suffix in (".safetensors", ".npz") and "out" not in path.parts:
            found.update(str(path.relative_to(runs)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)


def attempt(kind: str, how: signal.Signals, start: Path, task: Path, seconds: float, want: str) -> str:
    """Starts a command, ends it after a while, and does it again: how that went."""
    with tempfile.TemporaryDirectory() as place:
        runs = Path(place) / "runs"
        shutil.copytree(start, runs)
        process = subprocess.Popen(
            command(kind, runs, task, again=False), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        process.send_signal(how)
        process.wait()
        begun = kind in ("mb", "mf", "mbmf") and any(runs.rglob("config.yaml"))
        found = run(command(kind, runs, task, again=begun))
        if found.returncode and "config.yaml: run must exist" in found.stderr:
            found = run(command(kind, runs, task, again=False))
        if found.returncode == 0:
            same = weights(runs) == want
            left = [path.name for path in runs.rglob("*") if path.name.startswith((".", "saving_"))]
            left = [name for name in left if name.endswith(".tmp") or name.startswith("saving_")]
            return ("the same bits" if same else "OTHER BITS") + (f", left {left}" if left else "")
        lines = (found.stderr or found.stdout).strip().splitlines() or [""]
        traceback = "Traceback" in found.stderr
        return f"{'TRACEBACK' if traceback else 'refused'}: {lines[-1][-120:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="in all, at most")
    parser.add_argument("--only", action="append")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    os.environ["MUJOCO_GL"] = "egl"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        task = task_file(folder)
        nothing, learned = folder / "nothing", folder / "learned"
        nothing.mkdir()
        assert run(command("mb", learned, task, again=False)).returncode == 0
        for kind in options.only or ("mb", "mb --overwrite", "mf", "mbmf", "export", "plot"):
            start = nothing if kind in ("mb", "mf") else learned
            whole = folder / f"whole {kind}"
            shutil.copytree(start, whole)
            begin = time.monotonic()
            done = run(command(kind, whole, task, again=False))
            assert done.returncode == 0, done.stderr
            lasted, want = time.monotonic() - begin, weights(whole)
            for how in (signal.SIGKILL, signal.SIGTERM):
                counts: Counter[str] = Counter()
                for _ in range(options.repeats):
                    if time.monotonic() > end:
                        break
                    moment = random.uniform(0.3 * lasted, lasted)
                    counts[attempt(kind, how, start, task, moment, want)] += 1
                for text, count in counts.most_common():
                    print(f"| {kind} | {how.name} | {count} | {text} |", flush=True)


if __name__ == "__main__":
    main()
