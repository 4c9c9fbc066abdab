#include "control/controller_options.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "mbmf/base/error.h"
#include "mbmf/physics/simulator.h"

namespace mbmf {

namespace {

constexpr double kMaxPeriod = 3600, kMinStep = 1e-6;
constexpr std::int64_t kMaxHistory = 100'000'000;

void check_seconds(const char* name, double value, double most) {
  if (!(value >= 0 && value <= most)) throw_invalid(name, " must be in [0, ", most, "] s, got ", value);
}

}  // namespace

ControllerOptions resolve_options(ControllerOptions o, const Task& task) {
  if (o.period == 0) o.period = task.dt();
  if (!(o.period > 0 && o.period <= kMaxPeriod)) {
    throw_invalid("period must be above 0 and at most ", kMaxPeriod, " s, got ", o.period);
  }
  if (o.mode < PlanMode::kAnytime || o.mode > PlanMode::kFitted) {
    throw_invalid("mode must be a mode, got ", static_cast<int>(o.mode));
  }
  if (o.compensate) check_real_time(task);
  if (!(o.share > 0 && o.share < 1)) throw_invalid("share must be between 0 and 1, got ", o.share);
  if (o.margin < 0) o.margin = std::clamp(0.05 * o.period, std::min(1e-4, 0.5 * o.period), 1e-3);
  if (!(o.margin < o.period))
    throw_invalid("margin must be below the period of ", o.period, " s, got ", o.margin);
  if (!(o.phase >= 0 && o.phase < o.period)) {
    throw_invalid("phase must be at least 0 and below the period of ", o.period, " s, got ", o.phase);
  }
  check_seconds("actuation_delay", o.actuation_delay, kMaxInFlight * std::min(o.period, task.dt()) / 2);
  if (o.hold_steps < 0 || o.hold_steps > 1'000'000) {
    throw_invalid("hold_steps must be in [0, 1000000], got ", o.hold_steps);
  }
  if (o.stale_after == 0) o.stale_after = 3 * o.period;
  check_seconds("stale_after", o.stale_after, kMaxSeconds);
  check_seconds("spin", o.spin, o.period);
  if (o.history < 1 || o.history > kMaxHistory) {
    throw_invalid("history must be in [1, ", kMaxHistory, "], got ", o.history);
  }
  if (o.safe_action.empty()) o.safe_action = task.spec().safe_action;
  if (o.safe_action.empty()) o.safe_action.assign(static_cast<std::size_t>(task.naction()), 0.0);
  if (o.safe_action.size() != static_cast<std::size_t>(task.naction())) {
    throw_invalid("safe_action must be ", task.naction(), " numbers, got ", o.safe_action.size());
  }
  for (const double a : o.safe_action) {
    if (!(a >= -1 && a <= 1)) throw_invalid("safe_action must be in [-1, 1], got ", a);
  }
  check_settings(o.thread);
  return o;
}

void check_real_time(const Task& task) {
  if (!(task.dt() >= kMinStep && task.dt() <= kMaxPeriod)) {
    throw_invalid("task must have control steps of ", kMinStep, " to ", kMaxPeriod, " s for real time, got ",
                  task.dt());
  }
}

void check_first_tick(TimePoint first) {
  using std::chrono::duration;
  const TimePoint now = std::chrono::steady_clock::now();
  const std::chrono::nanoseconds most(static_cast<std::int64_t>(1e9 * kMaxSeconds));
  if (first < now - most || first > now + most) {
    throw_invalid("first must be within ", kMaxSeconds, " s of now on the monotonic clock, got ",
                  duration<double>(first.time_since_epoch()).count(), " s at ",
                  duration<double>(now.time_since_epoch()).count(), " s");
  }
}

std::vector<double> nominal_state(const std::shared_ptr<const Task>& task) {
  Simulator simulator(task, 1, 1, 0);
  const std::uint64_t episode = 0;
  simulator.start(nullptr, 1, ResetKind::kControl, &episode);
  if (simulator.diverged()[0]) {
    throw Error("an episode of task " + task->spec().name + " cannot start: " + simulator.error(0));
  }
  return {simulator.states(), simulator.states() + task->nstate()};
}

const char* fault_text(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "";
    case Fault::kNoState:
      return "no state has come yet";
    case Fault::kStaleState:
      return "the state is old";
    case Fault::kBadState:
      return "the state is not finite";
    case Fault::kLatePlan:
      return "the plan was late";
    case Fault::kNoPlan:
      return "no candidate has a finite cost";
    case Fault::kFutureState:
      return "the state is of the future: its time is another clock's";
  }
  return "";
}

}  // namespace mbmf
