"""Trust region policy optimisation of a Gaussian policy (Schulman et al., Trust region policy optimization,
2015; the numbers that the paper's experiments use are in the presets).

    minimise over theta   L(theta) = -mean_t( pi_theta(a_t | o_t) / pi_old(a_t | o_t) * A_t )
    subject to            mean_t( KL(pi_old(. | o_t), pi_theta(. | o_t)) ) <= delta

One step: the natural gradient by conjugate gradients on F x = -grad L, scaled so that the quadratic model of
the divergence is delta, then a line search back until the loss falls and the divergence holds. F is the
Fisher information: for a Gaussian J' diag(1 / std^2) J averaged over observations, where J is the Jacobian of
the mean network, and 2 for each logarithm of a deviation. Its products with vectors are one pass forward and
one backward, on activations that the sampler computed already: no finite differences, no double backward.

The parameters theta are one vector: those of the mean network (`MeanNetwork`), then log_std (naction).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mbmf.nn.network_passes import MeanNetwork, Passes
from mbmf.tasks.learning import TrpoConfig

Tensor = torch.Tensor

# squared length at which a residual of the conjugate gradients counts as none
RESIDUAL = 1e-10


@dataclass(frozen=True)
class Batch:
    """What a policy did: N steps, as the sampler recorded them. float32.

    observations (N, nobservation), actions (N, naction) before clipping, means (N, naction) and log_probs (N)
    of the policy that acted, advantages (N), and the activations (N, width) of each of its hidden layers, if
    they are known.
    """

    observations: Tensor
    actions: Tensor
    means: Tensor
    log_probs: Tensor
    advantages: Tensor
    hidden: Sequence[Tensor] | None = None


@dataclass(frozen=True)
class Step:
    """What an update did.

    theta: the new parameters; the old ones where there is no step.
    loss_before, loss_after: L; kl: the mean divergence from the old policy, nats.
    fraction: of the full step, 0 where none was acceptable.
    skipped: why there is no step, where a number was not finite.
    """

    theta: Tensor
    loss_before: float
    loss_after: float
    kl: float
    fraction: float
    skipped: str | None = None


def trpo_step(network: MeanNetwork, theta: Tensor, batch: Batch, settings: TrpoConfig, nthread: int) -> Step:
    """One update of the policy with parameters ``theta``, which collected the batch."""
    objective = Objective(network, theta, batch, nthread)
    loss = objective.loss_before
    if not math.isfinite(loss):
        return Step(theta, loss, loss, 0.0, 0.0, f"surrogate loss {loss}")

    # natural gradient
    gradient = objective.gradient()
    if not bool(torch.isfinite(gradient).all()):
        return Step(theta, loss, loss, 0.0, 0.0, "non-finite gradient")
    direction, residual = conjugate_gradient(
        lambda v: objective.fisher_product(v) + settings.cg_damping * v, -gradient, settings.cg_iterations
    )

    # the quadratic model of the divergence, 1/2 x' F x, is the bound; F x is what the residual lacks of -g
    curvature = float(direction @ (-gradient - residual))
    if not math.isfinite(curvature):
        return Step(theta, loss, loss, 0.0, 0.0, "non-finite natural gradient")
    if curvature <= 0:
        return Step(theta, loss, loss, 0.0, 0.0)
    full_step = math.sqrt(2 * settings.kl_step / curvature) * direction

    return line_search(
        objective.evaluate,
        theta,
        full_step,
        loss,
        kl_limit=settings.kl_step,
        ratio=settings.line_search_ratio,
        tries=settings.line_search_tries,
    )


class Objective:
    """Loss, divergence, and their derivatives at the policy that collected the batch."""

    def __init__(self, network: MeanNetwork, theta: Tensor, batch: Batch, nthread: int) -> None:
        self._batch = batch
        self._count = len(batch.observations)
        self._log_std = theta[network.nparameter :]
        self._inverse_variance = torch.exp(-2 * self._log_std)
        self._passes = Passes(network, theta, batch.observations, nthread, batch.hidden)
        self._nmean = network.nparameter

    @property
    def loss_before(self) -> float:
        """L at the policy that collected: all probability ratios are 1."""
        return -float(self._batch.advantages.mean(dtype=torch.float64))

    def gradient(self) -> Tensor:
        """dL/dtheta (nparameter) float64, there: grad of log pi, weighted by the advantages."""
        noise = self._batch.actions - self._batch.means
        weighted = (self._batch.advantages / -self._count).unsqueeze(1)
        by_mean = self._passes.gradient(noise * self._inverse_variance * weighted)
        squares = noise.square_().mul_(self._inverse_variance).sub_(1)
        by_log_std = torch.sum(squares * weighted, dim=0, dtype=torch.float64)
        return torch.cat([by_mean, by_log_std])

    def fisher_product(self, v: Tensor) -> Tensor:
        """F v (nparameter) float64: the second derivative of the mean divergence, times v."""
        by_mean = self._passes.gauss_newton(v[: self._nmean], self._inverse_variance) / self._count
        return torch.cat([by_mean, 2 * v[self._nmean :]])

    def evaluate(self, theta: Tensor) -> tuple[float, float]:
        """L and the mean divergence at other parameters."""
        batch, log_std = self._batch, theta[self._nmean :]
        means = self._passes.outputs(theta)
        log_probs = log_probability(batch.actions, means, log_std)
        loss = surrogate_loss(log_probs, batch.log_probs, batch.advantages)
        kl = gaussian_kl(batch.means, self._log_std, means, log_std)
        return float(loss.mean(dtype=torch.float64)), float(kl.mean(dtype=torch.float64))


def log_probability(actions: Tensor, means: Tensor, log_std: Tensor) -> Tensor:
    """(n) log density of actions (n, naction) under a Gaussian with independent components."""
    z = (actions - means) * torch.exp(-log_std)
    constant = log_std.sum() + 0.5 * len(log_std) * math.log(2 * math.pi)
    return -0.5 * z.square_().sum(dim=1) - constant


def gaussian_kl(old_means: Tensor, old_log_std: Tensor, means: Tensor, log_std: Tensor) -> Tensor:
    """(n) KL(old, new) of Gaussians with independent components; means (n, naction), log_std (naction)."""
    precision = torch.exp(-2 * log_std)
    constant = (0.5 * torch.exp(2 * old_log_std) * precision - 0.5 + log_std - old_log_std).sum()
    return (0.5 * precision * (old_means - means).square()).sum(dim=1) + constant


def surrogate_loss(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor) -> Tensor:
    """(n) -ratio * advantage of each step; its mean is L."""
    return -torch.exp(log_probs - old_log_probs) * advantages


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, iterations: int, tolerance: float = RESIDUAL
) -> tuple[Tensor, Tensor]:
    """Solves A x = b for a symmetric positive definite A, given by its product with a vector.

    Starts from 0; stops after ``iterations``, or when the squared length of the residual is below
    ``tolerance``, or where A turns out not to be positive. Returns x and the residual b - A x.
    """
    x, residual, direction = torch.zeros_like(b), b.clone(), b.clone()
    squared = float(residual @ residual)
    for _ in range(iterations):
        if squared < tolerance:
            break
        image = product(direction)
        curvature = float(direction @ image)
        if curvature <= 0:
            break
        length = squared / curvature
        x += length * direction
        residual -= length * image
        previous, squared = squared, float(residual @ residual)
        direction = residual + (squared / previous) * direction
    return x, residual


def line_search(
    evaluate: Callable[[Tensor], tuple[float, float]],
    theta: Tensor,
    full_step: Tensor,
    loss_before: float,
    *,
    kl_limit: float,
    ratio: float,
    tries: int,
) -> Step:
    """The longest of the steps ratio^0, ratio^1, ... of the full one whose loss falls and whose divergence is
    within the limit.

    Where there is none the parameters stay; that is a skipped update if no try gave finite numbers.
    """
    finite = False
    for i in range(tries):
        fraction = ratio**i
        candidate = (theta + fraction * full_step).to(theta.dtype)
        loss, kl = evaluate(candidate)
        finite |= math.isfinite(loss) and math.isfinite(kl)
        if loss < loss_before and kl <= kl_limit:
            return Step(candidate, loss_before, loss, kl, fraction)
    skipped = None if finite else "surrogate loss not finite along the step"
    return Step(theta, loss_before, loss_before, 0.0, 0.0, skipped)
