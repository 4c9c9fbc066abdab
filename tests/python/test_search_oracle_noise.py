"""The oracle of the searches, checked by itself: its random numbers and its coloured noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

import search_oracle as oracle
from search_oracle import Floats

N = 1_000_000


def million(episode: int) -> npt.NDArray[np.uint64]:
    return oracle.words(2**40 + 5, episode, 3, 1, np.arange(25_000), 40)


# ---- random numbers


@pytest.mark.parametrize(
    ("key", "counter", "want"),
    [
        ([0, 0], [0, 0, 0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 2, [0xFFFFFFFF] * 4, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0xA4093822, 0x299F31D0],
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_its_authors_numbers(key: list[int], counter: list[int], want: list[int]) -> None:
    got = oracle.philox(np.array(key, np.uint64), np.array([counter], np.uint64))
    assert got[0].tolist() == want


def test_words_depend_on_their_own_counter_only() -> None:
    all_ = oracle.words(1, 2, 3, 4, np.arange(10), 22)
    assert all_.shape == (10, 22)
    np.testing.assert_array_equal(oracle.words(1, 2, 3, 4, [7, 2], 9), all_[[7, 2], :9])
    assert all_.max() <= oracle.MASK
    block = oracle.philox(oracle.derive_key(1, 2), np.array([[5 + (4 << 24), 7, 3, 0]], np.uint64))
    np.testing.assert_array_equal(all_[7, 20:], block[0, :2])
    far = oracle.counters(7 + (5 << 32), 255, [0, 2**32 - 1], 8)[1, 1]
    assert far.tolist() == [1 + (255 << 24), 2**32 - 1, 7, 5]
    others = [(9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9)]
    others += [(1 + 2**32, 2, 3, 4), (1, 2 + 2**32, 3, 4), (1, 2, 3 + 2**32, 4)]
    for other in others:
        assert (oracle.words(*other, np.arange(10), 22) != all_).mean() > 0.99


def test_no_counter_occurs_twice() -> None:
    """Over steps, rounds and positions, and where a number of blocks or a step needs many bits."""
    seen = np.concatenate(
        [
            oracle.counters(step, round_, np.arange(50), 30 * 6).reshape(-1, 4)
            for step in (0, 1, 2, 999, 2**32, 2**32 + 1)
            for round_ in (0, 1, 2, 255)
        ]
    )
    assert seen.max() <= oracle.MASK
    assert len(np.unique(seen, axis=0)) == len(seen) == 6 * 4 * 50 * 45
    last = oracle.counters(0, 0, [0], 4 * 2**24)[0, -1, 0]
    assert last + 1 == oracle.counters(0, 1, [0], 4)[0, 0, 0]
    for round_, draws in [(256, 4), (-1, 4), (0, 4 * 2**24 + 1)]:
        with pytest.raises(ValueError, match="below"):
            oracle.counters(0, round_, [0], draws)


def test_uniforms() -> None:
    u = oracle.uniforms(million(0))
    assert -1 <= u.min() < -0.99999
    assert 0.99999 < u.max() < 1
    assert abs(u.mean()) < 5 / math.sqrt(3 * N)
    assert abs((u**2).mean() - 1 / 3) < 5 * math.sqrt((1 / 5 - 1 / 9) / N)


def test_normals_have_the_moments_and_tails_of_normals() -> None:
    z = oracle.normals(million(0)).ravel()
    assert z.size == N
    assert abs(z.mean()) < 5 / math.sqrt(N)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / N)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / N)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / N)
    for deviations in (1, 2, 3, 4):
        p = math.erfc(deviations / math.sqrt(2)) / 2
        for tail in (z > deviations, z < -deviations):
            assert abs(tail.mean() - p) < 5 * math.sqrt(p * (1 - p) / N)


def test_the_two_normals_of_a_pair_are_independent() -> None:
    z = oracle.normals(million(1))
    a, b = z[:, 0::2].ravel(), z[:, 1::2].ravel()
    n = len(a)
    assert abs((a * b).mean()) < 5 / math.sqrt(n)
    assert abs((a**2 * b**2).mean() - 1) < 5 * math.sqrt(8 / n)  # E a^4 b^4 - 1 = 8
    sectors = np.histogram(np.arctan2(b, a), 16, (-np.pi, np.pi))[0]
    assert np.abs(sectors - n / 16).max() < 5 * math.sqrt(n * 15 / 256)


def test_normals_of_known_words() -> None:
    """The middle of a quadrant is on an axis."""
    half = 1 << 29  # the place in the quadrant is 2^23 of 2^24
    w = np.array([[0, (q << 30) + half] for q in range(4)], np.uint64)
    radius = math.sqrt(2 * 33 * math.log(2))  # the largest
    want = radius * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    np.testing.assert_allclose(oracle.normals(w), want, atol=1e-14)
    start = oracle.normals(np.array([[oracle.MASK, 0]], np.uint64))
    assert 0 < start[0, 0] < 1e-4
    assert start[0, 1] == pytest.approx(-start[0, 0])


def test_truncated_normals() -> None:
    z = oracle.truncated_normals(million(0)).ravel()
    inside = math.erf(math.sqrt(2))
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    variance = 1 - 4 * density / inside
    fourth = 3 - (4 * density / inside) * (4 + 3)
    assert variance == pytest.approx(0.7737413)
    assert -2 - 1e-12 <= z.min() < -1.9999
    assert 1.9999 < z.max() <= 2
    assert abs(z.mean()) < 5 * math.sqrt(variance / N)
    assert abs((z**2).mean() - variance) < 5 * math.sqrt((fourth - variance**2) / N)
    assert abs((z**4).mean() - fourth) < 5 * math.sqrt(2**8 / N)
    for deviations in (0.5, 1, 1.5):
        p = 1 - math.erf(deviations / math.sqrt(2)) / inside
        assert abs((np.abs(z) > deviations).mean() - p) < 5 * math.sqrt(p * (1 - p) / N)


def test_erfinv_inverts_erf() -> None:
    x = np.linspace(-2.5, 2.5, 2001)
    np.testing.assert_allclose(oracle.erfinv(oracle.erf(x)), x, rtol=0, atol=1e-12)
    tiny = np.array([1e-300, 1e-15, 1e-7, 0.0, -1e-15])
    np.testing.assert_allclose(oracle.erfinv(oracle.erf(tiny)), tiny, rtol=1e-12)
    y = np.linspace(-0.999, 0.999, 2001)
    np.testing.assert_allclose([math.erf(v) for v in oracle.erfinv(y)], y, rtol=0, atol=1e-15)
    for v in (-0.9544997361036416, -0.3, 1e-3, 0.7, 0.95):  # against bisection, which shares nothing with it
        low, high = -3.0, 3.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if math.erf(middle) < v else (low, middle)
        assert float(oracle.erfinv(v)) == pytest.approx(low, abs=1e-12)


# ---- coloured noise

BETAS = (0.25, 2.0, 3.0)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("horizon", [2, 3, 4, 8, 15, 30, 31])
def test_colour_matrix_is_the_inverse_fft(horizon: int, beta: float) -> None:
    g = np.random.default_rng(horizon).normal(size=(20, horizon, 3))
    np.testing.assert_allclose(oracle.colour(g, beta), oracle.colour_by_fft(g, beta), rtol=0, atol=1e-12)
    for a in range(3):
        np.testing.assert_allclose(
            oracle.colour(g, beta)[:, :, a], g[:, :, a] @ oracle.colour_matrix(horizon, beta).T, atol=1e-12
        )


def spectra(horizon: int, total: int) -> Iterator[tuple[Floats, Floats]]:
    """Real and imaginary parts of unit deviation, some samples at a time."""
    rng = np.random.default_rng(horizon)
    size, piece = horizon // 2 + 1, 20_000
    for _ in range(total // piece):
        yield rng.standard_normal((piece, size)), rng.standard_normal((piece, size))


@pytest.mark.parametrize("horizon", [8, 15, 30])
def test_colour_matrix_has_the_covariance_of_noise_by_numpys_fft(horizon: int) -> None:
    """A million samples of a spectrum written down here once more; within five standard errors."""
    f = np.fft.rfftfreq(horizon)
    f[0] = f[1]
    deviations, scales = {}, {}
    for beta in BETAS:
        s = f ** (-beta / 2)
        w = s[1:].copy()
        if horizon % 2 == 0:
            w[-1] /= 2
        deviations[beta], scales[beta] = s, 2 * np.sqrt((w**2).sum()) / horizon
    sums = {beta: np.zeros((horizon, horizon)) for beta in BETAS}
    for real, imaginary in spectra(horizon, N):
        imaginary[:, 0] = 0
        real[:, 0] *= np.sqrt(2)
        if horizon % 2 == 0:
            imaginary[:, -1] = 0
            real[:, -1] *= np.sqrt(2)
        for beta in BETAS:
            noise = np.fft.irfft((real + 1j * imaginary) * deviations[beta], n=horizon)
            sums[beta] += noise.T @ noise
    for beta in BETAS:
        C = oracle.colour_matrix(horizon, beta)
        want = C @ C.T
        got = sums[beta] / N / scales[beta] ** 2
        variance = np.diag(want)
        error = np.sqrt((np.outer(variance, variance) + want**2) / N)
        assert (np.abs(got - want) < 5 * error).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("horizon", [2, 3, 8, 15, 30])
def test_deviation_of_coloured_noise(horizon: int, beta: float) -> None:
    """Around a sequence's own mean it is 1 for odd H; frequency 0 and the last of an even H come on top.

    So all steps have the same deviation, and it is above 1.
    """
    s, _ = oracle.colour_scales(horizon, beta)
    C = oracle.colour_matrix(horizon, beta)
    covariance = C @ C.T
    even = horizon % 2 == 0
    last = s[-1] ** 2 if even else 0.0
    middle = (s[1:-1] if even else s[1:]) ** 2
    power = 4 * middle.sum() + last
    np.testing.assert_allclose(np.diag(covariance), (power + 2 * s[0] ** 2 + last) / power, rtol=1e-12)
    centre = np.eye(horizon) - 1 / horizon
    around_mean = np.diag(centre @ covariance @ centre)
    np.testing.assert_allclose(around_mean, (power + last) / power, rtol=1e-12)
    if not even:
        np.testing.assert_allclose(around_mean, 1, rtol=1e-12)


def test_coloured_noise_has_its_spectrum() -> None:
    """Power falls with f^-beta: the covariance's eigenvalues by frequency."""
    for beta in BETAS:
        C = oracle.colour_matrix(15, beta)
        power = np.fft.fft(np.fft.fft(C @ C.T, axis=0), axis=1)[np.arange(1, 8), -np.arange(1, 8)].real
        np.testing.assert_allclose(power / power[0], np.arange(1, 8.0) ** -beta, rtol=1e-10)


def test_no_colour_is_white() -> None:
    g = np.random.default_rng(0).normal(size=(5, 8, 2))
    np.testing.assert_array_equal(oracle.colour(g, 0), g)
    np.testing.assert_array_equal(oracle.colour(g[:, :1], 2.0), g[:, :1])
    with pytest.raises(ValueError, match="two steps"):
        oracle.colour_matrix(1, 2.0)
