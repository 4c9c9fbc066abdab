// The cost of following a path, on vectors of candidates (path.cc says it in scalars).

#ifndef MBMF_KERNEL_PATH_H_
#define MBMF_KERNEL_PATH_H_

#include "kernel/kernel_model.h"

namespace {

using mbmf::kernel::kLegSize;
using mbmf::kernel::Path;

constexpr float kClearlyNearer = 1e-3f;  // m

// the numbers of each candidate's segment, or of the one `ahead` of it
struct Leg {
  Vec number[kLegSize];
};

inline Leg gather_legs(const Path& path, const std::int32_t* segment, int ahead) {
  Leg out;
  // as a rule a vector's candidates are all on one segment
  if (!any(load_mask(segment) != segment[0])) {
    const std::int32_t wanted = segment[0] + ahead;
    const float* leg = path.leg + (wanted < path.nleg ? wanted : path.nleg - 1) * kLegSize;
    for (int k = 0; k < kLegSize; ++k) out.number[k] = broadcast(leg[k]);
    return out;
  }
  alignas(64) float rows[kLegSize][kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const std::int32_t wanted = segment[i] + ahead;
    const float* leg = path.leg + (wanted < path.nleg ? wanted : path.nleg - 1) * kLegSize;
    for (int k = 0; k < kLegSize; ++k) rows[k][i] = leg[k];
  }
  for (int k = 0; k < kLegSize; ++k) out.number[k] = load(rows[k]);
  return out;
}

// the squared distance that a segment which begins (or ends) at a waypoint saves, beside the waypoint itself:
// `along` is the projection of the way from the waypoint, positive into the segment, in lengths of it.
// Comparing what two segments save says which is nearer without the rounding of their distances.
inline Vec saved(Vec along, Vec square) {
  const Vec over = along > 1.0f ? along - 1.0f : Vec{};
  return along > 0.0f ? (along * along - over * over) * square : Vec{};
}

// the absolute angle between heading and direction, in [0, pi]
inline Vec turn_between(Vec heading, Vec direction) {
  const Vec turn = heading - direction;
  const Vec turns = (turn * 0.15915494f + 12582912.0f) - 12582912.0f;  // rounded to an integer
  const Vec rest = fma(turns, broadcast(-6.2831855f), turn);
  return rest < 0.0f ? -rest : rest;
}

// the point's cost for one vector of candidates, the first of which is number `first` of the scratch; they
// move on along the path. x points at the vector's first row.
Vec path_cost(const Path& path, const Model& model, const float* x, int first, Mask dead, const Scratch& s) {
  std::int32_t* const segment = s.segment + first;
  const Vec px = state_of(model, x, path.x) - path.origin[0],
            py = state_of(model, x, path.y) - path.origin[1];
  const Leg leg = gather_legs(path, segment, 0), next = gather_legs(path, segment, 1);

  // from the waypoint between the two segments
  const Vec rx = px - next.number[0], ry = py - next.number[1];
  const Vec t = fma(rx, leg.number[2], ry * leg.number[3]) * leg.number[4];  // 0 at its end, -1 at its start
  const Vec f = fma(rx, next.number[2], ry * next.number[3]) * next.number[4];

  // the closest points
  const Mask before = t <= -1.0f, within = (t < 0.0f) & ~before, inside = (f > 0.0f) & (f < 1.0f),
             after = f >= 1.0f;
  Vec ex = before ? px - leg.number[0] : (within ? rx - t * leg.number[2] : rx);
  Vec ey = before ? py - leg.number[1] : (within ? ry - t * leg.number[3] : ry);
  Vec distance = square_root(fma(ex, ex, ey * ey));
  const Vec over = after ? broadcast(1.0f) : (inside ? f : Vec{});
  ex = rx - over * next.number[2];
  ey = ry - over * next.number[3];
  const Vec next_distance = square_root(fma(ex, ex, ey * ey));

  // move on
  Mask on = saved(f, next.number[5]) >= saved(-t, leg.number[5]);
  if (path.strict) {
    on = (t >= 0.0f) | (next_distance < distance - kClearlyNearer);
    // nothing comes after the last waypoint
    for (int i = 0; i < kLanes; ++i) on[i] = segment[i] >= path.nleg - 1 ? 0 : on[i];
  }
  on &= ~dead;
  distance = on ? next_distance : distance;
  const Vec along = on ? f : t + leg.number[7];
  Mask moved = load_mask(s.moved + first);
  moved |= on;
  store_mask(s.moved + first, moved);
  store_mask(segment, load_mask(segment) - on);

  Vec cost = distance * path.distance;
  cost = distance >= path.far ? cost * path.far_factor : cost;
  const Vec gain = moved ? along : along - load(s.along + first);
  store(s.along + first, along);
  cost = fma(gain, broadcast(-path.forward), cost);
  if (path.heading >= 0) {
    const Vec direction = on ? next.number[6] : leg.number[6];
    const Vec turn = turn_between(state_of(model, x, path.heading), direction);
    cost = cost + (turn < path.turn_limit ? turn * path.turn : broadcast(path.turn_beyond));
  }
  return cost;
}

}  // namespace

#endif  // MBMF_KERNEL_PATH_H_
