// The running best of a search.

#ifndef MBMF_SRC_PLANNING_BEST_CANDIDATE_H_
#define MBMF_SRC_PLANNING_BEST_CANDIDATE_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "mbmf/base/error.h"

namespace mbmf {

struct BestCandidate {
  double cost = std::numeric_limits<double>::infinity();
  std::uint32_t candidate = 0;

  // not finite never wins; ties go to the lowest index, whatever the order of calls
  void take(double other_cost, std::uint32_t other) {
    if (!std::isfinite(other_cost)) return;
    if (other_cost < cost || (other_cost == cost && other < candidate)) *this = {other_cost, other};
  }

  // Throws mbmf::Error if no candidate was finite.
  void require_found(std::uint64_t episode, std::uint64_t step, const char* cause) const {
    if (std::isfinite(cost)) return;
    throw Error("no candidate has a finite cost at step " + std::to_string(step) + " of episode " +
                std::to_string(episode) + ": the start is finite, so " + cause + " from it");
  }
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_BEST_CANDIDATE_H_
