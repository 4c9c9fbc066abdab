"""Training of ensembles and probabilistic models against autograd, torch.optim.Adam and plain rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mbmf.nn.mlp_state import MlpState, truncated_normal
from mbmf.nn.training import Trainer, pack, torch_threads
from pets_oracle import PlainEnsemble

NIN, NOUT = 7, 4


def _data(rows: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((rows, NIN)).astype(np.float32)
    noise = rng.standard_normal((rows, NOUT)) * np.exp(inputs[:, :NOUT])
    targets = np.tanh(inputs @ rng.standard_normal((NIN, NOUT))) + 0.3 * noise
    return pack(inputs, targets.astype(np.float32))


def _state(members: int, hidden: tuple[int, ...], probabilistic: bool, seed: int = 3) -> MlpState:
    sizes = (NIN, *hidden, 2 * NOUT if probabilistic else NOUT)
    return truncated_normal(sizes, members, np.random.default_rng(seed), probabilistic=probabilistic)


class _Permutations(np.random.Generator):
    """A generator that remembers its permutations, so that the oracle can take the same batches."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self.given: list[np.ndarray] = []

    def permutation(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.given.append(super().permutation(*args, **kwargs))
        return self.given[-1]


def _train(trainer: Trainer, data: torch.Tensor, rng: np.random.Generator, **options: Any) -> Any:
    chosen = {"epochs": 1, "batch_size": 32, "fraction_use_new": 0.0, "learning_rate": 1e-3, **options}
    with torch_threads(1):
        return trainer.train(data, len(data), rng=rng, **chosen)


CASES = [
    (5, True, "silu", (16, 12, 16)),
    (1, True, "silu", (16,)),
    (3, False, "tanh", (16, 12)),
    (2, True, "relu", (24,)),
    (1, False, "silu", (16, 12)),
]


@pytest.mark.parametrize(("members", "probabilistic", "activation", "hidden"), CASES)
@pytest.mark.parametrize("decay", [False, True])
def test_losses_and_gradients_are_those_of_autograd(
    members: int, probabilistic: bool, activation: str, hidden: tuple[int, ...], decay: bool
) -> None:
    """One batch of everything, at parameters that a training left: no gradient is near 0 by chance."""
    data, factors = _data(96), [1e-2 * (i + 1) * decay for i in range(len(hidden) + 1)]
    start = Trainer(_state(members, hidden, probabilistic), activation)
    _train(start, data, np.random.default_rng(0), epochs=30)
    trainer, oracle = Trainer(start.state(), activation, factors), PlainEnsemble(start.state(), activation)
    rng = _Permutations(1)
    history = _train(trainer, data, rng, batch_size=len(data))

    batch = torch.stack([data[torch.from_numpy(order)] for order in rng.given]).double()
    x, y = batch[..., :NIN], batch[..., NIN + 1 :]
    oracle.loss(x, y, factors).backward()
    np.testing.assert_allclose(history.likelihoods[0], oracle.member_losses(x, y).detach(), rtol=1e-5)
    squares = ((oracle.outputs(x)[0] - y) ** 2).mean((1, 2)).detach()
    np.testing.assert_allclose(history.squares[0], squares, rtol=1e-5)
    assert history.losses[0] == pytest.approx(float(squares.mean()), rel=1e-5)

    def near(found: torch.Tensor, expected: torch.Tensor) -> None:
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()

    # with decay, the kernel of Adam adds it to the weights' gradients: what it sees is compared
    first = trainer._views[2]
    before = start._views[2]
    for i, (weight, bias) in enumerate(zip(oracle.weights, oracle.biases, strict=True)):
        found = (first[i] - 0.9 * before[i]) / 0.1
        expected = torch.cat([weight.grad, bias.grad.transpose(1, 2)], dim=2)
        assert (found.double() - expected).abs().max() <= 3e-5 * expected.abs().max() + 1e-7
        if not decay:
            near(trainer._gradients[i].view(expected.shape).double(), expected)
    for found, bound in zip(trainer._bounds[1] if probabilistic else (), oracle.bounds, strict=True):
        near(found.double(), bound.grad)
        assert bound.grad.abs().max() > 1e-3


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_beta_weighs_what_is_asked_of_the_network_by_its_variance(beta: float) -> None:
    """Seitzer et al. 2022: the variance that weighs a term is held fixed; the bounds learn as without."""
    data, hidden = _data(96), (16, 12)
    start = Trainer(_state(3, hidden, True), "silu")
    _train(start, data, np.random.default_rng(0), epochs=30)
    trainer, oracle = Trainer(start.state(), "silu", beta=beta), PlainEnsemble(start.state(), "silu")
    rng = _Permutations(1)
    history = _train(trainer, data, rng, batch_size=len(data))

    batch = torch.stack([data[torch.from_numpy(order)] for order in rng.given]).double()
    x, y = batch[..., :NIN], batch[..., NIN + 1 :]
    np.testing.assert_allclose(history.likelihoods[0], oracle.member_losses(x, y).detach(), rtol=1e-5)
    oracle.loss(x, y, [0.0] * 3).backward()
    plain = [weight.grad.clone() for weight in oracle.weights]
    for found, bound in zip(trainer._bounds[1], oracle.bounds, strict=True):
        assert (found - bound.grad).abs().max() <= 1e-5 * bound.grad.abs().max()
    for parameter in oracle.parameters:
        parameter.grad = None
    mean, log_variance = oracle.outputs(x)
    terms = (mean - y) ** 2 * torch.exp(-log_variance) + log_variance
    (terms * torch.exp(beta * log_variance).detach()).mean((1, 2)).sum().backward()
    for i, (weight, bias) in enumerate(zip(oracle.weights, oracle.biases, strict=True)):
        expected = torch.cat([weight.grad, bias.grad.transpose(1, 2)], dim=2)
        found = trainer._gradients[i].view(expected.shape)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert (weight.grad - plain[i]).abs().max() > 0.1 * plain[i].abs().max()


@pytest.mark.parametrize(("members", "probabilistic", "activation", "hidden"), CASES[:3])
def test_updates_are_those_of_adam(
    members: int, probabilistic: bool, activation: str, hidden: tuple[int, ...]
) -> None:
    data, decay = _data(160), [1e-3] * (len(hidden) + 1)
    state, rng = _state(members, hidden, probabilistic), _Permutations(2)
    trainer = Trainer(state, activation, decay)
    history = _train(trainer, data, rng, epochs=3, learning_rate=3e-3)
    oracle = PlainEnsemble(state, activation, torch.float32)
    optimizer = torch.optim.Adam(oracle.parameters, lr=3e-3)
    losses = []
    for epoch in range(3):
        orders = rng.given[epoch * members : (epoch + 1) * members]
        assert members == 1 or not np.array_equal(orders[0], orders[1])
        for b in range(len(data) // 32):
            batch = torch.stack([data[torch.from_numpy(order[b * 32 : (b + 1) * 32])] for order in orders])
            x, y = batch[..., :NIN], batch[..., NIN + 1 :]
            losses.append(oracle.member_losses(x, y).detach().numpy())
            optimizer.zero_grad()
            oracle.loss(x, y, decay).backward()
            optimizer.step()
    expected = np.reshape(losses, (3, -1, members)).mean(1)
    np.testing.assert_allclose(history.likelihoods, expected, rtol=2e-5, atol=2e-6)
    after = trainer.state()
    assert after.updates == 3 * (len(data) // 32)
    for i, layer in enumerate(after.layers):
        layer = layer.reshape(oracle.weights[i].shape[0], layer.shape[-2], -1)
        np.testing.assert_allclose(layer[:, :, :-1], oracle.weights[i].detach(), atol=5e-5)
        np.testing.assert_allclose(layer[:, :, -1], oracle.biases[i].detach()[:, 0], atol=5e-5)
    for row, bound in zip(() if after.bounds is None else after.bounds, oracle.bounds, strict=True):
        np.testing.assert_allclose(row, bound.detach(), atol=5e-5)
    evaluated = trainer.evaluate(data, block=50)
    x, y = (part.expand(members, -1, -1) for part in (data[:, :NIN], data[:, NIN + 1 :]))
    np.testing.assert_allclose(evaluated.loss, oracle.member_losses(x, y).detach(), rtol=1e-4)


def test_training_goes_on_from_a_state_as_if_it_had_not_stopped() -> None:
    data = _data(200)
    whole = Trainer(_state(3, (16,), True), "silu", 1e-4)
    for seed in (1, 2):
        _train(whole, data, np.random.default_rng(seed), epochs=2)
    first = Trainer(_state(3, (16,), True), "silu", 1e-4)
    _train(first, data, np.random.default_rng(1), epochs=2)
    second = Trainer(first.state(), "silu", 1e-4)
    _train(second, data, np.random.default_rng(2), epochs=2)
    a, b = whole.state(), second.state()
    assert a.updates == b.updates
    for name in ("layers", "first", "second"):
        assert all(map(np.array_equal, getattr(a, name), getattr(b, name)))
    for name in ("bounds", "bounds_first", "bounds_second"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


def test_bootstraps_leave_out_a_third_of_the_points_and_differ() -> None:
    trainer = Trainer(_state(2, (4,), False), "relu")
    pools = trainer._pools(1000, 500, np.random.default_rng(0))
    assert not np.array_equal(pools[0][0], pools[1][0])
    for old, new in pools:
        assert len(old) == 1000
        assert len(new) == 500
        assert len(np.unique(old)) / 1000 == pytest.approx(1 - np.exp(-1), abs=0.03)
        assert old.max() < 1000 <= new.min()
        assert new.max() < 1500
    # what a member trains on is its pool: two members of the same start part ways by nothing else
    data = _data(64)
    same = _state(1, (8,), False)
    pair = MlpState([np.stack([layer, layer]) for layer in same.layers])
    alone, apart = Trainer(pair, "relu"), Trainer(pair, "relu")
    _train(alone, data, np.random.default_rng(0), batch_size=64)
    _train(apart, data, np.random.default_rng(0), batch_size=64, bootstrap=np.random.default_rng(1))

    def distance(t: Trainer) -> float:
        layer = t.state().first[0]
        return float(np.abs(layer[0] - layer[1]).max())

    assert distance(alone) < 1e-6 < 1e-3 < distance(apart)


def test_it_stops_early_and_goes_back_to_the_best() -> None:
    """Forty points of noise are learned by heart: the held-out loss is least early."""
    rng = np.random.default_rng(0)
    inputs, targets = (rng.standard_normal((80, n)).astype(np.float32) for n in (NIN, NOUT))
    data, held_out = pack(inputs[:40], targets[:40]), pack(inputs[40:], targets[40:])
    options = {"batch_size": 8, "learning_rate": 1e-2, "held_out": held_out}
    trainer = Trainer(_state(2, (32,), True), "silu")
    history = _train(trainer, data, np.random.default_rng(1), epochs=200, patience=3, **options)
    means = np.mean(history.held_out, axis=1)
    assert history.best == np.argmin(means) == len(means) - 4
    assert len(means) < 200
    with torch_threads(1):
        assert np.array_equal(trainer.evaluate(held_out).loss, history.held_out[history.best])
    # the same as training for so many epochs only
    without = Trainer(_state(2, (32,), True), "silu")
    _train(without, data, np.random.default_rng(1), epochs=history.best + 1, **options)
    assert all(map(np.array_equal, without.state().layers, trainer.state().layers))
    assert without.state().updates == trainer.state().updates


@pytest.mark.parametrize("probabilistic", [False, True])
def test_a_member_that_is_not_finite_leaves_the_others_alone(probabilistic: bool) -> None:
    data = _data(128)
    state = _state(3, (16,), probabilistic)
    broken = state.with_members_of(state, [])
    broken.layers[0][1] = np.nan
    whole, with_nan = Trainer(state, "silu"), Trainer(broken, "silu")
    _train(whole, data, np.random.default_rng(0))
    history = _train(with_nan, data, np.random.default_rng(0))
    assert list(np.isfinite(history.likelihoods[0])) == [True, False, True]
    assert np.isfinite(history.losses[0])
    after = with_nan.state()
    assert after.bounds is None or np.isfinite(after.bounds).all()
    for layer, expected in zip(after.layers, whole.state().layers, strict=True):
        assert np.isfinite(layer[[0, 2]]).all()
        # they share the bounds, so they are not the same bits where there are some
        np.testing.assert_allclose(layer[[0, 2]], expected[[0, 2]], atol=1e-3 if probabilistic else 0)


def test_truncated_normal_weights_end_at_two_deviations() -> None:
    state = truncated_normal((100, 300, 8), 4, np.random.default_rng(0), probabilistic=True)
    assert [layer.shape for layer in state.layers] == [(4, 300, 101), (4, 8, 301)]
    for layer in state.layers:
        weights = layer[:, :, :-1] * 2 * np.sqrt(layer.shape[2] - 1)
        assert 1.9 < np.abs(weights).max() <= 2 + 1e-6
        assert weights.std() == pytest.approx(0.8796, rel=0.03)  # of a normal that is cut there
        assert not layer[:, :, -1].any()
        assert not np.array_equal(layer[0], layer[1])
    assert np.array_equal(state.bounds, np.float32([[0.5] * 4, [-10] * 4]))
