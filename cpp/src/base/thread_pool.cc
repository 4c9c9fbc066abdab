#include "mbmf/base/thread_pool.h"

#include <sched.h>
#include <unistd.h>

#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "base/pause.h"
#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// how long an idle worker spins before it sleeps: loops follow each other within microseconds while planning
constexpr int kSpins = 2000;

// 1024 workers, one slot more, and none
constexpr std::uint32_t kSlotBits = 11, kSlotMask = (1u << kSlotBits) - 1;

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

ThreadPool::ThreadPool(int nthread)
    : nthread_(resolve_nthread(nthread)), slots_(static_cast<std::size_t>(nthread_)), process_(getpid()) {
  workers_.reserve(static_cast<std::size_t>(nthread_ - 1));
  try {
    for (int i = 1; i < nthread_; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error& error) {
    const std::size_t started = workers_.size();
    end();
    throw Error("nthread must be at most what the system can start, got " + std::to_string(nthread_) +
                ": after " + std::to_string(started) + " more threads: " + error.what());
  } catch (...) {  // no memory for one
    end();
    throw;
  }
}

void ThreadPool::end() {
  stop_.store(true, std::memory_order_relaxed);
  state_.fetch_add(1u << kSlotBits);
  state_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

ThreadPool::~ThreadPool() {
  if (getpid() != process_) {
    // in a forked child the workers do not exist: what is left of them is neither joined nor freed
    static_cast<void>(new (std::nothrow) std::vector<std::thread>(std::move(workers_)));
    return;
  }
  end();
}

std::vector<std::thread::native_handle_type> ThreadPool::handles() {
  std::vector<std::thread::native_handle_type> handles;
  for (std::thread& worker : workers_) handles.push_back(worker.native_handle());
  return handles;
}

int ThreadPool::reserve() const {
  for (;;) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].users.load() == 0) return static_cast<int>(i);
    }
    pause();  // one that looked in by mistake is about to leave
  }
}

// A worker counts itself in, and then looks whether the slot is still open; the caller closes, and then looks
// whether anyone is in. Both orders are sequentially consistent, so one of the two sees the other.
void ThreadPool::open(int slot, Job function, const void* context) {
  slots_[static_cast<std::size_t>(slot)].function = function;
  slots_[static_cast<std::size_t>(slot)].context = context;
  const std::uint32_t count = (state_.load(std::memory_order_relaxed) >> kSlotBits) + 1;
  state_.store((count << kSlotBits) | (static_cast<std::uint32_t>(slot) + 1));
  state_.notify_all();
}

void ThreadPool::close() { state_.store(((state_.load() >> kSlotBits) + 1) << kSlotBits); }

void ThreadPool::wait(int slot) const {
  const std::atomic<std::uint32_t>& users = slots_[static_cast<std::size_t>(slot)].users;
  for (int spin = 0; spin < kSpins; ++spin) {
    if (users.load() == 0) return;
    pause();
  }
  for (std::uint32_t left; (left = users.load()) != 0;) users.wait(left);
}

void ThreadPool::run(std::int64_t count, Function function, const void* context) {
  if (count <= 0) return;
  if (getpid() != process_)
    throw Error("threads must be used in the process that made them, got a call after a fork");
  if (workers_.empty() || count == 1) {
    for (std::int64_t item = 0; item < count; ++item) function(context, item, 0);
    return;
  }
  struct Loop {
    Function function;
    const void* context;
    std::int64_t count;
    mutable std::atomic<std::int64_t> next{0};
  };
  const Loop loop{function, context, count};
  const auto take_items = [](const void* arg, int thread) {
    const Loop& l = *static_cast<const Loop*>(arg);
    for (;;) {
      const std::int64_t item = l.next.fetch_add(1, std::memory_order_relaxed);
      if (item >= l.count) return;
      l.function(l.context, item, thread);
    }
  };
  const int slot = reserve();
  open(slot, take_items, &loop);
  take_items(&loop, 0);
  close();
  wait(slot);
}

void ThreadPool::work(int thread) {
  std::uint32_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && state_.load() == seen; ++spin) pause();
    state_.wait(seen);
    seen = state_.load();
    if (stop_.load(std::memory_order_relaxed)) return;
    if ((seen & kSlotMask) == 0) continue;
    Slot& slot = slots_[(seen & kSlotMask) - 1];
    slot.users.fetch_add(1);
    if (state_.load() == seen) slot.function(slot.context, thread);
    if (slot.users.fetch_sub(1) == 1) slot.users.notify_all();
  }
}

}  // namespace mbmf
