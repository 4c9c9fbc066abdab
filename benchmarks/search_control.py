"""Rewards of the searches at equal numbers of candidates: a CSV, for docs/results.md. No benchmark of speed.

    python benchmarks/search_control.py simulator --robots cheetah hopper ant --share 0.1 --seeds 0 70 100
    python benchmarks/search_control.py run runs/run_1 --share 1 --seeds 0 70 100

`simulator` plans through MuJoCo itself: the upper bound for a learned model. `run` plans with the last model
of a run of `mbmf mb`. Rows appear as they are measured.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time

import mbmf

STEPS = {"swimmer": 333, "cheetah": 1000, "hopper": 1000, "ant": 1000}

# settings beside the defaults, by robot: what suits the robot's time step and costs (docs/results.md)
ICEM = {
    "swimmer": {"colour": 2.0},
    "cheetah": {"colour": 1.0, "std": 0.8},
    "hopper": {"colour": 1.0},
    "ant": {},
}
TEMPERATURE = 0.1


def planners(
    task: mbmf.Task, robot: str, total: int, horizon: int
) -> dict[str, tuple[str, int, dict[str, object]]]:
    """Each search with ``total`` candidates over its rounds."""
    elites = max(2, min(10, total // 10))
    return {
        "random_shooting": ("random_shooting", total, {}),
        "cem": ("cem", max(4, total // 5), {"elites": max(2, total // 50)}),
        "icem": ("icem", max(elites, round(total / 2.44)), {"elites": elites, **ICEM[robot]}),
        "mppi": ("mppi", total, {"temperature": TEMPERATURE, "colour": ICEM[robot].get("colour", 0.0)}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["simulator", "run"])
    parser.add_argument("run", nargs="?")
    parser.add_argument("--robots", nargs="+", default=["cheetah", "hopper", "ant"], choices=list(STEPS))
    parser.add_argument("--share", type=float, default=0.1, help="of the preset's number of candidates")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 70, 100])
    parser.add_argument("--searches", nargs="+", default=["random_shooting", "cem", "icem", "mppi"])
    parser.add_argument("--steps", type=int, default=0, help="of an episode, in place of the preset's")
    parser.add_argument("--nthread", type=int, default=0)
    options = parser.parse_args()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(
        ["robot", "model", "search", "candidates", "horizon", "seed", "steps", "reward", "seconds"]
    )
    trained = mbmf.load_trained(options.run) if options.what == "run" else None
    robots = [trained.task.name.split("_")[0]] if trained else options.robots
    for robot in robots:
        task = mbmf.load_task(f"{robot}_forward")
        model = trained.model if trained else mbmf.SimulatorModel(task)
        settings = task.model_based
        assert settings is not None
        total = max(10, round(options.share * settings.candidates))
        horizon = settings.horizon
        for name, (search, count, values) in planners(task, robot, total, horizon).items():
            if name not in options.searches:
                continue
            for seed in options.seeds:
                planner = mbmf.make_planner(
                    task, model, search, horizon, count, seed=seed, nthread=options.nthread, settings=values
                )
                begin = time.monotonic()
                steps = options.steps or STEPS[robot]
                episodes = mbmf.collect_mpc(task, planner, 1, steps, seed=seed)
                row = [
                    robot,
                    "learned" if trained else "simulator",
                    name,
                    planner.core.most_candidates,
                    horizon,
                    seed,
                    int(episodes.lengths[0]),
                ]
                seconds = time.monotonic() - begin
                writer.writerow([*row, f"{episodes.returns[0]:.1f}", f"{seconds:.1f}"])
                sys.stdout.flush()


if __name__ == "__main__":
    main()
