// What a control loop is told: checked, and with what stands for "the task's" put in.

#ifndef MBMF_SRC_CONTROL_CONTROLLER_OPTIONS_H_
#define MBMF_SRC_CONTROL_CONTROLLER_OPTIONS_H_

#include <memory>
#include <vector>

#include "mbmf/control/controller.h"

namespace mbmf {

inline constexpr int kMaxInFlight = 32;  // actions under way that compensation knows of

// Of any duration or difference of times, in seconds: its nanoseconds are far from 2^63.
inline constexpr double kMaxSeconds = 1e6;

// Throws std::invalid_argument unless the task's control step can be waited for: not 0 or endless in
// nanoseconds.
void check_real_time(const Task& task);

// Throws std::invalid_argument on a tick 0 that is far from now: most likely another clock's.
void check_first_tick(TimePoint first);

// Throws std::invalid_argument on options out of range.
ControllerOptions resolve_options(ControllerOptions options, const Task& task);

// A state at the start of the task's control episodes, with goals: always the same.
std::vector<double> nominal_state(const std::shared_ptr<const Task>& task);

}  // namespace mbmf

#endif  // MBMF_SRC_CONTROL_CONTROLLER_OPTIONS_H_
