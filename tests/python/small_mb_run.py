"""Small tasks, and a finished run of `mbmf mb` on one: what tests of imitation and fine-tuning start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import mbmf
from mbmf.algorithms import model_based

MODEL_BASED = {
    "random_train": {"episodes": 3, "steps": 40},
    "random_validation": {"episodes": 1, "steps": 110},
    "hidden": [16],
    "epochs": 3,
    "batch_size": 32,
    "fraction_use_new": 0.5,
    "horizon": 4,
    "candidates": 20,
    "iterations": 2,
    "rollouts_per_iteration": 2,
    "rollouts_for_training": 1,
    "steps_per_rollout": 30,
    "min_return": -1000.0,
    "rollouts_to_save": 4,
}
CHEETAH = {
    "random_train": {"episodes": 4, "steps": 60},
    "random_validation": {"episodes": 2, "steps": 110},
    "iterations": 3,
    "rollouts_per_iteration": 3,
    "rollouts_for_training": 2,
    "action_noise": 0.005,
    "steps_per_rollout": 40,
    "rollouts_to_save": 12,
}
MODEL_FREE = {"hidden": [8, 8], "batch_size": 150, "steps_per_rollout": 30, "iterations": 9}
IMITATION = {
    "epochs": 4,
    "iterations": 2,
    "rollouts_to_label": 2,
    "test_rollouts": 2,
    "noise": 0.05,
    "noise_from_iteration": 2,
    "validation_points": 20,
    "batch_size": 16,
}
FINE_TUNE = {"std_on_mlp_policy": 0.5, "batch_size": 100, "iterations": 3}


def task_config(**sections: Any) -> dict[str, Any]:
    """A hopper that may lie down, and whose policy does not see all that the model predicts.

    A section that is None is left out.
    """
    config: dict[str, Any] = yaml.safe_load(mbmf.load_task("hopper_forward").to_yaml())
    config.pop("agent")
    config |= {"name": "small", "observation": config["state"][:2], "healthy": []}
    config |= {"model_based": MODEL_BASED, "model_free": MODEL_FREE}
    config |= {"imitation": IMITATION, "fine_tune": FINE_TUNE, **sections}
    return {key: value for key, value in config.items() if value is not None}


def make_run(path: Path, config: dict[str, Any], seed: int = 0) -> Path:
    """Model-based learning, from beginning to end."""
    task, options = mbmf.load_task(config), model_based.Options(seed=seed, nthread=1)
    with model_based.open_run(path, task, options) as run:
        model_based.model_based(task, run, options)
    return path


def cheetah_task(**settings: Any) -> mbmf.Task:
    """A half cheetah whose model-based learning takes a second; ``settings`` replace some of its own."""
    config = yaml.safe_load(mbmf.load_task("cheetah_forward").to_yaml())
    config["name"] = "small"
    config["model_based"] = {**MODEL_BASED, **CHEETAH, **settings}
    return mbmf.load_task(config)


class _Stops(model_based.Silent):
    """Interrupts after an iteration."""

    def __init__(self, after: int) -> None:
        self._after = after

    def iteration(self, record: Any, model: Any, rollouts: Any) -> None:
        if record["iteration"] == self._after:
            raise KeyboardInterrupt


def run_with_a_break(path: Path, task: mbmf.Task, options: model_based.Options, *, after: int) -> None:
    """A run of `mbmf mb` that is interrupted after an iteration and then goes on to its end."""
    with pytest.raises(KeyboardInterrupt), model_based.open_run(path, task, options) as run:
        model_based.model_based(task, run, options, _Stops(after))
    with model_based.open_run(path, task, options, resume=True) as run:
        model_based.model_based(task, run, options)
