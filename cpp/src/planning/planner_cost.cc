#include "planning/planner_cost.h"

#include <set>

namespace mbmf {

PlannerCost::PlannerCost(const std::vector<Term>& cost, const std::vector<StateBound>& alive,
                         const std::optional<PathCost>& path) {
  std::set<int> rows;
  for (const Term& term : cost) {
    if (term.weight == 0) continue;
    kernel::Term packed{};
    packed.kind = static_cast<int>(term.kind);
    packed.weight = static_cast<float>(term.weight);
    packed.n = static_cast<int>(term.index.size());
    packed.index = indices_.emplace_back(term.index).data();
    if (!term.target_index.empty()) packed.target_index = indices_.emplace_back(term.target_index).data();
    if (!term.target.empty()) {
      packed.target = targets_.emplace_back(term.target.begin(), term.target.end()).data();
    }
    packed.low = static_cast<float>(term.bounds.low);
    packed.high = static_cast<float>(term.bounds.high);
    packed.low_open = term.bounds.low_open;
    packed.high_open = term.bounds.high_open;
    packed.terminal = term.terminal;
    reads_action_rate_ |= term.kind == TermKind::kActionRate;
    terms_.push_back(packed);
    rows.insert(term.index.begin(), term.index.end());
    rows.insert(term.target_index.begin(), term.target_index.end());
  }
  for (const StateBound& bound : alive) {
    alive_.push_back({bound.index, static_cast<float>(bound.bounds.low),
                      static_cast<float>(bound.bounds.high), bound.bounds.low_open, bound.bounds.high_open});
    rows.insert(bound.index);
  }
  if (path) {
    path_ = std::make_shared<const PlannerPath>(*path);
    rows.insert({path->x, path->y});
    if (path->heading >= 0) rows.insert(path->heading);
  }
  rows_.assign(rows.begin(), rows.end());
}

}  // namespace mbmf
