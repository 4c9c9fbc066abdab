// Planning within limits: the same plan as without them, in time, and without waiting for a thread that lost
// its CPU.

#include "planning/anytime.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "allocation_counter.h"
#include "mbmf/base/isa.h"
#include "mbmf/planning/planner.h"
#include "planner_fixture.h"
#include "planning/k_best.h"

namespace mbmf {
namespace {

using Clock = std::chrono::steady_clock;
using fixture::plan_at;
using fixture::query_at;

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
      const auto planner = make_planner(c.task, c.dynamics, {c.horizon, 1003, 5, nthread});
      const Plan want = plan_at(*planner, c.start, 1, 7);
      PlanQuery query = query_at(c.start, 1, 7);
      fixture::set_deadline(&query, std::chrono::hours(1));
      query.candidates = 1003;
      Plan got;
      planner->plan(query, nullptr, &got);
      EXPECT_EQ(got.candidates_done, 1003);
      EXPECT_EQ(got.rounds_done, 1);
      expect_same(got, want);
    }
  }
}

// whatever number of candidates a deadline leaves, the plan is that of a planner of so many candidates
TEST_P(AnytimeOn, ThePlanAtADeadlineIsThatOfItsCandidates) {
  for (int preset = 0; preset < 4; ++preset) {
    const Case c = make_case(preset);
    const auto planner = make_planner(c.task, c.dynamics, {c.horizon, 20000, 5, 2});
    std::int64_t least = 20000, most = 0;
    // nine deadlines, and on a busy machine more, until they left different numbers of candidates
    for (int round = 0; round < 9 || (round < 200 && least == most); ++round) {
      PlanQuery query = query_at(c.start, 1, 7);
      fixture::set_deadline(&query, std::chrono::microseconds(100 << (round % 12)));
      Plan got;
      planner->plan(query, nullptr, &got);
      least = std::min(least, got.candidates_done);
      most = std::max(most, got.candidates_done);
      const auto other = make_planner(c.task, c.dynamics, {c.horizon, got.candidates_done, 5, 1});
      const Plan want = plan_at(*other, c.start, 1, 7);
      expect_same(got, want);
      query = query_at(c.start, 1, 7);
      query.candidates = got.candidates_done;
      planner->plan(query, nullptr, &got);
      expect_same(got, want);
    }
    EXPECT_GE(least, 1);
    EXPECT_LT(least, most);
    EXPECT_LT(least, 20000);
  }
}

// candidate 0 is the last plan, whose cost is that of an open-loop prediction with it
TEST_P(AnytimeOn, WarmStartIsCandidateZero) {
  for (const int preset : {0, 2}) {
    const Case c = make_case(preset);
    const int na = c.task->naction();
    const auto planner =
        make_planner(c.task, c.dynamics, {c.horizon, 300, 5, 2, "random_shooting", {{"warm_start", 1.0}}});
    PlanMemory memory = planner->make_memory();
    Plan last, warm;
    planner->plan(query_at(c.start, 0, 0), &memory, &last);
    expect_same(last, plan_at(*planner, c.start, 0, 0));
    const PlanMemory after_last = memory;
    std::vector<float> shifted(last.actions.size());
    shift_plan(last.actions.data(), c.horizon, na, shifted.data());
    EXPECT_TRUE(std::equal(shifted.begin(), shifted.end() - na, last.actions.begin() + na));
    EXPECT_TRUE(std::equal(shifted.end() - na, shifted.end(), last.actions.end() - na));

    // alone, it wins
    PlanQuery query = query_at(c.start, 0, 1);
    query.candidates = 1;
    planner->plan(query, &memory, &warm);
    EXPECT_EQ(warm.candidate, 0);
    EXPECT_EQ(warm.actions, shifted);
    double want = 0;
    c.task->cost(warm.states.data(), warm.actions.data(), 1, c.horizon, {}, &want);
    EXPECT_NEAR(warm.cost, want, 1e-4 * std::max(1.0, std::abs(want)));

    // the best plan of this very state cannot be beaten by the same other candidates
    memory = after_last;
    planner->plan(query_at(c.start, 0, 0), &memory, &warm);
    EXPECT_EQ(warm.cost, last.cost);
    EXPECT_EQ(warm.actions, last.actions);
    EXPECT_EQ(warm.candidate, 0);

    // the other candidates are what they are without it
    const Plan cold = plan_at(*planner, c.start, 0, 1);
    memory = after_last;
    planner->plan(query_at(c.start, 0, 1), &memory, &warm);
    EXPECT_LE(warm.cost, cold.cost);
    if (warm.candidate != 0) {
      EXPECT_EQ(warm.actions, cold.actions);
    }
  }
}

