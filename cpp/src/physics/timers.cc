#include "physics/timers.h"

#include <mujoco/mujoco.h>

#include <atomic>
#include <mutex>

namespace mbmf {

namespace {

thread_local bool timers_on = true;
std::atomic<mjfTime> clock_before{nullptr};

mjtNum time_where_wanted() { return timers_on ? clock_before.load(std::memory_order_relaxed)() : 0; }

}  // namespace

void prepare_timers() {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  // one clock alone: a later one may call the function that was put before it
  const mjfTime now = mjcb_time, before = clock_before.load();
  if (now == nullptr || (before != nullptr && now != before)) return;
  clock_before.store(now);
  mjcb_time = time_where_wanted;
}

void set_timers(bool on) { timers_on = on; }

}  // namespace mbmf
