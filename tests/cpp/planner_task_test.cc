// A planner that goes on with another task: what it refuses, and that it goes on as before then.

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocation_counter.h"
#include "mbmf/model/value.h"
#include "mbmf/physics/simulator.h"
#include "mbmf/planning/planner.h"
#include "planner_fixture.h"
#include "task_fixture.h"

namespace mbmf {
namespace {

using fixture::plan_at;

// The small robot's task with another cost, and whatever `change` does to it.
template <typename Change>
std::shared_ptr<const Task> other_task(const Change& change) {
  const std::vector<char> mjb = fixture::compile(
      "<mujoco><worldbody><body><joint name='j' type='slide'/><geom size='.1'/></body></worldbody><actuator>"
      "<motor joint='j' ctrlrange='-1 1' ctrllimited='true'/><motor joint='j' ctrlrange='-1 1' "
      "ctrllimited='true'/></actuator></mujoco>");
  TaskSpec spec = fixture::make_robot().task->spec();
  spec.cost = {{TermKind::kLinear, 2.0, {1}, {}, {}, {0, 0}}};
  change(&spec);
  return Task::load(mjb.data(), mjb.size(), std::move(spec));
}

void expect_refused(Planner* planner, const std::shared_ptr<const Task>& task, const std::string& why) {
  try {
    planner->set_task(task);
    ADD_FAILURE() << "taken";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
  }
}

PlannerOptions with_policy() {
  PlannerOptions options{8, 100, 3, 1};
  options.policy = fixture::make_policy();
  options.proposals = 4;
  return options;
}

// where a planner with the simulator begins
std::vector<double> start_row(const std::shared_ptr<const Task>& task) {
  const Simulator simulator(task, 1, 1, 0);
  std::vector<double> row(static_cast<std::size_t>(simulator.state_size()));
  const int id = 0;
  simulator.get_state(&id, 1, row.data());
  return row;
}

const auto kSame = [](TaskSpec*) {};
const auto kAlive = [](TaskSpec* spec) { spec->alive = {{0, {-5, 5, true, true}}}; };
const auto kSeesLess = [](TaskSpec* spec) { spec->observation.pop_back(); };
const auto kRemembers = [](TaskSpec* spec) {
  Channel rate = spec->state.front();
  rate.source = Source::kQpos;
  rate.transform = Transform::kRate;
  spec->reward_state = {rate};
};

TEST(PlannerTask, AnotherCostIsPlannedWithThatOfTheModel) {
  const fixture::Robot robot = fixture::make_robot();
  const auto planner = make_planner(robot.task, robot.dynamics, with_policy());
  planner->set_task(other_task(kSame));
  const auto fresh = make_planner(other_task(kSame), robot.dynamics, with_policy());
  EXPECT_EQ(plan_at(*planner, robot.state, 1, 2).cost, plan_at(*fresh, robot.state, 1, 2).cost);
}

TEST(PlannerTask, ItMayHaveAliveBoundsOrNone) {
  const fixture::Robot robot = fixture::make_robot();
  PlannerOptions options = with_policy();
  options.candidates = 1000;  // more than a kernel takes at once
  const auto free = other_task(kSame), bounded = other_task(kAlive);
  const auto from_free = make_planner(free, robot.dynamics, options);
  const auto from_bounded = make_planner(bounded, robot.dynamics, options);
  const Plan of_free = plan_at(*from_free, robot.state, 1, 2);
  const Plan of_bounded = plan_at(*from_bounded, robot.state, 1, 2);
  from_free->set_task(bounded);
  from_bounded->set_task(free);
  EXPECT_EQ(plan_at(*from_free, robot.state, 1, 2).actions, of_bounded.actions);
  EXPECT_EQ(plan_at(*from_bounded, robot.state, 1, 2).actions, of_free.actions);
  from_free->set_task(free);
  EXPECT_EQ(plan_at(*from_free, robot.state, 1, 2).actions, of_free.actions);
}

TEST(PlannerTask, WhatDoesNotFitIsRefusedByAPlannerWithAModel) {
  const fixture::Robot robot = fixture::make_robot();
  const auto planner = make_planner(robot.task, robot.dynamics, with_policy());
  const Plan before = plan_at(*planner, robot.state, 1, 2);
  expect_refused(planner.get(), other_task(kSeesLess), "task must have the 6 observations that the policy");
  const Plan after = plan_at(*planner, robot.state, 1, 2);
  EXPECT_EQ(after.actions, before.actions);
  EXPECT_EQ(after.cost, before.cost);
}

TEST(PlannerTask, WhatDoesNotFitIsRefusedByAPlannerWithTheSimulator) {
  const fixture::Robot robot = fixture::make_robot();
  PlannerOptions options = with_policy();
  options.candidates = 20;
  const auto planner = make_simulator_planner(robot.task, options);
  const std::vector<double> row = start_row(robot.task);
  const Plan before = plan_at(*planner, row, 1, 2);
  expect_refused(planner.get(), other_task(kRemembers), "task must have simulations of ");
  expect_refused(planner.get(), other_task(kSeesLess), "task must have the 6 observations that the policy");
  const Plan after = plan_at(*planner, row, 1, 2);
  EXPECT_EQ(after.actions, before.actions);
  EXPECT_EQ(after.cost, before.cost);
}

// Whichever allocation of set_task fails, the planner goes on with the task that it has.
void expect_whole_where_memory_runs_out(Planner* planner, const std::vector<double>& start,
                                        const std::shared_ptr<const Task>& task) {
  const Plan before = plan_at(*planner, start, 1, 2);
  int failures = 0;
  for (bool done = false; !done; ++failures) {
    fail_allocation(failures);
    try {
      planner->set_task(task);
      done = true;
    } catch (const std::bad_alloc&) {
    }
    fail_allocation(-1);
    ASSERT_LT(failures, 1000);
    if (done) break;
    const Plan after = plan_at(*planner, start, 1, 2);
    ASSERT_EQ(after.actions, before.actions) << "allocation " << failures;
    ASSERT_EQ(after.cost, before.cost) << "allocation " << failures;
  }
  EXPECT_GT(failures, 5);
  EXPECT_NE(plan_at(*planner, start, 1, 2).cost, before.cost);
}

TEST(PlannerTask, IsWholeWhereMemoryRunsOut) {
  const fixture::Robot robot = fixture::make_robot();
  PlannerOptions options = with_policy();
  options.candidates = 20;
  const auto through_model = make_planner(robot.task, robot.dynamics, options);
  expect_whole_where_memory_runs_out(through_model.get(), robot.state, other_task(kAlive));
  const auto through_simulator = make_simulator_planner(robot.task, options);
  expect_whole_where_memory_runs_out(through_simulator.get(), start_row(robot.task), other_task(kSame));
}

TEST(PlannerTask, ThroughTheSimulatorNothingIsAllocated) {
  const fixture::Robot robot = fixture::make_robot();
  PlannerOptions options = with_policy();
  options.candidates = 20;
  ValueSpec worth;
  worth.nstate = 6;
  worth.layers = {{8, 6, std::vector<float>(48, 0.1f), std::vector<float>(8)},
                  {1, 8, std::vector<float>(8, 0.1f), {0}}};
  worth.state = {std::vector<double>(6, 0.0), std::vector<double>(6, 1.0)};
  worth.low = -1;
  worth.high = 1;
  options.value = std::make_shared<const Value>(worth);
  const auto planner = make_simulator_planner(robot.task, options);
  const std::vector<double> row = start_row(robot.task);
  PlanMemory memory = planner->make_memory();
  Plan plan;
  ASSERT_TRUE(planner->try_plan(fixture::query_at(row, 0, 0), &memory, &plan));
  const std::size_t before = allocation_count();
  bool found = true;
  for (std::uint64_t step = 1; step < 20; ++step) {
    found = found && planner->try_plan(fixture::query_at(row, 0, step), &memory, &plan);
  }
  EXPECT_EQ(allocation_count(), before);
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace mbmf