TEST(Anytime, RefusesBadLimits) {
  const Case c = make_case(0);
  const auto planner =
      make_planner(c.task, c.dynamics, {c.horizon, 100, 5, 1, "random_shooting", {{"warm_start", 1.0}}});
  Plan plan;
  PlanQuery query = query_at(c.start, 0, 1);
  query.candidates = -1;
  EXPECT_THROW(planner->plan(query, nullptr, &plan), std::invalid_argument);
  query.candidates = 101;  // at most
  planner->plan(query, nullptr, &plan);
  EXPECT_EQ(plan.candidates_done, 100);
  query.candidates = 0;
  PlanMemory memory = planner->make_memory();
  planner->plan(query_at(c.start, 0, 0), &memory, &plan);
  for (const float bad : {1.5f, std::nanf("")}) {
    PlanMemory other = memory;
    other.mean[3] = bad;
    EXPECT_THROW(planner->plan(query, &other, &plan), std::invalid_argument);
  }
  std::vector<double> state = c.start;
  state[1] = std::nan("");
  EXPECT_THROW(planner->plan(query_at(state, 0, 1), nullptr, &plan), std::invalid_argument);
  planner->plan(query, &memory, &plan);  // and is usable afterwards
}

TEST(Anytime, ADeadlineInThePastStillGivesAPlan) {
  const Case c = make_case(0);
  const auto planner = make_planner(c.task, c.dynamics, {c.horizon, 1000, 5, 2});
  PlanQuery query = query_at(c.start, 0, 0);
  fixture::set_deadline(&query, -std::chrono::seconds(1));
  query.predict = false;
  Plan plan;
  for (int i = 0; i < 5; ++i) {
    planner->plan(query, nullptr, &plan);
    EXPECT_GE(plan.candidates_done, 1);
    EXPECT_LE(plan.candidates_done, 64);
    EXPECT_TRUE(plan.states.empty());
    EXPECT_EQ(plan.actions.size(), static_cast<std::size_t>(c.horizon * c.task->naction()));
  }
  EXPECT_GT(planner->shortest_plan(c.start.data()), 0);
}

TEST(Anytime, PlansWithoutAllocatingOrLocking) {
  const Case c = make_case(2);
  const auto planner =
      make_planner(c.task, c.dynamics, {c.horizon, 4000, 0, 3, "random_shooting", {{"warm_start", 1.0}}});
  Plan plan;
  PlanMemory memory = planner->make_memory();
  planner->plan(query_at(c.start, 0, 0), &memory, &plan);
  const std::size_t before = allocation_count(), locks_before = lock_count();
  for (std::uint64_t step = 1; step < 300; ++step) {
    PlanQuery query = query_at(c.start, 0, step);
    fixture::set_deadline(&query, std::chrono::microseconds(300));
    query.predict = step % 2 == 0;
    planner->plan(query, &memory, &plan);
  }
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(lock_count(), locks_before);
}

