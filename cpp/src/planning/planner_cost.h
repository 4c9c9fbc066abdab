// A task's planning cost as the kernels read it: float32, plain arrays, nothing of zero weight.

#ifndef MBMF_SRC_PLANNING_PLANNER_COST_H_
#define MBMF_SRC_PLANNING_PLANNER_COST_H_

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "kernel/kernel.h"
#include "mbmf/task/path.h"
#include "mbmf/task/terms.h"
#include "planning/planner_path.h"

namespace mbmf {

class PlannerCost {
 public:
  PlannerCost(const std::vector<Term>& cost, const std::vector<StateBound>& alive,
              const std::optional<PathCost>& path);

  const std::vector<kernel::Term>& terms() const { return terms_; }
  const std::vector<kernel::Bound>& alive() const { return alive_; }

  // Whether a term is one of how actions change.
  bool reads_action_rate() const { return reads_action_rate_; }

  // The task's path, or null.
  const std::shared_ptr<const PlannerPath>& path() const { return path_; }

  // States that the cost of a point reads, in order, each once: what the last predicted point needs.
  const std::vector<int>& rows() const { return rows_; }

 private:
  std::deque<std::vector<float>> targets_;  // a deque keeps what terms_ points at in place
  std::deque<std::vector<int>> indices_;
  std::vector<kernel::Term> terms_;
  std::vector<kernel::Bound> alive_;
  bool reads_action_rate_ = false;
  std::shared_ptr<const PlannerPath> path_;
  std::vector<int> rows_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_PLANNER_COST_H_
