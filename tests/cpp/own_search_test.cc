// A search of one's own in a planner: what it is shown, what it may change, what it is refused.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mbmf/base/error.h"
#include "mbmf/planning/planner.h"
#include "planner_fixture.h"

namespace mbmf {
namespace {

using fixture::query_at;
using fixture::Robot;

// three rounds of uniforms that look at what they are shown
class Probe : public Search {
 public:
  std::int64_t count = 70, given = 0;  // of a round: what it asks for
  std::int64_t at_most = 70;           // what it says of that
  mutable std::vector<std::vector<Scored>> seen;
  mutable std::vector<std::int64_t> asked, done;
  mutable std::vector<float> sequences, chosen;  // of the last round: all, and those of the scored ones
  mutable std::string refused;
  std::vector<float> zeros = std::vector<float>(200);

  const char* name() const override { return "probe"; }
  int rounds() const override { return 3; }
  std::int64_t most(int) const override { return at_most; }
  std::int64_t most_given() const override { return 1; }
  std::int64_t keep(int round) const override { return round == 0 ? 0 : (round == 1 ? 70 : 5); }
  std::unique_ptr<Work> make_work() const override { return std::make_unique<Work>(); }
  void begin(const PlanMemory&, std::uint64_t, Work*) const override {}
  std::int64_t propose(int number, const PlanQuery&, Work*, Proposal* proposal) const override {
    proposal->ngiven = static_cast<int>(given);
    proposal->given = zeros.data();
    return number < 2 ? count : count - 20;
  }
  void update(const Round& round, Work*) const override {
    seen.emplace_back(round.scored, round.scored + round.nscored);
    asked.push_back(round.asked);
    done.push_back(round.done);
    const std::size_t size = 8 * 2;
    sequences.resize(static_cast<std::size_t>(round.done) * size);
    for (std::int64_t first = 0; first < round.done; first += 64) {
      const int n = static_cast<int>(std::min<std::int64_t>(64, round.done - first));
      round.sequences(first, n, sequences.data() + static_cast<std::size_t>(first) * size);
    }
    chosen.resize(seen.back().size() * size);
    round.sequences(round.scored, round.nscored, chosen.data());
    try {
      round.sequences(round.done - 1, 2, chosen.data());
    } catch (const std::invalid_argument& error) {
      refused = error.what();
    }
  }
  bool choose(Work*, Plan* plan) const override {
    plan->actions.assign(chosen.begin(), chosen.begin() + 16);
    plan->cost = std::nan("");  // the planner finds out
    plan->candidate = seen.back().front().position;
    return true;
  }
  void remember(const Work&, PlanMemory*) const override {}
};

// a memory without a mean would be taken for none
class Forgetful : public Probe {
 public:
  void remember(const Work&, PlanMemory* memory) const override { memory->deviation.assign(16, 0.5f); }
};

TEST(OwnSearch, MustRememberAMean) {
  const Robot robot = fixture::make_robot();
  const auto planner = make_planner(robot.task, robot.dynamics, {8, 70, 3, 1}, std::make_unique<Forgetful>());
  PlanMemory memory = planner->make_memory();
  Plan plan;
  try {
    planner->plan(query_at(robot.state, 1, 2), &memory, &plan);
    FAIL() << "nothing was refused";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("must fill mean, got none beside kept or deviation"),
              std::string::npos);
  }
  EXPECT_FALSE(memory.filled);
}

TEST(OwnSearch, SeesWhatWasRolled) {
  const Robot robot = fixture::make_robot();
  for (const int nthread : {1, 3}) {
    auto own = std::make_unique<Probe>();
    const Probe& probe = *own;
    const auto planner = make_planner(robot.task, robot.dynamics, {8, 70, 3, nthread}, std::move(own));
    EXPECT_EQ(planner->most_candidates(), 210);
    PlanQuery query = query_at(robot.state, 1, 2);
    query.candidates = 175;  // the last round is cut short
    Plan plan;
    planner->plan(query, nullptr, &plan);
    EXPECT_EQ(plan.candidates_done, 175);
    EXPECT_EQ(plan.rounds_done, 3);
    EXPECT_EQ(probe.asked, (std::vector<std::int64_t>{70, 70, 50}));
    EXPECT_EQ(probe.done, (std::vector<std::int64_t>{70, 70, 35}));
    EXPECT_NE(probe.refused.find("first and n must name at most 64 of the 35 rolled candidates"),
              std::string::npos)
        << probe.refused;

    const std::vector<double> first_costs = planner->costs(query);
    ASSERT_EQ(probe.seen[0].size(), 70U);  // all, in order
    for (std::size_t i = 0; i < 70; ++i) {
      EXPECT_EQ(probe.seen[0][i].position, static_cast<std::int64_t>(i));
      EXPECT_EQ(probe.seen[0][i].cost, first_costs[i]);
    }
    ASSERT_EQ(probe.seen[1].size(), 70U);  // as many as there are, best first
    EXPECT_TRUE(std::is_sorted(probe.seen[1].begin(), probe.seen[1].end(),
                               [](const Scored& a, const Scored& b) { return a.cost < b.cost; }));
    ASSERT_EQ(probe.seen[2].size(), 5U);
    std::vector<double> costs(35);
    planner->roll(query, probe.sequences.data(), 35, costs.data());
    std::vector<double> sorted = costs;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < 5; ++i) {
      const auto position = static_cast<std::size_t>(probe.seen[2][i].position);
      EXPECT_EQ(probe.seen[2][i].cost, sorted[i]);
      EXPECT_EQ(costs[position], sorted[i]);
      for (std::size_t k = 0; k < 16; ++k) {
        EXPECT_EQ(probe.chosen[16 * i + k], probe.sequences[16 * position + k]);
      }
    }
    EXPECT_EQ(plan.cost, sorted.front());
  }
}