// a worker that stalls inside its candidates is left behind: the result is in time, complete up to where it
// ends, and the next searches do without that worker until it is back
TEST(Anytime, AStalledThreadHoldsNothingUp) {
  ThreadPool pool(2);
  AnytimeRound round(&pool, {16, 32, 32}, 4096, 1);
  struct Context {
    std::atomic<bool> stall{false}, stalled{false}, release{false};
  } context;
  const auto roll = [](const void* arg, int, int, std::int64_t first, int count, int thread, double* costs) {
    auto& c = *static_cast<Context*>(const_cast<void*>(arg));
    if (thread == 1 && c.stall.exchange(false)) {
      c.stalled = true;
      while (!c.release) std::this_thread::yield();
    }
    const auto end = Clock::now() + std::chrono::microseconds(20);
    while (Clock::now() < end) {
    }
    for (int i = 0; i < count; ++i) costs[i] = static_cast<double>((first + i) * 7919 % 4096);
  };
  const auto best_of = [](std::int64_t n) {
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < n; ++i) {
      if (i * 7919 % 4096 < best * 7919 % 4096) best = i;
    }
    return best;
  };
  std::vector<Scored> scored(static_cast<std::size_t>(round.room()));
  const auto run = [&](Nanoseconds stop) {
    struct Result {
      std::int64_t done, best;
    };
    const std::int64_t count = 4096;
    const int slot = pool.reserve();
    round.run(slot, roll, &context, &count, 1, 1, stop, true);
    EXPECT_GT(sort_best(scored.data(), round.scored(slot, 0, scored.data()), 1), 0);
    return Result{round.done(slot, 0), scored.front().position};
  };
  for (int i = 0; i < 20; ++i) {  // measures what things take
    EXPECT_EQ(run(kNever).done, 4096);
  }
  context.stall = true;
  const auto end = Clock::now() + std::chrono::seconds(60);
  while (!context.stalled && Clock::now() < end) {
    const auto result = run(kNever);
    EXPECT_EQ(result.done, 4096);
    EXPECT_EQ(result.best, best_of(4096));
  }
  ASSERT_TRUE(context.stalled) << "the worker never took part";
  for (int i = 0; i < 20; ++i) {
    const Nanoseconds stop = monotonic_now() + 1'000'000;
    const auto result = run(stop);
    EXPECT_GT(result.done, 0);
    EXPECT_EQ(result.best, best_of(result.done));
  }
  context.release = true;
  for (int slot = 0; slot < pool.nslot(); ++slot) pool.wait(slot);
}

// ---- rounds by themselves: candidates that cost what a formula says

// costs with ties; some are not finite
double cost_of(int job, std::int64_t i) {
  if (i % 13 == 5) return std::nan("");
  if (i % 17 == 3) return std::numeric_limits<double>::infinity();
  return static_cast<double>((i * 7919 + job * 31) % 97);
}

struct RollContext {
  std::atomic<int> throw_on = -1;                   // a thread that throws
  std::atomic<std::int64_t> rolled{0}, busy_ns{0};  // candidates in all; what a call takes
};

void roll_formula(const void* arg, int, int job, std::int64_t first, int count, int thread, double* costs) {
  auto& c = *static_cast<RollContext*>(const_cast<void*>(arg));
  if (c.throw_on == thread) throw std::runtime_error("a cost function of the user's");
  if (c.busy_ns > 0) {
    const auto end = Clock::now() + std::chrono::nanoseconds(c.busy_ns);
    while (Clock::now() < end) {
    }
  }
  for (int i = 0; i < count; ++i) costs[i] = cost_of(job, first + i);
  c.rolled += count;
}

// the finite ones of the first `done` candidates, by position
std::vector<Scored> all_scored(int job, std::int64_t done) {
  std::vector<Scored> scored;
  for (std::int64_t i = 0; i < done; ++i) {
    if (std::isfinite(cost_of(job, i))) scored.push_back({cost_of(job, i), i});
  }
  return scored;
}

void expect_scored(const AnytimeRound& round, int slot, int job, std::int64_t keep) {
  std::vector<Scored> got(static_cast<std::size_t>(round.room()));
  got.resize(static_cast<std::size_t>(round.scored(slot, job, got.data())));
  std::vector<Scored> want = all_scored(job, round.done(slot, job));
  if (keep > 0) {  // more may come back: every record's best
    got.resize(static_cast<std::size_t>(sort_best(got.data(), static_cast<std::int64_t>(got.size()), keep)));
    want.resize(
        static_cast<std::size_t>(sort_best(want.data(), static_cast<std::int64_t>(want.size()), keep)));
  }
  ASSERT_EQ(got.size(), want.size()) << job << " " << keep;
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].cost, want[i].cost) << job << " " << keep << " " << i;
    EXPECT_EQ(got[i].position, want[i].position) << job << " " << keep << " " << i;
  }
}

void leave_nobody(const ThreadPool& pool) {
  for (int slot = 0; slot < pool.nslot(); ++slot) pool.wait(slot);
}

