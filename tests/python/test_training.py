"""The hand-written training loop against autograd and torch.optim.Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from mbmf.nn.mlp_state import MlpState, xavier_normal
from mbmf.nn.training import Trainer, batch_shares, concatenate, pack, torch_threads


def _data(rows: int, ninput: int, noutput: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((rows, ninput)).astype(np.float32)
    targets = np.tanh(inputs @ rng.standard_normal((ninput, noutput)).astype(np.float32))
    return pack(inputs, targets.astype(np.float32))


class _Recorder(np.random.Generator):
    """A generator that remembers what it gave, so that the oracle can take the same batches."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self.permutations: list[np.ndarray] = []
        self.drawn: list[np.ndarray] = []

    def permutation(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.permutations.append(super().permutation(*args, **kwargs))
        return self.permutations[-1]

    def integers(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.drawn.append(super().integers(*args, **kwargs))
        return self.drawn[-1]


def _oracle(
    state: MlpState, activation: str, data: torch.Tensor, batches: Sequence[np.ndarray], learning_rate: float
) -> tuple[torch.nn.Sequential, list[float]]:
    layers: list[torch.nn.Module] = []
    for layer in state.layers:
        linear = torch.nn.Linear(layer.shape[1] - 1, layer.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer[:, :-1].copy()))
            linear.bias.copy_(torch.from_numpy(layer[:, -1].copy()))
        layers += [linear, torch.nn.ReLU() if activation == "relu" else torch.nn.Tanh()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    ninput = state.layers[0].shape[1] - 1
    losses = []
    for rows in batches:
        batch = data[torch.from_numpy(rows)]
        loss = torch.nn.functional.mse_loss(network(batch[:, :ninput]), batch[:, ninput + 1 :])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network, losses


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("hidden", [(64,), (32, 24), (8, 16, 12)])
@pytest.mark.parametrize("nthread", [1, 2])
def test_updates_are_those_of_autograd_and_adam(
    activation: str, hidden: tuple[int, ...], nthread: int
) -> None:
    old, new, batch, epochs = 200, 90, 32, 3
    data = concatenate([_data(old, 7, 5), _data(new, 7, 5, seed=1)])
    state = xavier_normal((7, *hidden, 5), np.random.default_rng(3))
    rng = _Recorder(5)
    with torch_threads(nthread):
        trainer = Trainer(state, activation)
        history = trainer.train(
            data, old, epochs=epochs, batch_size=batch, fraction_use_new=0.5, learning_rate=3e-3, rng=rng
        )
    # each epoch: one pass over the old points, beside new ones drawn with replacement
    count = old // 16
    batches = [
        np.concatenate([rng.permutations[e][b * 16 : (b + 1) * 16], rng.drawn[e][b]])
        for e in range(epochs)
        for b in range(count)
    ]
    with torch_threads(1):
        network, expected = _oracle(state, activation, data, batches, 3e-3)
    np.testing.assert_allclose(
        history.losses, np.mean(np.reshape(expected, (epochs, count)), axis=1), rtol=1e-5
    )

    # Adam divides by the gradient's size, so rounding of a tiny gradient shows: a few thousandths of one step
    after = trainer.state()
    assert after.updates == epochs * count
    for layer, linear in zip(after.layers, network[::2], strict=True):
        np.testing.assert_allclose(layer[:, :-1], linear.weight.detach(), atol=3e-5)
        np.testing.assert_allclose(layer[:, -1], linear.bias.detach(), atol=3e-5)
    moved = max(np.abs(a - b).max() for a, b in zip(after.layers, state.layers, strict=True))
    assert moved > 1e-2

    ninput = 7
    loss = torch.nn.functional.mse_loss(network(data[:, :ninput]), data[:, ninput + 1 :])
    assert trainer.loss(data, block=50) == pytest.approx(loss.item(), rel=1e-4)


def test_the_same_arguments_give_the_same_bits_and_another_seed_does_not() -> None:
    data = _data(2000, 18, 16)
    state = xavier_normal((18, 500, 16), np.random.default_rng(0))

    def train(seed: int) -> list[np.ndarray]:
        trainer = Trainer(state, "relu")
        trainer.train(
            data,
            2000,
            epochs=3,
            batch_size=512,
            fraction_use_new=0.9,
            learning_rate=1e-3,
            rng=np.random.default_rng(seed),
        )
        return trainer.state().layers

    for nthread in (1, 2):
        with torch_threads(nthread):
            first, again, other = train(0), train(0), train(1)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_training_goes_on_from_a_state_as_if_it_had_not_stopped() -> None:
    data = _data(600, 4, 3)
    options = {"batch_size": 100, "fraction_use_new": 0.0, "learning_rate": 1e-3}
    whole = Trainer(xavier_normal((4, 20, 3), np.random.default_rng(0)), "relu")
    for seed in (1, 2):
        whole.train(data, 600, epochs=2, rng=np.random.default_rng(seed), **options)
    first = Trainer(xavier_normal((4, 20, 3), np.random.default_rng(0)), "relu")
    first.train(data, 600, epochs=2, rng=np.random.default_rng(1), **options)
    second = Trainer(first.state(), "relu")
    second.train(data, 600, epochs=2, rng=np.random.default_rng(2), **options)
    for name in ("layers", "first", "second"):
        for a, b in zip(getattr(whole.state(), name), getattr(second.state(), name), strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("old", "new", "fraction", "expected"),
    [
        (8325, 0, 0.9, (512, 0)),  # no new data yet
        (8325, 2997, 0.9, (52, 460)),
        (8325, 100, 0.9, (412, 100)),  # fewer new points than their share: all of them
        (8325, 2997, 0.0, (512, 0)),
        (8325, 2997, 1.0, (0, 512)),  # no old share
        (8325, 100, 1.0, (412, 100)),
        (300, 0, 0.9, (300, 0)),  # less than a batch
    ],
)
def test_batch_shares(old: int, new: int, fraction: float, expected: tuple[int, int]) -> None:
    assert batch_shares(old, new, 512, fraction) == expected


def test_small_batches_have_a_new_point() -> None:
    assert batch_shares(100, 50, 8, 0.1) == (7, 1)
    assert batch_shares(100, 50, 100, 0.29) == (71, 29)
    assert batch_shares(100, 0, 8, 0.1) == (8, 0)
    assert batch_shares(100, 50, 8, 0.0) == (8, 0)


def test_without_an_old_share_an_epoch_is_a_pass_over_the_new_points() -> None:
    data = concatenate([_data(64, 3, 2), _data(100, 3, 2, seed=1)])
    rng = _Recorder(0)
    trainer = Trainer(xavier_normal((3, 8, 2), np.random.default_rng(0)), "relu")
    trainer.train(data, 64, epochs=2, batch_size=32, fraction_use_new=1.0, learning_rate=1e-3, rng=rng)
    assert [len(p) for p in rng.permutations] == [100, 100]
    assert not rng.drawn
    assert trainer.state().updates == 2 * (100 // 32)


def test_an_epoch_larger_than_one_gather_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from mbmf.nn import training

    data = _data(1000, 6, 4)

    def train() -> list[np.ndarray]:
        trainer = Trainer(xavier_normal((6, 16, 4), np.random.default_rng(0)), "relu")
        trainer.train(
            data,
            1000,
            epochs=2,
            batch_size=64,
            fraction_use_new=0.0,
            learning_rate=1e-3,
            rng=np.random.default_rng(1),
        )
        return trainer.state().layers

    whole = train()
    monkeypatch.setattr(training, "_GATHER_BYTES", 4 * 64 * 11 * 4)  # four batches of the 15
    assert all(np.array_equal(a, b) for a, b in zip(whole, train(), strict=True))


def test_threads_and_the_global_generator_are_left_alone() -> None:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(RuntimeError), torch_threads(1):
        raise RuntimeError
    trainer = Trainer(xavier_normal((3, 8, 2), np.random.default_rng(0)), "relu")
    trainer.train(
        _data(64, 3, 2),
        64,
        epochs=1,
        batch_size=32,
        fraction_use_new=0.0,
        learning_rate=1e-3,
        rng=np.random.default_rng(0),
    )
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_settings_of_pytorch_do_not_count() -> None:
    def fitted() -> Any:
        state = xavier_normal((3, 8, 2), np.random.default_rng(0))
        rng, data = np.random.default_rng(0), _data(64, 3, 2)
        with torch_threads(1):
            return Trainer(state, "relu").train(
                data, 64, epochs=2, batch_size=32, fraction_use_new=0.0, learning_rate=1e-3, rng=rng
            )

    alone = fitted()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu"):
            other = fitted()
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert repr(alone) == repr(other)


def test_xavier_normal_has_the_right_deviation_and_no_bias() -> None:
    state = xavier_normal((30, 500, 20), np.random.default_rng(0))
    assert [layer.shape for layer in state.layers] == [(500, 31), (20, 501)]
    for layer in state.layers:
        rows, cols = layer.shape
        assert layer[:, :-1].std() == pytest.approx(np.sqrt(2 / (rows + cols - 1)), rel=0.03)
        assert not layer[:, -1].any()
