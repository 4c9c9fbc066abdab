"""A Ray cluster on this machine whose workers and nodes are killed at random moments: the bits of no cluster.

`python tests/python/kill_cluster.py` starts four nodes, runs `mb`, `mbmf`, `mf` and `reproduce` without a
cluster, on it, and again and again while it kills, and says how each went (docs/cluster.md has a summary).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

import mbmf
from run_numbers import numbers_of
from small_mb_run import FINE_TUNE, MODEL_BASED, MODEL_FREE, task_config

# after which a command counts as one that hangs
MOST_SECONDS = 600.0
COMMANDS = ("mb", "mbmf", "mf", "reproduce")
# enough work that a command lasts for some seconds
SECTIONS = {
    "model_based": MODEL_BASED
    | {"horizon": 10, "candidates": 100, "rollouts_per_iteration": 8, "steps_per_rollout": 60}
    | {"rollouts_for_training": 4, "rollouts_to_save": 8},
    "model_free": MODEL_FREE | {"batch_size": 1500, "steps_per_rollout": 50, "iterations": 12},
    "fine_tune": FINE_TUNE | {"batch_size": 1500, "iterations": 8},
}


def command(kind: str, folder: Path, address: str | None) -> list[str]:
    """The words of a command that works in ``folder``."""
    task, runs = folder / "small.yaml", f"--runs_dir={folder}"
    words = {
        "mb": [f"--yaml_file={task}", runs, "--run_num=1", "--nthread=1"],
        "mbmf": [f"--which_agent={task}", runs, "--run_num=1", "--nthread=1"],
        "mf": [f"--which_agent={task}", runs, "--num_workers_trpo=1"],
        "reproduce": [str(task), "--seeds", "3", "5", f"--output={folder / 'out'}", "--nthread=1"],
    }[kind]
    at = [] if address is None else [f"--address={address}"]
    return [sys.executable, "-W", "ignore", "-m", "mbmf.cli.main", kind, *words, *at]


def numbers(folder: Path) -> str:
    """A digest of everything that all runs in ``folder`` computed."""
    digest = hashlib.sha256()
    runs = sorted(path.parent for path in folder.rglob("metrics.jsonl"))
    for run in runs:
        found = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in numbers_of(run).items()
        }
        text = json.dumps(found, sort_keys=True, default=bytes.hex)
        digest.update(f"{run.relative_to(folder)} {text}".encode())
    assert runs, folder
    return digest.hexdigest()


class Nodes:
    """A cluster of nodes with a processor each. The head stays: commands are typed on it."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        places = [Path(mbmf.__file__).parents[1], Path(__file__).parent, *sys.path]
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, places))
        # Ray gives workers the niceness 15: on a busy machine they would hardly begin
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        self._node = {"num_cpus": 1, "object_store_memory": 80 << 20}
        self._cluster = Cluster(
            initialize_head=True, head_node_args={**self._node, "include_dashboard": False}
        )
        self._others = [self._cluster.add_node(**self._node) for _ in range(count - 1)]
        self.address = self._cluster.address

    def kill_worker(self) -> int:
        """Kills a worker that is at work, on any node; whether there was one."""
        raylets = {
            each.process.pid
            for node in [self._cluster.head_node, *self._others]
            for each in node.all_processes["raylet"]
        }
        busy = [pid for pid, parent, words in processes() if parent in raylets and "ray::_perform" in words]
        if not busy:
            return 0
        os.kill(random.choice(busy), signal.SIGKILL)
        return 1

    def kill_node(self) -> int:
        """Kills a node that is not the head, with all its processes, and adds another one."""
        node = random.choice(self._others)
        self._others.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)
        self._others.append(self._cluster.add_node(**self._node))
        return 1

    def close(self) -> None:
        self._cluster.shutdown()


def processes() -> list[tuple[int, int, str]]:
    """(process, its parent, its command line) of all."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            found.append((int(place.name), parent, (place / "cmdline").read_text()))
        except OSError:  # it is over by now
            continue
    return found


def run(
    kind: str,
    start: Path,
    address: str | None,
    kill: Callable[[], int] = lambda: 0,
    most: int = 0,
    pause: tuple[float, float] = (1.0, 1.0),
) -> tuple[str, float, int]:
    """Runs a command in a copy of ``start``, and kills at random moments: the numbers, seconds, and kills."""
    with tempfile.TemporaryDirectory() as place:
        folder, log = Path(place) / "runs", Path(place) / "log"
        shutil.copytree(start, folder)
        begin, kills = time.perf_counter(), 0
        with log.open("w") as file:
            process = subprocess.Popen(command(kind, folder, address), stdout=file, stderr=file)
            while process.poll() is None:
                if kills < most:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(random.uniform(*pause))
                        break
                    kills += kill()
                elif time.perf_counter() - begin > MOST_SECONDS:
                    process.kill()
                else:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(1.0)
        seconds = time.perf_counter() - begin
        if process.returncode:
            return f"exit code {process.returncode}: {log.read_text().strip()[-300:]}", seconds, kills
        return numbers(folder), seconds, kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--workers", type=int, default=20, help="to kill, over all commands")
    parser.add_argument("--lost-nodes", type=int, default=3, help="nodes to kill, during reproduce")
    parser.add_argument("--only", action="append", choices=COMMANDS)
    options = parser.parse_args()
    kinds = options.only or COMMANDS
    with tempfile.TemporaryDirectory() as place:
        nothing, learned = Path(place) / "nothing", Path(place) / "learned"
        nothing.mkdir()
        (nothing / "small.yaml").write_text(yaml.safe_dump(task_config(**SECTIONS)))
        shutil.copytree(nothing, learned)
        subprocess.run(command("mb", learned, None), check=True, capture_output=True)
        starts = {kind: learned if kind == "mbmf" else nothing for kind in kinds}
        want = {}
        for kind in kinds:
            want[kind], seconds, _ = run(kind, starts[kind], None)
            print(f"| {kind} | no cluster | {seconds:.0f} s | {want[kind][:12]} |", flush=True)
        nodes = Nodes(options.nodes)

        def show(kind: str, what: str, *killing: Any) -> int:
            found, seconds, kills = run(kind, starts[kind], nodes.address, *killing)
            same = "the same bits" if found == want[kind] else f"OTHER: {found}"
            print(f"| {kind} | {what.format(kills)} | {seconds:.0f} s | {same} |", flush=True)
            return kills

        try:
            for kind in kinds:
                show(kind, f"{options.nodes} nodes")
            for i, kind in enumerate(kinds):
                left = options.workers // len(kinds) + (i < options.workers % len(kinds))
                while left > 0:
                    left -= show(kind, "{} workers killed", nodes.kill_worker, left, (1.0, 4.0))
            left = options.lost_nodes
            while left > 0:
                left -= show(kinds[-1], "{} nodes killed", nodes.kill_node, left, (6.0, 12.0))
        finally:
            nodes.close()


if __name__ == "__main__":
    main()
