// A search of one's own, in a planner beside random shooting: cpp_search <folder>
// Hill climbing: each round tries normals around the best sequence so far, each time closer to it.

#include <mbmf/export/bundle.h>
#include <mbmf/planning/planner.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <limits>
#include <memory>
#include <vector>

class HillClimbing : public mbmf::Search {
 public:
  HillClimbing(int horizon, int naction, int rounds, std::int64_t candidates)
      : size_(static_cast<std::size_t>(horizon) * naction), rounds_(rounds), candidates_(candidates) {}

  const char* name() const override { return "hill_climbing"; }
  int rounds() const override { return rounds_; }
  std::int64_t most(int) const override { return candidates_; }
  std::int64_t most_given() const override { return 0; }
  std::int64_t keep(int) const override { return 1; }  // the best of a round is all that it looks at

  // what changes while it plans
  struct State : Work {
    std::vector<float> best, deviation;
    double cost = 0;
    std::int64_t position = -1;
  };
  std::unique_ptr<Work> make_work() const override {
    auto work = std::make_unique<State>();
    work->best.resize(size_);
    work->deviation.resize(size_);
    return work;
  }

  // begins where the last plan of the episode left off
  void begin(const mbmf::PlanMemory& memory, std::uint64_t shift, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.cost = std::numeric_limits<double>::infinity();
    std::fill(s.best.begin(), s.best.end(), 0.0f);
    if (memory.filled && memory.mean.size() == size_) {
      mbmf::shift_plan(memory.mean.data(), memory.horizon, memory.naction, s.best.data(), shift);
    }
    std::fill(s.deviation.begin(), s.deviation.end(), 1.0f);
  }

  std::int64_t propose(int, const mbmf::PlanQuery&, Work* work, mbmf::Proposal* proposal) const override {
    const State& s = static_cast<const State&>(*work);
    proposal->kind = mbmf::ProposalKind::kNormal;
    proposal->mean = s.best.data();
    proposal->deviation = s.deviation.data();
    return candidates_;
  }

  void update(const mbmf::Round& round, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.position = -1;  // of the last round, if the best one is there
    if (round.nscored > 0 && round.scored[0].cost < s.cost) {
      s.cost = round.scored[0].cost;
      s.position = round.scored[0].position;
      round.sequences(s.position, 1, s.best.data());
    }
    for (float& x : s.deviation) x *= 0.6f;
  }

  bool choose(Work* work, mbmf::Plan* plan) const override {
    const State& s = static_cast<const State&>(*work);
    if (s.cost == std::numeric_limits<double>::infinity()) return false;
    plan->actions.assign(s.best.begin(), s.best.end());
    plan->candidate = s.position;
    plan->cost = s.cost;
    return true;
  }

  void remember(const Work& work, mbmf::PlanMemory* memory) const override {
    const State& s = static_cast<const State&>(work);
    memory->mean.assign(s.best.begin(), s.best.end());
  }

 private:
  std::size_t size_;
  int rounds_;
  std::int64_t candidates_;
};

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: cpp_search <folder>\n"), 2;
  const mbmf::Bundle bundle = mbmf::Bundle::load(argv[1]);
  const mbmf::Task& task = *bundle.task;
  mjData* data = mj_makeData(task.model());
  task.start(data, mbmf::ResetKind::kControl, mbmf::Draws({1, 2}, 0, 0));
  task.refresh(data);
  std::vector<double> start(static_cast<std::size_t>(task.nstate()));
  task.read(task.spec().state, data, start.data());
  mj_deleteData(data);

  constexpr int kRounds = 10;
  constexpr std::int64_t kCandidates = 100;
  mbmf::PlannerOptions options = bundle.planner;
  options.candidates = kCandidates;
  const auto climbing = mbmf::make_planner(
      bundle.task, bundle.dynamics, options,
      std::make_unique<HillClimbing>(options.horizon, task.naction(), kRounds, kCandidates));
  options.search = "random_shooting";
  options.settings = {};
  options.candidates = kRounds * kCandidates;
  const auto shooting = mbmf::make_planner(bundle.task, bundle.dynamics, options);
  for (mbmf::Planner* planner : {shooting.get(), climbing.get()}) {
    mbmf::Plan plan;
    planner->plan({.start = start.data()}, nullptr, &plan);
    std::printf("%-16s cost %9.3f of %ld candidates\n", planner->search().name(), plan.cost,
                plan.candidates_done);
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "cpp_search: %s\n", error.what()), 1;
}
