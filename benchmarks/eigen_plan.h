// Random shooting as one would write it with Eigen: the baseline of the planner's benchmarks.
//
// Tiles of 128 candidates, a tile's states one matrix with a candidate in each row, so that a state is a
// column; the network is two matrix products a tile, the cost is added while rolling forward. Threads take
// tiles from the library's own pool, and candidates are the planner's, drawn by its scalar Philox. Dead
// candidates stay.

#ifndef MBMF_BENCHMARKS_EIGEN_PLAN_H_
#define MBMF_BENCHMARKS_EIGEN_PLAN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/model/dynamics.h"
#include "mbmf/planning/planner.h"
#include "mbmf/task/terms.h"

namespace mbmf {

class EigenPlan {
 public:
  static constexpr int kTile = 128;

  // Cost terms: linear, constant, action. Networks: ReLU. Throws std::invalid_argument on others.
  EigenPlan(std::shared_ptr<const Dynamics> dynamics, std::vector<Term> cost, std::vector<StateBound> alive,
            const PlannerOptions& options);
  ~EigenPlan();

  // The best candidate from a state (nstate).
  std::int64_t plan(const double* state, std::uint64_t episode, std::uint64_t step);

  // The costs (candidates) of the last plan.
  const std::vector<float>& costs() const;

  // Bytes of working memory of a thread.
  std::int64_t scratch_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_BENCHMARKS_EIGEN_PLAN_H_
