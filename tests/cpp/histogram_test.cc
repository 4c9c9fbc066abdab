// Quantiles of durations.

#include "mbmf/control/histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace mbmf {
namespace {

TEST(Histogram, QuantilesAreThoseOfTheSortedValues) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantiles().count, 0);
  for (std::int64_t i = 1; i <= 100'000; ++i) histogram.record(i * 37 % 100'001 * 100);
  const Quantiles q = histogram.quantiles();
  EXPECT_EQ(q.count, 100'000);
  EXPECT_NEAR(q.mean, 5e-3, 1e-6);
  EXPECT_NEAR(q.p50, 5e-3, 5e-5);
  EXPECT_NEAR(q.p99, 9.9e-3, 1e-4);
  EXPECT_NEAR(q.p999, 9.99e-3, 1e-4);
  EXPECT_DOUBLE_EQ(q.max, 1e-2);
  for (const std::int64_t ns : {std::int64_t{-5}, std::int64_t{0}, std::int64_t{1} << 62})
    histogram.record(ns);
  EXPECT_EQ(histogram.quantiles().count, 100'003);
  EXPECT_NEAR(histogram.quantiles().max, std::ldexp(1e-9, 62), 1);
}

}  // namespace
}  // namespace mbmf
