// The planning cost of one candidate, point by point, in float64.

#ifndef MBMF_SRC_TASK_COST_WALK_H_
#define MBMF_SRC_TASK_COST_WALK_H_

#include <cmath>
#include <limits>
#include <optional>

#include "mbmf/task/path.h"
#include "mbmf/task/task.h"

namespace mbmf {

// Holds pointers and nothing to destroy; the specification and the path must outlive it.
class CostWalk {
 public:
  // path: the specification's or one in its place; null: none
  CostWalk(const TaskSpec& spec, const PathCost* path, const PathStart& start) : spec_(&spec) {
    if (path != nullptr) path_.emplace(*path, start);
  }

  // Adds the cost of the next point; false if the candidate is out of the alive bounds: dead for good,
  // which it pays for once; or not finite there: no number. before: the action before this one, null at the
  // first point.
  bool add(const double* state, const double* action, const double* before, int naction, bool is_last,
           double* cost) {
    if (!is_finite(state)) {
      *cost = std::numeric_limits<double>::quiet_NaN();
      return false;
    }
    if (!within(spec_->alive, state)) {
      *cost += spec_->dying_cost;
      return false;
    }
    *cost += evaluate(spec_->cost, state, action, naction, squared_step(action, before, naction), is_last);
    if (path_) *cost += path_->add(state);
    return true;
  }

  bool moved() const { return path_ && path_->moved(); }

 private:
  // as far as the alive bounds look
  bool is_finite(const double* state) const {
    for (const StateBound& bound : spec_->alive) {
      if (!std::isfinite(state[bound.index])) return false;
    }
    return true;
  }

  const TaskSpec* spec_;
  std::optional<PathWalk> path_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_TASK_COST_WALK_H_
