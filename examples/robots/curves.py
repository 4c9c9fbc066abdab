"""Learns the three robots of this folder that have their own MJCF, and draws their curves.

    python examples/robots/curves.py examples.csv examples.png

A touch sensor in the state (presser), a mocap target that moves (tracker), a quaternion goal (satellite):
half a minute of one core a seed.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import mbmf

ROBOTS = {
    "presser": "a touch sensor in the state",
    "tracker": "a mocap target that moves",
    "satellite": "a quaternion goal",
}
SEEDS = (0, 1, 2)


def learn(name: str, seed: int, folder: Path) -> list[tuple[int, float]]:
    """(control steps of training data, mean return) of each iteration."""
    file = Path(__file__).with_name(f"{name}.yaml")
    options = [
        f"--yaml_file={file}",
        f"--seed={seed}",
        "--run_num=1",
        f"--runs_dir={folder / f'{name}{seed}'}",
    ]
    code = "import sys; from mbmf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", code, "mb", *options, "--nthread=1", "--print_minimal"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    lines = (folder / f"{name}{seed}" / "run_1" / "metrics.jsonl").read_text().splitlines()
    return [(record["steps_total"], record["reward_mean"]) for record in map(json.loads, lines)]


def random_return(name: str) -> float:
    """The mean return of random actions from the starts of control."""
    task = mbmf.load_task(Path(__file__).with_name(f"{name}.yaml"))
    simulator = mbmf.Simulator(task, 50, seed=0)
    simulator.start_episodes(np.arange(50), "control")
    rng, total = np.random.default_rng(0), np.zeros(50)
    for _ in range(task.episode_steps):
        simulator.step(rng.uniform(-1, 1, (50, task.naction)))
        total += simulator.rewards
    return float(total.mean())


def main() -> None:
    table, picture = sys.argv[1:3]
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    rows: list[tuple[str, int, int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for axes, (name, text) in zip(figure.subplots(1, len(ROBOTS)), ROBOTS.items(), strict=True):
            base = random_return(name)
            rows.append((name, -1, 0, base))
            for seed in SEEDS:
                curve = learn(name, seed, Path(folder))
                rows += [(name, seed, steps, reward) for steps, reward in curve]
                axes.plot(*zip(*curve, strict=True), marker="o", label=f"seed {seed}")
            axes.axhline(base, color="grey", linestyle=":", label="random actions")
            axes.set(title=f"{name}: {text}", xlabel="control steps of data", ylabel="return")
            axes.legend(fontsize=8)
    figure.savefig(picture, dpi=90)
    with Path(table).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["robot", "seed (-1: random actions)", "steps", "return"])
        writer.writerows((name, seed, steps, f"{reward:.3f}") for name, seed, steps, reward in rows)


if __name__ == "__main__":
    main()
