// How an episode starts: noise on positions and velocities, numbers that are set, turns, goals.

#ifndef MBMF_TASK_RESET_H_
#define MBMF_TASK_RESET_H_

#include <mujoco/mujoco.h>

#include <string>
#include <vector>

#include "mbmf/base/random.h"

namespace mbmf {

enum class NoiseKind : int { kNone = 0, kNormal = 1, kUniform = 2 };

// Added to a start vector: scale * N(0, 1), or uniform in [-scale, scale).
struct Noise {
  NoiseKind kind = NoiseKind::kNone;
  double scale = 0;
};

// How an episode starts, drawn in this order: start qpos and qvel, noise added to each; some qpos set; some
// quaternions turned; mocap bodies set and turned; the time set.
struct Reset {
  // a number set to a value uniform in [low, high) (low = high: that value)
  struct Set {
    int index;
    double low, high;
  };
  // noise of one number in place of the noise of all; or of a quaternion, as a turn (see turn_quaternion)
  struct Own {
    int index;
    Noise noise;
  };
  Noise qpos, qvel;
  std::vector<Set> set_qpos = {};     // qpos indices
  std::vector<Own> own_qpos = {};     // qpos indices
  std::vector<Own> own_qvel = {};     // qvel indices
  std::vector<Own> turns = {};        // qpos indices of quaternions' first numbers
  std::vector<Set> set_mocap = {};    // indices in mocap_pos
  std::vector<Own> mocap_turns = {};  // mocap bodies
  std::vector<Set> set_time = {};     // seconds; none or one, whose index is 0
};

// What an episode has to reach, drawn anew for each: a number uniform in [low, high), or a unit quaternion,
// four numbers, uniform over all rotations of at most `high` radians.
struct Goal {
  bool is_rotation = false;
  double low = 0, high = 0;

  int size() const { return is_rotation ? 4 : 1; }
};

// Throws std::invalid_argument unless indices fit the model and numbers are finite.
void check_reset(const Reset& reset, const mjModel* m, const std::string& where);
void check_goal(const Goal& goal, const std::string& where);

double draw(const Noise& noise, Draws* draws);

// Turns a unit quaternion, in its own frame. Normal: by a rotation vector of three N(0, scale^2), radians;
// uniform: by a rotation uniform over all of at most `scale` radians, in (0, pi].
void turn_quaternion(mjtNum* quat, const Noise& noise, Draws* draws);

// The numbers of a goal. out (size)
void draw_goal(const Goal& goal, Draws* draws, double* out);

}  // namespace mbmf

#endif  // MBMF_TASK_RESET_H_
