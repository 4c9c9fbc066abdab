// Positions and velocities of the centres of mass of a robot's subtrees, straight from qpos and qvel.
//
// MuJoCo computes these as part of much more: mj_kinematics, mj_comPos, mj_comVel and mj_subtreeVel also
// place every geom and site and build the inertias that dynamics needs. After each step of the half cheetah
// they would take a seventh of the step; this takes a fifteenth.

#ifndef MBMF_SRC_PHYSICS_SUBTREE_MOTION_H_
#define MBMF_SRC_PHYSICS_SUBTREE_MOTION_H_

#include <mujoco/mujoco.h>

#include <vector>

namespace mbmf {

// For one model. Immutable and thread-safe.
class SubtreeMotion {
 public:
  // bodies: whose subtrees are computed.
  SubtreeMotion(const mjModel* model, const std::vector<int>& bodies);

  // Sets d's subtree_com and subtree_linvel of those bodies, equal to MuJoCo's within rounding. Uses d's
  // stack, and touches nothing else of d.
  void compute(mjData* d) const;

 private:
  struct Subtree {
    int body;
    std::vector<int> members;
    double mass;
  };

  const mjModel* model_;
  std::vector<double> rotation_;  // (nbody, 9) of each body in its parent, at the joints' reference
  std::vector<char> turned_;      // (nbody) whether that is not the identity
  std::vector<int>
      along_;  // (njnt) 1, 2, 3 or -1, -2, -3: an axis of the body, forwards or backwards; 0: none
  std::vector<int> bodies_;  // whose motion is needed, parents first
  std::vector<Subtree> subtrees_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_PHYSICS_SUBTREE_MOTION_H_
