// How the candidates of a round come to be: plain numbers and pointers, which the vector kernels read.

#ifndef MBMF_PLANNING_PROPOSAL_H_
#define MBMF_PLANNING_PROPOSAL_H_

#include <cstdint>

namespace mbmf {

enum class ProposalKind : int {
  kUniform = 0,          // uniform in [-1, 1)
  kNormal = 1,           // mean + deviation * noise, clipped to [-1, 1]
  kTruncatedNormal = 2,  // the same with noise that is a normal truncated at two deviations
};

// A candidate is a pure function of the proposal and its position in the round: it is made again wherever it
// is needed instead of being stored. Random numbers are Philox blocks (mbmf/base/random.h) with the counter
// (block + round * 2^24, position, step), so rounds, positions and steps share none. A candidate's draws are
// numbered t * naction + a; four are a block. Two words of a block give two normals (Box-Muller).
struct Proposal {
  ProposalKind kind = ProposalKind::kUniform;
  int horizon = 0, naction = 0;

  // of normals
  const float* mean = nullptr;       // (horizon, naction)
  const float* deviation = nullptr;  // (horizon, naction)
  const float* colour = nullptr;     // (horizon, horizon): noise = colour * normals; null: white
  const float* before = nullptr;     // (naction) the action before the first, for the filter; null: zeros
  // Of the filter a_t = smoothing (mean_t + deviation_t noise_t) + (1 - smoothing) a_(t-1); 1: none.
  float smoothing = 1;

  // The first positions' sequences, (ngiven, horizon, naction) in [-1, 1], but for their last `redrawn` rows,
  // which the position draws as any other would.
  int ngiven = 0;
  const float* given = nullptr;
  int redrawn = 0;

  // set by the planner
  // A policy's sequences, (npolicy, horizon, naction) in [-1, 1], in place of those of positions
  // first_of_policy on.
  int npolicy = 0;
  std::int64_t first_of_policy = 0;
  const float* policy = nullptr;
  const std::uint32_t* positions = nullptr;  // of the candidates to make; null: one after the other
  std::uint32_t key[2] = {0, 0}, step[2] = {0, 0};
  std::uint32_t round = 0;
};

// Rounds and draws that the counters have room for.
inline constexpr int kMaxRounds = 256;
inline constexpr std::int64_t kMaxDraws = std::int64_t{1} << 26;  // horizon * naction

}  // namespace mbmf

#endif  // MBMF_PLANNING_PROPOSAL_H_
