#include "subtree_motion.h"

#include <algorithm>
#include <cmath>

namespace mbmf {

namespace {

// What is known of a body on the way from the root to the leaves.
struct Motion {
  double rotation[9];  // row-major, body to world
  double position[3];  // of the body's frame
  double angular[3];   // velocity
  double linear[3];    // velocity of the frame's origin
  double centre[3];    // position of the body's own centre of mass
};

inline void rotate(double out[3], const double r[9], const double v[3]) {
  for (int i = 0; i < 3; ++i) out[i] = r[3 * i] * v[0] + r[3 * i + 1] * v[1] + r[3 * i + 2] * v[2];
}

inline void multiply(double out[9], const double a[9], const double b[9]) {
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j)
      out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
  }
}

// v += a x b
inline void add_cross(double v[3], const double a[3], const double b[3]) {
  v[0] += a[1] * b[2] - a[2] * b[1];
  v[1] += a[2] * b[0] - a[0] * b[2];
  v[2] += a[0] * b[1] - a[1] * b[0];
}

inline void add(double v[3], const double a[3]) {
  for (int k = 0; k < 3; ++k) v[k] += a[k];
}

inline void add_scaled(double v[3], const double a[3], double scale) {
  for (int k = 0; k < 3; ++k) v[k] += a[k] * scale;
}

inline bool is_zero(const double v[3]) { return v[0] == 0 && v[1] == 0 && v[2] == 0; }

// turns the body about an axis given in its own frame (Rodrigues' formula)
inline void turn(double rotation[9], const double axis[3], double angle) {
  const double s = std::sin(angle), c = std::cos(angle), u = 1 - c;
  const double x = axis[0], y = axis[1], z = axis[2];
  const double by[9] = {c + u * x * x,     u * x * y - s * z, u * x * z + s * y,
                        u * x * y + s * z, c + u * y * y,     u * y * z - s * x,
                        u * x * z - s * y, u * y * z + s * x, c + u * z * z};
  double turned[9];
  multiply(turned, rotation, by);
  std::copy_n(turned, 9, rotation);
}

inline void matrix_of(double out[9], const double quaternion[4]) {
  double unit[4];
  mju_copy4(unit, quaternion);
  mju_normalize4(unit);
  mju_quat2Mat(out, unit);
}

// moves the origin by an arm that turns with the body, and its velocity with it
inline void move(Motion* body, const double arm[3], double sign) {
  const double signed_arm[3] = {sign * arm[0], sign * arm[1], sign * arm[2]};
  add(body->position, signed_arm);
  add_cross(body->linear, body->angular, signed_arm);
}

void apply_joint(const mjModel* m, const mjData* d, int j, Motion* body) {
  const double* qpos = d->qpos + m->jnt_qposadr[j];
  const double* qpos0 = m->qpos0 + m->jnt_qposadr[j];
  const double* qvel = d->qvel + m->jnt_dofadr[j];
  const double* axis = m->jnt_axis + 3 * j;
  const double* offset = m->jnt_pos + 3 * j;
  double v[3];
  if (m->jnt_type[j] == mjJNT_SLIDE) {
    rotate(v, body->rotation, axis);
    const double distance = qpos[0] - qpos0[0];
    const double shift[3] = {v[0] * distance, v[1] * distance, v[2] * distance};
    move(body, shift, 1);
    add_scaled(body->linear, v, qvel[0]);
    return;
  }

  // hinge or ball: from the origin to the anchor, turn there, and back
  const bool centred = is_zero(offset);
  if (!centred) {
    rotate(v, body->rotation, offset);
    move(body, v, 1);
  }
  if (m->jnt_type[j] == mjJNT_HINGE) {
    rotate(v, body->rotation, axis);
    add_scaled(body->angular, v, qvel[0]);
    turn(body->rotation, axis, qpos[0] - qpos0[0]);
  } else {
    double by[9], turned[9];
    matrix_of(by, qpos);
    multiply(turned, body->rotation, by);
    std::copy_n(turned, 9, body->rotation);
    rotate(v, body->rotation, qvel);
    add(body->angular, v);
  }
  if (!centred) {
    rotate(v, body->rotation, offset);
    move(body, v, -1);
  }
}

}  // namespace

