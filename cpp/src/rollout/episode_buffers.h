// Checks and clearing of the caller's episode buffers, and what a pose is, for all collectors.

#ifndef MBMF_SRC_ROLLOUT_EPISODE_BUFFERS_H_
#define MBMF_SRC_ROLLOUT_EPISODE_BUFFERS_H_

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cstdint>

#include "mbmf/base/error.h"
#include "mbmf/rollout/rollout.h"

namespace mbmf {

// the parts of MuJoCo's state that are a pose
constexpr int kPose = mjSTATE_QPOS | mjSTATE_MOCAP_POS | mjSTATE_MOCAP_QUAT;

inline void check_and_clear(const Task& task, const EpisodeBuffers& b) {
  if (b.episodes < 1) throw_invalid("episodes must be at least 1, got ", b.episodes);
  if (b.steps < 1) throw_invalid("steps must be at least 1, got ", b.steps);
  const std::size_t episodes = static_cast<std::size_t>(b.episodes),
                    steps = static_cast<std::size_t>(b.steps);
  std::fill_n(b.states, episodes * (steps + 1) * task.nstate(), 0.0);
  if (b.observations != nullptr)
    std::fill_n(b.observations, episodes * (steps + 1) * task.nobservation(), 0.0);
  std::fill_n(b.actions, episodes * steps * task.naction(), 0.0f);
  std::fill_n(b.rewards, episodes * steps, 0.0);
  std::fill_n(b.lengths, episodes, 0);
  std::fill_n(b.terminated, episodes, std::uint8_t{0});
  std::fill_n(b.diverged, episodes, std::uint8_t{0});
  if (b.segments != nullptr) std::fill_n(b.segments, episodes * (steps + 1), 0);
  if (b.origins != nullptr) std::fill_n(b.origins, episodes * 2, 0.0);
  if (b.poses != nullptr) std::fill_n(b.poses, episodes * (steps + 1) * pose_size(task), 0.0);
}

}  // namespace mbmf

#endif  // MBMF_SRC_ROLLOUT_EPISODE_BUFFERS_H_
