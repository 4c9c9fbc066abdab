"""Losses in training, with their gradients written out: squared errors, and a Gaussian's likelihood.

An output (..., rows, batch) becomes the loss's gradient with respect to it, in place. Members of an ensemble
are the first dimension; each has a loss of its own, and what is minimised is their sum.
"""

from __future__ import annotations

import torch

BOUND_WEIGHT = 0.01
"""Of the bounds' distance in the loss of a probabilistic model."""


class SquaredError:
    """The mean squared error of outputs (nout, batch), or of members' (members, nout, batch)."""

    def __init__(self, output: torch.Tensor) -> None:
        self._output = output
        self._flat = output.view(-1) if output.dim() == 2 else None
        self._squares = None if output.dim() == 2 else torch.empty_like(output)
        self._scale = 2.0 / (output.shape[-1] * output.shape[-2])
        self.bounds_gradient: torch.Tensor | None = None

    def gradient_(self, target: torch.Tensor, squares: torch.Tensor, likelihoods: torch.Tensor) -> None:
        """The output becomes the gradient; ``squares`` (members) the sums of the squared errors."""
        error = self._output.sub_(target)
        if self._squares is None:
            torch.dot(self._flat, self._flat, out=squares)  # type: ignore[arg-type]
        else:
            torch.sum(torch.mul(error, error, out=self._squares), (1, 2), out=squares)
        error.mul_(self._scale)


class GaussianLikelihood:
    """The negative log likelihood of targets under members' means and variances (PETS), without its constant.

    An output (members, 2 n, batch) has n means, then n raw log variances, which learned bounds (2, n), the
    upper and the lower, hold: v = upper - softplus(upper - raw), then lower + softplus(v - lower). A member's
    loss is the mean over batch and dimensions of (mean - target)^2 exp(-v) + v; to the sum of the members',
    `BOUND_WEIGHT` times the sum of upper - lower is added.

    An error counts by its inverse variance, so that networks learn what is almost certain and neglect the
    rest. With ``beta``, what each term asks of the network is multiplied by exp(beta v), v held fixed
    (Seitzer et al. 2022, beta-NLL); the bounds learn as without.

    Args:
        output: what the network wrote.
        bounds: (2, n), the current ones.
        bounds_gradient: (2, n), where their gradient goes.
        beta: 0 is the likelihood; with 1, means learn as by squared errors.
    """

    def __init__(
        self,
        output: torch.Tensor,
        bounds: torch.Tensor,
        bounds_gradient: torch.Tensor,
        beta: float = 0.0,
    ) -> None:
        self._beta = beta
        n = bounds.shape[1]
        self._mean, self._raw = output[:, :n], output[:, n:]
        self._upper, self._lower = bounds[0].unsqueeze(-1), bounds[1].unsqueeze(-1)
        self._upper_gradient, self._lower_gradient = bounds_gradient
        self._share = 1.0 / (n * output.shape[2])
        shape = (output.shape[0], n, output.shape[2])
        self._a, self._b, self._by_upper, self._by_lower, self._variance = (
            torch.empty(shape) for _ in range(5)
        )
        self._sums = torch.empty(shape[:2])

    def gradient_(self, target: torch.Tensor, squares: torch.Tensor, likelihoods: torch.Tensor) -> None:
        """The output becomes the gradient; ``squares`` and ``likelihoods`` (members) the sums of both."""
        a, b, by_upper, by_lower, weight = self._a, self._b, self._by_upper, self._by_lower, self._variance
        # the log variance v (in b), and what it changes by with raw: by_upper * by_lower
        torch.sub(self._upper, self._raw, out=a)
        torch.sigmoid(a, out=by_upper)
        torch.sub(self._upper, _softplus_(a), out=a)
        torch.sub(a, self._lower, out=b)
        torch.sigmoid(b, out=by_lower)
        _softplus_(b).add_(self._lower)
        torch.exp(torch.neg(b, out=weight), out=weight)

        error = self._mean.sub_(target)
        torch.sum(torch.mul(error, error, out=a), (1, 2), out=squares)
        a.mul_(weight)
        torch.sum(b.add_(a), (1, 2), out=likelihoods)
        error.mul_(weight).mul_(2.0 * self._share)
        # of the log variance, then through the lower bound, then through the upper one
        a.neg_().add_(1.0).mul_(self._share)
        through_lower = by_lower.mul_(a)
        torch.mul(through_lower, by_upper, out=self._raw)
        self._bound(a.sub_(through_lower), self._lower_gradient, -BOUND_WEIGHT)
        self._bound(through_lower.sub_(self._raw), self._upper_gradient, BOUND_WEIGHT)
        if self._beta:
            factor = torch.pow(weight, -self._beta, out=b)
            error.mul_(factor)
            self._raw.mul_(factor)

    def _bound(self, parts: torch.Tensor, gradient: torch.Tensor, weight: float) -> None:
        # a member that is no longer finite must not take the others with it
        sums = torch.sum(parts, 2, out=self._sums).nan_to_num_(0.0, 0.0, 0.0)
        torch.sum(sums, 0, out=gradient).add_(weight)


def log_variance(raw: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """The log variances that bounds (2, n) make of raw ones (..., n, batch)."""
    upper, lower = bounds[0].unsqueeze(-1), bounds[1].unsqueeze(-1)
    below = upper - torch.nn.functional.softplus(upper - raw)
    return lower + torch.nn.functional.softplus(below - lower)


def _softplus_(x: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten.softplus.out(x, 1.0, 20.0, out=x)  # type: ignore[no-any-return]
