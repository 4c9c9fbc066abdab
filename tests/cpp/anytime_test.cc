// Planning within limits: the same plan as without them, in time, and without waiting for a thread that lost
// its CPU.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "allocation_counter.h"
#include "mbmf/base/isa.h"
#include "mbmf/planning/planner.h"
#include "planner_fixture.h"
#include "planning/anytime_search.h"

namespace mbmf {
namespace {

using Clock = std::chrono::steady_clock;

struct Case {
  std::shared_ptr<const Task> task;
  std::shared_ptr<const Dynamics> dynamics;
  std::vector<double> start;
  int horizon;
};

Case make_case(int preset_index, int hidden = 64) {
  const fixture::Preset preset = fixture::presets()[static_cast<std::size_t>(preset_index)];
  Case c{fixture::make_task(preset.nstate, preset.naction, preset.cost, preset.alive),
         fixture::make_dynamics(preset.nstate, preset.naction, {hidden}, 0.05),
         std::vector<double>(static_cast<std::size_t>(preset.nstate)), preset.horizon};
  for (const StateBound& bound : preset.alive) {
    const double high = std::isinf(bound.bounds.high) ? bound.bounds.low + 0.6 : bound.bounds.high;
    c.start[static_cast<std::size_t>(bound.index)] = (bound.bounds.low + high) / 2;
  }
  return c;
}

void expect_same(const Plan& a, const Plan& b) {
  EXPECT_EQ(a.candidate, b.candidate);
  EXPECT_EQ(a.cost, b.cost);
  EXPECT_EQ(a.candidates_done, b.candidates_done);
  EXPECT_EQ(a.actions, b.actions);
  EXPECT_EQ(a.states, b.states);
}

class AnytimeOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }
};

INSTANTIATE_TEST_SUITE_P(Isa, AnytimeOn, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(AnytimeOn, WithoutADeadlineThePlanIsTheSame) {
  for (int preset = 0; preset < 4; ++preset) {
    const Case c = make_case(preset);
    for (const int nthread : {1, 2, 3, 7}) {
      RandomShooting planner(c.task, c.dynamics, {c.horizon, 1003, 5, nthread});
      Plan want, got;
      planner.plan(c.start.data(), 1, 7, &want);
      planner.plan(c.start.data(), 1, 7, PlanLimits{}, &got);
      EXPECT_EQ(got.candidates_done, 1003);
      expect_same(got, want);
    }
  }
}

// whatever number of candidates a deadline leaves, the plan is that of a planner of so many candidates
TEST_P(AnytimeOn, ThePlanAtADeadlineIsThatOfItsCandidates) {
  for (int preset = 0; preset < 4; ++preset) {
    const Case c = make_case(preset);
    RandomShooting planner(c.task, c.dynamics, {c.horizon, 20000, 5, 2});
    std::int64_t least = 20000, most = 0;
    for (int round = 0; round < 9; ++round) {
      PlanLimits limits;
      limits.deadline = Clock::now() + std::chrono::microseconds(100 << round);
      Plan got, want;
      planner.plan(c.start.data(), 1, 7, limits, &got);
      least = std::min(least, got.candidates_done);
      most = std::max(most, got.candidates_done);
      RandomShooting(c.task, c.dynamics, {c.horizon, got.candidates_done, 5, 1})
          .plan(c.start.data(), 1, 7, &want);
      expect_same(got, want);
      limits = {};
      limits.candidates = got.candidates_done;
      planner.plan(c.start.data(), 1, 7, limits, &got);
      expect_same(got, want);
    }
    EXPECT_GE(least, 1);
    EXPECT_LT(least, most);
    EXPECT_LT(least, 20000);
  }
}

// candidate 0 is the given one, whose cost is that of an open-loop prediction with it
TEST_P(AnytimeOn, WarmStartIsCandidateZero) {
  for (const int preset : {0, 2}) {
    const Case c = make_case(preset);
    const int na = c.task->naction();
    RandomShooting planner(c.task, c.dynamics, {c.horizon, 300, 5, 2});
    Plan last, cold, warm;
    planner.plan(c.start.data(), 0, 0, &last);
    std::vector<float> shifted(last.actions.size());
    shift_plan(last.actions.data(), c.horizon, na, shifted.data());
    EXPECT_TRUE(std::equal(shifted.begin(), shifted.end() - na, last.actions.begin() + na));
    EXPECT_TRUE(std::equal(shifted.end() - na, shifted.end(), last.actions.end() - na));

    // alone, it wins
    PlanLimits limits;
    limits.warm = shifted.data();
    limits.candidates = 1;
    planner.plan(c.start.data(), 0, 1, limits, &warm);
    EXPECT_EQ(warm.candidate, 0);
    EXPECT_EQ(warm.actions, shifted);
    double want = 0;
    c.task->cost(warm.states.data(), warm.actions.data(), 1, c.horizon, {}, &want);
    EXPECT_NEAR(warm.cost, want, 1e-4 * std::max(1.0, std::abs(want)));

    // the best plan of this very state cannot be beaten by the same other candidates
    limits = {};
    limits.warm = last.actions.data();
    planner.plan(c.start.data(), 0, 0, limits, &warm);
    EXPECT_EQ(warm.cost, last.cost);
    EXPECT_EQ(warm.actions, last.actions);
    EXPECT_EQ(warm.candidate, 0);

    // the other candidates are what they are without it
    planner.plan(c.start.data(), 0, 1, &cold);
    limits.warm = shifted.data();
    planner.plan(c.start.data(), 0, 1, limits, &warm);
    EXPECT_LE(warm.cost, cold.cost);
    if (warm.candidate != 0) {
      EXPECT_EQ(warm.actions, cold.actions);
    }
  }
}

TEST(Anytime, RefusesBadLimits) {
  const Case c = make_case(0);
  RandomShooting planner(c.task, c.dynamics, {c.horizon, 100, 5, 1});
  Plan plan;
  PlanLimits limits;
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{101}}) {
    limits.candidates = bad;
    EXPECT_THROW(planner.plan(c.start.data(), 0, 0, limits, &plan), std::invalid_argument);
  }
  limits.candidates = 0;
  std::vector<float> warm(static_cast<std::size_t>(c.horizon * c.task->naction()));
  for (const float bad : {1.5f, std::nanf("")}) {
    warm[3] = bad;
    limits.warm = warm.data();
    EXPECT_THROW(planner.plan(c.start.data(), 0, 0, limits, &plan), std::invalid_argument);
  }
  std::vector<double> state = c.start;
  state[1] = std::nan("");
  EXPECT_THROW(planner.plan(state.data(), 0, 0, PlanLimits{}, &plan), std::invalid_argument);
  planner.plan(c.start.data(), 0, 0, PlanLimits{}, &plan);  // and is usable afterwards
}

