// What the searches share, against plain float64: the best of some candidates, refits, coloured noise.

#include "planning/searches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <random>
#include <vector>

#include "mbmf/base/random.h"
#include "planning/k_best.h"

namespace mbmf {
namespace {

TEST(KBest, TiesGoToTheLowestPosition) {
  std::mt19937 generator(1);
  for (const std::int64_t n : {0, 1, 2, 7, 100}) {
    for (const std::int64_t k : {1, 2, 5, 100, 1000}) {
      for (const int values : {1, 3, 1000}) {
        std::vector<Scored> scored;
        for (std::int64_t i = 0; i < n; ++i) {
          scored.push_back({static_cast<double>(generator() % static_cast<unsigned>(values)), i});
        }
        std::vector<Scored> want = scored;  // positions rise: a stable sort keeps the lowest first
        std::stable_sort(want.begin(), want.end(), [](auto& a, auto& b) { return a.cost < b.cost; });
        std::shuffle(scored.begin(), scored.end(), generator);
        const std::int64_t got = sort_best(scored.data(), n, k);
        ASSERT_EQ(got, std::min(k, n));
        for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
          EXPECT_EQ(scored[i].cost, want[i].cost);
          EXPECT_EQ(scored[i].position, want[i].position);
        }
        std::vector<std::int64_t> positions;  // nobody is lost
        for (const Scored& s : scored) positions.push_back(s.position);
        std::sort(positions.begin(), positions.end());
        for (std::size_t i = 0; i < positions.size(); ++i) {
          EXPECT_EQ(positions[i], static_cast<std::int64_t>(i));
        }
      }
    }
  }
}

TEST(Searches, RefitIsMeanAndSpread) {
  constexpr std::size_t kSize = 6, kCount = 9;
  std::mt19937 generator(2);
  std::normal_distribution<float> normal(0.3f, 0.2f);
  std::vector<std::vector<float>> sequences(kCount, std::vector<float>(kSize));
  std::vector<const float*> pointers;
  for (std::vector<float>& sequence : sequences) {
    for (float& x : sequence) x = normal(generator);
    pointers.push_back(sequence.data());
  }
  for (const double keep : {0.0, 0.1, 1.0}) {
    for (const bool root : {false, true}) {
      std::vector<float> mean(kSize, 0.5f), spread(kSize, 0.25f);
      refit(pointers, kSize, keep, root, mean.data(), spread.data());
      for (std::size_t i = 0; i < kSize; ++i) {
        double first = 0, second = 0;
        for (const std::vector<float>& s : sequences) first += static_cast<double>(s[i]) / kCount;
        for (const std::vector<float>& s : sequences) {
          second += std::pow(static_cast<double>(s[i]) - first, 2) / kCount;
        }
        if (root) second = std::sqrt(second);
        EXPECT_NEAR(mean[i], keep * 0.5 + (1 - keep) * first, 1e-7);
        EXPECT_NEAR(spread[i], keep * 0.25 + (1 - keep) * second, 1e-7);
      }
    }
  }
  // of one sequence there is no spread
  std::vector<float> mean(kSize), spread(kSize, 1);
  refit({pointers.front()}, kSize, 0, true, mean.data(), spread.data());
  EXPECT_EQ(mean, sequences.front());
  EXPECT_EQ(spread, std::vector<float>(kSize, 0));
}

// an inverse Fourier transform, term by term, of what each column's normal does to the spectrum
TEST(Searches, ColourMatrixIsAnInverseTransform) {
  using std::numbers::pi;
  for (const int horizon : {2, 3, 4, 5, 12, 31, 100}) {
    for (const double exponent : {0.25, 1.0, 3.5}) {
      const int half = horizon / 2;
      std::vector<double> deviation;  // of the real and the imaginary part, by frequency
      for (int k = 0; k <= half; ++k) {
        deviation.push_back(std::pow(static_cast<double>(std::max(k, 1)) / horizon, -exponent / 2));
      }
      double power = 0;
      for (int k = 1; k <= half; ++k) {
        const double share = k == half ? (1 + horizon % 2) / 2.0 : 1;
        power += std::pow(share * deviation[static_cast<std::size_t>(k)], 2);
      }
      const double scale = 2 * std::sqrt(power) / horizon;
      const std::vector<float> got = colour_matrix(horizon, exponent);
      ASSERT_EQ(got.size(), static_cast<std::size_t>(horizon * horizon));
      for (int column = 0; column < horizon; ++column) {
        std::vector<std::complex<double>> spectrum(static_cast<std::size_t>(horizon));
        const int k = (column + 1) / 2;  // columns 2k - 1 and 2k: real and imaginary part
        const double s = deviation[static_cast<std::size_t>(k)];
        if (k == 0 || 2 * k == horizon) {
          spectrum[static_cast<std::size_t>(k)] = std::sqrt(2.0) * s;
        } else {
          const std::complex<double> x = column % 2 == 1 ? std::complex(s, 0.0) : std::complex(0.0, s);
          spectrum[static_cast<std::size_t>(k)] = x;
          spectrum[static_cast<std::size_t>(horizon - k)] = std::conj(x);
        }
        for (int t = 0; t < horizon; ++t) {
          std::complex<double> sum = 0;
          for (int j = 0; j < horizon; ++j) {
            sum += spectrum[static_cast<std::size_t>(j)] * std::polar(1.0, 2 * pi * j * t / horizon);
          }
          EXPECT_NEAR(got[static_cast<std::size_t>(t * horizon + column)], sum.real() / horizon / scale, 1e-6)
              << horizon << " " << exponent << " " << t << " " << column;
        }
      }
    }
  }
}

// the higher the exponent, the more alike are neighbours
TEST(Searches, ColouredNoiseIsSmoother) {
  constexpr int kHorizon = 40;
  double before = 0;
  for (const double exponent : {0.01, 0.5, 1.0, 2.0, 4.0}) {
    const std::vector<float> matrix = colour_matrix(kHorizon, exponent);
    double alike = 0, power = 0;
    for (std::size_t t = 0; t + 1 < kHorizon; ++t) {
      for (std::size_t k = 0; k < kHorizon; ++k) {
        const double x = matrix[t * kHorizon + k];
        alike += x * static_cast<double>(matrix[(t + 1) * kHorizon + k]);
        power += x * x;
      }
    }
    EXPECT_GT(alike / power, before);
    before = alike / power;
  }
  EXPECT_GT(before, 0.95);
}

TEST(Searches, ShiftsSequences) {
  const PlanShape shape{4, 2, 0};
  const std::vector<float> sequence = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const std::uint64_t steps : {0, 1, 3, 4, 5, 1'000'000}) {
    for (const bool zeros : {false, true}) {
      std::vector<float> want;
      for (std::uint64_t row = 0; row < 4; ++row) {
        for (std::uint64_t a = 0; a < 2; ++a) {
          const std::uint64_t from = row + steps;
          want.push_back(from < 4 ? sequence[2 * from + a] : (zeros ? 0 : sequence[6 + a]));
        }
      }
      std::vector<float> got(8, -9), in_place = sequence;
      shift_sequence(sequence.data(), shape, steps, zeros, got.data());
      EXPECT_EQ(got, want) << steps << zeros;
      shift_sequence(in_place.data(), shape, steps, zeros, in_place.data());
      EXPECT_EQ(in_place, want) << steps << zeros;
      if (zeros) continue;
      shift_plan(sequence.data(), 4, 2, got.data(), steps);
      EXPECT_EQ(got, want) << steps;
    }
  }
}

}  // namespace
}  // namespace mbmf
