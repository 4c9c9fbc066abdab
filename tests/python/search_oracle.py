"""Searches over action sequences in plain float64 NumPy: random shooting, CEM, iCEM and MPPI.

Written from the methods' definitions and nothing of the package. K candidates of a round, H horizon,
A actions; sequences are (K, H, A) with actions in [-1, 1]. A cost that is not finite never wins; ties go to
the lowest position.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Costs = Callable[[Floats], npt.NDArray[Any]]

MASK = 0xFFFFFFFF
PLAN = 1  # the stream of planning
KEPT = -1  # the position of an elite that was not rolled in this round, and of a mean

# ---- random numbers


def philox(key: Words, counter: Words) -> Words:
    """Philox4x32-10 of counters (n, 4) with one key (2,): (n, 4) words of 32 bits, in 64-bit integers."""
    c = counter.astype(np.uint64)
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[:, 0], np.uint64(0xCD9E8D57) * c[:, 2]
        c = np.stack(
            [
                (p1 >> np.uint64(32)) ^ c[:, 1] ^ np.uint64(k0),
                p1 & np.uint64(MASK),
                (p0 >> np.uint64(32)) ^ c[:, 3] ^ np.uint64(k1),
                p0 & np.uint64(MASK),
            ],
            axis=1,
        )
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def derive_key(seed: int, episode: int) -> Words:
    """The key (2,) of an episode's plans."""
    head = np.array([[PLAN, episode & MASK, episode >> 32, 0x6D626D66]], np.uint64)
    return philox(np.array([seed & MASK, seed >> 32], np.uint64), head)[0, :2]


def counters(step: int, round_: int, positions: npt.ArrayLike, ndraws: int) -> Words:
    """The counters (n, blocks, 4) of what each position draws in one round of one step."""
    positions = np.asarray(positions, np.uint64)
    blocks = (ndraws + 3) // 4
    if not (0 <= round_ < 256 and blocks <= 2**24):
        raise ValueError("rounds are below 256 and blocks below 2**24")
    counter = np.zeros((len(positions), blocks, 4), np.uint64)
    counter[:, :, 0] = np.arange(blocks) + (round_ << 24)
    counter[:, :, 1] = positions[:, None]
    counter[:, :, 2], counter[:, :, 3] = step & MASK, step >> 32
    return counter


def words(seed: int, episode: int, step: int, round_: int, positions: npt.ArrayLike, ndraws: int) -> Words:
    """(n, ndraws): draw d is word d % 4 of block d // 4."""
    counter = counters(step, round_, positions, ndraws)
    n, blocks = counter.shape[:2]
    return philox(derive_key(seed, episode), counter.reshape(-1, 4)).reshape(n, 4 * blocks)[:, :ndraws]


def uniforms(w: Words) -> Floats:
    """In [-1, 1), one word each."""
    return (w >> np.uint64(8)).astype(np.float64) * 2.0**-23 - 1.0


def normals(w: Words) -> Floats:
    """Of unit variance; (n, draws), draws even. Box and Muller: two words (w0, w1) side by side give two.

    w0 gives the radius; w1 the angle, as a quadrant (its two high bits) and a place in it (the next 24).
    """
    w0, w1 = w[:, 0::2], w[:, 1::2]
    radius = np.sqrt(-2 * np.log((w0 + 0.5) * 2.0**-32))
    quadrant = w1 >> np.uint64(30)
    place = (((w1 << np.uint64(2)) & np.uint64(MASK)) >> np.uint64(8)) * 2.0**-24 - 0.5
    angle = np.pi / 2 * (quadrant + place)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(w.shape)


def erf(x: npt.ArrayLike) -> Floats:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


def erfinv(y: npt.ArrayLike) -> Floats:
    """Newton's method on erf, from Winitzki's approximation (2e-3 off)."""
    y = np.asarray(y, np.float64)
    log = np.log1p(-y * y)
    half = 2 / (np.pi * 0.147) + log / 2
    x = np.sign(y) * np.sqrt(np.sqrt(half * half - log / 0.147) - half)
    for _ in range(4):
        x = x - (erf(x) - y) * (np.sqrt(np.pi) / 2) * np.exp(x * x)
    return x  # type: ignore[no-any-return]


def truncated_normals(w: Words) -> Floats:
    """Of a normal truncated at two deviations (whose own deviation is then 0.88), one word each."""
    return np.sqrt(2) * erfinv(0.9544997361036416 * uniforms(w))  # type: ignore[no-any-return]


# ---- coloured noise


