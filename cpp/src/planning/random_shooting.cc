// Random shooting (paper section IV-C): one round of uniform candidates, the best of which is executed.

#include <algorithm>
#include <cmath>

#include "planning/searches.h"

namespace mbmf {

namespace {

class RandomShooting : public Search {
 public:
  RandomShooting(const PlanShape& shape, bool warm_start) : shape_(shape), warm_start_(warm_start) {}

  const char* name() const override { return "random_shooting"; }
  int rounds() const override { return 1; }
  std::int64_t most(int) const override { return shape_.candidates; }
  std::int64_t most_given() const override { return 1; }
  std::int64_t keep(int) const override { return 1; }

  struct State : Work {
    std::vector<float> warm, best;
    bool is_warm = false;
    Scored scored{};
    bool found = false;
  };
  std::unique_ptr<Work> make_work() const override {
    auto work = std::make_unique<State>();
    work->warm.resize(sequence_size(shape_));
    work->best.resize(sequence_size(shape_));
    return work;
  }

  void begin(const PlanMemory& memory, std::uint64_t shift, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.found = false;
    s.is_warm = warm_start_ && memory.filled;
    if (s.is_warm) shift_plan(memory.mean.data(), shape_.horizon, shape_.naction, s.warm.data(), shift);
  }

  std::int64_t propose(int, const PlanQuery&, Work* work, Proposal* proposal) const override {
    const State& s = static_cast<const State&>(*work);
    proposal->kind = ProposalKind::kUniform;
    if (s.is_warm) {
      proposal->ngiven = 1;
      proposal->given = s.warm.data();
    }
    return shape_.candidates;
  }

  void update(const Round& round, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.found = round.nscored > 0;
    if (!s.found) return;
    s.scored = round.scored[0];
    round.sequences(s.scored.position, 1, s.best.data());
  }

  bool choose(Work* work, Plan* plan) const override {
    const State& s = static_cast<const State&>(*work);
    if (!s.found) return false;
    plan->actions.assign(s.best.begin(), s.best.end());
    plan->candidate = s.scored.position;
    plan->cost = s.scored.cost;
    return true;
  }

  void remember(const Work& work, PlanMemory* memory) const override {
    if (!warm_start_) return;
    const State& s = static_cast<const State&>(work);
    memory->mean.assign(s.best.begin(), s.best.end());
  }

 private:
  PlanShape shape_;
  bool warm_start_;
};

}  // namespace

SearchKind random_shooting_kind() {
  return {"random_shooting",
          "uniform candidates, of which the best is executed",
          1000,
          100'000'000,
          {{"warm_start", 0, 0, 1, true, false, {"no", "yes"}, "candidate 0 is the last plan, shifted"}},
          [](const PlanShape& shape, const SearchValues& values) {
            return std::make_unique<RandomShooting>(shape, values.at("warm_start") != 0);
          }};
}

}  // namespace mbmf
