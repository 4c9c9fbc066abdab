"""Updates per second of training dynamics models, beside plain PyTorch loops that do the same updates.

One network (`test_training`), a hidden layer of 500, ReLU: batch (512), loss and optimiser (Adam, 1e-3) are the
same, and so are the sizes and numbers of points of two presets' random data. Baselines:

- loader: DataLoader(TensorDataset, batch_size=512, shuffle=True), autograd, torch.optim.Adam;
- batch_loader: the same with a BatchSampler as the sampler, so that a batch is one indexing of the tensors.

A probabilistic ensemble as in PETS (`test_ensemble`): 5 members of 4 layers of 200, SiLU, learned bounds of
the variance, weight decay by layer, sizes of HalfCheetah. Baseline, `plain`: one baddbmm a layer for all
members, autograd, torch.optim.Adam; data in two tensors that a batch indexes.

Rounds alternate. `ratio_*` (extra_info) are the baselines' median time over ours. First, ours must give the
parameters that autograd and Adam give from the same batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from mbmf.nn.mlp_state import MlpState, truncated_normal, xavier_normal
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


MEMBERS, ENSEMBLE_SIZES = 5, (24, 200, 200, 200, 200, 36)
DECAY = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
POINTS = 3200


class PlainEnsemble(torch.nn.Module):
    """PETS's network in PyTorch, with the parameters of ``state``; its loss of (members, batch, ...)."""

    def __init__(self, state: MlpState) -> None:
        super().__init__()
        parts = [torch.from_numpy(layer.copy()) for layer in state.layers]
        self.weights = torch.nn.ParameterList([part[:, :, :-1].mT.contiguous() for part in parts])
        self.biases = torch.nn.ParameterList([part[:, None, :, -1].clone() for part in parts])
        upper, lower = torch.from_numpy(np.array(state.bounds))
        self.upper, self.lower = torch.nn.Parameter(upper.clone()), torch.nn.Parameter(lower.clone())

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        *hidden, (last, bias) = zip(self.weights, self.biases, strict=True)
        for weight, b in hidden:
            x = torch.nn.functional.silu(torch.baddbmm(b, x, weight))
        mean, raw = torch.baddbmm(bias, x, last).chunk(2, dim=-1)
        log_variance = self.upper - torch.nn.functional.softplus(self.upper - raw)
        log_variance = self.lower + torch.nn.functional.softplus(log_variance - self.lower)
        loss = ((mean - y).square() * torch.exp(-log_variance) + log_variance).mean((1, 2)).sum()
        for weight, decay in zip(self.weights, DECAY, strict=True):
            loss = loss + 0.5 * decay * weight.square().sum()
        return loss + 0.01 * (self.upper.sum() - self.lower.sum())


def train_plain(
    network: PlainEnsemble,
    optimizer: torch.optim.Adam,
    x: torch.Tensor,
    y: torch.Tensor,
    batch: int,
    rng: np.random.Generator,
) -> None:
    """One epoch of the baseline, from the batches that ours takes."""
    orders = torch.from_numpy(np.stack([rng.permutation(len(x)) for _ in range(MEMBERS)]))
    for rows in orders[:, : len(x) // batch * batch].split(batch, dim=1):
        optimizer.zero_grad()
        network.loss(x[rows], y[rows]).backward()
        optimizer.step()


def train_ensemble(trainer: Trainer, rows: torch.Tensor, batch: int, rng: np.random.Generator) -> None:
    trainer.train(
        rows, len(rows), epochs=1, batch_size=batch, fraction_use_new=0.0, learning_rate=1e-3, rng=rng
    )


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("batch", [32, 256])
def test_ensemble(benchmark: Any, batch: int, nthread: int) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((POINTS, ENSEMBLE_SIZES[0])).astype(np.float32)
    targets = rng.standard_normal((POINTS, ENSEMBLE_SIZES[-1] // 2)).astype(np.float32)
    x, y, rows = torch.from_numpy(inputs), torch.from_numpy(targets), pack(inputs, targets)
    state = truncated_normal(ENSEMBLE_SIZES, MEMBERS, rng, probabilistic=True)
    trainer, network = Trainer(state, "silu", DECAY), PlainEnsemble(state)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    plain: list[float] = []

    def time_plain() -> None:
        begin = time.perf_counter()
        train_plain(network, optimizer, x, y, batch, rng)
        plain.append(time.perf_counter() - begin)

    with torch_threads(nthread):
        train_ensemble(trainer, rows, batch, np.random.default_rng(1))
        train_plain(network, optimizer, x, y, batch, np.random.default_rng(1))
        for layer, weight in zip(trainer.state().layers, network.weights, strict=True):
            np.testing.assert_allclose(layer[:, :, :-1], weight.detach().mT, atol=1e-4)
        benchmark.pedantic(
            train_ensemble,
            args=(trainer, rows, batch, rng),
            setup=time_plain,
            rounds=10,
            warmup_rounds=1,
        )
    if benchmark.enabled:
        ours = benchmark.stats["median"]
        benchmark.extra_info["updates_per_second"] = round(POINTS // batch / ours)
        benchmark.extra_info["ratio_plain"] = round(float(np.median(plain)) / ours, 2)
