#include "mbmf/control/realtime.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/pause.h"
#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr std::chrono::milliseconds kSlice{50};

#if defined(__linux__)
std::string refusal(const std::string& what, int error, const char* remedy) {
  return what + " was refused: " + std::strerror(error) + " (" + remedy + ")";
}
#endif

}  // namespace

void check_settings(const ThreadSettings& settings) {
  if (settings.priority < 0 || settings.priority > 99) {
    throw_invalid("priority must be in [0, 99], got ", settings.priority);
  }
  for (const int cpu : settings.cpus) {
    if (cpu < 0 || cpu >= 1024) throw_invalid("cpus must be numbers in [0, 1024), got ", cpu);
  }
}

std::vector<std::string> apply_settings(const ThreadSettings& settings,
                                        const std::vector<std::thread::native_handle_type>& threads) {
  check_settings(settings);
  std::vector<std::string> refused;
#if defined(__linux__)
  int priority_error = 0, cpu_error = 0;
  for (const auto thread : threads) {
    if (settings.priority > 0) {
      sched_param parameters{};
      parameters.sched_priority = settings.priority;
      const int error = pthread_setschedparam(thread, SCHED_FIFO, &parameters);
      if (error != 0) priority_error = error;
    }
    if (!settings.cpus.empty()) {
      cpu_set_t set;
      CPU_ZERO(&set);
      for (const int cpu : settings.cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
      const int error = pthread_setaffinity_np(thread, sizeof(set), &set);
      if (error != 0) cpu_error = error;
    }
  }
  if (priority_error != 0) {
    refused.push_back(refusal("priority " + std::to_string(settings.priority) + " (SCHED_FIFO)",
                              priority_error, "it needs CAP_SYS_NICE or a limit: ulimit -r"));
  }
  if (cpu_error != 0) {
    std::string list;
    for (const int cpu : settings.cpus) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    refused.push_back(
        refusal("cpus " + list, cpu_error, "the process must be allowed to run on one of them"));
  }
  if (settings.lock_memory && mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    refused.push_back(
        refusal("lock_memory (mlockall)", errno, "it needs CAP_IPC_LOCK or a limit: ulimit -l"));
  }
#else
  static_cast<void>(threads);
  if (settings.priority > 0 || !settings.cpus.empty() || settings.lock_memory) {
    refused.emplace_back("priority, cpus and lock_memory were refused: they are Linux's");
  }
#endif
  return refused;
}

bool wait_until(TimePoint when, std::chrono::nanoseconds spin, const std::atomic<bool>& stop) {
  using std::chrono::steady_clock;
  const TimePoint asleep_until = when - spin;
  for (;;) {
    if (stop.load(std::memory_order_acquire)) return false;
    const TimePoint now = steady_clock::now();
    if (now >= asleep_until) break;
    const TimePoint next = asleep_until - now > kSlice ? now + kSlice : asleep_until;
#if defined(__linux__)
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(next.time_since_epoch()).count();
    const timespec at{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
#else
    std::this_thread::sleep_until(next);
#endif
  }
  while (steady_clock::now() < when) {
    if (stop.load(std::memory_order_acquire)) return false;
    pause();
  }
  return true;
}

}  // namespace mbmf
