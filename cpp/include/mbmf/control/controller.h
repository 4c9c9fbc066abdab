// A real-time control loop: a state comes in, a plan is made, an action goes out, every period.
//
// Ticks are start + k * period on the monotonic clock; nothing adds up. Between tick k and tick k + 1 the
// loop makes the action that is to act from tick k + 1 on: it takes the latest state, plans until shortly
// before tick k + 1, and sends. An action that is not there by then is late: it is counted and never sent.
// After an overrun the ticks that have passed are skipped, not made up for.
//
// Where the task follows a path, the path begins where the robot is first seen after the start; one that is
// set while the loop runs begins where the robot is then.
//
// Watchdog: where the state is missing, old, of the future or not finite, or the plan late, the loop sends
// the next actions of the last plan for a set number of steps, and then the task's safe action, until all is
// well again. Every step says which it was, and why.
//
// In the steady state the loop takes no lock and allocates nothing. Its system calls are the clock and the
// wait; and the planner's other threads, which sleep between plans, are woken by a futex. (With nthread = 1
// there are none.)
//
// Threads: put_state is for one thread, get_action for one, status for one, set_path for one; start, stop,
// running and statistics for any; the others for the thread that made the controller.

#ifndef MBMF_CONTROL_CONTROLLER_H_
#define MBMF_CONTROL_CONTROLLER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mbmf/control/histogram.h"
#include "mbmf/control/realtime.h"
#include "mbmf/model/dynamics.h"
#include "mbmf/planning/planner.h"
#include "mbmf/task/task.h"

namespace mbmf {

enum class PlanMode : int {
  kAnytime = 0,  // as many candidates as there is time for, at most the planner's number
  kFixed = 1,    // always the planner's number, in time or not
  kFitted = 2,   // as many as took `share` of the period so far, at most the planner's number
};

enum class StepKind : std::int8_t { kPlanned = 0, kHeld = 1, kSafe = 2 };

// Why a step was not planned.
enum class Fault : std::int8_t {
  kNone = 0,
  kNoState = 1,      // none has come yet
  kStaleState = 2,   // the latest is older than stale_after, or too old to compensate: 32 steps of the task
  kBadState = 3,     // not finite
  kLatePlan = 4,     // not ready before the next tick
  kNoPlan = 5,       // no candidate had a finite cost
  kFutureState = 6,  // the latest is said to be of later than stale_after from now: of another clock
};
const char* fault_text(Fault fault);

struct ActionMessage {
  std::vector<double> action;  // (naction) in [-1, 1]
  TimePoint from;              // the tick from which it acts
  std::int64_t step = -1;      // that tick's number; -1: none was sent yet
  StepKind kind = StepKind::kSafe;
  Fault fault = Fault::kNoState;
};

struct ControllerOptions {
  double period = 0;  // seconds; 0: the task's control step
  PlanMode mode = PlanMode::kAnytime;
  double share = 0.7;  // kFitted, in (0, 1)
  double margin = -1;  // seconds before the next tick when a plan is to be there; below 0: 5 % of the
                       // period, at least 0.1 ms and at most 1 ms
  double phase = 0;    // seconds after a tick when the state is taken

  // Plans from where the model expects the robot to be when the action acts, with the actions that are under
  // way until then, instead of from the state as it was measured. actuation_delay: seconds from sending to
  // acting, known to the user, beyond the next tick.
  bool compensate = false;
  double actuation_delay = 0;

  int hold_steps = 3;               // steps for which the last plan is held
  double stale_after = 0;           // seconds, at most 10^6; 0: three periods
  std::vector<double> safe_action;  // (naction) in [-1, 1]; empty: the task's

  std::uint64_t episode = 0;  // whose random numbers the plans use; steps are the ticks' numbers
  double spin = 0;        // seconds before a tick in which the loop looks at the clock instead of sleeping
  ThreadSettings thread;  // of the loop and the planner's threads
  std::int64_t history = 65536;  // steps whose records are kept, the last ones

  // In place of put_state and get_action; called on the loop's thread, must neither block nor throw. read:
  // fills state (nstate) and when it was measured, or returns false if there is none newer than before.
  std::function<bool(double* state, TimePoint* when)> read;
  std::function<void(const ActionMessage&)> send;
};

struct StepRecord {
  std::int64_t step = 0;        // the tick that the action was made after
  std::int64_t wake_ns = 0;     // how late the loop woke
  std::int64_t compute_ns = 0;  // from then to the action
  std::int64_t age_ns = 0;      // of the state; 0 without one
  std::int64_t candidates = 0;  // searched; 0 where nothing was planned
  std::int32_t segment = 0;     // of the path, where the step began
  StepKind kind = StepKind::kSafe;
  Fault fault = Fault::kNone;
};

struct ControllerStatistics {
  std::int64_t steps = 0;                        // planned + held + safe
  std::int64_t planned = 0, held = 0, safe = 0;  // what was sent
  std::int64_t waiting = 0;                      // of the safe ones: before the first state
  std::int64_t late = 0;                         // plans that were not ready in time and were not sent
  std::int64_t skipped = 0;                      // ticks that passed while the loop was held up
  std::int64_t stale = 0, future = 0, bad_state = 0, no_plan = 0;
  std::int64_t candidates = 0, fewest = 0, most = 0;  // of the planned steps: in all, in one
  Quantiles period, compute, jitter, age;
  std::int64_t misses() const { return late + skipped; }
};

class Controller {
 public:
  // Plans with a planner of its own (make_planner), whose search remembers the last plan that was sent.
  // Throws std::invalid_argument on options out of range, among them a period in which this machine cannot
  // search even one vector of candidates, which it measures here.
  Controller(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics,
             const PlannerOptions& planner, ControllerOptions options);
  ~Controller();

  const Task& task() const;
  const ControllerOptions& options() const;  // with what stands for 0 and "the task's"
  const PlannerOptions& planner_options() const;
  double shortest_period() const;  // seconds: what the period was checked against

  // Starts the loop; tick 0 is at `first`, which must not be long past. Statistics start anew. Throws
  // mbmf::Error if it runs.
  void start(TimePoint first = std::chrono::steady_clock::now());
  void stop();  // when the present step is over; nothing if it does not run
  bool running() const;
  const std::vector<std::string>& notes() const;  // what the system refused at the last start

  // The latest state (nstate) and when it was measured; never waits. Any numbers: the loop looks at them.
  void put_state(const double* state, TimePoint when = std::chrono::steady_clock::now());
  // The latest action; never waits. True if it is new since the last call.
  bool get_action(ActionMessage* message);

  // Another path from the next step on, in place of the task's; never waits. Throws std::invalid_argument as
  // make_planner_path does, and goes on with the path that it had.
  void set_path(const PathCost& path);

  ControllerStatistics statistics() const;
  StepRecord status() const;  // the last step
  // The steps of the last `history`, in order. Throws mbmf::Error while the loop runs.
  std::vector<StepRecord> records() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_CONTROL_CONTROLLER_H_
