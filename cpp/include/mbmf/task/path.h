// Following a path of waypoints: where a robot is on it, and what that costs a candidate plan.
//
// The cost terms are those of the paper's code. A path of P waypoints has P - 1 segments; its last waypoint
// is repeated without end, so that segments never run out: segments P - 1, P, ... are that one point, with
// the direction of the last real segment. The planner evaluates the same terms in float32 in its kernels
// (src/kernel/kernel_path.h). Lengths are in metres, angles in radians.

#ifndef MBMF_TASK_PATH_H_
#define MBMF_TASK_PATH_H_

#include <limits>
#include <vector>

namespace mbmf {

// A path and its cost. At each predicted point a candidate projects itself onto its segment and onto the
// next: d is the distance to the closest point of a segment, ends included, and f the position along it, 0 at
// its start and 1 at its end, below and above outside. Then it moves on to the next segment if that is at
// least as near (or, if strict, only where it has passed its own), and pays
//   distance * d, times far_factor where d >= far
//   - forward * (f - the f of the point before, 0 at first) until it has moved on, - forward * f from then on
//   turn * delta, or turn_beyond where delta >= turn_limit: delta in [0, pi] between heading and the segment.
struct PathCost {
  std::vector<double> waypoints;  // (P, 2): x and y
  bool relative = true;           // to where a rollout starts; else in the world
  int x = 0, y = 0;               // state indices of the position
  int heading = -1;               // state index of an angle, or -1: there is none, and no turn term

  double distance = 0;  // P: horiz_penalty_factor
  double far = std::numeric_limits<double>::infinity();
  double far_factor = 1;
  double forward = 0;  // F: forward_encouragement_factor
  double turn = 0;     // B: heading_penalty_factor
  double turn_limit = std::numeric_limits<double>::infinity();
  double turn_beyond = 0;

  bool strict = false;   // a segment is over only when it has been passed: see PathWalk::passed
  int last_segment = 0;  // a rollout ends once it is past this one

  int npoint() const { return static_cast<int>(waypoints.size() / 2); }
};

// Throws std::invalid_argument unless there are two or more finite waypoints, none the same as the one
// before, state indices are in [0, nstate) and weights are finite.
void check_path(const PathCost& path, int nstate);

// "Clearly nearer": metres of difference.
inline constexpr double kClearlyNearer = 1e-3;

// Where a plan begins on its path: the segment, and what is added to the waypoints.
struct PathStart {
  int segment = 0;
  double origin[2] = {0, 0};
};

// Throws std::invalid_argument unless the segment is not negative and the origin finite.
void check_path_start(const PathStart& start);

// How the next plan's segment follows from this one's: by the paper's rule it is one further if the best
// candidate moved on; if strict, if the robot itself, at the plan's first state, has passed its segment.
int next_segment(const PathCost& path, const PathStart& start, const double* state, bool moved);

// One walk along a path, point by point, in float64. Holds pointers: the path must outlive it.
class PathWalk {
 public:
  PathWalk(const PathCost& path, const PathStart& start)
      : path_(&path), segment_(start.segment), origin_{start.origin[0], start.origin[1]} {}

  // Moves on if it is time to, and returns the cost of being at this state (nstate).
  double add(const double* state);

  int segment() const { return segment_; }
  bool moved() const { return moved_; }

  // The place of (x, y) on a segment and on the next one.
  struct Place {
    double distance, next_distance;  // to the closest point, ends included
    double along, next_along;        // unclamped; 0 on a segment without length
    bool next_as_near;               // next_distance <= distance, whatever the rounding of both
    bool beyond;                     // the segment's end
  };
  Place place(int segment, double x, double y) const;

  // Whether someone there has passed their segment: they are beyond its end, or clearly nearer to the next
  // one. Where the path turns back on itself, both are equally near, and only the first counts.
  bool passed(int segment, const Place& place) const {
    return segment < path_->npoint() - 1 &&
           (place.beyond || place.next_distance < place.distance - kClearlyNearer);
  }

 private:
  const PathCost* path_;
  int segment_;
  double origin_[2];
  double previous_ = 0;  // along
  bool moved_ = false;
};

// The direction of a segment, radians.
double segment_direction(const PathCost& path, int segment);

}  // namespace mbmf

#endif  // MBMF_TASK_PATH_H_