def colour_scales(horizon: int, beta: float) -> tuple[Floats, float]:
    """Deviations s_k of the frequencies k = 0 .. H // 2, and what the inverse FFT is divided by."""
    if horizon < 2:
        raise ValueError("coloured noise needs two steps or more")
    f = np.arange(horizon // 2 + 1) / horizon
    s = np.empty(len(f))
    s[1:] = f[1:] ** (-beta / 2)
    s[0] = s[1]
    w = s[1:].copy()
    w[-1] *= (1 + horizon % 2) / 2
    return s, 2 * math.sqrt((w**2).sum()) / horizon


def colour_matrix(horizon: int, beta: float) -> Floats:
    """C (H, H): C times H normals is noise with a spectrum of 1 / f^beta."""
    s, scale = colour_scales(horizon, beta)
    t = np.arange(horizon)
    C = np.empty((horizon, horizon))
    C[:, 0] = np.sqrt(2) * s[0]
    for k in range(1, (horizon - 1) // 2 + 1):
        C[:, 2 * k - 1] = 2 * s[k] * np.cos(2 * np.pi * k * t / horizon)
        C[:, 2 * k] = -2 * s[k] * np.sin(2 * np.pi * k * t / horizon)
    if horizon % 2 == 0:
        C[:, -1] = np.sqrt(2) * s[-1] * np.cos(np.pi * t)
    return C / (horizon * scale)


def colour(g: Floats, beta: float) -> Floats:
    """Noise (n, H, A) of normals (n, H, A); white if beta is 0 or there is one step only."""
    if beta == 0 or g.shape[1] == 1:
        return g
    return np.einsum("th,nha->nta", colour_matrix(g.shape[1], beta), g)  # type: ignore[no-any-return]


def colour_by_fft(g: Floats, beta: float) -> Floats:
    """The same by NumPy's inverse FFT of a random spectrum."""
    horizon = g.shape[1]
    s, scale = colour_scales(horizon, beta)
    real, imaginary = np.zeros((2, len(g), len(s), g.shape[2]))
    real[:, 0] = np.sqrt(2) * s[0] * g[:, 0]
    for k in range(1, (horizon - 1) // 2 + 1):
        real[:, k] = s[k] * g[:, 2 * k - 1]
        imaginary[:, k] = s[k] * g[:, 2 * k]
    if horizon % 2 == 0:
        real[:, -1] = np.sqrt(2) * s[-1] * g[:, -1]
    return np.fft.irfft(real + 1j * imaginary, n=horizon, axis=1) / scale


# ---- searches


@dataclass(frozen=True)
class Memory:
    """What the plan of a step leaves for the next of the episode."""

    step: int
    mean: Floats  # (H, A), not shifted; random shooting: the executed sequence
    kept: Floats  # (k, H, A), iCEM's best elites, not shifted
    executed: Floats  # (A,), the first action of the executed sequence


@dataclass(frozen=True)
class Round:
    candidates: Floats  # (n, H, A), those that were rolled
    costs: Floats  # (n,)
    elite_positions: Integers  # best first; KEPT for those of the round before
    elites: Floats  # (e, H, A)
    elite_costs: Floats  # (e,)
    mean: Floats  # (H, A), after the round
    variance: Floats  # (H, A), after the round
    refitted: bool


@dataclass(frozen=True)
class Plan:
    actions: Floats  # (H, A), the executed sequence
    cost: float  # its cost
    candidate: int  # its position in the last round; KEPT if it is the mean or a kept elite
    mean: Floats  # (H, A)
    variance: Floats  # (H, A)
    rounds: list[Round]
    memory: Memory

    @property
    def deviation(self) -> Floats:
        return np.sqrt(self.variance)

    @property
    def elites(self) -> list[tuple[Integers, Floats]]:
        """Positions and sequences of each round's elites."""
        return [(r.elite_positions, r.elites) for r in self.rounds]

    @property
    def rolled(self) -> int:
        return sum(len(r.candidates) for r in self.rounds)


def shift_zeros(sequence: Floats, n: int) -> Floats:
    """Sequences (..., H, A) without their first n rows and with n rows of zeros."""
    n = min(n, sequence.shape[-2])
    return np.concatenate([sequence[..., n:, :], np.zeros_like(sequence[..., :n, :])], axis=-2)


def shift_last(sequence: Floats, n: int) -> Floats:
    """Sequences (..., H, A) without their first n rows and with their last one n times more."""
    n = min(n, sequence.shape[-2])
    return np.concatenate([sequence[..., n:, :], np.repeat(sequence[..., -1:, :], n, axis=-2)], axis=-2)


def best_of(costs: npt.ArrayLike, count: int) -> Integers:
    """Indices of the `count` lowest costs, best first, ties in their order; those not finite are left out."""
    costs = np.asarray(costs, np.float64)
    order = np.argsort(costs, kind="stable")
    return order[np.isfinite(costs[order])][:count]  # type: ignore[no-any-return]


@dataclass(kw_only=True)
class Search:
    horizon: int
    naction: int
    seed: int = 0
    episode: int = 0

    def draw(self, step: int, round_: int, count: int, how: Callable[[Words], Floats]) -> Floats:
        """What the positions 0 .. count - 1 of a round draw: (count, H, A), draw t * A + a."""
        draws = self.horizon * self.naction
        w = words(self.seed, self.episode, step, round_, np.arange(count), draws + draws % 2)
        return how(w)[:, :draws].reshape(count, self.horizon, self.naction)

    def age(self, step: int, memory: Memory) -> int:
        if memory.step > step:
            raise ValueError("the memory is of a later step")
        return step - memory.step

    def everywhere(self, value: float) -> Floats:
        return np.full((self.horizon, self.naction), float(value))

    def nobody(self) -> Floats:
        return np.zeros((0, self.horizon, self.naction))

    def best_round(self, rounds: list[Round]) -> Round:
        """The round with the cheapest candidate of all, the first of equals."""
        return min((r for r in rounds if len(r.elites)), key=lambda r: float(r.elite_costs[0]))

    def finish(
        self, costs: Costs, step: int, execute: str, mean: Floats, variance: Floats, rounds: list[Round]
    ) -> Plan:
        """The best candidate, which is the first of its round's elites, or the mean, rolled once more."""
        if execute not in ("best", "mean"):
            raise ValueError("execute is best or mean")
        if rounds and not len(rounds[-1].elites):
            raise ValueError("no candidate has a finite cost")
        if execute == "best" and rounds:
            best = self.best_round(rounds)
            actions, cost = best.elites[0], float(best.elite_costs[0])
            candidate = int(best.elite_positions[0]) if best is rounds[-1] else KEPT
        else:
            actions, cost, candidate = mean, float(costs(mean[None])[0]), KEPT
        memory = Memory(step, mean, self.nobody(), actions[0])
        return Plan(actions, cost, candidate, mean, variance, rounds, memory)


class Budget:
    """The number of positions that may be rolled in all; no limit if None."""

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ValueError("a plan needs one candidate or more")
        self.left = limit

    def take(self, n: int) -> int:
        """How many of a round's n positions are rolled."""
        if self.left is None:
            return n
        done = min(n, self.left)
        self.left -= done
        return done


def may_refit(round_: int, done: int, n: int, pool: int, elites: int) -> bool:
    """A round that was cut short refits only if it is the first, or has enough to choose from."""
    return done == n or round_ == 0 or pool >= 2 * elites


@dataclass(kw_only=True)
class RandomShooting(Search):
    candidates: int = 1000
    warm_start: bool = False

    def plan(
        self, costs: Costs, step: int = 0, memory: Memory | None = None, limit: int | None = None
    ) -> Plan:
        done = Budget(limit).take(self.candidates)
        a = self.draw(step, 0, done, uniforms)
        if self.warm_start and memory is not None:
            a[0] = shift_last(memory.mean, self.age(step, memory))
        c = np.asarray(costs(a), np.float64)
        best = best_of(c, 1)
        mean = a[best[0]] if len(best) else self.everywhere(0)
        nothing = self.everywhere(0)
        only = Round(a, c, best, a[best], c[best], mean, nothing, False)
        return self.finish(costs, step, "best", mean, nothing, [only])


@dataclass(kw_only=True)
class CEM(Search):
    """The cross-entropy method, as in PETS."""

    rounds: int = 5
    candidates: int = 500
    elites: int = 50
    momentum: float = 0.1
    std: float = 0.5
    tolerance: float = 1e-3
    execute: str = "mean"

    def plan(
        self, costs: Costs, step: int = 0, memory: Memory | None = None, limit: int | None = None
    ) -> Plan:
        m = self.everywhere(0) if memory is None else shift_zeros(memory.mean, self.age(step, memory))
        var = self.everywhere(self.std**2)
        budget, rounds = Budget(limit), []

        for i in range(self.rounds):
            if var.max() <= self.tolerance:
                break
            done = budget.take(self.candidates)
            if done == 0:
                break
            z = self.draw(step, i, done, truncated_normals)
            to_low, to_high = (m + 1) / 2, (1 - m) / 2
            a = m + np.sqrt(np.minimum(np.minimum(to_low**2, to_high**2), var)) * z
            a = np.clip(a, -1, 1)
            c = np.asarray(costs(a), np.float64)

            best = best_of(c, self.elites)
            refit = may_refit(i, done, self.candidates, done, self.elites) and len(best) > 0
            if refit:
                m = self.momentum * m + (1 - self.momentum) * a[best].mean(axis=0)
                var = self.momentum * var + (1 - self.momentum) * a[best].var(axis=0)
            rounds.append(Round(a, c, best, a[best], c[best], m, var, refit))
            if done < self.candidates:
                break

        return self.finish(costs, step, self.execute, m, var, rounds)


@dataclass(kw_only=True)
class ICEM(Search):
    """The improved cross-entropy method: coloured noise, and elites that are kept."""

    rounds: int = 3
    candidates: int = 40
    decay: float = 1.25
    elites: int = 10
    keep: float = 0.3
    momentum: float = 0.1
    colour: float = 0.25
    std: float = 0.5
    execute: str = "best"
    nkeep: int = field(init=False)

    def __post_init__(self) -> None:
        self.nkeep = math.floor(self.keep * self.elites + 1e-9)

    def best_round(self, rounds: list[Round]) -> Round:
        """The last one, whose pool has what was kept of the others, if anything was."""
        return rounds[-1] if self.nkeep else super().best_round(rounds)

    def sizes(self) -> list[int]:
        """Fresh candidates of each round."""
        n = [self.candidates]
        for _ in range(1, self.rounds):
            n.append(max(2 * self.elites, math.floor(n[-1] / self.decay)))
        return n

    def plan(
        self, costs: Costs, step: int = 0, memory: Memory | None = None, limit: int | None = None
    ) -> Plan:
        m, given = self.everywhere(0), self.nobody()
        n = 0
        if memory is not None:
            n = self.age(step, memory)
            m, given = shift_last(memory.mean, n), shift_last(memory.kept, n)
        deviation = self.everywhere(self.std)
        kept, kept_costs = self.nobody(), np.zeros(0)
        budget, rounds = Budget(limit), []

        for i, size in enumerate(self.sizes()):
            if i == 0:
                size += len(given)
            done = budget.take(size)
            if done == 0:
                break
            noise = colour(self.draw(step, i, done, normals), self.colour)
            a = np.clip(m + deviation * noise, -1, 1)
            if i == 0:  # the given ones end with the n rows that their positions draw
                old = max(self.horizon - n, 0)
                a[: len(given), :old] = given[:done, :old]
            elif i == self.rounds - 1:
                a[0] = m
            c = np.asarray(costs(a), np.float64)

            pool = np.concatenate([kept, a])
            pool_costs = np.concatenate([kept_costs, c])
            positions = np.concatenate([np.full(len(kept), KEPT), np.arange(done)])
            best = best_of(pool_costs, self.elites)
            refit = may_refit(i, done, size, len(pool), self.elites) and len(best) > 0
            if refit:
                m = self.momentum * m + (1 - self.momentum) * pool[best].mean(axis=0)
                deviation = self.momentum * deviation + (1 - self.momentum) * pool[best].std(axis=0)
            rounds.append(Round(a, c, positions[best], pool[best], pool_costs[best], m, deviation**2, refit))
            kept, kept_costs = pool[best][: self.nkeep], pool_costs[best][: self.nkeep]
            if done < size:
                break

        plan = self.finish(costs, step, self.execute, m, deviation**2, rounds)
        return replace(plan, memory=replace(plan.memory, kept=kept))


@dataclass(kw_only=True)
class MPPI(Search):
    """Model predictive path integral control; with a smoothing below 1, PDDM's filtered form."""

    rounds: int = 1
    candidates: int = 700
    std: float = 0.9
    temperature: float = 1.0
    smoothing: float = 1.0
    colour: float = 0.0
    execute: str = "mean"

    def plan(
        self, costs: Costs, step: int = 0, memory: Memory | None = None, limit: int | None = None
    ) -> Plan:
        m = self.everywhere(0) if memory is None else shift_last(memory.mean, self.age(step, memory))
        executed = np.zeros(self.naction) if memory is None else memory.executed
        if memory is not None and self.age(step, memory) > 1:  # what was held in the steps between
            executed = memory.mean[min(self.age(step, memory), self.horizon) - 1]
        var = self.everywhere(self.std**2)
        budget, rounds = Budget(limit), []

        for i in range(self.rounds):
            done = budget.take(self.candidates)
            if done == 0:
                break
            eps = colour(self.draw(step, i, done, normals), self.colour)
            a = np.empty_like(eps)
            before = executed
            for h in range(self.horizon):
                a[:, h] = self.smoothing * (m[h] + self.std * eps[:, h]) + (1 - self.smoothing) * before
                before = a[:, h]
            a = np.clip(a, -1, 1)
            c = np.asarray(costs(a), np.float64)

            best = best_of(c, 1)
            if len(best):
                finite = np.isfinite(c)
                weight = np.exp(-(c[finite] - c[best[0]]) / self.temperature)
                m = np.einsum("k,kha->ha", weight, a[finite]) / weight.sum()
            rounds.append(Round(a, c, best, a[best], c[best], m, var, len(best) > 0))
            if done < self.candidates:
                break

        return self.finish(costs, step, self.execute, m, var, rounds)
