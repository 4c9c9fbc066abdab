// Waiting for a moment, and what a thread asks of the operating system: priority, CPUs, memory.

#ifndef MBMF_CONTROL_REALTIME_H_
#define MBMF_CONTROL_REALTIME_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace mbmf {

using TimePoint = std::chrono::steady_clock::time_point;

// All of it opt-in. What the system refuses is reported, and is no error.
struct ThreadSettings {
  int priority = 0;          // SCHED_FIFO's, 1 to 99; 0: the normal scheduler
  std::vector<int> cpus;     // where the threads may run; empty: anywhere
  bool lock_memory = false;  // mlockall: no page of the process leaves the memory
};

// Throws std::invalid_argument on a priority outside [0, 99] and on CPUs outside [0, 1024).
void check_settings(const ThreadSettings& settings);

// Asks for the settings for some threads of the process. Returns a sentence for each thing that was refused.
std::vector<std::string> apply_settings(const ThreadSettings& settings,
                                        const std::vector<std::thread::native_handle_type>& threads);

// Sleeps until `when` on the monotonic clock (absolute, so that nothing adds up), the last `spin` of it
// looking at the clock instead of sleeping. Returns early, and false, if `stop` becomes true; looks at it
// every 50 ms.
bool wait_until(TimePoint when, std::chrono::nanoseconds spin, const std::atomic<bool>& stop);

}  // namespace mbmf

#endif  // MBMF_CONTROL_REALTIME_H_