TEST(Anytime, ADeadlineInThePastStillGivesAPlan) {
  const Case c = make_case(0);
  RandomShooting planner(c.task, c.dynamics, {c.horizon, 1000, 5, 2});
  PlanLimits limits;
  limits.deadline = Clock::now() - std::chrono::seconds(1);
  limits.predict = false;
  Plan plan;
  for (int i = 0; i < 5; ++i) {
    planner.plan(c.start.data(), 0, 0, limits, &plan);
    EXPECT_GE(plan.candidates_done, 1);
    EXPECT_LE(plan.candidates_done, 64);
    EXPECT_TRUE(plan.states.empty());
    EXPECT_EQ(plan.actions.size(), static_cast<std::size_t>(c.horizon * c.task->naction()));
  }
  EXPECT_GT(planner.shortest_plan(c.start.data()), 0);
}

TEST(Anytime, PlansWithoutAllocatingOrLocking) {
  const Case c = make_case(2);
  RandomShooting planner(c.task, c.dynamics, {c.horizon, 4000, 0, 3});
  Plan plan;
  std::vector<float> warm(static_cast<std::size_t>(c.horizon * c.task->naction()));
  PlanLimits limits;
  planner.plan(c.start.data(), 0, 0, limits, &plan);
  limits.warm = warm.data();
  const std::size_t before = allocation_count(), locks_before = lock_count();
  for (std::uint64_t step = 1; step < 300; ++step) {
    limits.deadline = Clock::now() + std::chrono::microseconds(300);
    limits.predict = step % 2 == 0;
    planner.plan(c.start.data(), 0, step, limits, &plan);
    shift_plan(plan.actions.data(), c.horizon, c.task->naction(), warm.data());
  }
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(lock_count(), locks_before);
}

// a worker that stalls inside its candidates is left behind: the result is in time, complete up to where it
// ends, and the next searches do without that worker until it is back
TEST(Anytime, AStalledThreadHoldsNothingUp) {
  ThreadPool pool(2);
  AnytimeSearch search(&pool, 4096, 32, 32);
  struct Context {
    std::atomic<bool> stall{false}, stalled{false}, release{false};
  } context;
  const auto roll = [](const void* arg, int, std::int64_t first, int count, int thread, float* costs) {
    auto& c = *static_cast<Context*>(const_cast<void*>(arg));
    if (thread == 1 && c.stall.exchange(false)) {
      c.stalled = true;
      while (!c.release) std::this_thread::yield();
    }
    const auto end = Clock::now() + std::chrono::microseconds(20);
    while (Clock::now() < end) {
    }
    for (int i = 0; i < count; ++i) costs[i] = static_cast<float>((first + i) * 7919 % 4096);
  };
  const auto best_of = [](std::int64_t n) {
    BestCandidate best;
    for (std::int64_t i = 0; i < n; ++i)
      best.take(static_cast<double>(i * 7919 % 4096), static_cast<std::uint32_t>(i));
    return best.candidate;
  };
  for (int i = 0; i < 20; ++i) {  // measures what things take
    EXPECT_EQ(search.run(pool.reserve(), roll, &context, 4096, kNever).done, 4096);
  }
  context.stall = true;
  int rounds = 0;
  for (; rounds < 200 && !context.stalled; ++rounds) {
    const AnytimeSearch::Result result = search.run(pool.reserve(), roll, &context, 4096, kNever);
    EXPECT_EQ(result.done, 4096);
    EXPECT_EQ(result.best.candidate, best_of(4096));
  }
  ASSERT_TRUE(context.stalled) << "the worker never took part";
  for (int i = 0; i < 20; ++i) {
    const Nanoseconds stop = monotonic_now() + 1'000'000;
    const AnytimeSearch::Result result = search.run(pool.reserve(), roll, &context, 4096, stop);
    EXPECT_GT(result.done, 0);
    EXPECT_EQ(result.best.candidate, best_of(result.done));
  }
  context.release = true;
  for (int slot = 0; slot < pool.nslot(); ++slot) pool.wait(slot);
}

}  // namespace
}  // namespace mbmf
