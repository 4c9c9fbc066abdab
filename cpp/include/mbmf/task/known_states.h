// States whose future does not depend on the robot: the time, and what a reference says of it. A plan knows
// them beforehand; no network has to predict them.

#ifndef MBMF_TASK_KNOWN_STATES_H_
#define MBMF_TASK_KNOWN_STATES_H_

#include <vector>

#include "mbmf/task/task.h"

namespace mbmf {

class KnownStates {
 public:
  // Of a task's state channels; none where it reads no reference. The specification is copied.
  explicit KnownStates(const TaskSpec& spec, double dt);

  // Which states these are, in order; empty: none.
  const std::vector<int>& index() const { return index_; }
  int size() const { return static_cast<int>(index_.size()); }

  // Their values at t = 0 .. horizon after a state (nstate): out (horizon + 1, size); those at 0 are the
  // state's.
  void predict(const double* state, int horizon, double* out) const;

 private:
  double value(const Channel& channel, double time) const;

  std::vector<int> index_;
  std::vector<Channel> channel_;
  std::vector<Reference> references_;
  std::vector<int> owner_, column_;  // by address of Source::kReference
  int time_ = -1;                    // which state is the time
  double dt_;
};

}  // namespace mbmf

#endif  // MBMF_TASK_KNOWN_STATES_H_
