// The cross-entropy method as PETS plans with it (Chua et al. 2018): rounds of truncated normals, whose mean
// and variance follow the best candidates.

#include <algorithm>
#include <cmath>

#include "mbmf/base/error.h"
#include "planning/searches.h"

namespace mbmf {

namespace {

struct CemOptions {
  int rounds, elites;
  double momentum, deviation, tolerance;
  bool mean;
};

class Cem : public Search {
 public:
  Cem(const PlanShape& shape, const CemOptions& options) : shape_(shape), o_(options) {}

  const char* name() const override { return "cem"; }
  int rounds() const override { return o_.rounds; }
  std::int64_t most(int) const override { return shape_.candidates; }
  std::int64_t most_given() const override { return 0; }
  std::int64_t keep(int) const override { return o_.elites; }

  struct State : Work {
    std::vector<float> mean, variance, deviation, elites, best;
    std::vector<const float*> chosen;
    Scored scored{};           // the best of all rounds
    int number = 0, last = 0;  // its round, and the last one
    bool found = false;
  };
  std::unique_ptr<Work> make_work() const override {
    auto work = std::make_unique<State>();
    const std::size_t size = sequence_size(shape_);
    for (std::vector<float>* v : {&work->mean, &work->variance, &work->deviation, &work->best})
      v->resize(size);
    work->elites.resize(size * static_cast<std::size_t>(o_.elites));
    work->chosen.reserve(static_cast<std::size_t>(o_.elites));
    return work;
  }

  void begin(const PlanMemory& memory, std::uint64_t shift, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.found = false;
    if (memory.filled) {
      shift_sequence(memory.mean.data(), shape_, shift, true, s.mean.data());
    } else {
      std::fill(s.mean.begin(), s.mean.end(), 0.0f);
    }
    std::fill(s.variance.begin(), s.variance.end(), static_cast<float>(o_.deviation * o_.deviation));
  }

  std::int64_t propose(int, const PlanQuery&, Work* work, Proposal* proposal) const override {
    State& s = static_cast<State&>(*work);
    if (static_cast<double>(*std::max_element(s.variance.begin(), s.variance.end())) <= o_.tolerance)
      return 0;
    // two deviations stay within the actions' range
    for (std::size_t i = 0; i < s.mean.size(); ++i) {
      const float below = (s.mean[i] + 1) / 2, above = (1 - s.mean[i]) / 2;
      s.deviation[i] = std::sqrt(std::min(std::min(below * below, above * above), s.variance[i]));
    }
    proposal->kind = ProposalKind::kTruncatedNormal;
    proposal->mean = s.mean.data();
    proposal->deviation = s.deviation.data();
    return shape_.candidates;
  }

  void update(const Round& round, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.last = round.number;
    if (round.nscored == 0) return;
    const std::size_t size = sequence_size(shape_);
    s.chosen.clear();
    round.sequences(round.scored, round.nscored, s.elites.data());
    for (std::int64_t i = 0; i < round.nscored; ++i) {
      s.chosen.push_back(s.elites.data() + static_cast<std::size_t>(i) * size);
    }
    if (!s.found || round.scored[0].cost < s.scored.cost) {
      s.scored = round.scored[0];
      s.number = round.number;
      std::copy_n(s.chosen.front(), size, s.best.data());
    }
    s.found = true;
    // what a round that was cut short says of the spread is too little
    if (round.number == 0 || !round.cut() || round.done >= 2 * o_.elites) {
      refit(s.chosen, size, o_.momentum, false, s.mean.data(), s.variance.data());
    }
  }

  bool choose(Work* work, Plan* plan) const override {
    const State& s = static_cast<const State&>(*work);
    if (!s.found) return false;
    const std::vector<float>& from = o_.mean ? s.mean : s.best;
    plan->actions.assign(from.begin(), from.end());
    plan->candidate = o_.mean || s.number != s.last ? -1 : s.scored.position;
    plan->cost = o_.mean ? NAN : s.scored.cost;
    return true;
  }

  void remember(const Work& work, PlanMemory* memory) const override {
    const State& s = static_cast<const State&>(work);
    memory->mean.assign(s.mean.begin(), s.mean.end());
  }

  void trace(const Work& work, RoundTrace* trace) const override {
    const State& s = static_cast<const State&>(work);
    trace->mean = s.mean;
    trace->deviation.clear();
    for (const float v : s.variance) trace->deviation.push_back(std::sqrt(v));
  }

 private:
  PlanShape shape_;
  CemOptions o_;
};

}  // namespace

SearchKind cem_kind() {
  return {"cem",
          "the cross-entropy method, as in PETS: normals that follow the best candidates",
          500,
          1'000'000,
          {rounds_option(5),
           {"elites", 50, 1, 1e6, true, false, {}, "candidates that the next round follows"},
           {"momentum", 0.1, 0, 1, false, false, {}, "share of the old mean and variance"},
           deviation_option(0.5),
           {"tolerance", 1e-3, 0, 1e4, false, false, {}, "ends once no variance is above"},
           execute_option(true)},
          [](const PlanShape& shape, const SearchValues& values) {
            const CemOptions options{static_cast<int>(values.at("rounds")),
                                     static_cast<int>(values.at("elites")),
                                     values.at("momentum"),
                                     values.at("std"),
                                     values.at("tolerance"),
                                     values.at("execute") != 0};
            if (options.elites > shape.candidates) {
              throw_invalid("elites must be at most the ", shape.candidates, " candidates, got ",
                            options.elites);
            }
            // in float32, as the first round has it
            const auto variance = static_cast<float>(options.deviation * options.deviation);
            if (static_cast<double>(variance) <= options.tolerance) {
              throw_invalid("tolerance must be below the square of std, ",
                            options.deviation * options.deviation, ", got ", options.tolerance);
            }
            return std::make_unique<Cem>(shape, options);
          }};
}

}  // namespace mbmf
