// What a control loop did: counts, times, and the last steps.
//
// The loop's thread writes without locks or allocations; any other may read the counts and times meanwhile,
// one the last step, and the records once the loop is over.

#ifndef MBMF_SRC_CONTROL_STEP_LOG_H_
#define MBMF_SRC_CONTROL_STEP_LOG_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "mbmf/control/controller.h"
#include "mbmf/control/histogram.h"
#include "mbmf/control/latest_value.h"

namespace mbmf {

class StepLog {
 public:
  // history: steps whose records are kept, the last ones.
  explicit StepLog(std::int64_t history) : ring_(static_cast<std::size_t>(history)) {}

  // Starts anew; nobody writes meanwhile.
  void clear();
  // The loop's thread: a step that began when it woke, and ticks that passed while it was held up.
  void add(const StepRecord& record, TimePoint woke);
  void skip(std::int64_t ticks);

  ControllerStatistics statistics() const;
  StepRecord last();
  std::vector<StepRecord> records() const;

 private:
  std::atomic<std::int64_t> steps_{0}, planned_{0}, held_{0}, safe_{0}, waiting_{0}, late_{0}, skipped_{0},
      stale_{0}, future_{0}, bad_state_{0}, no_plan_{0}, candidates_{0}, fewest_{0}, most_{0};
  Histogram period_, compute_, jitter_, age_;
  LatestValue<StepRecord> latest_{StepRecord{}};
  std::vector<StepRecord> ring_;
  TimePoint woke_before_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_CONTROL_STEP_LOG_H_
