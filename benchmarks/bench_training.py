"""Updates per second of training a dynamics model, beside plain PyTorch loops that do the same updates.

Network (one hidden layer of 500, ReLU), batch (512), loss and optimiser (Adam, 1e-3) are the same, and so are
the sizes and numbers of points of two presets' random data. Baselines:

- loader: DataLoader(TensorDataset, batch_size=512, shuffle=True), autograd, torch.optim.Adam;
- batch_loader: the same with a BatchSampler as the sampler, so that a batch is one indexing of the tensors.

Rounds alternate. `ratio_loader` and `ratio_batch_loader` (extra_info) are the baselines' median time over
ours. First, ours must give the parameters that autograd and Adam give from the same batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from mbmf.nn.mlp_state import MlpState, xavier_normal
from mbmf.nn.training import Trainer, pack, torch_threads

BATCH, HIDDEN = 512, 500
# inputs, outputs, points
SIZES = {"swimmer_forward": (18, 16, 25 * 333), "cheetah_forward": (30, 24, 10 * 1000)}


def make_network(state: MlpState) -> torch.nn.Sequential:
    """An nn.Sequential with the parameters of ``state``."""
    layers: list[torch.nn.Module] = []
    for layer in state.layers:
        linear = torch.nn.Linear(layer.shape[1] - 1, layer.shape[0])
        linear.weight.data.copy_(torch.from_numpy(layer[:, :-1]))
        linear.bias.data.copy_(torch.from_numpy(layer[:, -1]))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def make_step(network: torch.nn.Sequential) -> Callable[[torch.Tensor, torch.Tensor], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(x), y).backward()
        optimizer.step()

    return step


def make_loader(dataset: TensorDataset, batched: bool) -> DataLoader[Any]:
    if batched:
        sampler = BatchSampler(RandomSampler(dataset), BATCH, drop_last=True)
        return DataLoader(dataset, sampler=sampler, batch_size=None)
    return DataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True)


def train(trainer: Trainer, rows: torch.Tensor, rng: np.random.Generator) -> None:
    """One epoch of ours."""
    trainer.train(
        rows, len(rows), epochs=1, batch_size=BATCH, fraction_use_new=0.0, learning_rate=1e-3, rng=rng
    )


def check(state: MlpState, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> None:
    """The same batches through both: the same parameters, but for rounding."""
    trainer = Trainer(state, "relu")
    train(trainer, rows, np.random.default_rng(1))
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(x)))
    network = make_network(state)
    step = make_step(network)
    for batch in order[: len(x) // BATCH * BATCH].split(BATCH):
        step(x[batch], y[batch])
    for layer, linear in zip(trainer.state().layers, network[::2], strict=True):
        np.testing.assert_allclose(layer[:, :-1], linear.weight.detach(), atol=3e-5)


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("preset", SIZES)
def test_training(benchmark: Any, preset: str, nthread: int) -> None:
    ninput, noutput, points = SIZES[preset]
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((points, ninput)).astype(np.float32)
    targets = rng.standard_normal((points, noutput)).astype(np.float32)
    x, y, rows = torch.from_numpy(inputs), torch.from_numpy(targets), pack(inputs, targets)
    state = xavier_normal((ninput, HIDDEN, noutput), rng)
    trainer = Trainer(state, "relu")
    dataset = TensorDataset(x, y)
    baselines: dict[str, list[float]] = {"loader": [], "batch_loader": []}
    runs = {
        name: (make_loader(dataset, name == "batch_loader"), make_step(make_network(state)))
        for name in baselines
    }

    def time_baselines() -> None:
        for name, (loader, step) in runs.items():
            begin = time.perf_counter()
            for batch in loader:
                step(*batch)
            baselines[name].append(time.perf_counter() - begin)

    with torch_threads(nthread):
        check(state, x, y, rows)
        benchmark.pedantic(train, args=(trainer, rows, rng), setup=time_baselines, rounds=20, warmup_rounds=1)
    if benchmark.enabled:
        ours = benchmark.stats["median"]
        benchmark.extra_info["updates_per_second"] = round(points // BATCH / ours)
        for name, seconds in baselines.items():
            benchmark.extra_info[f"ratio_{name}"] = round(float(np.median(seconds)) / ours, 2)
