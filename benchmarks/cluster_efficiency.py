"""What a cluster costs: Ray on this machine beside one process with the same processors.

    python benchmarks/cluster_efficiency.py tasks rollouts --repeats 3
    python benchmarks/cluster_efficiency.py reproduce

`tasks` times a task, and a model's way to the workers; `rollouts` the control rollouts of an iteration of
`mbmf mb`; `reproduce` four seeds of everything, a minute each way. Results are compared before times are. The
efficiency is the time of the one process by that of the cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import mbmf
from mbmf.algorithms import reproduce
from mbmf.cluster.engine import in_order
from mbmf.cluster.processes import cpus
from mbmf.cluster.ray_engine import RayEngine
from mbmf.cluster.sampler import Elsewhere, Here, Sampler
from mbmf.runs.carried import update_folder, write_folder

SEEDS = (0, 1, 2, 3)
# a minute of work in proportions like the paper's
SMALL = {
    "model_based": {
        "random_train": {"episodes": 30, "steps": 333},
        "random_validation": {"episodes": 4, "steps": 333},
        "epochs": 5,
        "candidates": 200,
        "iterations": 2,
        "rollouts_per_iteration": 2,
        "rollouts_for_training": 1,
        "rollouts_to_save": 3,
        "min_return": -1000.0,
    },
    "imitation": {"epochs": 5, "iterations": 1, "rollouts_to_label": 2, "test_rollouts": 2},
    "fine_tune": {"iterations": 2, "batch_size": 3000},
    "model_free": {"iterations": 2, "batch_size": 3000},
}


def nothing(thing: Any, piece: Any, nthread: int) -> None:
    """No work."""


def some(thing: Any, piece: int, nthread: int) -> np.ndarray:
    """So many bytes, as results are arrays."""
    return np.zeros(piece, np.uint8)


def planner_of(task: mbmf.Task, nthread: int) -> mbmf.Planner:
    """A model of the paper's size, hardly trained."""
    model = mbmf.DynamicsModel(task, hidden=(500,))
    model.fit(mbmf.collect_random(task, 5, 100, seed=0), epochs=1, seed=0)
    return mbmf.make_planner(task, model, "random_shooting", 20, 1000, seed=0, nthread=nthread)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    found = function()
    return time.perf_counter() - begin, found


def tasks(engine: RayEngine, repeats: int) -> None:
    """A task's overhead, and a planner's way to the workers."""
    for name, function, piece in (("nothing", nothing, None), ("1 MB of result", some, 1 << 20)):
        list(in_order(engine, function, None, [piece] * 50))
        times = [
            timed(lambda f=function, p=piece: list(in_order(engine, f, None, [p] * 200)))[0] / 200
            for _ in range(repeats)
        ]
        print(f"| a task, {name} | {1e3 * statistics.median(times):.2f} ms |")
    planner = planner_of(mbmf.load_task("cheetah_forward"), 1)
    size = len(pickle.dumps(planner)) / 1e6
    keeps, ways = [], []
    for _ in range(repeats):
        seconds, kept = timed(lambda: engine.keep(planner))
        keeps.append(seconds)
        # one worker at a time: what has it already is done at once
        first, again = (timed(lambda k=kept: _one(engine, k))[0] for _ in range(2))
        ways.append(first - again)
    print(f"| a planner of {size:.2f} MB, into the store | {1e3 * statistics.median(keeps):.1f} ms |")
    print(f"| the same, from there to a worker | {1e3 * statistics.median(ways):.1f} ms |")

    for megabytes in (1, 20):
        print(f"| a slice of a run of {megabytes} MB | {1e3 * _slice(engine, megabytes, repeats):.0f} ms |")


def _slice(engine: RayEngine, megabytes: int, repeats: int) -> float:
    """Seconds of this process for each slice: files to a worker, a file back and onto the disk."""
    files = {f"rollouts/{number}.npz": os.urandom(1 << 20) for number in range(megabytes)}
    with tempfile.TemporaryDirectory() as place:
        run, count = Path(place) / "run_1", 10 * repeats
        write_folder(run, files)
        begin = time.process_time()
        for changed in in_order(engine, changing, None, [files] * count):
            update_folder(run, changed, ())
        return (time.process_time() - begin) / count


def changing(thing: Any, files: dict[str, bytes], nthread: int) -> dict[str, bytes]:
    """What a slice sends back: a checkpoint of 100 kB."""
    return {"policy/checkpoint.safetensors": os.urandom(100_000)}


def _one(engine: RayEngine, kept: Any) -> None:
    job = engine.start(nothing, kept, None)
    engine.wait([job])
    engine.take(job)


def rollouts(engine: RayEngine, repeats: int) -> None:
    """Ten rollouts of the half cheetah, as an iteration of `mbmf mb` makes them, shorter."""
    task = mbmf.load_task("cheetah_forward")

    def made(sampler: Sampler) -> bytes:
        planner = planner_of(task, sampler.threads)
        begin = time.perf_counter()
        batch = mbmf.Episodes.concatenate(list(sampler.mpc(task, planner, 10, 150, seed=1)))
        times[type(sampler)].append(time.perf_counter() - begin)
        return batch.states.tobytes() + batch.actions.tobytes()

    times: dict[type, list[float]] = {Here: [], Elsewhere: []}
    _one(engine, engine.keep(task))
    for _ in range(repeats):
        assert made(Here(cpus())) == made(Elsewhere(engine))
    _compare("ten control rollouts", times[Here], times[Elsewhere])


def four_seeds(engine: RayEngine, repeats: int) -> None:
    """`mbmf reproduce` of the swimmer with four seeds."""
    config = yaml.safe_load(mbmf.load_task("swimmer_forward").to_yaml())
    for section, settings in SMALL.items():
        config[section] |= settings
    task = mbmf.load_task(config)
    here, there = [], []
    _one(engine, engine.keep(task))
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as place:
            alone, cluster = Path(place) / "alone", Path(place) / "cluster"
            plan = reproduce.Plan(seeds=SEEDS, nthread=cpus())
            here.append(
                timed(
                    lambda f=alone, p=plan: reproduce.reproduce([reproduce.Experiment(task, "swimmer", f)], p)
                )[0]
            )
            print(f"| one process | {here[-1]:.1f} s |", flush=True)
            there.append(
                timed(
                    lambda f=cluster, p=plan: reproduce.reproduce_on(
                        engine, [reproduce.Experiment(task, "swimmer", f)], p
                    )
                )[0]
            )
            # checkpoints hold seconds
            files = [path.relative_to(alone) for path in alone.rglob("[!c]*.safetensors")]
            assert len(files) >= 4 * len(SEEDS)
            assert all((alone / file).read_bytes() == (cluster / file).read_bytes() for file in files)
    _compare("reproduce, 4 seeds", here, there)


def _compare(what: str, here: list[float], there: list[float]) -> None:
    one, other = statistics.median(here), statistics.median(there)
    print(f"| {what} | one process {one:.1f} s | Ray {other:.1f} s | efficiency {one / other:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=["tasks", "rollouts", "reproduce"])
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    measures = {"tasks": tasks, "rollouts": rollouts, "reproduce": four_seeds}
    # Ray gives workers the niceness 15: beside anything else they would hardly count
    os.environ.setdefault("RAY_worker_niceness", "0")
    with contextlib.closing(RayEngine("local")) as engine:
        for what in options.what:
            measures[what](engine, options.repeats)


if __name__ == "__main__":
    main()
