// A task: what the robot is, what is observed, what is good, when an episode ends and how it starts.
//
// The one definition that simulator, planner and Gymnasium environment read. Immutable and thread-safe once
// made.

#ifndef MBMF_TASK_TASK_H_
#define MBMF_TASK_TASK_H_

#include <mujoco/mujoco.h>

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mbmf/base/random.h"
#include "mbmf/task/motion.h"
#include "mbmf/task/path.h"
#include "mbmf/task/reset.h"
#include "mbmf/task/terms.h"

namespace mbmf {

// Where a number of a state or an observation comes from in mjData.
enum class Source : int {
  kTime = 0,
  kQpos = 1,           // address: qpos index
  kQvel = 2,           // qvel index
  kAct = 3,            // activation index
  kSensor = 4,         // sensordata index
  kBodyPos = 5,        // 3 * body + axis (xpos)
  kBodyRotation = 6,   // 9 * body + entry, row-major (xmat)
  kSitePos = 7,        // 3 * site + axis (site_xpos)
  kSubtreeCom = 8,     // 3 * body + axis
  kSubtreeLinvel = 9,  // 3 * body + axis
  kBodyEuler = 10,  // 6 * body + k: cos, sin of a = atan2(r3, r1), of b = atan2(-r6, sqrt(r7^2 + r8^2)) and
                    // of c = atan2(r7, r8), r = xmat of the body, row-major (the paper's code for the ant)
  kContactForce = 11,  // 6 * body + k: torque, then force on the body from outside, in the last physics step
                       // (cfrc_ext of mj_rnePostConstraint); 0 at a start
  kTendonLength = 12,  // tendon
  kTendonVelocity = 13,  // tendon
  kActuatorForce = 14,   // force output of an actuator (actuator_force)
  kSiteRotation = 15,    // 9 * site + entry, row-major (site_xmat)
  kBodyVelocity = 16,    // 6 * body + k: linear, then angular velocity of the frame (xpos), in the world
  kSiteVelocity = 17,    // 6 * site + k: likewise
  kQacc = 18,            // qvel index
  kGeomDistance = 19,    // ngeom * geom + another: the least distance, below 0 where they overlap
  kBodyQuat = 20,        // 4 * body + k (xquat)
  kGoal = 21,            // number of the task's goals, all in a row
  kReference = 22,       // column of the task's references, all in a row
};

enum class Transform : int {
  kIdentity = 0,
  kCos = 1,
  kSin = 2,
  kRate = 3,  // (the number after the control step - the number before it) / dt; 0 at a start
};

// One dimension of a state or an observation: a source, transformed, then clipped to [low, high].
struct Channel {
  Source source;
  int address = 0;
  Transform transform = Transform::kIdentity;
  double low = -std::numeric_limits<double>::infinity();  // -infinity: not clipped
  double high = std::numeric_limits<double>::infinity();  // +infinity: not clipped
  bool lagged = false;  // kBodyPos: as the last physics step left it, of the state before that step
  int memory = -1;      // Task's own: where a simulation keeps it (index in userdata); -1: nowhere

  bool operator==(const Channel&) const = default;
};

// A number of mjData that must stay within bounds.
struct ChannelBound {
  Channel channel;
  Bounds bounds;
};

enum class ResetKind : int {
  kDefault = 0,
  kRandom = 1,
  kControl = 2
};  // policy, random data, control rollouts

struct TaskSpec {
  std::string name;
  int physics_steps = 1;              // per control step
  std::vector<Channel> state;         // the dynamics model's
  std::vector<Channel> observation;   // the policy's
  std::vector<Channel> reward_state;  // more numbers, which only the reward reads
  std::vector<Term> reward;   // over the state after the step, then reward_state, and the action in [-1, 1]
  double healthy_reward = 0;  // beside the terms, where the step leaves the robot healthy
  std::vector<Term> cost;     // over predicted states and actions
  std::optional<PathCost> path;       // added to the cost where the task is to follow a path
  std::vector<StateBound> alive;      // a candidate outside these is dead for good and gains nothing more
  double dying_cost = 0;              // what it pays when it leaves them
  std::vector<ChannelBound> healthy;  // an episode outside these is terminated
  int keyframe = -1;                  // of the model, whose time, activations and mocap bodies a start has
  std::vector<double> start_qpos, start_qvel;  // (nq), (nv)
  std::vector<double> start_mocap;             // (nmocap, 7) positions and quaternions, or empty: the model's
  Reset reset[3];                              // by ResetKind
  std::vector<Goal> goals;                     // drawn after the reset
  std::vector<Reference> references;           // of the time
  std::vector<MocapFollow> follows;            // mocap bodies that are where a reference says
  std::vector<MocapMove> moves;                // mocap bodies that actions move
  std::vector<double> safe_action;             // (naction) in [-1, 1], or empty: zeros
};

class KnownStates;
class StepMemory;
class SubtreeMotion;

class Task {
 public:
  // Loads a compiled MuJoCo model (MJB bytes). Throws mbmf::Error if MuJoCo refuses it, std::invalid_argument
  // if the specification does not fit the model. What the channels ask to be remembered from a step to the
  // next is kept in the model's user data, from 0 on; where it has less, it gets as much.
  static std::shared_ptr<const Task> load(const void* mjb, std::size_t size, TaskSpec spec);
  ~Task();

