"""Stable-Baselines3's SAC for so much CPU time: a CSV of its episodes, to put beside those of `mbmf mb`.

    python benchmarks/sac_beside.py HalfCheetah-v5 --cpu_seconds 1000 --seed 0 > sac.csv

SAC has its authors' settings, as Stable-Baselines3 does, on Gymnasium's own environment. What counts is the
time that this process computed, not the clock on the wall, so that a busy machine gives the same. Rows
appear as episodes end (docs/results.md). No benchmark of speed.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time

import gymnasium
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor


class Rows(BaseCallback):
    """Writes a row for each episode, and ends the learning when the time is over."""

    def __init__(self, task: str, seed: int, seconds: float) -> None:
        super().__init__()
        self._row = [task, seed]
        self._seconds = seconds
        self._begin = time.process_time()
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(["task", "seed", "environment_steps", "return", "cpu_seconds"])

    def _on_step(self) -> bool:
        used = time.process_time() - self._begin
        for info in self.locals["infos"]:
            if "episode" in info:
                self._writer.writerow(
                    [*self._row, self.num_timesteps, f"{info['episode']['r']:.1f}", f"{used:.1f}"]
                )
                sys.stdout.flush()
        return used < self._seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task")
    parser.add_argument("--cpu_seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    environment = Monitor(gymnasium.make(options.task))
    model = SAC("MlpPolicy", environment, seed=options.seed, device="cpu")
    model.learn(10**9, callback=Rows(options.task, options.seed, options.cpu_seconds))


if __name__ == "__main__":
    main()
