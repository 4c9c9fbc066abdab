"""A small ensemble of the hopper's: what tests of ensembles make, and how they fit it."""

from __future__ import annotations

from typing import Any

ANGLE, PLACE = "qpos.rooty", "subtree_com.torso.x"
SMALL: dict[str, Any] = {"hidden": (12, 10), "activation": "silu", "members": 3, "probabilistic": True}
MAPS: dict[str, Any] = {
    "inputs": {ANGLE: "sine and cosine", PLACE: "nothing"},
    "outputs": {"qvel.rootx": "value"},
}
FIT: dict[str, Any] = {"epochs": 3, "batch_size": 32, "noise": 0.0, "fraction_use_new": None}