TEST(AnytimeRound, SeveralJobsAndAnyNumberKept) {
  constexpr std::int64_t kMost = 1000;
  for (const int nthread : {1, 2, 3, 7}) {
    for (const Grain grain :
         {Grain{4, 32, 32}, Grain{16, 32, 128}, Grain{1, 1, 1}, Grain{1000, 1000, 1000}}) {
      for (const std::int64_t most_keep : {1, 5, 50, 0}) {
        ThreadPool pool(nthread);
        AnytimeRound round(&pool, grain, kMost, most_keep);
        round.reserve(6);
        RollContext context;
        for (const std::int64_t keep : {most_keep, std::int64_t{1}}) {
          if (most_keep == 0 && keep != 0) continue;
          const std::int64_t counts[] = {kMost, 37, 0, 1, 64, 999};
          std::int64_t sum = 0;
          for (const std::int64_t count : counts) sum += count;
          context.rolled = 0;
          const int slot = pool.reserve();
          round.run(slot, roll_formula, &context, counts, 6, keep, kNever, true);
          for (int job = 0; job < 6; ++job) {
            ASSERT_EQ(round.done(slot, job), counts[job]);
            expect_scored(round, slot, job, keep);
          }
          leave_nobody(pool);
          EXPECT_GE(context.rolled, sum);
        }
      }
    }
  }
}

// one job after many, and many again, in whatever slots
TEST(AnytimeRound, GrowsBetweenRounds) {
  ThreadPool pool(3);
  AnytimeRound round(&pool, {4, 16, 16}, 200, 10);
  RollContext context;
  for (const int njob : {1, 2, 32, 1, 7}) {
    round.reserve(njob);
    const std::vector<std::int64_t> counts(static_cast<std::size_t>(njob), 77);
    for (int i = 0; i < 20; ++i) {
      const int slot = pool.reserve();
      round.run(slot, roll_formula, &context, counts.data(), njob, 10, kNever, true);
      for (int job = 0; job < njob; ++job) {
        ASSERT_EQ(round.done(slot, job), 77);
        expect_scored(round, slot, job, 10);
      }
    }
  }
  leave_nobody(pool);
}

TEST(AnytimeRound, IsCutShort) {
  constexpr std::int64_t kCount = 4000;
  for (const int nthread : {1, 2, 3}) {
    for (const std::int64_t keep : {1, 9, 0}) {
      ThreadPool pool(nthread);
      AnytimeRound round(&pool, {8, 32, 64}, kCount, keep);
      RollContext context;
      context.busy_ns = 20'000;
      std::int64_t most = 0, least = kCount;
      for (int i = 0; i < 30 || (i < 1000 && least == most); ++i) {
        const int slot = pool.reserve();
        const Nanoseconds stop = monotonic_now() + 20'000 * (i % 100 + 1);
        round.run(slot, roll_formula, &context, &kCount, 1, keep, stop, true);
        const std::int64_t done = round.done(slot, 0);
        ASSERT_GE(done, round.fewest());
        ASSERT_TRUE(done % round.fewest() == 0 || done == kCount);
        expect_scored(round, slot, 0, keep);
        most = std::max(most, done);
        least = std::min(least, done);
      }
      EXPECT_LT(least, kCount);
      EXPECT_LT(least, most);
      // nothing must be done: then nothing is
      const int slot = pool.reserve();
      round.run(slot, roll_formula, &context, &kCount, 1, keep, monotonic_now() - 1, false);
      EXPECT_EQ(round.done(slot, 0), 0);
      expect_scored(round, slot, 0, keep);
      leave_nobody(pool);
    }
  }
}

// a cost function may throw on the thread that plans
TEST(AnytimeRound, IsUsableAfterARollThatThrows) {
  constexpr std::int64_t kCount = 2000;
  for (const int nthread : {1, 2, 3}) {
    ThreadPool pool(nthread);
    AnytimeRound round(&pool, {4, 16, 16}, kCount, 5);
    RollContext context;
    for (int i = 0; i < 50; ++i) {
      context.throw_on = 0;
      context.busy_ns = 20'000;  // on a busy machine the others would be done before this thread has begun
      EXPECT_THROW(round.run(pool.reserve(), roll_formula, &context, &kCount, 1, 5, kNever, true),
                   std::runtime_error);
      context.throw_on = -1;
      context.busy_ns = 0;
      const int slot = pool.reserve();
      round.run(slot, roll_formula, &context, &kCount, 1, 5, kNever, true);
      ASSERT_EQ(round.done(slot, 0), kCount);
      expect_scored(round, slot, 0, 5);
      std::atomic<int> items{0};
      pool.parallel_for(100, [&](std::int64_t, int) { ++items; });
      EXPECT_EQ(items, 100);
    }
    leave_nobody(pool);
  }
}

}  // namespace
}  // namespace mbmf
