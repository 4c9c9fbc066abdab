// A search: rounds of proposing candidates and taking their costs.
//
// A search knows nothing of models, threads or deadlines. The planner asks it for a round's candidates, has
// them rolled, and shows it what they cost; where time is up in the middle of a round, the round is as long
// as what was rolled. Searches are immutable: what changes during a plan is in the work that they make, what
// stays from one plan of an episode to the next in PlanMemory.
//
//   class Mine : public mbmf::Search { ... };
//   auto planner = mbmf::make_planner(task, dynamics, options, std::make_unique<Mine>(shape));
//
// examples/cpp_search is a whole program.

#ifndef MBMF_PLANNING_SEARCH_H_
#define MBMF_PLANNING_SEARCH_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mbmf/planning/proposal.h"
#include "mbmf/planning/query.h"

namespace mbmf {

struct Scored {
  double cost;
  std::int64_t position;
};

// A round after it was rolled.
class Round {
 public:
  virtual ~Round() = default;

  int number = 0;
  std::int64_t asked = 0, done = 0;  // positions 0 .. done - 1 were rolled
  // Of those with a finite cost: the best Search::keep(number), best first and ties to the lowest position;
  // or all, in order of positions.
  const Scored* scored = nullptr;
  std::int64_t nscored = 0;

  bool cut() const { return done < asked; }
  // Positions first .. first + n - 1 made again: out (n, horizon, naction). n at most 64.
  virtual void sequences(std::int64_t first, int n, float* out) const = 0;
  // Those of some scored ones, `chosen` (n): out (n, horizon, naction). Any n.
  virtual void sequences(const Scored* chosen, std::int64_t n, float* out) const = 0;
};

class Search {
 public:
  struct Work {
    virtual ~Work() = default;
  };

  virtual ~Search() = default;

  virtual const char* name() const = 0;
  virtual int rounds() const = 0;                       // at most
  virtual std::int64_t most(int round) const = 0;       // positions of a round, at most
  virtual std::int64_t most_given() const = 0;          // given sequences of a round, at most
  virtual std::int64_t keep(int round) const = 0;       // how many scored a Round has; 0: all
  virtual std::unique_ptr<Work> make_work() const = 0;  // for one plan at a time

  // Begins a plan. memory: filled or not; shift: steps since the plan that filled it.
  virtual void begin(const PlanMemory& memory, std::uint64_t shift, Work* work) const = 0;
  // Says how round `number` comes to be, and returns how many positions it has; 0: the search is over. What
  // the proposal points to must stay until `update`, and its colour as it is for as long as the search lives.
  // `proposal` comes with horizon and naction.
  virtual std::int64_t propose(int number, const PlanQuery& query, Work* work, Proposal* proposal) const = 0;
  virtual void update(const Round& round, Work* work) const = 0;
  // Says what to execute: plan.actions, candidate and cost (NaN: not known). False: there is nothing, since
  // no candidate had a finite cost. Called after at least one update.
  virtual bool choose(Work* work, Plan* plan) const = 0;
  // Fills mean of a memory with actions in [-1, 1], and deviation and kept as far as it needs them; nothing
  // where the search does not remember.
  virtual void remember(const Work& work, PlanMemory* memory) const = 0;
  // What the search knows after a round, for RoundTrace.
  virtual void trace(const Work&, RoundTrace*) const {}
};

// An option of a search: a number in a range, or one of some words, whose value is its place among them.
struct SearchOption {
  std::string name;
  double value;  // where it is not given
  double low, high;
  bool whole = false;
  bool low_open = false;
  std::vector<std::string> words = {};
  std::string meaning;
};

// Sizes of a plan, which a search is made for.
struct PlanShape {
  int horizon = 0, naction = 0;
  std::int64_t candidates = 0;
};

// A search by its name: what the registry knows (src/planning/search_registry.cc).
struct SearchKind {
  std::string name;
  std::string meaning;
  std::int64_t candidates;  // of the (first) round where none are given
  std::int64_t most_candidates;
  std::vector<SearchOption> options;
  // Values of all options, each in its range. Throws std::invalid_argument on those that do not fit together.
  std::function<std::unique_ptr<Search>(const PlanShape&, const std::map<std::string, double>&)> make;
};

const std::vector<SearchKind>& search_kinds();
// Throws std::invalid_argument, which names all, if there is none.
const SearchKind& search_kind(const std::string& name);

}  // namespace mbmf

#endif  // MBMF_PLANNING_SEARCH_H_
