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
  // The user data begin with the task's goals and references, which are kept by Task.
  StepMemory(int goals, int references) : goals_(goals), base_(goals + references) {}

  // Whether a channel's number, or what it is the rate of, is there only as a step left it.
  static bool left_by_step(const Channel& channel) {
    return channel.lagged || channel.source == Source::kContactForce;
  }

  // Gives the channel its place, if it needs one; the same number has the same place.
  void add(Channel* channel);

  // Keeps actions, for `action_rate`. Channels come first.
  void add_actions(int naction);

  int size() const { return base_ + static_cast<int>(kept_.size()) + (naction_ > 0 ? 2 + naction_ : 0); }

  // Whether a step changes any of it.
  bool is_of_steps() const { return size() > base_; }

  // The sum of (action - the one before it)^2 of the step that led to d; 0 without actions.
  double action_rate(const mjData* d) const { return naction_ > 0 ? own(d)[kept_.size()] : 0; }

  // Whether there are rates of what `Task::refresh` computes.
  bool rates_are_derived() const { return rates_are_derived_; }

  // In this order, around the physics of a step: d refreshed if rates are derived; as the physics left it;
  // refreshed again.
  void before_step(const mjModel* m, mjData* d, const double* action) const;
  void keep_step(const mjModel* m, mjData* d) const;
  void finish_rates(const mjModel* m, mjData* d, double dt) const;

  // Of a start state, d refreshed.
  void start(const mjModel* m, mjData* d) const;

 private:
  // one number of the memory
  struct Kept {
    Channel channel;  // identity or rate, not clipped
    int of;           // a rate: where that of which it is one is kept; -1: nowhere, it is read
  };
  // where a number is kept, index in user data
  int place(const Channel& channel);
  // where a goal or a reference is; -1: it is neither
  int given(const Channel& channel) const;
  mjtNum* own(const mjData* d) const { return d->userdata + base_; }
  double read(const Kept& rate, const mjModel* m, const mjData* d) const;

  int goals_, base_;
  std::vector<Kept> kept_;
  int naction_ = 0;  // of the actions that are kept after these: action_rate, 1 if there was an action, it
  bool rates_are_derived_ = false, lags_ = false, forces_ = false;
};

}  // namespace mbmf

#endif  // MBMF_SRC_TASK_STEP_MEMORY_H_
