// What moves over an episode without the robot: references, tables over time, and mocap bodies, which follow
// a reference or are moved by actions.

#ifndef MBMF_TASK_MOTION_H_
#define MBMF_TASK_MOTION_H_

#include <mujoco/mujoco.h>

#include <string>
#include <vector>

namespace mbmf {

// Numbers over time: linear between rows, the first before them, the last after them, or again and again.
struct Reference {
  std::vector<double> time;   // (rows) seconds, increasing; the first is 0
  std::vector<double> value;  // (rows, columns)
  int columns = 0;
  bool loop = false;            // from the last row's time on it begins anew
  std::vector<int> quaternion;  // first columns of quaternions, which keep their length of 1

  // out (columns)
  void at(double t, double* out) const { blend(t, 0, columns, out); }
  // One column.
  double at(double t, int column) const;

 private:
  // count columns from the first on; whole quaternions
  void blend(double t, int first, int count, double* out) const;
};

// A mocap body that follows a reference, column by column, -1: it stays where it is.
struct MocapFollow {
  int body = 0;         // mocap body
  int reference = 0;    // of the task's
  int position = -1;    // first of three columns
  int quaternion = -1;  // first of four columns
};

// A mocap body moved by an action in [-1, 1], which comes after those of the actuators.
struct MocapMove {
  enum class Kind : int {
    kPosition = 0,  // axis is at low at -1, at high at 1
    kVelocity = 1,  // axis moves at speed * action, within [low, high]
    kTurn = 2       // the body turns about its own axis at speed * action
  } kind = Kind::kPosition;
  int body = 0;  // mocap body
  int axis = 0;  // 0, 1, 2: x, y, z
  double low = 0, high = 0;
  double speed = 0;  // m/s or rad/s
};

// Throws std::invalid_argument with what is wrong.
void check_reference(const Reference& reference, const std::string& where);
void check_follow(const MocapFollow& follow, const std::vector<Reference>& references, const mjModel* m,
                  const std::string& where);
void check_move(const MocapMove& move, const mjModel* m, const std::string& where);

// Puts a mocap body where a physics step with this action has it.
void move_mocap(const MocapMove& move, double action, double timestep, mjData* d);

}  // namespace mbmf

#endif  // MBMF_TASK_MOTION_H_