  const mjModel* model() const { return model_; }
  const TaskSpec& spec() const { return spec_; }
  int nstate() const { return static_cast<int>(spec_.state.size()); }
  int nobservation() const { return static_cast<int>(spec_.observation.size()); }
  // controls of actuators, then moves of mocap bodies
  int naction() const { return static_cast<int>(model_->nu) + static_cast<int>(spec_.moves.size()); }
  bool observes_state() const { return observes_state_; }  // the observation is the state, channel by channel
  double dt() const { return model_->opt.timestep * spec_.physics_steps; }  // seconds

  // The control of an action in [-1, 1]: scaled to the actuator's control range where it is limited.
  // action (naction), of which those of the actuators, ctrl (nu)
  void to_control(const double* action, mjtNum* ctrl) const;

  // Numbers of a simulation's user data that the task keeps.
  int nmemory() const;

  // Reads channels of the specification from d, which must be refreshed. out (channels)
  void read(const std::vector<Channel>& channels, const mjData* d, double* out) const;

  // Sets d, freshly reset (to the keyframe, if there is one), to a start state; does not run forward. In this
  // order: the reset, the goals; then quaternions are normalised.
  void start(mjData* d, ResetKind kind, Draws draws) const;

  // True if every healthy bound holds and qpos and qvel are finite. d must be refreshed.
  bool healthy(const mjData* d) const;

  // Brings what the task's channels read up to d's qpos and qvel, and nothing else: after a step MuJoCo's own
  // values are those before the last physics step. What the next step reads is left as it is. Sensors of the
  // acceleration stage and forces of actuators are those that MuJoCo would begin the next step with.
  void refresh(mjData* d) const;

  // Before each physics step of a control step: mocap bodies to where the action and the references have
  // them.
  void move(mjData* d, const double* action) const {
    if (moves_) move_bodies(d, action);
  }

  // The states that a plan knows beforehand.
  const KnownStates& known() const { return *known_; }

  // Before the physics of a control step, and after it: what channels and rewards need to know of the step,
  // then `refresh`. d may be as mj_setState left it. action (naction) in [-1, 1]
  void before_step(mjData* d, const double* action) const;
  void after_step(mjData* d) const;

  // The same for a start state that no step led to: rates and forces are 0. d must be refreshed.
  void remember_start(mjData* d) const;

  // The reward of the step that led to d, which must be refreshed. state (nstate) as read from d, action
  // (naction) in [-1, 1]
  double reward(mjData* d, const double* state, const double* action) const;

  // Planning cost of K candidates, in float64. states (K, H + 1, nstate), actions (K, H, naction), cost (K).
  // The sum over t = 0..H; the action at t = H is that at H - 1. start: where the candidates are on the
  // task's path, if it has one.
  void cost(const float* states, const float* actions, int k, int horizon, const PathStart& start,
            double* cost) const;
  void cost(const float* states, const float* actions, int k, int horizon, double* out) const {
    cost(states, actions, k, horizon, PathStart{}, out);
  }

 private:
  Task(mjModel* model, TaskSpec spec);
  void check() const;
  void move_bodies(mjData* d, const double* action) const;
  // The references at d's time, and the bodies that follow them.
  void follow(mjData* d) const;

  mjModel* model_;
  TaskSpec spec_;
  bool observes_state_;
  bool moves_;  // whether mocap bodies move
  int ngoal_ = 0, nreference_ = 0;
  bool reads_kinematics_, reads_velocities_, reads_subtrees_, reads_sensors_, reads_forces_;  // by refresh
  std::unique_ptr<const SubtreeMotion> subtrees_;
  std::unique_ptr<StepMemory> memory_;
  std::unique_ptr<const KnownStates> known_;
  std::vector<std::pair<double, double>> control_;  // (middle, half range) per actuator
};

}  // namespace mbmf

#endif  // MBMF_TASK_TASK_H_
