#include "mbmf/control/timing.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <exception>
#include <thread>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

nanoseconds to_ns(double seconds) { return nanoseconds(std::llround(1e9 * seconds)); }

}  // namespace

std::vector<std::string> measure_wakes(std::int64_t count, double period, double spin,
                                       const ThreadSettings& settings, std::vector<std::int64_t>* late_ns) {
  if (count < 1 || count > 100'000'000) throw_invalid("count must be in [1, 100000000], got ", count);
  if (!(period > 0 && period <= 3600)) throw_invalid("period must be in (0, 3600] s, got ", period);
  if (!(spin >= 0 && spin <= period)) throw_invalid("spin must be in [0, ", period, "] s, got ", spin);
  check_settings(settings);
  late_ns->assign(static_cast<std::size_t>(count), 0);
  std::atomic<bool> stop{false};
  std::atomic<int> settled{0};
  std::thread thread([&] {
    settled.wait(0);
    TimePoint next = steady_clock::now() + to_ns(period);
    for (std::int64_t& late : *late_ns) {
      wait_until(next, to_ns(spin), stop);
      const TimePoint now = steady_clock::now();
      late = (now - next).count();
      next += to_ns(period);
      if (next < now) next = now + to_ns(period);  // as the control loop skips what has passed
    }
  });
  std::vector<std::string> refused = apply_settings(settings, {thread.native_handle()});
  settled.store(1);
  settled.notify_all();
  thread.join();
  return refused;
}

DeadlineTimes measure_deadlines(Planner& planner, const double* state, const std::vector<double>& seconds,
                                const ThreadSettings& settings) {
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    if (!(seconds[i] >= 0 && seconds[i] <= 3600)) {
      throw_invalid("seconds must be in [0, 3600], got ", seconds[i], " at entry ", i);
    }
  }
  check_settings(settings);
  DeadlineTimes times;
  times.late_ns.reserve(seconds.size());
  times.candidates.reserve(seconds.size());
  std::exception_ptr failure;
  std::atomic<int> settled{0};
  std::thread thread([&] {
    settled.wait(0);
    PlanQuery query;
    query.start = state;
    query.predict = false;
    PlanMemory memory = planner.make_memory();
    Plan plan;
    try {
      for (std::size_t i = 0; i < seconds.size(); ++i) {
        query.step = i;
        query.deadline = steady_clock::now() + to_ns(seconds[i]);
        planner.plan(query, &memory, &plan);
        times.late_ns.push_back((steady_clock::now() - query.deadline).count());
        times.candidates.push_back(plan.candidates_done);
        // a control loop waits too; Linux stops real-time threads that never do for 50 ms a second
        std::this_thread::sleep_for(to_ns(0.1 * seconds[i]));
      }
    } catch (...) {
      failure = std::current_exception();
    }
  });
  std::vector<std::thread::native_handle_type> threads = planner.thread_handles();
  threads.push_back(thread.native_handle());
  times.refused = apply_settings(settings, threads);
  settled.store(1);
  settled.notify_all();
  thread.join();
  if (failure) std::rethrow_exception(failure);
  return times;
}

}  // namespace mbmf
