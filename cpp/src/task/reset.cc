#include "mbmf/task/reset.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

void check_noise(const Noise& noise, const std::string& where) {
  if (noise.kind < NoiseKind::kNone || noise.kind > NoiseKind::kUniform) {
    throw_invalid(where, ".kind must be a kind of noise, got ", static_cast<int>(noise.kind));
  }
  if (!(noise.scale >= 0) || !std::isfinite(noise.scale)) {
    throw_invalid(where, ".scale must be finite and at least 0, got ", noise.scale);
  }
}

void check_index(int index, mjtSize size, const std::string& where, const char* what) {
  if (index < 0 || index >= size) {
    throw_invalid(where, " must be ", what, " in [0, ", size, "), got ", index);
  }
}

void check_set(const Reset::Set& set, const std::string& where) {
  if (!std::isfinite(set.low) || !std::isfinite(set.high) || set.low > set.high) {
    throw_invalid(where, " must be a finite interval with low <= high, got low ", set.low, " and high ",
                  set.high);
  }
}

void check_turn(const Noise& noise, const std::string& where) {
  check_noise(noise, where);
  if (noise.kind == NoiseKind::kUniform && noise.scale > std::numbers::pi) {
    throw_invalid(where, ".scale must be at most pi, got ", noise.scale);
  }
}

bool is_quaternion(const mjModel* m, int index) {
  for (mjtSize i = 0; i < m->njnt; ++i) {
    const int first = m->jnt_qposadr[i];
    if ((m->jnt_type[i] == mjJNT_FREE && index == first + 3) ||
        (m->jnt_type[i] == mjJNT_BALL && index == first)) {
      return true;
    }
  }
  return false;
}

// angle - sin(angle), also of small angles
double excess(double angle) {
  if (angle > 0.3) return angle - std::sin(angle);
  const double square = angle * angle;
  return angle * square / 6 * (1 - square / 20 * (1 - square / 42));
}

// The angle of a rotation that is uniform over all of at most `most`: its distribution is excess(angle) /
// excess(most).
double rotation_angle(double most, double share) {
  const double wanted = share * excess(most);
  double low = 0, high = most;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (excess(middle) < wanted ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

void check_reset(const Reset& reset, const mjModel* m, const std::string& where) {
  check_noise(reset.qpos, where + ".qpos");
  check_noise(reset.qvel, where + ".qvel");
  for (const Reset::Set& set : reset.set_qpos) {
    check_index(set.index, m->nq, where + ".set_qpos", "qpos indices");
    check_set(set, where + ".set_qpos");
  }
  for (const Reset::Own& own : reset.own_qpos) {
    check_index(own.index, m->nq, where + ".own_qpos", "qpos indices");
    check_noise(own.noise, where + ".own_qpos");
  }
  for (const Reset::Own& own : reset.own_qvel) {
    check_index(own.index, m->nv, where + ".own_qvel", "qvel indices");
    check_noise(own.noise, where + ".own_qvel");
  }
  for (const Reset::Own& turn : reset.turns) {
    if (!is_quaternion(m, turn.index)) {
      throw_invalid(where, ".turns must be of quaternions in qpos, got index ", turn.index);
    }
    check_turn(turn.noise, where + ".turns");
  }
  for (const Reset::Set& set : reset.set_mocap) {
    check_index(set.index, 3 * m->nmocap, where + ".set_mocap", "indices of positions of mocap bodies");
    check_set(set, where + ".set_mocap");
  }
  for (const Reset::Own& turn : reset.mocap_turns) {
    check_index(turn.index, m->nmocap, where + ".mocap_turns", "mocap bodies");
    check_turn(turn.noise, where + ".mocap_turns");
  }
  if (reset.set_time.size() > 1) {
    throw_invalid(where, ".set_time must be at most one, got ", reset.set_time.size());
  }
  for (const Reset::Set& set : reset.set_time) check_set(set, where + ".set_time");
}

void check_goal(const Goal& goal, const std::string& where) {
  if (!std::isfinite(goal.low) || !std::isfinite(goal.high) || goal.low > goal.high) {
    throw_invalid(where, " must be a finite interval with low <= high, got low ", goal.low, " and high ",
                  goal.high);
  }
  if (goal.is_rotation && (goal.low != 0 || goal.high > std::numbers::pi)) {
    throw_invalid(where, " must be of angles in [0, pi] for a rotation, got low ", goal.low, " and high ",
                  goal.high);
  }
}

double draw(const Noise& noise, Draws* draws) {
  switch (noise.kind) {
    case NoiseKind::kNone:
      return 0;
    case NoiseKind::kNormal:
      return noise.scale * draws->normal();
    case NoiseKind::kUniform:
      return noise.scale * (2 * draws->uniform() - 1);
  }
  return 0;
}

void turn_quaternion(mjtNum* quat, const Noise& noise, Draws* draws) {
  if (noise.kind == NoiseKind::kNone) return;
  mjtNum axis[3];
  for (mjtNum& x : axis) x = draws->normal();
  mjtNum angle = noise.scale;
  const mjtNum length = mju_normalize3(axis);
  if (noise.kind == NoiseKind::kNormal) {
    angle *= length;
  } else {
    angle = rotation_angle(noise.scale, draws->uniform());
  }
  mju_normalize4(quat);
  mjtNum turn[4], turned[4];
  mju_axisAngle2Quat(turn, axis, angle);
  mju_mulQuat(turned, quat, turn);
  mju_normalize4(turned);
  std::copy_n(turned, 4, quat);
}

void draw_goal(const Goal& goal, Draws* draws, double* out) {
  if (!goal.is_rotation) {
    *out = goal.low + (goal.high - goal.low) * draws->uniform();
    return;
  }
  const double none[4] = {1, 0, 0, 0};
  std::copy_n(none, 4, out);
  if (goal.high > 0) turn_quaternion(out, {NoiseKind::kUniform, goal.high}, draws);
}

}  // namespace mbmf
