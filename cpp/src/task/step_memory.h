// What a simulation keeps of its last control step, in MuJoCo's user data, which is part of its state row:
// rates of numbers over the step, numbers that only the step itself computes, and its action.

#ifndef MBMF_SRC_TASK_STEP_MEMORY_H_
#define MBMF_SRC_TASK_STEP_MEMORY_H_

#include <mujoco/mujoco.h>

#include <vector>

#include "mbmf/task/task.h"

namespace mbmf {

class StepMemory {
 public:
  // Whether a channel's number, or what it is the rate of, is there only as a step left it.
  static bool left_by_step(const Channel& channel) {
    return channel.lagged || channel.source == Source::kContactForce;
  }

  // Gives the channel its place, if it needs one; the same number has the same place.
  void add(Channel* channel);

  // Keeps actions, for `action_rate`. Channels come first.
  void add_actions(int naction);

  int size() const { return static_cast<int>(kept_.size()) + (naction_ > 0 ? 2 + naction_ : 0); }

  // The sum of (action - the one before it)^2 of the step that led to d; 0 without actions.
  double action_rate(const mjData* d) const { return naction_ > 0 ? d->userdata[kept_.size()] : 0; }

  // Whether there are rates of what `Task::refresh` computes.
  bool rates_are_derived() const { return rates_are_derived_; }

  // In this order, around the physics of a step: d refreshed if rates are derived; as the physics left it;
  // refreshed again.
  void before_step(mjData* d, const double* action) const;
  void keep_step(const mjModel* m, mjData* d) const;
  void finish_rates(mjData* d, double dt) const;

  // Of a start state, d refreshed.
  void start(const mjModel* m, mjData* d) const;

 private:
  // one number of the memory
  struct Kept {
    Channel channel;  // identity or rate, not clipped
    int of;           // a rate: where that of which it is one is kept; -1: nowhere, it is read
  };
  int place(const Channel& channel);
  double read(const Kept& rate, const mjData* d) const;

  std::vector<Kept> kept_;
  int naction_ = 0;  // of the actions that are kept after these: action_rate, 1 if there was an action, it
  bool rates_are_derived_ = false, lags_ = false, forces_ = false;
};

}  // namespace mbmf

#endif  // MBMF_SRC_TASK_STEP_MEMORY_H_
