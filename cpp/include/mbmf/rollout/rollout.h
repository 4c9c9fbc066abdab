// Whole episodes in C++: random actions, model-predictive control, and Gaussian policies.

#ifndef MBMF_ROLLOUT_ROLLOUT_H_
#define MBMF_ROLLOUT_ROLLOUT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "mbmf/model/dynamics.h"
#include "mbmf/model/policy.h"
#include "mbmf/planning/planner.h"
#include "mbmf/task/task.h"

namespace mbmf {

// Buffers of the caller, one row per episode; what lies past an episode's length is zero.
struct EpisodeBuffers {
  std::int64_t episodes;
  int steps;                 // at most, per episode
  double* states;            // (episodes, steps + 1, nstate)
  double* observations;      // (episodes, steps + 1, nobservation), or null
  float* actions;            // (episodes, steps, naction), without the noise added to executed ones
  double* rewards;           // (episodes, steps)
  std::int32_t* lengths;     // (episodes) control steps
  std::uint8_t* terminated;  // (episodes) ended by leaving the healthy bounds
  std::uint8_t* diverged;    // (episodes) ended by MuJoCo, or without a plan; that step is not in the episode

  // of episodes on a path, or null
  std::int32_t* segments = nullptr;  // (episodes, steps + 1) where each state was planned from, then the last
  double* origins = nullptr;         // (episodes, 2) what was added to the waypoints

  // what pictures of MPC's episodes need where the states do not say it, or null
  double* poses = nullptr;  // (episodes, steps + 1, pose_size)
};

// The numbers of a pose: MuJoCo's qpos, mocap_pos and mocap_quat.
int pose_size(const Task& task);

// Called now and then with the number of control steps done; return false to stop (the call then throws
// mbmf::Error).
using Progress = std::function<bool(std::int64_t steps_done)>;

// Episodes of uniform actions in [-1, 1), started with ResetKind::kRandom, never terminated. Episode e is a
// pure function of (seed, first_episode + e).
void collect_random(const Task& task, const EpisodeBuffers& buffers, std::uint64_t seed,
                    std::uint64_t first_episode, int nthread, const Progress& progress);

// Episodes of the planner's actions, started with ResetKind::kControl. Episode e is a pure function of
// (planner, seed, first_episode + e). action_noise: standard deviation of the noise on executed actions.
// Where no candidate has a finite cost the episode ends before that step, as diverged, and the others go on.
//
// On a task with a path an episode keeps its segment, from 0 on, which advances by next_segment
// (mbmf/task/path.h), and ends once it is past the path's last_segment; relative waypoints begin where the
// episode does.
void collect_mpc(Planner& planner, const EpisodeBuffers& buffers, std::uint64_t seed,
                 std::uint64_t first_episode, double action_noise, const Progress& progress);

struct PolicyRolloutOptions {
  // How much: exactly one of the two is positive.
  std::int64_t steps = 0;  // the fewest episodes, in order of their numbers, that have so many steps in all
  std::int64_t episodes = 0;  // so many episodes

  int max_steps = 1000;  // an episode that gets there is truncated
  std::uint64_t seed = 0;
  std::uint64_t first_episode = 0;
  int nthread = 0;  // 0: one for every CPU
  ResetKind start = ResetKind::kDefault;
  std::optional<double> noise_std = {};  // deviation of every action in place of the policy's; 0: the means
  bool keep_hidden = false;
  bool keep_states = false;
  bool keep_poses = false;
};

// Episodes end to end. Exactly one of terminated, truncated and diverged holds for an episode.
struct PolicyBatch {
  // one row per control step
  std::vector<float> observations;         // (n, nobservation), before the step
  std::vector<float> actions;              // (n, naction), not clipped; executed are those clipped to [-1, 1]
  std::vector<float> means;                // (n, naction)
  std::vector<double> log_probs;           // (n) of the actions; none where noise_std is 0
  std::vector<double> rewards;             // (n), of the clipped action
  std::vector<std::vector<float>> hidden;  // per hidden layer (n, width) what it gave, if kept
  std::vector<double> states;              // (n, nstate), before the step, if kept
  std::vector<double> poses;               // (n, pose_size), before the step, if kept

  // one row per episode
  std::vector<std::int32_t> lengths;
  std::vector<std::uint8_t> terminated;   // ended by leaving the healthy bounds
  std::vector<std::uint8_t> truncated;    // ended by max_steps
  std::vector<std::uint8_t> diverged;     // ended by MuJoCo; the failing step is not in the episode
  std::vector<float> final_observations;  // (episodes, nobservation), after the last step
  std::vector<double> final_states;       // (episodes, nstate), after the last step, if kept
  std::vector<double> final_poses;        // (episodes, pose_size), after the last step, if kept

  std::int64_t nsteps() const { return static_cast<std::int64_t>(rewards.size()); }
};

// Episodes of a policy's actions. Episode e is a pure function of (policy, seed, first_episode + e), and so
// is which episodes are collected: threads run ahead, and what is not needed is dropped. Throws
// std::invalid_argument on options out of range and a policy of other sizes, mbmf::Error if a hundred
// episodes in a row diverge in their first step.
PolicyBatch collect_policy(const Task& task, const GaussianPolicy& policy,
                           const PolicyRolloutOptions& options, const Progress& progress);

struct ImaginedOptions {
  int max_steps = 100;  // an episode that gets there is truncated
  std::uint64_t seed = 0;
  std::uint64_t first_episode = 0;
  int nthread = 0;  // 0: one for every CPU
  bool keep_hidden = false;
};

// Episodes of a policy's actions through the mean prediction of a learned model, from starts (count, nstate):
// no simulation. They are terminated where they leave the task's alive bounds or those of healthy that are of
// states, and diverged where a prediction is not finite. Episode e is a pure function of (policy, model, its
// start, seed, first_episode + e). Throws std::invalid_argument on options out of range, on sizes that do not
// fit, on observations that are not states, on rewards of more than states, and where no state says when an
// episode ends.
PolicyBatch imagine_policy(const Task& task, const Dynamics& dynamics, const GaussianPolicy& policy,
                           const double* starts, std::int64_t count, const ImaginedOptions& options,
                           const Progress& progress);

// sums[t] = sum over l of factor^l values[t + l] to the end of the step's episode, of episodes of `lengths`
// (nepisode) one after the other.
void discounted_sums(const double* values, const std::int32_t* lengths, std::int64_t nepisode, double factor,
                     double* sums);

}  // namespace mbmf

#endif  // MBMF_ROLLOUT_ROLLOUT_H_
