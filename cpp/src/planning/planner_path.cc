#include "planning/planner_path.h"

#include <memory>
#include <utility>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// the numbers of each segment, as the kernels read them
std::vector<float> legs_of(const PathCost& path) {
  std::vector<float> legs;
  for (int i = 0; i < path.npoint(); ++i) {
    const double* from = path.waypoints.data() + 2 * i;
    const double* to = i + 1 < path.npoint() ? from + 2 : from;
    const double dx = to[0] - from[0], dy = to[1] - from[1];
    const double square = dx * dx + dy * dy;
    const double numbers[kernel::kLegSize] = {from[0],
                                              from[1],
                                              dx,
                                              dy,
                                              square > 0 ? 1 / square : 0,
                                              square,
                                              segment_direction(path, i),
                                              square > 0 ? 1.0 : 0.0};
    for (double x : numbers) {
      legs.push_back(static_cast<float>(x));
    }
  }
  return legs;
}

}  // namespace

PlannerPath::PlannerPath(PathCost cost) : cost_(std::move(cost)), legs_(legs_of(cost_)) {
  path_.leg = legs_.data();
  path_.nleg = cost_.npoint();
  path_.x = cost_.x;
  path_.y = cost_.y;
  path_.heading = cost_.heading;
  path_.distance = static_cast<float>(cost_.distance);
  path_.far = static_cast<float>(cost_.far);
  path_.far_factor = static_cast<float>(cost_.far_factor);
  path_.forward = static_cast<float>(cost_.forward);
  path_.turn = static_cast<float>(cost_.turn);
  path_.turn_limit = static_cast<float>(cost_.turn_limit);
  path_.turn_beyond = static_cast<float>(cost_.turn_beyond);
  path_.strict = cost_.strict;
}

kernel::Path PlannerPath::from(const PathStart& start) const {
  kernel::Path path = path_;
  path.segment = start.segment;
  path.origin[0] = static_cast<float>(start.origin[0]);
  path.origin[1] = static_cast<float>(start.origin[1]);
  return path;
}

std::shared_ptr<const PlannerPath> make_planner_path(const Task& task, const PathCost& path) {
  const std::optional<PathCost>& own = task.spec().path;
  if (!own) throw_invalid("task must be one that follows a path, got ", task.spec().name);
  check_path(path, task.nstate());
  if (!same_states(path, *own)) {
    throw_invalid("path must have the task's states of position and heading, ", own->x, ", ", own->y, " and ",
                  own->heading, ", got ", path.x, ", ", path.y, " and ", path.heading);
  }
  return std::make_shared<const PlannerPath>(path);
}

}  // namespace mbmf