TEST(OwnSearch, MustHaveCandidatesInEachRound) {
  const Robot robot = fixture::make_robot();
  for (const std::int64_t most : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40}) {
    auto own = std::make_unique<Probe>();
    own->at_most = most;
    EXPECT_THROW(make_planner(robot.task, robot.dynamics, {8, 70, 3, 1}, std::move(own)),
                 std::invalid_argument)
        << most;
  }
}

// whose noise has another colour in each round: also what a thread that is left behind still reads
class Chameleon : public Search {
 public:
  struct State : Work {
    std::vector<float> mean = std::vector<float>(16), deviation = std::vector<float>(16, 0.5f);
    std::vector<float> colour = std::vector<float>(64, 0.1f), best;
  };
  const char* name() const override { return "chameleon"; }
  int rounds() const override { return 20; }
  std::int64_t most(int) const override { return 200; }
  std::int64_t most_given() const override { return 0; }
  std::int64_t keep(int) const override { return 1; }
  std::unique_ptr<Work> make_work() const override { return std::make_unique<State>(); }
  void begin(const PlanMemory&, std::uint64_t, Work*) const override {}
  std::int64_t propose(int, const PlanQuery&, Work* work, Proposal* proposal) const override {
    const State& s = static_cast<const State&>(*work);
    proposal->kind = ProposalKind::kNormal;
    proposal->mean = s.mean.data();
    proposal->deviation = s.deviation.data();
    proposal->colour = s.colour.data();
    return 200;
  }
  void update(const Round& round, Work* work) const override {
    State& s = static_cast<State&>(*work);
    s.best.resize(16);
    for (float& x : s.mean) x = 0.01f - x;
    round.sequences(round.scored, 1, s.best.data());
  }
  bool choose(Work* work, Plan* plan) const override {
    plan->actions = static_cast<const State&>(*work).best;
    plan->candidate = -1;
    plan->cost = std::nan("");
    return true;
  }
  void remember(const Work&, PlanMemory*) const override {}
};

TEST(OwnSearch, MayChangeWhatItPointedToAfterARound) {
  const Robot robot = fixture::make_robot();
  const PlannerOptions one{8, 200, 0, 1}, many{8, 200, 0, 7};
  const auto alone = make_planner(robot.task, robot.dynamics, one, std::make_unique<Chameleon>());
  const auto crowd = make_planner(robot.task, robot.dynamics, many, std::make_unique<Chameleon>());
  for (std::uint64_t step = 0; step < 60; ++step) {
    EXPECT_EQ(fixture::plan_at(*crowd, robot.state, 0, step).actions,
              fixture::plan_at(*alone, robot.state, 0, step).actions);
  }
}

TEST(OwnSearch, IsRefusedWhatItDidNotSay) {
  const Robot robot = fixture::make_robot();
  const auto refused = [&](std::int64_t count, std::int64_t given) -> std::string {
    auto own = std::make_unique<Probe>();
    own->count = count;
    own->given = given;
    const auto planner = make_planner(robot.task, robot.dynamics, {8, 70, 3, 1}, std::move(own));
    Plan plan;
    try {
      planner->plan(query_at(robot.state, 0, 0), nullptr, &plan);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refused(70, 1), "");
  EXPECT_NE(refused(71, 0).find("a round must have at most 70 candidates"), std::string::npos);
  EXPECT_NE(refused(-1, 0).find("got -1 and 0"), std::string::npos);
  EXPECT_NE(refused(70, 2).find("1 of them given, got 70 and 2"), std::string::npos);
}

}  // namespace
}  // namespace mbmf
