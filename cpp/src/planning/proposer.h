// Sequences that a policy proposes to a search: its actions as it goes through the model from a plan's start.
//
// Number 0 is the policy's mean; the others have noise of its deviation, from the stream kProposal: like a
// candidate's of that position in round 0. A proposer knows nothing of searches.

#ifndef MBMF_SRC_PLANNING_PROPOSER_H_
#define MBMF_SRC_PLANNING_PROPOSER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel/kernel.h"
#include "mbmf/planning/planner.h"

namespace mbmf {

class Proposer {
 public:
  virtual ~Proposer() = default;

  // How many numbers are worth making at once.
  virtual int grain() const = 0;
  // Makes room for so many threads.
  virtual void reserve(int nthread) = 0;

  // Proposals first .. first + count - 1, count at most the grain, from a query's start: out (count, horizon,
  // naction), not a number where the policy gives none. Does not throw.
  virtual void propose(const PlanQuery& query, std::int64_t first, int count, int thread, float* out) = 0;
};

// One file each. Null where the options have no policy. Throw std::invalid_argument on a policy of other
// sizes than the task's, and where the model does not predict what the policy observes.
std::unique_ptr<Proposer> make_model_proposer(std::shared_ptr<const Task> task,
                                              std::shared_ptr<const Dynamics> dynamics,
                                              const PlannerOptions& options);
std::unique_ptr<Proposer> make_simulator_proposer(std::shared_ptr<const Task> task,
                                                  const PlannerOptions& options);

// The noise of proposals, a part of a deviation, so that the kernel that draws it leaves it within [-1, 1].
class ProposalNoise {
 public:
  static constexpr float kUnit = 8;  // of it are a deviation; normals reach 6.7

  ProposalNoise(const kernel::Table& table, int horizon, int naction, std::uint64_t seed);

  // Of `count` proposals: rows (horizon * naction, tile), a proposal in each column.
  void draw(const PlanQuery& query, std::int64_t first, int count, float* rows) const;

 private:
  const kernel::Table& table_;
  int horizon_, naction_;
  std::uint64_t seed_;
  std::vector<float> zeros_, deviation_;  // (horizon, naction)
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_PROPOSER_H_
