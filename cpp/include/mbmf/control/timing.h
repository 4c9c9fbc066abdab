// What a machine can promise: how late a waiting thread wakes, and how late a plan with a deadline returns.

#ifndef MBMF_CONTROL_TIMING_H_
#define MBMF_CONTROL_TIMING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "mbmf/control/realtime.h"
#include "mbmf/planning/planner.h"

namespace mbmf {

// Waits `count` times for the next multiple of `period` (seconds), in a thread of its own with these
// settings, and does nothing else; late_ns (count): how long after it the thread looked at the clock. Returns
// what the system refused. Throws std::invalid_argument on numbers out of range.
std::vector<std::string> measure_wakes(std::int64_t count, double period, double spin,
                                       const ThreadSettings& settings, std::vector<std::int64_t>* late_ns);

struct DeadlineTimes {
  std::vector<std::int64_t> late_ns;     // after the deadline; below 0: before it
  std::vector<std::int64_t> candidates;  // searched
  std::vector<std::string> refused;      // what the system refused of the settings
};

// Plans from a state with these times to plan (seconds), without predicted states, in a thread of its own
// with these settings, which rests for a tenth of that time after each plan. The planner's threads take them
// too, and keep them. Throws std::invalid_argument on numbers out of range, and as Planner::plan.
DeadlineTimes measure_deadlines(Planner& planner, const double* state, const std::vector<double>& seconds,
                                const ThreadSettings& settings);

}  // namespace mbmf

#endif  // MBMF_CONTROL_TIMING_H_
