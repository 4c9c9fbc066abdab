// The improved cross-entropy method (iCEM; Pinneri et al. 2020): coloured noise, few candidates, elites kept
// from round to round and from step to step.

#include <algorithm>
#include <cmath>

#include "mbmf/base/error.h"
#include "planning/k_best.h"
#include "planning/searches.h"

namespace mbmf {

namespace {

struct IcemOptions {
  int rounds, elites;
  double keep, decay, momentum, colour, deviation;
  bool mean;
};

class Icem : public Search {
 public:
  Icem(const PlanShape& shape, const IcemOptions& options)
      : shape_(shape),
        o_(options),
        // 0.3 * 10 is below 3 in binary
        nkeep_(static_cast<int>(std::floor(o_.keep * o_.elites + 1e-9))),
        colour_(make_colour(shape, options.colour)) {
    std::int64_t n = shape.candidates;
    for (int i = 0; i < o_.rounds; ++i) {
      sizes_.push_back(n);
      n = std::max<std::int64_t>(2 * std::int64_t{o_.elites},
                                 static_cast<std::int64_t>(std::floor(static_cast<double>(n) / o_.decay)));
    }
  }

  const char* name() const override { return "icem"; }
  int rounds() const override { return o_.rounds; }
  std::int64_t most(int round) const override {
    return sizes_[static_cast<std::size_t>(round)] + (round == 0 ? nkeep_ : 0);
  }
  std::int64_t most_given() const override { return std::max(nkeep_, 1); }
  std::int64_t keep(int) const override { return o_.elites; }

  struct State : Work {
    std::vector<float> mean, deviation, given;
    // of the pool, of the one before, of this round alone: (elites, horizon, naction)
    std::vector<float> elites, old, fresh;
    std::vector<Scored> scored, old_scored;
    // where no elite is kept: the best of all rounds
    std::vector<float> best;
    Scored best_scored{};
    std::vector<const float*> chosen;
    int ngiven = 0, redrawn = 0;  // of the first round
  };
  std::unique_ptr<Work> make_work() const override {
    auto work = std::make_unique<State>();
    const std::size_t size = sequence_size(shape_), elites = static_cast<std::size_t>(o_.elites);
    work->mean.resize(size);
    work->deviation.resize(size);
    work->given.resize(size * static_cast<std::size_t>(most_given()));
    work->elites.resize(size * elites);
    work->old.resize(size * elites);
    work->fresh.resize(size * elites);
    work->best.resize(size);
    work->scored.reserve(elites);
    work->old_scored.reserve(elites);
    work->chosen.reserve(elites);
    return work;
  }

  void begin(const PlanMemory& memory, std::uint64_t shift, Work* work) const override {
    State& s = static_cast<State&>(*work);
    const std::size_t size = sequence_size(shape_);
    s.scored.clear();
    s.best_scored = {NAN, -1};
    s.ngiven = 0;
    std::fill(s.deviation.begin(), s.deviation.end(), static_cast<float>(o_.deviation));
    if (!memory.filled) {
      std::fill(s.mean.begin(), s.mean.end(), 0.0f);
      return;
    }
    shift_sequence(memory.mean.data(), shape_, shift, false, s.mean.data());
    s.ngiven = static_cast<int>(memory.kept.size() / size);
    s.redrawn = static_cast<int>(std::min<std::uint64_t>(shift, static_cast<std::uint64_t>(shape_.horizon)));
    for (std::size_t i = 0; i < static_cast<std::size_t>(s.ngiven); ++i) {
      shift_sequence(memory.kept.data() + i * size, shape_, shift, false, s.given.data() + i * size);
    }
  }

  std::int64_t propose(int number, const PlanQuery&, Work* work, Proposal* proposal) const override {
    State& s = static_cast<State&>(*work);
    proposal->kind = ProposalKind::kNormal;
    proposal->mean = s.mean.data();
    proposal->deviation = s.deviation.data();
    proposal->colour = colour_.empty() ? nullptr : colour_.data();
    proposal->given = s.given.data();
    if (number == 0) {
      proposal->ngiven = s.ngiven;
      proposal->redrawn = s.redrawn;
      return sizes_.front() + s.ngiven;
    }
    if (number == o_.rounds - 1) {  // the last round tries the mean itself
      std::copy(s.mean.begin(), s.mean.end(), s.given.begin());
      proposal->ngiven = 1;
    }
    return sizes_[static_cast<std::size_t>(number)];
  }

