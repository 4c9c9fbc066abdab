"""Learns the robots of this folder, and draws the curves of the three that have their own MJCF.

    python examples/robots/curves.py examples.csv examples.png

Three seeds each of those: a touch sensor in the state (presser), a mocap target that moves (tracker), a
quaternion goal (satellite). Then one seed of each other robot whose package is installed, or of `--robots`.
A minute or two of one core for each. The table keeps what is learned, and is gone on with.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure

import mbmf
from mbmf.rollouts.baseline import collect_baseline

DRAWN = {
    "presser": "a touch sensor in the state",
    "tracker": "a mocap target that moves",
    "satellite": "a quaternion goal",
}
SEEDS = (0, 1, 2)
RANDOM = -1  # as a seed
HEADER = ["robot", "seed (-1: random actions)", "steps", "return"]
Row = tuple[str, int, int, float]


def task_file(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.yaml")


def robots() -> list[str]:
    """Those that are drawn, then the others whose package is installed."""
    names = list(DRAWN)
    for file in sorted(Path(__file__).parent.glob("*.yaml")):
        package = yaml.safe_load(file.read_text())["model"].get("package")
        if file.stem not in DRAWN and (package is None or importlib.util.find_spec(package)):
            names.append(file.stem)
    return names


def learn(name: str, seed: int) -> list[Row]:
    """The mean return of each iteration, by the control steps of training data."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--yaml_file={task_file(name)}", f"--seed={seed}", "--run_num=1", f"--runs_dir={folder}"]
        code = "import sys; from mbmf.cli.main import main; sys.exit(main(sys.argv[1:]))"
        subprocess.run(
            [sys.executable, "-c", code, "mb", *options, "--nthread=1", "--print_minimal"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        lines = (Path(folder) / "run_1" / "metrics.jsonl").read_text().splitlines()
    return [(name, seed, record["steps_total"], record["reward_mean"]) for record in map(json.loads, lines)]


def random_actions(name: str) -> list[Row]:
    """The mean return of random actions, in rollouts like those of control."""
    task = mbmf.load_task(task_file(name))
    assert task.model_based is not None
    episodes = collect_baseline(task, 50, task.model_based.steps_per_rollout, nthread=1)
    return [(name, RANDOM, 0, float(episodes.returns.mean()))]


def learned(table: Path) -> list[Row]:
    """What a table has."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return [(row[0], int(row[1]), int(row[2]), float(row[3])) for row in list(csv.reader(file))[1:]]


def write(table: Path, rows: list[Row]) -> None:
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows((name, seed, steps, f"{reward:.3f}") for name, seed, steps, reward in rows)


def draw(picture: Path, rows: list[Row]) -> None:
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for axes, (name, text) in zip(figure.subplots(1, len(DRAWN)), DRAWN.items(), strict=True):
        for seed in SEEDS:
            curve = [(row[2], row[3]) for row in rows if row[:2] == (name, seed)]
            if curve:
                axes.plot(*zip(*curve, strict=True), marker="o", label=f"seed {seed}")
        base = [row[3] for row in rows if row[:2] == (name, RANDOM)]
        if base:
            axes.axhline(base[0], color="grey", linestyle=":", label="random actions")
        axes.set(title=f"{name}: {text}", xlabel="control steps of data", ylabel="return")
        axes.legend(fontsize=8)
    figure.savefig(picture, dpi=90)


def show(rows: list[Row]) -> None:
    """Prints the means over seeds of the last iterations."""
    print("| robot | seeds | random actions | learned |\n|---|---|---|---|")
    for name in dict.fromkeys(row[0] for row in rows):
        last = {row[1]: row[3] for row in rows if row[0] == name}
        base = last.pop(RANDOM, float("nan"))
        if last:
            print(f"| {name} | {len(last)} | {base:.4g} | {np.mean(list(last.values())):.4g} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--robots", nargs="+", default=robots(), help="all whose packages are installed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of sparse Jacobians
    rows = learned(options.table)
    for name in options.robots:
        for seed in (RANDOM, *(SEEDS if name in DRAWN else SEEDS[:1])):
            if not any(row[:2] == (name, seed) for row in rows):
                rows += random_actions(name) if seed == RANDOM else learn(name, seed)
                write(options.table, rows)
    draw(options.picture, rows)
    show(rows)


if __name__ == "__main__":
    main()
