#include "planner_cost.h"

#include <set>

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

PlannerCost::PlannerCost(const std::vector<Term>& cost, const std::vector<StateBound>& alive,
                         const std::optional<PathCost>& path) {
  std::set<int> rows;
  for (const Term& term : cost) {
    if (term.weight == 0) continue;
    kernel::Term packed{};
    packed.kind = static_cast<int>(term.kind);
    packed.weight = static_cast<float>(term.weight);
    packed.n = static_cast<int>(term.index.size());
    packed.index = indices_.emplace_back(term.index).data();
    if (!term.target_index.empty()) packed.target_index = indices_.emplace_back(term.target_index).data();
    if (!term.target.empty()) {
      packed.target = targets_.emplace_back(term.target.begin(), term.target.end()).data();
    }
    packed.low = static_cast<float>(term.bounds.low);
    packed.high = static_cast<float>(term.bounds.high);
    packed.low_open = term.bounds.low_open;
    packed.high_open = term.bounds.high_open;
    terms_.push_back(packed);
    rows.insert(term.index.begin(), term.index.end());
    rows.insert(term.target_index.begin(), term.target_index.end());
  }
  for (const StateBound& bound : alive) {
    alive_.push_back({bound.index, static_cast<float>(bound.bounds.low),
                      static_cast<float>(bound.bounds.high), bound.bounds.low_open, bound.bounds.high_open});
    rows.insert(bound.index);
  }
  if (path) {
    legs_ = legs_of(*path);
    path_.leg = legs_.data();
    path_.nleg = path->npoint();
    path_.x = path->x;
    path_.y = path->y;
    path_.heading = path->heading;
    path_.distance = static_cast<float>(path->distance);
    path_.far = static_cast<float>(path->far);
    path_.far_factor = static_cast<float>(path->far_factor);
    path_.forward = static_cast<float>(path->forward);
    path_.turn = static_cast<float>(path->turn);
    path_.turn_limit = static_cast<float>(path->turn_limit);
    path_.turn_beyond = static_cast<float>(path->turn_beyond);
    path_.strict = path->strict;
    rows.insert({path->x, path->y});
    if (path->heading >= 0) rows.insert(path->heading);
  }
  rows_.assign(rows.begin(), rows.end());
}

kernel::Path PlannerCost::path(const PathStart& start) const {
  kernel::Path path = path_;
  path.segment = start.segment;
  path.origin[0] = static_cast<float>(start.origin[0]);
  path.origin[1] = static_cast<float>(start.origin[1]);
  return path;
}

}  // namespace mbmf
