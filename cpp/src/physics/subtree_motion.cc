#include "physics/subtree_motion.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace mbmf {

namespace {

// What is known of a body on the way from the root to the leaves.
struct Motion {
  double rotation[9];  // row-major, body to world
  double position[3];  // of the body's frame
  double angular[3];   // velocity
  double linear[3];    // velocity of the frame's origin
  double centre[3];    // position of the body's own centre of mass
  double velocity[3];  // its velocity
};

constexpr Motion kWorld = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, {}, {}, {}, {}, {}};

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

inline void copy3(double out[3], const double v[3]) {
  for (int k = 0; k < 3; ++k) out[k] = v[k];
}

inline void add(double v[3], const double a[3]) {
  for (int k = 0; k < 3; ++k) v[k] += a[k];
}

inline void add_scaled(double v[3], const double a[3], double scale) {
  for (int k = 0; k < 3; ++k) v[k] += a[k] * scale;
}

inline bool is_zero(const double v[3]) { return v[0] == 0 && v[1] == 0 && v[2] == 0; }

inline void column(double out[3], const double r[9], int k, double sign) {
  for (int i = 0; i < 3; ++i) out[i] = sign * r[3 * i + k];
}

// turns the body about its k-th axis
inline void turn_about(double rotation[9], int k, double angle) {
  const double s = std::sin(angle), c = std::cos(angle);
  const int a = (k + 1) % 3, b = (k + 2) % 3;
  for (int row = 0; row < 9; row += 3) {
    const double x = rotation[row + a], y = rotation[row + b];
    rotation[row + a] = c * x + s * y;
    rotation[row + b] = c * y - s * x;
  }
}

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

// the joint's axis in the world
inline void world_axis(double out[3], const Motion& body, const double axis[3], int along) {
  if (along == 0) {
    rotate(out, body.rotation, axis);
  } else {
    column(out, body.rotation, std::abs(along) - 1, along > 0 ? 1 : -1);
  }
}

void apply_joint(const mjModel* m, const mjData* d, int j, int along, Motion* body) {
  const double* qpos = d->qpos + m->jnt_qposadr[j];
  const double* qpos0 = m->qpos0 + m->jnt_qposadr[j];
  const double* qvel = d->qvel + m->jnt_dofadr[j];
  const double* axis = m->jnt_axis + 3 * j;
  const double* offset = m->jnt_pos + 3 * j;
  double v[3];
  if (m->jnt_type[j] == mjJNT_SLIDE) {
    world_axis(v, *body, axis, along);
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
    world_axis(v, *body, axis, along);
    add_scaled(body->angular, v, qvel[0]);
    const double angle = qpos[0] - qpos0[0];
    if (along == 0) {
      turn(body->rotation, axis, angle);
    } else {
      turn_about(body->rotation, std::abs(along) - 1, along > 0 ? angle : -angle);
    }
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

SubtreeMotion::SubtreeMotion(const mjModel* model, const std::vector<int>& bodies)
    : model_(model),
      rotation_(static_cast<std::size_t>(9 * model->nbody)),
      turned_(static_cast<std::size_t>(model->nbody)),
      along_(static_cast<std::size_t>(model->njnt)) {
  for (std::size_t i = 0; i < turned_.size(); ++i) {
    matrix_of(&rotation_[9 * i], model->body_quat + 4 * i);
    turned_[i] = model->body_quat[4 * i] != 1;
  }
  for (std::size_t j = 0; j < along_.size(); ++j) {
    for (int k = 0; k < 3; ++k) {
      const double x = model->jnt_axis[3 * j + k];
      if (std::abs(x) == 1) along_[j] = x > 0 ? k + 1 : -k - 1;
    }
  }

  // the members of each subtree, and all bodies on the way to them
  std::vector<char> needed(turned_.size());
  for (const int body : bodies) {
    Subtree subtree{body, {}, std::max<double>(mjMINVAL, model->body_subtreemass[body])};
    for (int i = body; i < model->nbody; ++i) {
      int ancestor = i;
      while (ancestor > body) ancestor = model->body_parentid[ancestor];
      if (ancestor == body) subtree.members.push_back(i);
    }
    for (int i : subtree.members) needed[static_cast<std::size_t>(i)] = 1;
    for (int i = body; i > 0; i = model->body_parentid[i]) needed[static_cast<std::size_t>(i)] = 1;
    subtrees_.push_back(std::move(subtree));
  }
  for (int i = 0; i < model->nbody; ++i) {
    if (needed[static_cast<std::size_t>(i)]) bodies_.push_back(i);
  }
}

void SubtreeMotion::compute(mjData* d) const {
  const mjModel* m = model_;
  mj_markStack(d);
  Motion* motion = static_cast<Motion*>(
      mj_stackAllocByte(d, static_cast<std::size_t>(m->nbody) * sizeof(Motion), alignof(Motion)));

  // from the root outwards: each body carried by its parent, moved by its joints
  for (const int i : bodies_) {
    Motion& body = motion[i];
    const int first = m->body_jntadr[i], mocap = m->body_mocapid[i];
    if (i == 0) {
      body = kWorld;
    } else if (mocap >= 0) {
      body = kWorld;
      copy3(body.position, d->mocap_pos + 3 * mocap);
      matrix_of(body.rotation, d->mocap_quat + 4 * mocap);
    } else if (m->body_jntnum[i] == 1 && m->jnt_type[first] == mjJNT_FREE) {
      const double* qpos = d->qpos + m->jnt_qposadr[first];
      const double* qvel = d->qvel + m->jnt_dofadr[first];
      copy3(body.position, qpos);
      matrix_of(body.rotation, qpos + 3);
      copy3(body.linear, qvel);
      rotate(body.angular, body.rotation, qvel + 3);
    } else {
      const int above = m->body_parentid[i];
      const Motion& parent = above > 0 ? motion[above] : kWorld;
      double arm[3];
      copy3(body.position, parent.position);
      copy3(body.linear, parent.linear);
      copy3(body.angular, parent.angular);
      rotate(arm, parent.rotation, m->body_pos + 3 * i);
      move(&body, arm, 1);
      if (turned_[static_cast<std::size_t>(i)]) {
        multiply(body.rotation, parent.rotation, &rotation_[9 * static_cast<std::size_t>(i)]);
      } else {
        std::copy_n(parent.rotation, 9, body.rotation);
      }
      for (int j = first; j < first + m->body_jntnum[i]; ++j) {
        apply_joint(m, d, j, along_[static_cast<std::size_t>(j)], &body);
      }
    }

    // its own centre of mass
    double arm[3];
    rotate(arm, body.rotation, m->body_ipos + 3 * i);
    copy3(body.centre, body.position);
    add(body.centre, arm);
    copy3(body.velocity, body.linear);
    add_cross(body.velocity, body.angular, arm);
  }

  // the means of each subtree; one without mass is where its root is, and rests
  for (const Subtree& subtree : subtrees_) {
    double* com = d->subtree_com + 3 * subtree.body;
    double* linvel = d->subtree_linvel + 3 * subtree.body;
    double position[3] = {}, velocity[3] = {};
    for (const int i : subtree.members) {
      add_scaled(position, motion[i].centre, m->body_mass[i]);
      add_scaled(velocity, motion[i].velocity, m->body_mass[i]);
    }
    const bool massless = m->body_subtreemass[subtree.body] < mjMINVAL;
    for (int k = 0; k < 3; ++k) {
      com[k] = massless ? motion[subtree.body].centre[k] : position[k] / subtree.mass;
      linvel[k] = velocity[k] / subtree.mass;
    }
  }
  mj_freeStack(d);
}

}  // namespace mbmf
