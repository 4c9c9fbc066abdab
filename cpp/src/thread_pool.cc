#include "mbmf/thread_pool.h"

#include <sched.h>

#include "mbmf/error.h"

namespace mbmf {

namespace {

// how long an idle worker spins before it sleeps: loops follow each other within microseconds while planning
constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

int resolve_nthread(int nthread) {
  if (nthread < 0 || nthread > 1024) throw_invalid("nthread must be in [0, 1024], got ", nthread);
  if (nthread > 0) return nthread;
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count > 0 ? static_cast<int>(count) : 1;
}

ThreadPool::ThreadPool(int nthread) : nthread_(resolve_nthread(nthread)) {
  workers_.reserve(static_cast<std::size_t>(nthread_ - 1));
  for (int i = 1; i < nthread_; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::take_items(int thread) {
  for (;;) {
    const std::int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
    if (item >= count_) return;
    function_(context_, item, thread);
  }
}

void ThreadPool::run(std::int64_t count, Function function, const void* context) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    for (std::int64_t item = 0; item < count; ++item) function(context, item, 0);
    return;
  }
  function_ = function;
  context_ = context;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<std::uint32_t>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  take_items(0);

  // every worker has passed through, so none still reads this loop's fields
  for (int spin = 0; spin < kSpins; ++spin) {
    if (running_.load(std::memory_order_acquire) == 0) return;
    pause();
  }
  for (std::uint32_t left; (left = running_.load(std::memory_order_acquire)) != 0;) {
    running_.wait(left, std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  std::uint32_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin) pause();
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    take_items(thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace mbmf
