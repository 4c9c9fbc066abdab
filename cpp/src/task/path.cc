#include "mbmf/task/path.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

void check_number(double x, const char* name) {
  if (!std::isfinite(x)) throw_invalid("path.", name, " must be finite, got ", x);
}

void check_state(int index, int nstate, const char* name) {
  if (index < 0 || index >= nstate) {
    throw_invalid("path.", name, " must be a state index in [0, ", nstate, "), got ", index);
  }
}

double length(double x, double y) { return std::sqrt(x * x + y * y); }

// The squared distance that a segment which begins (or ends) at a waypoint saves, beside the waypoint itself;
// `along` is the projection of the way from the waypoint, positive into the segment, in lengths of it.
// Comparing what two segments save says which is nearer without the rounding of their distances: where a path
// goes straight on, that would blur the decision over a millimetre.
double saved(double along, double square) {
  if (along <= 0) return 0;
  const double over = std::max(along - 1, 0.0);
  return (along * along - over * over) * square;
}

// waypoint i, the last one repeated
const double* waypoint(const PathCost& path, int i) {
  return path.waypoints.data() + 2 * std::min(i, path.npoint() - 1);
}

}  // namespace

void check_path(const PathCost& path, int nstate) {
  if (path.waypoints.size() < 4 || path.waypoints.size() % 2 != 0) {
    throw_invalid("path.waypoints must be two or more points (x, y), got ", path.waypoints.size(),
                  " numbers");
  }
  if (path.npoint() > 1'000'000) throw_invalid("path.waypoints must be at most 1000000, got ", path.npoint());
  for (double x : path.waypoints) check_number(x, "waypoints");
  for (int i = 1; i < path.npoint(); ++i) {
    if (std::equal(waypoint(path, i), waypoint(path, i) + 2, waypoint(path, i - 1))) {
      throw_invalid("path.waypoints must differ from the one before, got the same at ", i);
    }
  }
  check_state(path.x, nstate, "x");
  check_state(path.y, nstate, "y");
  if (path.heading != -1) check_state(path.heading, nstate, "heading");
  check_number(path.distance, "distance");
  check_number(path.far_factor, "far_factor");
  check_number(path.forward, "forward");
  check_number(path.turn, "turn");
  check_number(path.turn_beyond, "turn_beyond");
  if (!(path.far > 0)) throw_invalid("path.far must be above 0, got ", path.far);
  if (!(path.turn_limit > 0)) throw_invalid("path.turn_limit must be above 0, got ", path.turn_limit);
  if (path.last_segment < 0) {
    throw_invalid("path.last_segment must be at least 0, got ", path.last_segment);
  }
}

void check_path_start(const PathStart& start) {
  if (start.segment < 0 || start.segment > 1'000'000'000) {
    throw_invalid("segment must be in [0, 1000000000], got ", start.segment);
  }
  for (double x : start.origin) {
    if (!std::isfinite(x)) throw_invalid("origin must be finite, got ", x);
  }
}

double segment_direction(const PathCost& path, int segment) {
  const int i = std::min(segment, path.npoint() - 2);
  const double* from = waypoint(path, i);
  const double* to = waypoint(path, i + 1);
  return std::atan2(to[1] - from[1], to[0] - from[0]);
}

PathWalk::Place PathWalk::place(int segment, double x, double y) const {
  // everything relative to the waypoint between the two segments
  const double* from = waypoint(*path_, segment);
  const double* middle = waypoint(*path_, segment + 1);
  const double* to = waypoint(*path_, segment + 2);
  const double dx = middle[0] - from[0], dy = middle[1] - from[1], square = dx * dx + dy * dy;
  const double next_dx = to[0] - middle[0], next_dy = to[1] - middle[1];
  const double next_square = next_dx * next_dx + next_dy * next_dy;
  const double rx = x - (middle[0] + origin_[0]), ry = y - (middle[1] + origin_[1]);
  const double t = square > 0 ? (rx * dx + ry * dy) / square : 0;  // 0 at its end, -1 at its start
  const double f = next_square > 0 ? (rx * next_dx + ry * next_dy) / next_square : 0;

  Place place{};
  const double back = std::clamp(t, -1.0, 0.0), ahead = std::clamp(f, 0.0, 1.0);
  place.distance = length(rx - back * dx, ry - back * dy);
  place.next_distance = length(rx - ahead * next_dx, ry - ahead * next_dy);
  place.along = square > 0 ? t + 1 : 0;
  place.next_along = f;
  place.next_as_near = saved(f, next_square) >= saved(-t, square);
  place.beyond = t >= 0;
  return place;
}

double PathWalk::add(const double* state) {
  const PathCost& path = *path_;
  const Place place = this->place(segment_, state[path.x], state[path.y]);
  const bool on = path.strict ? passed(segment_, place) : place.next_as_near;
  const double distance = on ? place.next_distance : place.distance;
  const double along = on ? place.next_along : place.along;
  if (on) {
    ++segment_;
    moved_ = true;
  }

  double cost = path.distance * distance;
  if (distance >= path.far) cost *= path.far_factor;
  cost -= path.forward * (moved_ ? along : along - previous_);
  previous_ = along;
  if (path.heading >= 0) {
    const double turn =
        std::remainder(state[path.heading] - segment_direction(path, segment_), 2 * std::numbers::pi);
    cost += std::abs(turn) < path.turn_limit ? path.turn * std::abs(turn) : path.turn_beyond;
  }
  return cost;
}

int next_segment(const PathCost& path, const PathStart& start, const double* state, bool moved) {
  if (!path.strict) return start.segment + (moved ? 1 : 0);
  const PathWalk walk(path, start);
  int segment = start.segment;
  while (walk.passed(segment, walk.place(segment, state[path.x], state[path.y]))) ++segment;
  return segment;
}

}  // namespace mbmf
