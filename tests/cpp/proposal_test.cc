// Candidates' actions from the kernels of every instruction set of this machine, against scalars in float64.

#include "mbmf/planning/proposal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/random.h"
#include "model/packed_mlp.h"
#include "planning/searches.h"

namespace mbmf {
namespace {

constexpr std::uint64_t kStep = (std::uint64_t{1} << 32) + 77;
const PhiloxKey kKey = derive_key(9, Stream::kPlan, 4);

// a proposal, and what it points to
struct Made {
  Proposal p;
  std::vector<float> mean, deviation;

  Made(ProposalKind kind, int horizon, int naction, float scale, std::uint32_t round = 0) {
    mean.assign(static_cast<std::size_t>(horizon * naction), 0.0f);
    deviation.assign(mean.size(), scale);
    p.kind = kind;
    p.horizon = horizon;
    p.naction = naction;
    p.mean = mean.data();
    p.deviation = deviation.data();
    std::copy(kKey.begin(), kKey.end(), p.key);
    p.step[0] = static_cast<std::uint32_t>(kStep);
    p.step[1] = static_cast<std::uint32_t>(kStep >> 32);
    p.round = round;
  }
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;
};

std::uint32_t word(const Proposal& p, std::int64_t position, int draw) {
  const auto block = static_cast<std::uint32_t>(draw / 4) + (p.round << 24);
  return draw_block(kKey, kStep, static_cast<std::uint32_t>(position),
                    block)[static_cast<std::size_t>(draw % 4)];
}

double normal(const Proposal& p, std::int64_t position, int draw) {
  const std::uint32_t w0 = word(p, position, draw - draw % 2), w1 = word(p, position, draw - draw % 2 + 1);
  const double radius = std::sqrt(-2 * std::log((w0 + 0.5) * 0x1p-32));
  const double place = ((w1 << 2) >> 8) * 0x1p-24 - 0.5;
  const double angle = std::numbers::pi / 2 * ((w1 >> 30) + place);
  return radius * (draw % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

// where the distribution function of a normal, between two deviations either way, takes the word's value
double truncated_normal(const Proposal& p, std::int64_t position, int draw) {
  const double wanted = 0.9544997361036416 * ((word(p, position, draw) >> 8) * 0x1p-23 - 1);
  double low = -1.5, high = 1.5;
  for (int i = 0; i < 55; ++i) {
    const double middle = (low + high) / 2;
    (std::erf(middle) < wanted ? low : high) = middle;
  }
  return std::numbers::sqrt2 * (low + high) / 2;
}

double draw(const Proposal& p, std::int64_t position, int i) {
  if (p.kind == ProposalKind::kNormal) return normal(p, position, i);
  if (p.kind == ProposalKind::kTruncatedNormal) return truncated_normal(p, position, i);
  return static_cast<double>(to_symmetric(word(p, position, i)));
}

class ProposalsOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }

  // positions first .. first + n - 1: (n, horizon, naction)
  static std::vector<float> make(const Proposal& p, std::int64_t first, std::int64_t n) {
    const kernel::Table& table = select_kernels();
    const int size = p.horizon * p.naction;
    AlignedFloats rows(static_cast<std::size_t>(size) * table.group);
    AlignedFloats scratch(static_cast<std::size_t>(p.horizon) * table.tile);
    std::vector<float> out(static_cast<std::size_t>(n * size));
    for (std::int64_t done = 0; done < n; done += table.group) {
      const auto count = static_cast<int>(std::min<std::int64_t>(table.group, n - done));
      table.propose(&p, first + done, count, rows.data(), table.group, scratch.data());
      for (int lane = 0; lane < count; ++lane) {
        for (int i = 0; i < size; ++i) {
          out[static_cast<std::size_t>((done + lane) * size + i)] = rows.data()[i * table.group + lane];
        }
      }
    }
    return out;
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, ProposalsOn, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(ProposalsOn, UniformsArePhilox) {
  for (const std::uint32_t round : {0u, 1u, 255u}) {
    for (const int naction : {1, 2, 3, 6, 8, 33}) {
      const Made made(ProposalKind::kUniform, 7, naction, 1, round);
      const std::int64_t n = select_kernels().tile - 1;
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1000}, std::int64_t{99'999'990}}) {
        const std::vector<float> got = make(made.p, first, n);
        std::size_t at = 0;
        for (std::int64_t i = first; i < first + n; ++i) {
          for (int d = 0; d < 7 * naction; ++d) {
            ASSERT_EQ(got[at++], to_symmetric(word(made.p, i, d))) << i << " " << d;
          }
        }
      }
    }
  }
}

// a round's counters end where the next one's begin
TEST(Proposals, RoundsShareNoNumbers) {
  static_assert(kMaxDraws / 4 == std::int64_t{1} << 24 && kMaxRounds == 256);
  const Made last(ProposalKind::kUniform, 1, 1, 1, kMaxRounds - 1);
  EXPECT_NE(word(last.p, 0, static_cast<int>(kMaxDraws - 1)), word(last.p, 0, 0));
  std::vector<PhiloxBlock> blocks;
  for (std::uint32_t round = 0; round < 4; ++round) {
    const Made made(ProposalKind::kUniform, 1, 1, 1, round);
    for (int position = 0; position < 20; ++position) {
      for (const int draw : {0, 4, 400, static_cast<int>(kMaxDraws - 4)}) {
        PhiloxBlock& block = blocks.emplace_back();
        for (int i = 0; i < 4; ++i) block[static_cast<std::size_t>(i)] = word(made.p, position, draw + i);
      }
    }
  }
  std::sort(blocks.begin(), blocks.end());
  EXPECT_EQ(std::adjacent_find(blocks.begin(), blocks.end()), blocks.end());
}

// What a million draws may be off by: five standard errors. A deviation of 1/8 clips nothing and loses no
// bit.
TEST_P(ProposalsOn, NormalsAreNormal) {
  const Made made(ProposalKind::kNormal, 10, 1, 0.125f, 3);
  constexpr double kDraws = 1e6;
  std::array<double, 5> moment{};
  std::array<double, 5> above{}, below{};
  for (const float x : make(made.p, 0, 100'000)) {
    const double z = 8 * static_cast<double>(x);
    for (std::size_t k = 1; k <= 4; ++k) {
      moment[k] += std::pow(z, static_cast<double>(k)) / kDraws;
      above[k] += z > static_cast<double>(k);
      below[k] += z < -static_cast<double>(k);
    }
  }
  EXPECT_NEAR(moment[1], 0, 5 * std::sqrt(1 / kDraws));
  EXPECT_NEAR(moment[2], 1, 5 * std::sqrt(2 / kDraws));
  EXPECT_NEAR(moment[3], 0, 5 * std::sqrt(15 / kDraws));
  EXPECT_NEAR(moment[4], 3, 5 * std::sqrt(96 / kDraws));
  for (std::size_t k = 1; k <= 4; ++k) {
    const double tail = 0.5 * std::erfc(static_cast<double>(k) / std::numbers::sqrt2);
    const double error = 5 * std::sqrt(tail * (1 - tail) / kDraws);
    EXPECT_NEAR(above[k] / kDraws, tail, error) << k;
    EXPECT_NEAR(below[k] / kDraws, tail, error) << k;
  }
}

// The kernels round the number that a radius is made of to 24 bits: where it is near 1, that is more of the
// small radius than what else they round.
TEST_P(ProposalsOn, NormalsEqualScalars) {
  const Made made(ProposalKind::kNormal, 7, 3, 0.125f, 1);
  constexpr std::int64_t kPositions = 20'000;
  const std::vector<float> got = make(made.p, 5, kPositions);
  std::size_t at = 0;
  int small = 0;
  for (std::int64_t i = 5; i < 5 + kPositions; ++i) {
    for (int d = 0; d < 21; ++d) {
      const double want = normal(made.p, i, d);
      const double radius = std::hypot(want, normal(made.p, i, d ^ 1));
      small += radius < 0.05;
      const double bound = std::max({2e-6 * std::abs(want), 1e-6, 0x1p-24 / radius});
      ASSERT_NEAR(8 * static_cast<double>(got[at++]), want, bound) << i << " " << d;
    }
  }
  EXPECT_LT(small, kPositions * 21 / 500);
}

TEST_P(ProposalsOn, TruncatedNormalsAreThat) {
  const Made made(ProposalKind::kTruncatedNormal, 10, 1, 0.25f, 2);
  constexpr double kDraws = 1e6;
  double mean = 0, square = 0, largest = 0;
  for (const float x : make(made.p, 0, 100'000)) {
    const double z = 4 * static_cast<double>(x);
    mean += z / kDraws;
    square += z * z / kDraws;
    largest = std::max(largest, std::abs(z));
  }
  // of a normal truncated at two deviations: variance, fourth moment
  constexpr double kVariance = 0.773741, kFourth = 1.416183;
  EXPECT_LE(largest, 2.0);
  EXPECT_GT(largest, 1.9999);
  EXPECT_NEAR(mean, 0, 5 * std::sqrt(kVariance / kDraws));
  EXPECT_NEAR(square, kVariance, 5 * std::sqrt((kFourth - kVariance * kVariance) / kDraws));
}

TEST_P(ProposalsOn, TruncatedNormalsEqualTheInverse) {
  const Made made(ProposalKind::kTruncatedNormal, 7, 3, 0.25f);
  constexpr std::int64_t kPositions = 5'000;
  const std::vector<float> got = make(made.p, 0, kPositions);
  std::size_t at = 0;
  for (std::int64_t i = 0; i < kPositions; ++i) {
    for (int d = 0; d < 21; ++d) {
      ASSERT_NEAR(4 * static_cast<double>(got[at++]), truncated_normal(made.p, i, d), 2e-6) << i << " " << d;
    }
  }
}

TEST_P(ProposalsOn, ColouredNoiseIsTheMatrixTimesNormals) {
  for (const int horizon : {2, 3, 8, 31}) {
    for (const int naction : {1, 3}) {
      for (const double exponent : {0.25, 2.0}) {
        Made made(ProposalKind::kNormal, horizon, naction, 0.125f, 1);
        const std::vector<float> matrix = colour_matrix(horizon, exponent);
        made.p.colour = matrix.data();
        constexpr std::int64_t kPositions = 100;
        const std::vector<float> got = make(made.p, 0, kPositions);
        std::size_t at = 0;
        for (std::int64_t i = 0; i < kPositions; ++i) {
          for (int t = 0; t < horizon; ++t) {
            for (int a = 0; a < naction; ++a) {
              double want = 0;
              for (int k = 0; k < horizon; ++k) {
                want += static_cast<double>(matrix[static_cast<std::size_t>(t * horizon + k)]) *
                        normal(made.p, i, k * naction + a);
              }
              ASSERT_NEAR(8 * static_cast<double>(got[at++]), want, 1e-5) << horizon << " " << i << " " << t;
            }
          }
        }
      }
    }
  }
}

// the recursion is on what is not clipped
TEST_P(ProposalsOn, FilterAndClipping) {
  constexpr int kHorizon = 12, kActions = 3;
  const std::vector<float> before = {0.9f, -0.4f, 0};
  for (const ProposalKind kind : {ProposalKind::kNormal, ProposalKind::kTruncatedNormal}) {
    for (const float smoothing : {1.0f, 0.9f, 0.25f}) {
      for (const bool is_first : {true, false}) {
        Made made(kind, kHorizon, kActions, 0);
        for (std::size_t i = 0; i < made.mean.size(); ++i) {
          made.mean[i] = std::sin(static_cast<float>(i));
          made.deviation[i] = 0.2f + 0.05f * static_cast<float>(i);
        }
        made.p.smoothing = smoothing;
        made.p.before = is_first ? nullptr : before.data();
        constexpr std::int64_t kPositions = 200;
        const std::vector<float> got = make(made.p, 0, kPositions);
        int clipped = 0;
        for (std::int64_t i = 0; i < kPositions; ++i) {
          for (int a = 0; a < kActions; ++a) {
            double last = is_first ? 0.0 : static_cast<double>(before[static_cast<std::size_t>(a)]);
            for (int t = 0; t < kHorizon; ++t) {
              const int d = t * kActions + a;
              const auto at = static_cast<std::size_t>(d);
              const double own = static_cast<double>(made.mean[at]) +
                                 static_cast<double>(made.deviation[at]) * draw(made.p, i, d);
              last = static_cast<double>(smoothing) * own + (1 - static_cast<double>(smoothing)) * last;
              const double want = std::clamp(last, -1.0, 1.0);
              clipped += std::abs(last) > 1;
              ASSERT_NEAR(got[static_cast<std::size_t>(i) * kHorizon * kActions + at], want, 1e-5)
                  << i << " " << t << " " << a;
            }
          }
        }
        EXPECT_GT(clipped, 100);
        EXPECT_LT(clipped, kPositions * kHorizon * kActions / 2);
        EXPECT_LE(*std::max_element(got.begin(), got.end()), 1.0f);
        EXPECT_GE(*std::min_element(got.begin(), got.end()), -1.0f);
      }
    }
  }
}

// given sequences take the first positions, but for what is drawn anew; everybody else is what he was
TEST_P(ProposalsOn, GivenSequencesAndRedrawnRows) {
  constexpr int kHorizon = 5, kActions = 2, kSize = kHorizon * kActions;
  const int group = select_kernels().group;
  for (const ProposalKind kind :
       {ProposalKind::kUniform, ProposalKind::kNormal, ProposalKind::kTruncatedNormal}) {
    for (const int ngiven : {1, 3, group - 1, group + 2}) {
      for (const int redrawn : {0, 1, kHorizon}) {
        Made made(kind, kHorizon, kActions, 0.3f);
        const std::int64_t n = 2 * group;
        const std::vector<float> drawn = make(made.p, 0, n);
        std::vector<float> given(static_cast<std::size_t>(ngiven * kSize));
        for (std::size_t i = 0; i < given.size(); ++i) given[i] = std::cos(static_cast<float>(i));
        made.p.given = given.data();
        made.p.ngiven = ngiven;
        made.p.redrawn = redrawn;
        std::vector<float> want = drawn;
        for (int i = 0; i < ngiven; ++i) {
          std::copy_n(given.begin() + i * kSize, (kHorizon - redrawn) * kActions, want.begin() + i * kSize);
        }
        EXPECT_EQ(make(made.p, 0, n), want) << ngiven << " " << redrawn;
        // from the middle on
        EXPECT_EQ(make(made.p, 2, n - 2), std::vector<float>(want.begin() + 2 * kSize, want.end()));
      }
    }
  }
}

// any positions, in any order, are what they are in a row
TEST_P(ProposalsOn, MakesAListOfPositions) {
  constexpr int kSize = 10;
  for (const ProposalKind kind :
       {ProposalKind::kUniform, ProposalKind::kNormal, ProposalKind::kTruncatedNormal}) {
    Made made(kind, 5, 2, 0.3f);
    const std::vector<float> given(4 * kSize, 0.25f);
    made.p.given = given.data();
    made.p.ngiven = 4;
    made.p.redrawn = 2;
    const std::vector<float> all = make(made.p, 0, 300);
    std::vector<std::uint32_t> positions;
    for (std::uint32_t i = 0; i < 97; ++i) positions.push_back(i * 31 % 300);
    std::vector<float> want;
    for (const std::uint32_t at : positions) {
      want.insert(want.end(), all.begin() + at * kSize, all.begin() + (at + 1) * kSize);
    }
    made.p.positions = positions.data();
    EXPECT_EQ(make(made.p, 0, 97), want);
    EXPECT_EQ(make(made.p, 3, 90), std::vector<float>(want.begin() + 3 * kSize, want.begin() + 93 * kSize));
  }
}

// the same bits whatever the other lanes hold
TEST_P(ProposalsOn, APositionIsTheSameInAnyLane) {
  for (const ProposalKind kind :
       {ProposalKind::kUniform, ProposalKind::kNormal, ProposalKind::kTruncatedNormal}) {
    Made made(kind, 6, 3, 0.7f, 1);
    const std::vector<float> matrix = colour_matrix(6, 1.0);
    const std::vector<float> before = {0.1f, 0.2f, 0.3f};
    made.p.colour = matrix.data();
    made.p.before = before.data();
    made.p.smoothing = 0.8f;
    const std::int64_t n = select_kernels().tile + 3;
    const std::vector<float> all = make(made.p, 0, n);
    for (std::int64_t i = 0; i < n; ++i) {
      EXPECT_EQ(make(made.p, i, 1), std::vector<float>(all.begin() + i * 18, all.begin() + (i + 1) * 18));
    }
  }
}

}  // namespace
}  // namespace mbmf