SubtreeMotion::SubtreeMotion(const mjModel* model)
    : model_(model), rotation_(static_cast<std::size_t>(9 * model->nbody)) {
  for (mjtSize i = 0; i < model->nbody; ++i)
    matrix_of(&rotation_[static_cast<std::size_t>(9 * i)], model->body_quat + 4 * i);
}

void SubtreeMotion::compute(mjData* d) const {
  const mjModel* m = model_;
  const int nbody = static_cast<int>(m->nbody);
  mj_markStack(d);
  Motion* motion = static_cast<Motion*>(
      mj_stackAllocByte(d, static_cast<std::size_t>(nbody) * sizeof(Motion), alignof(Motion)));
  motion[0] = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, {}, {}, {}, {}};

  // from the root outwards: each body carried by its parent, moved by its joints
  for (int i = 1; i < nbody; ++i) {
    Motion& body = motion[i];
    const int first = m->body_jntadr[i], mocap = m->body_mocapid[i];
    if (mocap >= 0) {
      body = motion[0];
      mju_copy3(body.position, d->mocap_pos + 3 * mocap);
      matrix_of(body.rotation, d->mocap_quat + 4 * mocap);
    } else if (m->body_jntnum[i] == 1 && m->jnt_type[first] == mjJNT_FREE) {
      const double* qpos = d->qpos + m->jnt_qposadr[first];
      const double* qvel = d->qvel + m->jnt_dofadr[first];
      mju_copy3(body.position, qpos);
      matrix_of(body.rotation, qpos + 3);
      mju_copy3(body.linear, qvel);
      rotate(body.angular, body.rotation, qvel + 3);
    } else {
      const Motion& parent = motion[m->body_parentid[i]];
      double arm[3];
      mju_copy3(body.position, parent.position);
      mju_copy3(body.linear, parent.linear);
      mju_copy3(body.angular, parent.angular);
      rotate(arm, parent.rotation, m->body_pos + 3 * i);
      move(&body, arm, 1);
      multiply(body.rotation, parent.rotation, &rotation_[static_cast<std::size_t>(9) * i]);
      for (int j = first; j < first + m->body_jntnum[i]; ++j) apply_joint(m, d, j, &body);
    }
  }

  // each body's share
  for (int i = 0; i < nbody; ++i) {
    Motion& body = motion[i];
    double arm[3], velocity[3];
    rotate(arm, body.rotation, m->body_ipos + 3 * i);
    mju_copy3(velocity, body.linear);
    add_cross(velocity, body.angular, arm);
    for (int k = 0; k < 3; ++k) {
      body.centre[k] = body.position[k] + arm[k];
      d->subtree_com[3 * i + k] = m->body_mass[i] * body.centre[k];
      d->subtree_linvel[3 * i + k] = m->body_mass[i] * velocity[k];
    }
  }

  // from the leaves inwards: sums, then means
  for (int i = nbody - 1; i >= 0; --i) {
    double* com = d->subtree_com + 3 * i;
    double* linvel = d->subtree_linvel + 3 * i;
    if (i > 0) {
      add(d->subtree_com + 3 * m->body_parentid[i], com);
      add(d->subtree_linvel + 3 * m->body_parentid[i], linvel);
    }
    const double mass = m->body_subtreemass[i];
    for (int k = 0; k < 3; ++k) {
      com[k] = mass < mjMINVAL ? motion[i].centre[k] : com[k] / mass;
      linvel[k] /= std::max(mjMINVAL, mass);
    }
  }
  mj_freeStack(d);
}

}  // namespace mbmf
