#include "mbmf/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>

namespace mbmf {
namespace {

TEST(ThreadPool, RunsEveryItemOnceAtAnyThreadCount) {
  for (const int nthread : {1, 2, 3, 7}) {
    ThreadPool pool(nthread);
    ASSERT_EQ(pool.nthread(), nthread);
    for (const int count : {0, 1, 2, 5, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
      std::atomic<bool> bad_thread{false};
      pool.parallel_for(count, [&](std::int64_t item, int thread) {
        seen[static_cast<std::size_t>(item)].fetch_add(1);
        if (thread < 0 || thread >= nthread) bad_thread = true;
      });
      for (const auto& n : seen) ASSERT_EQ(n.load(), 1);
      EXPECT_FALSE(bad_thread);
    }
  }
}

// results written by workers are visible to the caller, loop after loop
TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(3);
  std::vector<std::int64_t> values(64);
  for (int round = 0; round < 5000; ++round) {
    pool.parallel_for(64, [&](std::int64_t item, int) { values[static_cast<std::size_t>(item)] += item; });
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), std::int64_t{0}), 5000 * 64 * 63 / 2);
}

TEST(ThreadPool, RefusesBadCounts) {
  EXPECT_THROW(ThreadPool(-1), std::invalid_argument);
  EXPECT_THROW(ThreadPool(2000), std::invalid_argument);
  EXPECT_GE(resolve_nthread(0), 1);
}

}  // namespace
}  // namespace mbmf
