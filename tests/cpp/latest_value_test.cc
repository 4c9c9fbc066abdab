// A slot for the latest value between two threads.

#include "mbmf/control/latest_value.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace mbmf {
namespace {

TEST(LatestValue, TheLastOneAndWhole) {
  LatestValue<std::vector<std::int64_t>> slot(std::vector<std::int64_t>(8, 0));
  EXPECT_FALSE(slot.update());
  std::atomic<bool> done{false};
  constexpr std::int64_t kLast = 200'000;
  std::thread producer([&] {
    for (std::int64_t i = 1; i <= kLast; ++i) {
      for (std::int64_t& x : slot.back()) x = i;
      slot.publish();
    }
    done = true;
  });
  std::int64_t before = 0, seen = 0;
  for (bool last = false; !last;) {
    last = done;
    if (!slot.update()) continue;
    ++seen;
    for (const std::int64_t x : slot.front()) ASSERT_EQ(x, slot.front()[0]);
    ASSERT_GT(slot.front()[0], before);
    before = slot.front()[0];
  }
  producer.join();
  EXPECT_EQ(before, kLast);
  EXPECT_GT(seen, 0);
}

}  // namespace
}  // namespace mbmf
