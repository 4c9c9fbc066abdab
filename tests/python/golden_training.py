"""Training of one network, as bits: what golden/training.json holds and test_golden_training.py makes again.

The file was written by the trainer as it was before it knew of members. Bits of matrix products differ
between processors and releases of PyTorch: `fingerprint` says which these are. To add a machine's, check out
the commit that added this file and run it:

    python tests/python/golden_training.py
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mbmf
from golden_plans import digest
from mbmf.algorithms.cloning import Cloning, Examples
from mbmf.nn.training import torch_threads

FILE = Path(__file__).parent / "golden" / "training.json"


def fingerprint() -> str:
    """Of the arithmetic: PyTorch's release, and the bits of products of the sizes that are trained."""
    rng = np.random.default_rng(0)
    parts = []
    with torch_threads(1):
        for rows, inner, columns in ((48, 21, 64), (17, 49, 64), (20, 25, 64), (48, 64, 21), (6, 65, 16)):
            a, b = (
                torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
                for shape in ((rows, inner), (inner, columns))
            )
            parts.append(torch.tanh(a @ b).numpy().ravel())
    return f"{torch.__version__} {platform.machine()} {digest(np.concatenate(parts))}"


def compute() -> dict[str, Any]:
    """Losses, files' tensors and predictions of small models and of a policy."""
    task = mbmf.load_task("hopper_forward")
    data = mbmf.collect_random(task, episodes=6, steps=130, seed=0)
    new = [mbmf.collect_random(task, episodes=3, steps=50, seed=seed) for seed in (1, 2)]
    found: dict[str, Any] = {}
    for name, hidden, activation in (("relu", (48,), "relu"), ("tanh", (24, 20), "tanh")):
        model = mbmf.DynamicsModel(task, hidden=hidden, activation=activation, seed=4)
        results = [
            model.fit(data, epochs=3, batch_size=64, seed=2),
            model.fit(data, new, epochs=2, batch_size=64, seed=3),
            model.fit(data, new, epochs=2, batch_size=64, seed=4, fraction_use_new=1.0, noise=0.0),
        ]
        mlp = model._state().mlp
        found[name] = {
            "losses": [
                [float(loss).hex() for loss in (*result.losses, result.loss_old, result.loss_new or 0.0)]
                for result in results
            ],
            "layers": [digest(layer) for layer in mlp.layers],
            "first": [digest(layer) for layer in mlp.first],
            "second": [digest(layer) for layer in mlp.second],
            "updates": mlp.updates,
        }
    policy = mbmf.GaussianPolicy(task, hidden=(48,), seed=1)
    observations = np.random.default_rng(0).standard_normal((300, task.nobservation)).astype(np.float32)
    examples = Examples(observations, np.tanh(observations[:, : task.naction]))
    with torch_threads(1):
        cloning, history = Cloning.start(policy).fit(
            examples, epochs=3, batch_size=64, learning_rate=1e-3, rng=np.random.default_rng(5)
        )
    found["policy"] = {
        "loss": float(history.losses[-1]).hex(),
        "layers": [digest(layer) for layer in cloning.mlp.layers],
    }
    return found


if __name__ == "__main__":
    everything = json.loads(FILE.read_text()) if FILE.exists() else {}
    everything[fingerprint()] = compute()
    FILE.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
