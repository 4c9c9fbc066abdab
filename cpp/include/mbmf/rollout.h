// Whole episodes in C++: random actions, and model-predictive control.

#ifndef MBMF_ROLLOUT_H_
#define MBMF_ROLLOUT_H_

#include <cstdint>
#include <functional>

#include "mbmf/planner.h"
#include "mbmf/task.h"

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
  std::uint8_t* diverged;    // (episodes) ended by MuJoCo; the failing step is not in the episode
};

// Called now and then with the number of control steps done; return false to stop (the call then throws
// mbmf::Error).
using Progress = std::function<bool(std::int64_t steps_done)>;

// Episodes of uniform actions in [-1, 1), started with ResetKind::kRandom, never terminated. Episode e is a
// pure function of (seed, first_episode + e).
void collect_random(const Task& task, const EpisodeBuffers& buffers, std::uint64_t seed,
                    std::uint64_t first_episode, int nthread, const Progress& progress);

// Episodes of the planner's actions, started with ResetKind::kControl. Episode e is a pure function of
// (planner, seed, first_episode + e). action_noise: standard deviation of the noise on executed actions.
void collect_mpc(Planner& planner, const EpisodeBuffers& buffers, std::uint64_t seed,
                 std::uint64_t first_episode, double action_noise, const Progress& progress);

}  // namespace mbmf

#endif  // MBMF_ROLLOUT_H_
