#include "mbmf/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace mbmf {
namespace {

// known answers that the authors of Philox publish with Random123
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0}, {0, 0, 0, 0}), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u}, {~0u, ~0u, ~0u, ~0u}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, KeysOfStreamsAndSequencesDiffer) {
  std::set<PhiloxKey> keys;
  for (std::uint64_t seed : {0ull, 1ull, 1ull << 32}) {
    for (Stream stream : {Stream::kPlan, Stream::kReset, Stream::kRandomAction, Stream::kActionNoise}) {
      for (std::uint64_t sequence : {0ull, 1ull, 1ull << 40}) keys.insert(derive_key(seed, stream, sequence));
    }
  }
  EXPECT_EQ(keys.size(), 3u * 4 * 3);
}

TEST(Random, SymmetricSpansItsInterval) {
  EXPECT_EQ(to_symmetric(0), -1.0f);
  EXPECT_EQ(to_symmetric(0x80000000u), 0.0f);
  EXPECT_EQ(to_symmetric(~0u), 1.0f - 0x1p-23f);
}

TEST(Draws, AreTheBlocksWordsInOrder) {
  const PhiloxKey key = derive_key(7, Stream::kReset, 3);
  Draws draws(key, 5, 2);
  for (std::uint32_t i = 0; i < 9; ++i) EXPECT_EQ(draws.word(), draw_block(key, 5, 2, i / 4)[i % 4]) << i;
}

// moments of a million draws, within five standard errors
TEST(Draws, UniformAndNormalHaveTheirMoments) {
  constexpr int kCount = 1'000'000;
  Draws draws(derive_key(1, Stream::kReset, 0), 0, 0);
  double uniform = 0, normal = 0, square = 0, fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = draws.uniform(), z = draws.normal();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    uniform += u;
    normal += z;
    square += z * z;
    fourth += z * z * z * z;
  }
  EXPECT_NEAR(uniform / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
  EXPECT_NEAR(normal / kCount, 0.0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(square / kCount, 1.0, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(fourth / kCount, 3.0, 5 * std::sqrt(96.0 / kCount));
}

}  // namespace
}  // namespace mbmf
