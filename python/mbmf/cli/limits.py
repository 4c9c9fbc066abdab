"""Ranges of options, alike in every command, checked before anything is made."""

from __future__ import annotations

import math

from mbmf.arguments import MAX_COUNT, MAX_SEED, MAX_THREADS
from mbmf.errors import ConfigError

_COUNTS = {
    "seed": (0, MAX_SEED),
    "nthread": (0, MAX_THREADS),
    "jobs": (0, MAX_THREADS),
    "num_workers_trpo": (0, MAX_THREADS),
}
_COUNTS |= {"save_trpo_run_num": (0, MAX_COUNT), "num_rollouts_save_for_mf": (0, MAX_COUNT)}
_COUNTS |= {"max_steps": (1, MAX_COUNT), "steps": (1, MAX_COUNT), "episodes": (1, MAX_COUNT)}
_COUNTS |= {"plans": (0, MAX_COUNT)}
_POSITIVE = {"std": 1e6, "std_on_mlp_policy": 1e6}
_NUMBERS = ("stop_at_reward",)


def check_ranges(options: object) -> None:
    """Raises ConfigError if one of the options that commands share is out of its range."""
    for name, value in vars(options).items():
        if value is None:
            continue
        if name in _COUNTS:
            low, high = _COUNTS[name]
            if value < low:
                raise ConfigError(f"--{name} must be at least {low}, got {value}")
            if value > high:
                raise ConfigError(f"--{name} must be at most {high}, got {value}")
        if name in _POSITIVE and not 0 < value <= _POSITIVE[name]:
            raise ConfigError(f"--{name} must be above 0 and at most {_POSITIVE[name]:g}, got {value:g}")
        if name in _NUMBERS and math.isnan(value):
            raise ConfigError(f"--{name} must be a number, got {value}")
