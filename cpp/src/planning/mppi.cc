// Model-predictive path integral control (MPPI; Williams et al. 2017): the mean is the candidates' average,
// weighted by their costs. With smoothing below 1 the candidates are filtered over time, as in PDDM
// (Nagabandi et al. 2019).

#include <algorithm>
#include <cmath>
#include <limits>

#include "planning/k_best.h"
#include "planning/searches.h"

namespace mbmf {

namespace {

struct MppiOptions {
  int rounds;
  double temperature, smoothing, colour, deviation;
  bool mean;
};

constexpr int kBlock = 64;  // candidates made again at a time

class Mppi : public Search {
 public:
  Mppi(const PlanShape& shape, const MppiOptions& options)
      : shape_(shape), o_(options), colour_(make_colour(shape, options.colour)) {}

  const char* name() const override { return "mppi"; }
  int rounds() const override { return o_.rounds; }
  std::int64_t most(int) const override { return shape_.candidates; }
  std::int64_t most_given() const override { return 0; }
  std::int64_t keep(int) const override { return 0; }

  struct State : Work {
    std::vector<float> mean, deviation, before, best, block;
    std::vector<double> sum;
    Scored scored{};           // the best of all rounds
    int number = 0, last = 0;  // its round, and the last one
    bool found = false;
  };
  std::unique_ptr<Work> make_work() const override {
    auto work = std::make_unique<State>();
    const std::size_t size = sequence_size(shape_);
    work->mean.resize(size);
    work->deviation.assign(size, static_cast<float>(o_.deviation));
    work->before.resize(static_cast<std::size_t>(shape_.naction));
    work->best.resize(size);
    work->block.resize(size * kBlock);
    work->sum.resize(size);
    return work;
  }

  void begin(const PlanMemory& memory, std::uint64_t shift, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.found = false;
    if (memory.filled) {
      shift_sequence(memory.mean.data(), shape_, shift, false, s.mean.data());
      // the action before the first: after skipped steps a later one of the plan was held
      const auto naction = static_cast<std::size_t>(shape_.naction);
      const auto row = std::min(shift, static_cast<std::uint64_t>(shape_.horizon));
      const float* const held = row > 1 ? memory.mean.data() + (row - 1) * naction : memory.executed.data();
      std::copy_n(held, naction, s.before.begin());
    } else {
      std::fill(s.mean.begin(), s.mean.end(), 0.0f);
      std::fill(s.before.begin(), s.before.end(), 0.0f);
    }
  }

  std::int64_t propose(int, const PlanQuery&, Work* work, Proposal* proposal) const override {
    const State& s = static_cast<const State&>(*work);
    proposal->kind = ProposalKind::kNormal;
    proposal->mean = s.mean.data();
    proposal->deviation = s.deviation.data();
    proposal->colour = colour_.empty() ? nullptr : colour_.data();
    proposal->before = s.before.data();
    proposal->smoothing = static_cast<float>(o_.smoothing);
    return shape_.candidates;
  }

  // sums in float64, in order of positions, whatever the threads
  void update(const Round& round, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.last = round.number;
    if (round.nscored == 0) return;
    const Scored least = *std::min_element(round.scored, round.scored + round.nscored, better);
    if (!s.found || least.cost < s.scored.cost) {
      s.scored = least;
      s.number = round.number;
      round.sequences(least.position, 1, s.best.data());
    }
    s.found = true;
    const std::size_t size = sequence_size(shape_);
    double total = 0;
    std::fill(s.sum.begin(), s.sum.end(), 0.0);
    const Scored* next = round.scored;
    const Scored* const end = next + round.nscored;
    while (next != end) {
      const std::int64_t first = next->position;
      const int n = static_cast<int>(std::min<std::int64_t>(kBlock, round.done - first));
      bool made = false;
      for (; next != end && next->position < first + n; ++next) {
        const double weight = std::exp((least.cost - next->cost) / o_.temperature);
        if (weight == 0) continue;
        if (!made) round.sequences(first, n, s.block.data());
        made = true;
        total += weight;
        const float* sequence = s.block.data() + static_cast<std::size_t>(next->position - first) * size;
        for (std::size_t i = 0; i < size; ++i) s.sum[i] += weight * static_cast<double>(sequence[i]);
      }
    }
    for (std::size_t i = 0; i < size; ++i) s.mean[i] = static_cast<float>(s.sum[i] / total);
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
    trace->deviation = s.deviation;
  }

 private:
  PlanShape shape_;
  MppiOptions o_;
  std::vector<float> colour_;
};

}  // namespace

SearchKind mppi_kind() {
  return {"mppi",
          "model-predictive path integral control: the mean of all candidates, weighted by their costs",
          700,
          1'000'000,
          {rounds_option(1),
           {"temperature", 1, 0, 1e9, false, true, {}, "cost that divides a candidate's weight by e"},
           {"smoothing",
            1,
            0,
            1,
            false,
            true,
            {},
            "share of an action that is its own, not the one before's; 1: all"},
           colour_option(0),
           deviation_option(0.9),
           execute_option(true)},
          [](const PlanShape& shape, const SearchValues& values) {
            return std::make_unique<Mppi>(
                shape, MppiOptions{static_cast<int>(values.at("rounds")), values.at("temperature"),
                                   values.at("smoothing"), values.at("colour"), values.at("std"),
                                   values.at("execute") != 0});
          }};
}

}  // namespace mbmf
