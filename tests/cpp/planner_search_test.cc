// Every search in a planner: nothing allocated, the same bits on any threads, one caller at a time, forks.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "allocation_counter.h"
#include "mbmf/base/error.h"
#include "mbmf/planning/planner.h"
#include "planner_fixture.h"

namespace mbmf {
namespace {

using fixture::query_at;
using fixture::Robot;

class PlannerSearch : public testing::TestWithParam<fixture::SearchCase> {
 protected:
  PlannerOptions options(int nthread) const { return fixture::search_options(GetParam(), nthread); }
  std::unique_ptr<Planner> make(int nthread) const {
    return make_planner(robot_.task, robot_.dynamics, options(nthread));
  }
  Robot robot_ = fixture::make_robot();
};

INSTANTIATE_TEST_SUITE_P(Searches, PlannerSearch, testing::ValuesIn(fixture::search_cases()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_P(PlannerSearch, NeitherAllocatesNorLocks) {
  for (const int nthread : {1, 3}) {
    const auto planner = make(nthread);
    PlanMemory memory = planner->make_memory();
    Plan plan;
    ASSERT_TRUE(planner->try_plan(query_at(robot_.state, 0, 0), &memory, &plan));
    const std::size_t before = allocation_count(), locks_before = lock_count();
    bool found = true;
    for (std::uint64_t step = 1; step < 200; ++step) {
      PlanQuery query = query_at(robot_.state, 0, step);
      query.predict = step % 3 != 0;
      if (step % 2 == 0) fixture::set_deadline(&query, std::chrono::microseconds(300));
      if (step % 50 == 7) memory.filled = false;  // another episode
      found = found && planner->try_plan(query, &memory, &plan);
    }
    EXPECT_EQ(allocation_count(), before);
    EXPECT_EQ(lock_count(), locks_before);
    EXPECT_TRUE(found);
  }
}

// plan after plan of an episode, whatever the threads; and a deadline's plan is that of its candidates
TEST_P(PlannerSearch, SameBitsAtAnyThreadCountAndDeadline) {
  constexpr std::uint64_t kSteps = 12;
  std::vector<Plan> first;
  std::vector<PlanMemory> memories;
  for (const int nthread : {1, 2, 3, 7}) {
    const auto planner = make(nthread), limited = make(1);
    PlanMemory memory = planner->make_memory();
    for (std::uint64_t step = 0; step < kSteps; ++step) {
      PlanMemory copy = memory;
      Plan plan;
      planner->plan(query_at(robot_.state, 3, step), &memory, &plan);
      if (nthread == 1) {
        first.push_back(plan);
        memories.push_back(memory);
      }
      EXPECT_EQ(plan.actions, first[step].actions);
      EXPECT_EQ(plan.states, first[step].states);
      EXPECT_EQ(plan.cost, first[step].cost);
      EXPECT_EQ(plan.candidate, first[step].candidate);
      EXPECT_EQ(plan.rounds_done, first[step].rounds_done);
      EXPECT_EQ(memory.mean, memories[step].mean);
      EXPECT_EQ(memory.kept, memories[step].kept);
      EXPECT_EQ(memory.executed, memories[step].executed);

      PlanMemory other = copy;
      PlanQuery query = query_at(robot_.state, 3, step);
      fixture::set_deadline(&query, std::chrono::microseconds(30 * (step + 1)));
      Plan cut, want;
      planner->plan(query, &copy, &cut);
      query = query_at(robot_.state, 3, step);
      query.candidates = cut.candidates_done;
      limited->plan(query, &other, &want);
      EXPECT_EQ(cut.actions, want.actions) << cut.candidates_done;
      EXPECT_EQ(cut.cost, want.cost);
      EXPECT_EQ(cut.candidate, want.candidate);
      EXPECT_EQ(cut.candidates_done, want.candidates_done);
      EXPECT_EQ(cut.rounds_done, want.rounds_done);
      EXPECT_EQ(copy.mean, other.mean);
      EXPECT_EQ(copy.kept, other.kept);
    }
  }
  EXPECT_NE(first[0].actions, first[1].actions);
}

TEST_P(PlannerSearch, BatchEqualsOneByOne) {
  constexpr int kCount = 40;  // more than are made at once
  const auto planner = make(3), alone = make(1);
  std::vector<std::vector<double>> starts;
  std::vector<PlanMemory> memories(kCount, planner->make_memory()), own(kCount, alone->make_memory());
  std::vector<PlanMemory*> pointers;
  for (std::size_t i = 0; i < kCount; ++i) {
    starts.push_back(robot_.state);
    starts.back()[1] = 0.01 * static_cast<double>(i);
    pointers.push_back(&memories[i]);
  }
  for (std::uint64_t step = 0; step < 3; ++step) {
    std::vector<PlanQuery> queries;
    for (std::size_t i = 0; i < kCount; ++i) queries.push_back(query_at(starts[i], i, step));
    std::vector<Plan> plans(kCount);
    planner->plan_batch(queries.data(), kCount, pointers.data(), plans.data());
    for (std::size_t i = 0; i < kCount; ++i) {
      Plan plan;
      alone->plan(queries[i], &own[i], &plan);
      EXPECT_EQ(plan.actions, plans[i].actions);
      EXPECT_EQ(plan.states, plans[i].states);
      EXPECT_EQ(plan.cost, plans[i].cost);
      EXPECT_EQ(own[i].mean, memories[i].mean);
      EXPECT_EQ(own[i].kept, memories[i].kept);
    }
  }
}

// two threads with one planner: whoever comes second is refused, and nothing breaks
TEST_P(PlannerSearch, TwoCallersAtOnce) {
  const auto planner = make(2);
  const PlanQuery query = query_at(robot_.state, 0, 5);
  Plan want;
  planner->plan(query, nullptr, &want);
  std::atomic<int> ready{0}, refused{0}, planned{0}, wrong{0};
  const auto call = [&] {
    PlanMemory memory = planner->make_memory();
    Plan plan;
    ++ready;
    while (ready < 2) std::this_thread::yield();
    for (int i = 0; i < 400; ++i) {
      memory.filled = false;
      try {
        planner->plan(query, &memory, &plan);
        ++planned;
        if (plan.actions != want.actions || plan.cost != want.cost) ++wrong;
      } catch (const Error& error) {
        ++refused;
        if (std::string(error.what()).find("one thread at a time") == std::string::npos) ++wrong;
        std::this_thread::yield();
      }
    }
  };
  std::thread other(call);
  call();
  other.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(planned + refused, 800);
  EXPECT_GT(planned, 0);
  Plan plan;
  planner->plan(query, nullptr, &plan);
  EXPECT_EQ(plan.actions, want.actions);
}

// whoever finds nothing is told so, whatever the other one does meanwhile
TEST(Planner, TwoCallersOneOfWhomFindsNothing) {
  const Robot robot = fixture::make_robot();
  const auto planner = make_planner(robot.task, robot.dynamics, {2, 4, 0, 1});
  const std::vector<double> huge(robot.state.size(), 3e38);
  std::atomic<int> ready{0}, wrong{0}, nothing{0}, planned{0};
  const auto call = [&](bool finite) {
    Plan plan;
    ++ready;
    while (ready < 2) std::this_thread::yield();
    for (int i = 0; i < 3000; ++i) {
      try {
        planner->plan(query_at(finite ? robot.state : huge, 0, 0), nullptr, &plan);
        ++(finite ? planned : wrong);
      } catch (const Error& error) {
        const bool busy = std::string(error.what()).find("one thread at a time") != std::string::npos;
        if (!busy) ++(finite ? wrong : nothing);
      }
    }
  };
  std::thread other(call, true);
  call(false);
  other.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(planned + nothing, 0);
}

// waits for a child that must not hang; what it returned
int exit_code_of(pid_t child) {
  int status = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return -1;
}

// after a fork the child is refused, and can destroy the planner; the parent goes on
TEST_P(PlannerSearch, AForkedChildIsRefused) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer does not go on in a child of several threads";
#endif
  for (const int nthread : {1, 3}) {
    auto planner = make(nthread);
    PlanMemory memory = planner->make_memory();
    Plan plan;
    planner->plan(query_at(robot_.state, 0, 0), &memory, &plan);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int code = 1;
      try {
        planner->plan(query_at(robot_.state, 0, 1), &memory, &plan);
      } catch (const Error& error) {
        code = std::string(error.what()).find("after a fork") == std::string::npos ? 2 : 0;
      }
      planner.reset();
      _exit(code);
    }
    EXPECT_EQ(exit_code_of(child), 0);
    planner->plan(query_at(robot_.state, 0, 1), &memory, &plan);
  }
}

// every call while a plan waits in its cost function
TEST(Planner, RefusesASecondCaller) {
  const Robot robot = fixture::make_robot();
  std::atomic<bool> inside{false}, release{false};
  const auto cost = [&](const float*, const float* actions, std::int64_t n, double* costs) {
    inside = true;
    while (!release) std::this_thread::yield();
    for (std::int64_t i = 0; i < n; ++i) costs[i] = static_cast<double>(actions[0]);
  };
  const auto planner = make_planner(robot.task, robot.dynamics, cost, {5, 10, 0, 2});
  const PlanQuery query = query_at(robot.state, 0, 0);
  Plan first;
  std::thread other([&] { planner->plan(query, nullptr, &first); });
  while (!inside) std::this_thread::yield();
  Plan plan;
  std::vector<float> actions(static_cast<std::size_t>(10 * 5 * robot.task->naction()));
  std::vector<double> costs(10), predicted(robot.state.size());
  EXPECT_THROW(planner->plan(query, nullptr, &plan), Error);
  EXPECT_THROW(planner->try_plan(query, nullptr, &plan), Error);
  EXPECT_THROW(planner->trace(query, nullptr, &plan), Error);
  EXPECT_THROW(planner->plan_batch(&query, 1, nullptr, &plan), Error);
  EXPECT_THROW(planner->roll(query, actions.data(), 10, costs.data()), Error);
  EXPECT_THROW(planner->costs(query), Error);
  EXPECT_THROW(planner->sample(0, 0, 0, 10, actions.data()), Error);
  EXPECT_THROW(planner->set_task(robot.task), Error);
  EXPECT_THROW(planner->roll_forward(robot.state.data(), actions.data(), 1, predicted.data()), Error);
  EXPECT_THROW(planner->shortest_plan(robot.state.data()), Error);
  release = true;
  other.join();
  EXPECT_TRUE(std::isfinite(first.cost));
  planner->plan(query, nullptr, &plan);
  EXPECT_EQ(plan.actions, first.actions);
}

// what the cost function throws comes out; the planner and the memory are as they were
TEST(Planner, IsUsableAfterACostFunctionThatThrows) {
  const Robot robot = fixture::make_robot();
  int calls = 0, throw_at = -1;
  const auto cost = [&](const float*, const float* actions, std::int64_t n, double* costs) {
    if (calls++ == throw_at) throw std::runtime_error("a bug of the user's");
    const std::int64_t size = 5 * robot.task->naction();
    for (std::int64_t i = 0; i < n; ++i) costs[i] = std::abs(static_cast<double>(actions[i * size]) - 0.5);
  };
  for (const fixture::SearchCase& search : fixture::search_cases()) {
    PlannerOptions options = fixture::search_options(search, 2);
    options.horizon = 5;
    const auto planner = make_planner(robot.task, robot.dynamics, cost, options);
    PlanMemory memory = planner->make_memory();
    Plan plan;
    calls = 0;
    planner->plan(query_at(robot.state, 0, 0), &memory, &plan);
    const int whole = calls;
    PlanMemory copy = memory;
    Plan want;
    planner->plan(query_at(robot.state, 0, 1), &copy, &want);
    for (throw_at = 0; throw_at < whole; ++throw_at) {
      calls = 0;
      EXPECT_THROW(planner->plan(query_at(robot.state, 0, 1), &memory, &plan), std::runtime_error);
      EXPECT_EQ(memory.step, 0U);
    }
    throw_at = -1;
    planner->plan(query_at(robot.state, 0, 1), &memory, &plan);
    EXPECT_EQ(plan.actions, want.actions) << search.name;
    EXPECT_EQ(memory.mean, copy.mean);
    EXPECT_EQ(memory.kept, copy.kept);
  }
}

TEST(Planner, RefusesMemoriesOfOthers) {
  const Robot robot = fixture::make_robot();
  const auto planner = make_planner(robot.task, robot.dynamics, {8, 40, 0, 1, "icem"});
  PlanMemory memory = planner->make_memory();
  Plan plan;
  planner->plan(query_at(robot.state, 0, 4), &memory, &plan);
  const std::vector<std::pair<std::function<void(PlanMemory*)>, std::string>> table = {
      {[](PlanMemory* m) { m->search = "cem"; },
       "memory must be one of this planner's search, icem, got one of cem"},
      {[](PlanMemory* m) { m->task = "other"; }, "memory must be one of this planner's task, fixture"},
      {[](PlanMemory* m) { m->horizon = 9; },
       "memory must be one of this planner's horizon, 8, got one of 9"},
      {[](PlanMemory* m) { m->naction = 1; }, "memory must be one of this planner's number of actions, 2"},
      {[](PlanMemory* m) { m->mean.pop_back(); }, "memory must have the sizes that the planner gave it"},
      {[](PlanMemory* m) { m->mean.clear(); }, "memory must have the sizes that the planner gave it"},
      {[](PlanMemory* m) { m->kept.pop_back(); }, "memory must have the sizes that the planner gave it"},
      {[](PlanMemory* m) { m->kept.resize(160); }, "memory must have the sizes that the planner gave it"},
      {[](PlanMemory* m) { m->executed.clear(); }, "memory must have the sizes that the planner gave it"},
      {[](PlanMemory* m) { m->mean[0] = 2; }, "memory must hold actions in [-1, 1]"},
      {[](PlanMemory* m) { m->kept[3] = std::nanf(""); }, "memory must hold actions in [-1, 1]"},
      {[](PlanMemory* m) { m->step = 6; }, "memory must be of an earlier step than 5, got one of step 6"},
  };
  for (const auto& [change, message] : table) {
    PlanMemory other = memory;
    change(&other);
    try {
      planner->plan(query_at(robot.state, 0, 5), &other, &plan);
      ADD_FAILURE() << message;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  }
  planner->plan(query_at(robot.state, 0, 5), &memory, &plan);
}

}  // namespace
}  // namespace mbmf