  void update(const Round& round, Work* work) const override {
    State& s = static_cast<State&>(*work);
    const std::size_t size = sequence_size(shape_);
    s.old.swap(s.elites);
    s.old_scored.swap(s.scored);
    s.scored.clear();
    // the best elites of the round before are in the pool, with their costs, before this round's
    const std::size_t nold = std::min(static_cast<std::size_t>(nkeep_), s.old_scored.size());
    const std::size_t pool = nold + static_cast<std::size_t>(round.done);
    std::size_t from_old = 0, from_new = 0;
    s.chosen.clear();
    round.sequences(round.scored, round.nscored, s.fresh.data());
    while (s.scored.size() < static_cast<std::size_t>(o_.elites)) {
      const bool has_old = from_old < nold, has_new = from_new < static_cast<std::size_t>(round.nscored);
      if (!has_old && !has_new) break;
      float* to = s.elites.data() + s.scored.size() * size;
      if (has_old && (!has_new || s.old_scored[from_old].cost <= round.scored[from_new].cost)) {
        std::copy_n(s.old.data() + from_old * size, size, to);
        s.scored.push_back({s.old_scored[from_old].cost, -1});
        ++from_old;
      } else {
        std::copy_n(s.fresh.data() + from_new * size, size, to);
        s.scored.push_back(round.scored[from_new]);
        ++from_new;
      }
      s.chosen.push_back(to);
    }
    if (s.chosen.empty()) {  // nothing new is finite, and nothing was kept: the round before stands
      s.old.swap(s.elites);
      s.old_scored.swap(s.scored);
      for (Scored& scored : s.scored) scored.position = -1;
      s.best_scored.position = -1;
      return;
    }
    s.best_scored.position = -1;  // of an earlier round
    if (!(s.best_scored.cost <= s.scored.front().cost)) {
      s.best_scored = s.scored.front();
      std::copy_n(s.elites.begin(), size, s.best.begin());
    }
    if (round.number == 0 || !round.cut() || pool >= 2 * static_cast<std::size_t>(o_.elites)) {
      refit(s.chosen, size, o_.momentum, true, s.mean.data(), s.deviation.data());
    }
  }

  bool choose(Work* work, Plan* plan) const override {
    const State& s = static_cast<const State&>(*work);
    if (s.scored.empty()) return false;
    const std::vector<float>& from = o_.mean ? s.mean : s.best;
    plan->actions.assign(from.begin(), from.end());
    plan->candidate = o_.mean ? -1 : s.best_scored.position;
    plan->cost = o_.mean ? NAN : s.best_scored.cost;
    return true;
  }

  void remember(const Work& work, PlanMemory* memory) const override {
    const State& s = static_cast<const State&>(work);
    memory->mean.assign(s.mean.begin(), s.mean.end());
    const std::size_t n = std::min(static_cast<std::size_t>(nkeep_), s.scored.size());
    memory->kept.assign(s.elites.begin(),
                        s.elites.begin() + static_cast<std::ptrdiff_t>(n * sequence_size(shape_)));
  }

  void trace(const Work& work, RoundTrace* trace) const override {
    const State& s = static_cast<const State&>(work);
    trace->mean = s.mean;
    trace->deviation = s.deviation;
  }

 private:
  PlanShape shape_;
  IcemOptions o_;
  int nkeep_;
  std::vector<std::int64_t> sizes_;  // of the rounds, without what is kept
  std::vector<float> colour_;
};

}  // namespace

SearchKind icem_kind() {
  return {"icem",
          "the cross-entropy method with coloured noise, few candidates and kept elites",
          40,
          1'000'000,
          {rounds_option(3),
           {"elites", 10, 1, 1e6, true, false, {}, "candidates that the next round follows"},
           {"keep", 0.3, 0, 1, false, false, {}, "share of the elites that stay for the next round and step"},
           {"decay", 1.25, 1, 1e6, false, false, {}, "each round has so many times fewer candidates"},
           {"momentum", 0.1, 0, 1, false, false, {}, "share of the old mean and deviation"},
           colour_option(0.25),
           deviation_option(0.5),
           execute_option(false)},
          [](const PlanShape& shape, const SearchValues& values) {
            const IcemOptions options{static_cast<int>(values.at("rounds")),
                                      static_cast<int>(values.at("elites")),
                                      values.at("keep"),
                                      values.at("decay"),
                                      values.at("momentum"),
                                      values.at("colour"),
                                      values.at("std"),
                                      values.at("execute") != 0};
            if (options.elites > shape.candidates) {
              throw_invalid("elites must be at most the ", shape.candidates, " candidates, got ",
                            options.elites);
            }
            return std::make_unique<Icem>(shape, options);
          }};
}

}  // namespace mbmf
