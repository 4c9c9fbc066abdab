// A path as the kernels read it: float32, a small table of segments.

#ifndef MBMF_SRC_PLANNING_PLANNER_PATH_H_
#define MBMF_SRC_PLANNING_PLANNER_PATH_H_

#include <vector>

#include "kernel/kernel.h"
#include "mbmf/planning/planner.h"
#include "mbmf/task/path.h"

namespace mbmf {

// Whether both read position and heading from the same states.
inline bool same_states(const PathCost& a, const PathCost& b) {
  return a.x == b.x && a.y == b.y && a.heading == b.heading;
}

class PlannerPath {
 public:
  explicit PlannerPath(PathCost cost);
  PlannerPath(const PlannerPath&) = delete;  // path_ points into legs_
  PlannerPath& operator=(const PlannerPath&) = delete;

  const PathCost& cost() const { return cost_; }
  // For a plan that starts there. Points into this object.
  kernel::Path from(const PathStart& start) const;

 private:
  PathCost cost_;
  std::vector<float> legs_;
  kernel::Path path_{};
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_PLANNER_PATH_H_
