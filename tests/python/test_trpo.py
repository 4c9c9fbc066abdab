"""The numerics of the model-free learner, each on a known answer: automatic differentiation, loops, NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch.func import functional_call

from mbmf.algorithms import advantages, baseline, baseline_fit, trpo
from mbmf.nn.network_passes import MeanNetwork, Passes
from mbmf.nn.workers import CHUNK, Workers
from mbmf.tasks.learning import TrpoConfig

SIZES = (7, 9, 8, 3)
SETTINGS = TrpoConfig()
NTHREAD = 2


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(NTHREAD) as threads:
        yield threads


def random_theta(sizes: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    n = MeanNetwork(sizes).nparameter
    mean = 0.4 * torch.randn(n, generator=generator, dtype=torch.float64)
    log_std = 0.3 * torch.randn(sizes[-1], generator=generator, dtype=torch.float64) - 0.2
    return torch.cat([mean, log_std]).float()


def random_batch(
    sizes: tuple[int, ...], theta: torch.Tensor, count: int, seed: int = 1, hidden: bool = False
) -> trpo.Batch:
    """Steps that the policy ``theta`` did, with advantages that prefer one direction."""
    network = MeanNetwork(sizes)
    generator = torch.Generator().manual_seed(seed)
    observations = torch.randn(count, sizes[0], generator=generator)
    activations, x = [], observations
    with torch.no_grad():
        for layer in Reference(sizes, theta).mean:
            x = layer(x.double())
            if isinstance(layer, torch.nn.Tanh):
                activations.append(x.float())
    means = x.float()
    log_std = theta[network.nparameter :]
    noise = torch.randn(count, sizes[-1], generator=generator)
    actions = means + log_std.exp() * noise
    preferred = observations[:, : sizes[-1]]
    gains = -(actions - preferred).square().sum(dim=1).double().numpy()
    scaled = torch.from_numpy(advantages.standardized(gains)).float()
    log_probs = trpo.log_probability(actions, means, log_std)
    return trpo.Batch(observations, actions, means, log_probs, scaled, activations if hidden else None)


class Reference(torch.nn.Module):
    """The same policy in plain PyTorch, in float64, for autograd."""

    def __init__(self, sizes: tuple[int, ...], theta: torch.Tensor) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for (w, b), cols in zip(MeanNetwork(sizes).layers(theta.double()), sizes, strict=False):
            linear = torch.nn.Linear(cols, len(b), dtype=torch.float64)
            linear.weight.data, linear.bias.data = w.clone(), b.clone()
            layers += [linear, torch.nn.Tanh()]
        self.mean = torch.nn.Sequential(*layers[:-1])
        self.log_std = torch.nn.Parameter(theta[MeanNetwork(sizes).nparameter :].double().clone())

    def theta(self) -> dict[str, torch.Tensor]:
        """Parameters in the order of the vector."""
        return {**dict(self.mean.named_parameters(prefix="mean")), "log_std": self.log_std}

    def distribution(self, observations: torch.Tensor) -> torch.distributions.Distribution:
        normal = torch.distributions.Normal(self.mean(observations.double()), self.log_std.exp())
        return torch.distributions.Independent(normal, 1)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


# --- derivatives


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("sizes", [SIZES, (5, 4, 2), (24, 64, 64, 6)])
def test_gradient_is_that_of_autograd(sizes: tuple[int, ...], hidden: bool) -> None:
    theta = random_theta(sizes)
    batch = random_batch(sizes, theta, 3 * CHUNK // 2, hidden=hidden)
    reference = Reference(sizes, theta)
    log_probs = reference.distribution(batch.observations).log_prob(batch.actions.double())
    loss = -((log_probs - log_probs.detach()).exp() * batch.advantages.double()).mean()
    wanted = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(reference.theta().values()))])
    objective = trpo.Objective(MeanNetwork(sizes), theta, batch, NTHREAD)
    assert relative_error(objective.gradient(), wanted) < 2e-6
    assert objective.loss_before == pytest.approx(loss.item(), abs=1e-7)


@pytest.mark.parametrize("sizes", [SIZES, (5, 4, 2), (24, 64, 64, 6)])
def test_fisher_product_is_the_second_derivative_of_the_divergence(sizes: tuple[int, ...]) -> None:
    theta = random_theta(sizes)
    batch = random_batch(sizes, theta, CHUNK + 100)
    objective = trpo.Objective(MeanNetwork(sizes), theta, batch, NTHREAD)
    reference = Reference(sizes, theta)
    parameters = list(reference.theta().values())
    new = reference.distribution(batch.observations)
    with torch.no_grad():
        old = reference.distribution(batch.observations)
    kl = torch.distributions.kl_divergence(old, new).mean()
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(kl, parameters, create_graph=True)])
    for seed in range(3):
        v = random_theta(sizes, seed=10 + seed).double()
        again = torch.autograd.grad(slope @ v, parameters, retain_graph=True)
        wanted = torch.cat([g.flatten() for g in again])
        assert relative_error(objective.fisher_product(v), wanted) < 2e-6


def test_loss_and_divergence_elsewhere() -> None:
    theta, other = random_theta(SIZES), random_theta(SIZES) + 0.02 * random_theta(SIZES, seed=5)
    batch = random_batch(SIZES, theta, 2 * CHUNK + 17)
    loss, kl = trpo.Objective(MeanNetwork(SIZES), theta, batch, NTHREAD).evaluate(other)
    reference, there = Reference(SIZES, theta), Reference(SIZES, other)
    with torch.no_grad():
        old, new = reference.distribution(batch.observations), there.distribution(batch.observations)
        ratio = (new.log_prob(batch.actions) - old.log_prob(batch.actions)).exp()
        assert loss == pytest.approx(-(ratio * batch.advantages).mean().item(), rel=1e-5)
        assert kl == pytest.approx(torch.distributions.kl_divergence(old, new).mean().item(), rel=1e-5)
    assert kl > 0


def test_gaussian_formulas_against_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    means, old_means, actions = (torch.randn(50, 4, generator=generator, dtype=torch.float64) for _ in "abc")
    log_std, old_log_std = (torch.randn(4, generator=generator, dtype=torch.float64) for _ in "ab")
    new = torch.distributions.Independent(torch.distributions.Normal(means, log_std.exp()), 1)
    old = torch.distributions.Independent(torch.distributions.Normal(old_means, old_log_std.exp()), 1)
    torch.testing.assert_close(trpo.log_probability(actions, means, log_std), new.log_prob(actions))
    kl = torch.distributions.kl_divergence(old, new)
    torch.testing.assert_close(trpo.gaussian_kl(old_means, old_log_std, means, log_std), kl)
    assert trpo.gaussian_kl(means, log_std, means, log_std).abs().max() < 1e-15


def test_sums_are_the_same_bits_on_any_number_of_threads() -> None:
    sizes = (24, 64, 64, 6)
    theta = random_theta(sizes)
    batch = random_batch(sizes, theta, 3 * CHUNK + 3, hidden=True)
    results = []
    for nthread in (1, 2, 3, 7):
        with Workers(nthread) as threads:
            step = trpo.trpo_step(MeanNetwork(sizes), theta, batch, SETTINGS, nthread)
            data = baseline_fit.BaselineData(
                batch.observations.numpy(), np.arange(len(batch.observations)), threads
            )
            fitted = data.fit(batch.advantages.double().numpy(), 1e-5).coefficients
            results.append((step.theta.numpy().tobytes(), step.loss_after, step.kl, fitted.tobytes()))
    assert results[0] == results[1] == results[2] == results[3]


def test_activations_of_the_sampler_are_not_computed_again() -> None:
    theta = random_theta(SIZES)
    given = random_batch(SIZES, theta, 100, hidden=True)
    assert given.hidden is not None
    others = [torch.zeros_like(layer) for layer in given.hidden]
    for hidden, used in ((given.hidden, True), (others, False)):
        passes = Passes(MeanNetwork(SIZES), theta, given.observations, NTHREAD, hidden)
        # a gradient of weights is a product with the activations below them
        weights = MeanNetwork(SIZES).layers(passes.gradient(torch.ones(100, SIZES[-1])))[1][0]
        assert bool(weights.any()) == used


# --- the update


def test_step_improves_within_the_bound() -> None:
    sizes = (24, 64, 64, 6)
    theta = random_theta(sizes)
    batch = random_batch(sizes, theta, 3 * CHUNK)
    network = MeanNetwork(sizes)
    for kl_step in (1e-3, 0.05):
        step = trpo.trpo_step(
            network, theta, batch, SETTINGS.model_copy(update={"kl_step": kl_step}), NTHREAD
        )
        assert step.skipped is None
        assert 0.3 * kl_step < step.kl <= kl_step
        assert step.loss_after < step.loss_before
        assert step.fraction >= 0.8**3
        loss, kl = trpo.Objective(network, theta, batch, NTHREAD).evaluate(step.theta)
        assert (loss, kl) == (step.loss_after, step.kl)
    # the same divergence in the direction of the plain gradient gains less
    gradient = trpo.Objective(network, theta, batch, NTHREAD).gradient()
    objective = trpo.Objective(network, theta, batch, NTHREAD)
    curvature = float(gradient @ objective.fisher_product(gradient))
    plain = (theta - math.sqrt(2 * 0.05 / curvature) * gradient).to(theta.dtype)
    assert step.loss_after < objective.evaluate(plain)[0]


def test_natural_gradient_equals_a_dense_solve() -> None:
    sizes = (4, 5, 2)
    theta = random_theta(sizes)
    batch = random_batch(sizes, theta, 500)
    objective = trpo.Objective(MeanNetwork(sizes), theta, batch, NTHREAD)
    n = len(theta)
    # the dense matrix from autograd's Jacobian of the means, not from our products
    reference = Reference(sizes, theta)
    named = {name: value.detach() for name, value in reference.mean.named_parameters()}

    def means(values: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(reference.mean, values, (batch.observations.double(),))

    jacobian = torch.cat([j.reshape(500, 2, -1) for j in torch.func.jacrev(means)(named).values()], dim=2)
    precision = torch.exp(-2 * theta[-2:].double())
    dense = torch.zeros(n, n, dtype=torch.float64)
    dense[:-2, :-2] = torch.einsum("nai,a,naj->ij", jacobian, precision, jacobian) / 500
    dense[-2:, -2:] = 2 * torch.eye(2)
    # so much damping that the products' rounding is not magnified
    wanted = torch.linalg.solve(dense + 0.1 * torch.eye(n), -objective.gradient())
    found, residual = trpo.conjugate_gradient(
        lambda v: objective.fisher_product(v) + 0.1 * v, -objective.gradient(), 20 * n, 1e-14
    )
    assert relative_error(found, wanted) < 1e-5
    assert residual.norm() < 1e-6


def test_conjugate_gradient_on_a_known_system() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((12, 12))
    matrix = torch.from_numpy(root @ root.T + np.eye(12))
    solution = torch.from_numpy(rng.standard_normal(12))
    b = matrix @ solution
    x, residual = trpo.conjugate_gradient(lambda v: matrix @ v, b, 100, 1e-26)
    torch.testing.assert_close(x, solution, rtol=1e-10, atol=1e-10)
    # stopped early: the residual is what is left
    for iterations in (1, 3):
        x, residual = trpo.conjugate_gradient(lambda v: matrix @ v, b, iterations)
        torch.testing.assert_close(residual, b - matrix @ x, rtol=1e-9, atol=1e-9)
        assert residual.norm() > 1e-3
    # one product solves a multiple of the identity, and none is needed for zero
    calls: list[int] = []
    x, _ = trpo.conjugate_gradient(lambda v: calls.append(1) or 4 * v, b, 10)  # type: ignore[func-returns-value]
    torch.testing.assert_close(x, b / 4)
    x, _ = trpo.conjugate_gradient(lambda v: calls.append(1) or v, torch.zeros(3), 10)  # type: ignore[func-returns-value]
    assert (len(calls), x.tolist()) == (1, [0.0, 0.0, 0.0])


def test_line_search_takes_the_longest_step_that_is_acceptable() -> None:
    start, full = torch.zeros(1), torch.ones(1)

    def search(evaluate: Callable[[torch.Tensor], tuple[float, float]], tries: int = 15) -> trpo.Step:
        return trpo.line_search(
            evaluate,
            start,
            full,
            0.0,
            kl_limit=0.5,
            ratio=0.5,
            tries=tries,
        )

    assert search(lambda x: (-float(x), 0.5)).fraction == 1.0
    assert search(lambda x: (-float(x), float(x))).fraction == 0.5
    assert search(lambda x: (float(x) - 0.2, 0.1)).fraction == 0.125
    failed = search(lambda x: (1.0, 0.1))
    assert (failed.fraction, failed.kl, failed.skipped, failed.theta is start) == (0.0, 0.0, None, True)
    # a number that is not finite is not acceptable, and a problem only if there is no other
    assert search(lambda x: (math.nan if x > 0.3 else -1.0, 0.1)).fraction == 0.25
    assert search(lambda x: (math.nan, 0.1), tries=2).skipped == "surrogate loss not finite along the step"
    assert search(lambda x: (-1.0, math.inf)).skipped is not None


@pytest.mark.parametrize("what", ["advantages", "actions", "observations"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_skipped(what: str, value: float) -> None:
    theta = random_theta(SIZES)
    batch = random_batch(SIZES, theta, 200)
    getattr(batch, what)[3] = value
    step = trpo.trpo_step(MeanNetwork(SIZES), theta, batch, SETTINGS, NTHREAD)
    if what == "observations" and value == math.inf:
        assert step.skipped is None or step.theta is theta
    else:
        assert step.skipped is not None
        assert "finite" in step.skipped or str(value) in step.skipped.replace("-", "")
    assert step.skipped is None or step.theta is theta


def test_equal_advantages_change_nothing() -> None:
    theta = random_theta(SIZES)
    batch = random_batch(SIZES, theta, 200)
    batch.advantages.zero_()
    step = trpo.trpo_step(MeanNetwork(SIZES), theta, batch, SETTINGS, NTHREAD)
    assert (step.theta is theta, step.fraction, step.kl, step.skipped) == (True, 0.0, 0.0, None)


# --- returns and advantages

LENGTHS = np.array([3, 1, 7, 7, 2, 5], np.int32)


def loops(values: np.ndarray, factor: float) -> np.ndarray:
    result, first = np.zeros_like(values), 0
    for length in LENGTHS:
        running = 0.0
        for t in range(first + length - 1, first - 1, -1):
            running = values[t] + factor * running
            result[t] = running
        first += length
    return result


def test_discounted_sums_against_loops() -> None:
    rewards = np.random.default_rng(0).standard_normal(LENGTHS.sum())
    for factor in (0.0, 0.9, 1.0):
        np.testing.assert_allclose(
            advantages.discounted_sums(rewards, LENGTHS, factor), loops(rewards, factor), rtol=1e-13
        )
    with pytest.raises(ValueError, match="lengths must add up to 25, got 1"):
        advantages.discounted_sums(rewards, np.array([1]), 0.9)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_advantages_against_loops(gae_lambda: float) -> None:
    rng = np.random.default_rng(1)
    rewards, values = rng.standard_normal((2, LENGTHS.sum()))
    found = advantages.generalized_advantages(rewards, values, LENGTHS, 0.9, gae_lambda)
    errors, first = np.zeros_like(values), 0
    for length in LENGTHS:
        for t in range(first, first + length):
            after = values[t + 1] if t + 1 < first + length else 0.0
            errors[t] = rewards[t] + 0.9 * after - values[t]
        first += length
    np.testing.assert_allclose(found, loops(errors, 0.9 * gae_lambda), rtol=1e-12, atol=1e-13)
    if gae_lambda == 1.0:
        np.testing.assert_allclose(found, loops(rewards, 0.9) - values, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_advantages_of_episodes_that_would_have_gone_on(gae_lambda: float) -> None:
    """What is expected after the last step of some counts there, as if one more step had earned it."""
    rng = np.random.default_rng(2)
    rewards, values = rng.standard_normal((2, LENGTHS.sum()))
    final = np.where([True, False, True, True, False, True], rng.standard_normal(6), 0.0)
    found = advantages.generalized_advantages(rewards, values, LENGTHS, 0.9, gae_lambda, final_values=final)
    last = np.cumsum(LENGTHS) - 1
    more = rewards.copy()
    more[last] += 0.9 * final
    want = advantages.generalized_advantages(more, values, LENGTHS, 0.9, gae_lambda)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-13)
    without = advantages.generalized_advantages(rewards, values, LENGTHS, 0.9, gae_lambda)
    np.testing.assert_allclose((found - without)[last], 0.9 * final, atol=1e-13)


def test_standardisation() -> None:
    scaled = advantages.standardized(np.random.default_rng(0).normal(5, 3, 1000))
    assert abs(scaled.mean()) < 1e-12
    assert scaled.std() == pytest.approx(1)
    assert advantages.standardized(np.full(4, 7.0)).tolist() == [0, 0, 0, 0]


def test_explained_variance() -> None:
    actual = np.array([1.0, 2.0, 4.0])
    assert advantages.explained_variance(actual, actual) == 1
    assert advantages.explained_variance(np.full(3, 9.0), actual) == 0
    assert advantages.explained_variance(-actual, actual) == pytest.approx(-3)
    assert advantages.explained_variance(actual, np.ones(3)) == 0
    assert advantages.explained_variance(np.zeros(3), np.ones(3)) == 1


# --- baseline


def test_baseline_against_least_squares(workers: Workers) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([CHUNK - 5, 1, 70, 1000])
    observations = (6 * rng.standard_normal((lengths.sum(), 3))).astype(np.float32)
    assert np.abs(observations).max() > 10
    returns = rng.standard_normal(lengths.sum())
    times = np.concatenate([np.arange(n) for n in lengths])
    time = times / 100
    clipped = np.clip(observations.astype(np.float64), -10, 10)
    columns = np.column_stack([clipped, clipped**2, time, time**2, time**3, np.ones_like(time)])

    data = baseline_fit.BaselineData(observations, times, workers)
    assert not data.predict(baseline.Baseline.zero(3)).any()
    fitted = data.fit(returns, 0.1)
    # ridge regression is least squares with rows sqrt(ridge) I for zero targets
    rows = np.vstack([columns, math.sqrt(0.1) * np.eye(columns.shape[1])])
    wanted = np.linalg.lstsq(rows, np.append(returns, np.zeros(columns.shape[1])), rcond=None)[0]
    np.testing.assert_allclose(fitted.coefficients, wanted, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(data.predict(fitted), columns @ wanted, rtol=1e-6, atol=1e-6)


def test_baseline_of_observations_that_say_nothing(workers: Workers) -> None:
    observations = np.zeros((60, 2), np.float32)
    observations[:, 1] = 3
    data = baseline_fit.BaselineData(observations, np.arange(60) % 20, workers)
    fitted = data.fit(np.full(60, 5.0), 1e-5)
    np.testing.assert_allclose(data.predict(fitted), 5, rtol=1e-6)


def test_ridge_grows_until_the_system_can_be_solved() -> None:
    # rounding makes this one indefinite: its negative eigenvalue outweighs 1e-5
    gram = np.diag([1.0, -5e-4])
    solution = baseline_fit.solve_ridge(gram, np.array([1.0, 0.0]), 1e-5)
    np.testing.assert_allclose(solution, [1 / (1 + 1e-3), 0], rtol=1e-9)
    assert not baseline_fit.solve_ridge(gram, np.array([math.nan, 0.0]), 1e-5).any()
    assert not baseline_fit.solve_ridge(np.full((2, 2), math.nan), np.ones(2), 1e-5).any()
    assert not baseline_fit.solve_ridge(-np.eye(2), np.ones(2), 1e-5).any()
