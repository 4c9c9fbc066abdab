// What the control loop does when things go wrong: its watchdog, late plans, ticks that have passed.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "controller_fixture.h"

namespace mbmf {
namespace {

using std::chrono::steady_clock;

using fixture::eventually;
using fixture::Feeder;
using fixture::kPeriod;
using fixture::loop_options;
using fixture::make_robot;
using fixture::planner_options;
using fixture::Robot;

// planned, held for hold_steps, then safe; and planned again when the fault ends
void expect_watchdog(std::atomic<bool> Feeder::*fault, Fault expected) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.hold_steps = 3;
  options.stale_after = 2 * kPeriod;
  options.safe_action = {0.25, -0.5};
  std::atomic<int> held{0};
  options.send = [&](const ActionMessage& message) {
    held += message.kind == StepKind::kHeld && message.fault == expected;
  };
  const auto made = fixture::make_controller(robot.task, robot.dynamics, planner_options(), options);
  Controller& controller = *made;
  Feeder feeder(&controller, robot.state);
  controller.start();
  ActionMessage message;
  // on a busy machine a plan may be too old to be held by the time of the fault: then again
  for (int i = 0; i < 50 && (i == 0 || held == 0); ++i) {
    const std::int64_t planned = controller.statistics().planned;
    EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= planned + 5; }));
    feeder.*fault = true;
    EXPECT_TRUE(eventually([&] {
      controller.get_action(&message);
      return message.kind == StepKind::kSafe && message.fault == expected;
    }));
    feeder.*fault = false;
  }
  EXPECT_GE(held, 1);
  EXPECT_EQ(message.action, options.safe_action);
  EXPECT_STRNE(fault_text(message.fault), "");
  const std::int64_t planned = controller.statistics().planned;
  EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= planned + 3; }));
  controller.stop();

  // the last plan is held for no more steps than it may be
  int in_a_row = 0;
  for (const StepRecord& record : controller.records()) {
    in_a_row = record.kind == StepKind::kHeld ? in_a_row + 1 : 0;
    EXPECT_LE(in_a_row, options.hold_steps);
    EXPECT_EQ(record.kind == StepKind::kPlanned, record.fault == Fault::kNone);
  }
}

TEST(Controller, StatesThatStopArriving) { expect_watchdog(&Feeder::stall, Fault::kStaleState); }
TEST(Controller, StatesOfAnotherClock) { expect_watchdog(&Feeder::wall_clock, Fault::kFutureState); }
TEST(Controller, StatesThatAreNotFinite) { expect_watchdog(&Feeder::broken, Fault::kBadState); }

// what is held are the last plan's next actions
TEST(Controller, HoldsTheLastPlan) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.mode = PlanMode::kFixed;
  options.hold_steps = 4;
  std::atomic<bool> broken{false};
  options.read = [&](double* state, TimePoint* when) {
    std::copy(robot.state.begin(), robot.state.end(), state);
    if (broken) state[0] = std::numeric_limits<double>::infinity();
    *when = steady_clock::now();
    return true;
  };
  std::vector<ActionMessage> sent;
  sent.reserve(100'000);
  int planned = 0;  // since the last fault
  std::atomic<int> held_plans{0};
  options.send = [&](const ActionMessage& message) {
    sent.push_back(message);
    held_plans += message.kind == StepKind::kHeld;
    planned = message.kind == StepKind::kSafe ? 0 : planned + (message.kind == StepKind::kPlanned);
    broken = planned >= 5;  // until an action is safe; and again
  };
  const auto made_controller =
      fixture::make_controller(robot.task, robot.dynamics, planner_options(), options);
  Controller& controller = *made_controller;
  controller.start();
  EXPECT_TRUE(eventually([&] { return held_plans >= 8; }));
  controller.stop();
  const auto planner = make_planner(robot.task, robot.dynamics, planner_options(1));
  Plan plan;
  std::int64_t from = -1;
  int held = 0;
  for (const ActionMessage& message : sent) {
    if (message.kind == StepKind::kPlanned) {
      from = message.step;
      plan = fixture::plan_at(*planner, robot.state, 0, static_cast<std::uint64_t>(from));
    } else if (message.kind == StepKind::kHeld) {
      const std::int64_t ahead = message.step - from;
      ASSERT_LE(ahead, 4);
      for (std::int64_t i = 0; i < 2; ++i) {
        EXPECT_EQ(message.action[static_cast<std::size_t>(i)],
                  static_cast<double>(plan.actions[static_cast<std::size_t>(2 * ahead + i)]));
      }
      ++held;
    } else {
      EXPECT_EQ(message.action, std::vector<double>(2, 0.0));
    }
  }
  EXPECT_GE(held, 8);
}

// a fixed number of candidates for which there is no time: every action is late, none of them is sent
TEST(Controller, LateActionsAreNotSent) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.mode = PlanMode::kFixed;
  options.hold_steps = 2;
  PlannerOptions many = planner_options();
  many.candidates = 400'000;
  const auto made_controller = fixture::make_controller(robot.task, robot.dynamics, many, options);
  Controller& controller = *made_controller;
  Feeder feeder(&controller, robot.state);
  controller.start();
  EXPECT_TRUE(eventually([&] { return controller.statistics().late >= 3; }));
  controller.stop();
  const ControllerStatistics s = controller.statistics();
  EXPECT_EQ(s.planned, 0);
  EXPECT_EQ(s.held, 0);  // there was never a plan to hold
  EXPECT_EQ(s.safe, s.steps);
  EXPECT_GT(s.skipped, 0);
  EXPECT_EQ(s.misses(), s.late + s.skipped);
  ActionMessage message;
  controller.get_action(&message);
  EXPECT_EQ(message.kind, StepKind::kSafe);

  // the same number of candidates at most, in the two other modes: in time
  for (const PlanMode mode : {PlanMode::kAnytime, PlanMode::kFitted}) {
    options.mode = mode;
    options.share = 0.3;
    const auto made_timed = fixture::make_controller(robot.task, robot.dynamics, many, options);
    Controller& timed = *made_timed;
    Feeder other(&timed, robot.state);
    timed.start();
    EXPECT_TRUE(eventually([&] { return timed.statistics().planned >= 10; }));
    timed.stop();
    EXPECT_LT(timed.statistics().most, 400'000);
  }
}

// a controller whose thread is held up for many periods goes on with the present one
TEST(Controller, SkipsWhatHasPassed) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  std::atomic<int> sends{0};
  options.send = [&](const ActionMessage&) {
    if (++sends == 6) std::this_thread::sleep_for(std::chrono::duration<double>(10 * kPeriod));
  };
  const auto made_controller =
      fixture::make_controller(robot.task, robot.dynamics, planner_options(), options);
  Controller& controller = *made_controller;
  Feeder feeder(&controller, robot.state);
  controller.start();
  EXPECT_TRUE(eventually([&] { return sends >= 20; }));
  controller.stop();
  EXPECT_GE(controller.statistics().skipped, 8);
  std::int64_t jump = 0;
  const std::vector<StepRecord> records = controller.records();
  for (std::size_t i = 1; i < records.size(); ++i)
    jump = std::max(jump, records[i].step - records[i - 1].step);
  EXPECT_GE(jump, 9);
}

// whatever the clock of a state was: a stamp and its age never overflow
TEST(Controller, StampsOfAnyTime) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.compensate = true;
  const auto made = fixture::make_controller(robot.task, robot.dynamics, planner_options(), options);
  Controller& controller = *made;
  EXPECT_THROW(controller.start(TimePoint::max()), std::invalid_argument);
  EXPECT_THROW(controller.start(TimePoint::min()), std::invalid_argument);
  EXPECT_THROW(controller.start(steady_clock::now() + std::chrono::hours(300)), std::invalid_argument);
  controller.start();
  for (const auto& [when, fault] :
       {std::pair{TimePoint::max(), Fault::kFutureState}, std::pair{TimePoint::min(), Fault::kStaleState},
        std::pair{TimePoint(), Fault::kStaleState}}) {
    controller.put_state(robot.state.data(), when);
    EXPECT_TRUE(eventually([&] { return controller.status().fault == fault; }));
  }
  controller.stop();
  for (const StepRecord& record : controller.records()) {
    EXPECT_LE(std::abs(record.age_ns), std::int64_t{1'000'000'000'000'000});
  }
  EXPECT_EQ(controller.statistics().planned, 0);
}

// the model may be asked for no more steps than the loop knows actions of
TEST(Controller, StatesTooOldToCompensateAreStale) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.mode = PlanMode::kFixed;
  options.compensate = true;
  options.stale_after = 1e5;
  PlannerOptions few = planner_options();
  few.candidates = 8;
  const auto made_controller = fixture::make_controller(robot.task, robot.dynamics, few, options);
  Controller& controller = *made_controller;
  controller.start();
  const auto age = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(50 * robot.task->dt()));
  controller.put_state(robot.state.data(), steady_clock::now() - age);
  EXPECT_TRUE(eventually([&] { return controller.status().fault == Fault::kStaleState; }));
  EXPECT_EQ(controller.statistics().planned, 0);
  EXPECT_TRUE(eventually([&] {
    controller.put_state(robot.state.data(), steady_clock::now());
    return controller.statistics().planned > 0;
  }));
  controller.stop();
}

// a packet that turns out to be bad after half of it was written
TEST(Controller, WhatAReadTakesBackDoesNotCount) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.mode = PlanMode::kFixed;
  options.stale_after = 1e5;
  int calls = 0;
  options.read = [&](double* state, TimePoint* when) {
    if (calls == 0) std::copy(robot.state.begin(), robot.state.end(), state);
    *when = steady_clock::now();
    // the first whole, then in turn a bad one and one that writes the time alone
    if (calls++ % 2 == 0) return true;
    state[0] += 1;
    return false;
  };
  std::vector<ActionMessage> sent;
  sent.reserve(10'000);
  std::atomic<int> planned{0};
  options.send = [&](const ActionMessage& message) {
    sent.push_back(message);
    planned += message.kind == StepKind::kPlanned;
  };
  PlannerOptions few = planner_options();
  few.candidates = 8;
  const auto made_controller = fixture::make_controller(robot.task, robot.dynamics, few, options);
  Controller& controller = *made_controller;
  controller.start();
  EXPECT_TRUE(eventually([&] { return planned >= 5; }));
  controller.stop();
  const auto planner = make_planner(robot.task, robot.dynamics, few);
  for (const ActionMessage& message : sent) {
    if (message.kind != StepKind::kPlanned) continue;
    Plan plan;
    planner->plan(fixture::query_at(robot.state, 0, static_cast<std::uint64_t>(message.step)), nullptr,
                  &plan);
    EXPECT_EQ(message.action[0], static_cast<double>(plan.actions[0]));
  }
}

TEST(Controller, ASecondRunGivesNoActionOfTheFirst) {
  const Robot robot = make_robot();
  const auto made_controller =
      fixture::make_controller(robot.task, robot.dynamics, planner_options(), loop_options());
  Controller& controller = *made_controller;
  controller.start();
  EXPECT_TRUE(eventually([&] {
    controller.put_state(robot.state.data(), steady_clock::now());
    return controller.statistics().planned >= 3;
  }));
  controller.stop();
  controller.start(steady_clock::now() + std::chrono::hours(1));
  ActionMessage message;
  controller.get_action(&message);
  EXPECT_EQ(message.step, -1);
  EXPECT_EQ(message.kind, StepKind::kSafe);
  EXPECT_EQ(message.fault, Fault::kNoState);
  EXPECT_EQ(message.action, controller.options().safe_action);
  EXPECT_FALSE(controller.get_action(&message));
  controller.stop();
}

TEST(Controller, NoPlanIsAFault) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  const auto made_controller =
      fixture::make_controller(robot.task, robot.dynamics, planner_options(), options);
  Controller& controller = *made_controller;
  std::vector<double> huge(robot.state.size(), 3e38);
  Feeder feeder(&controller, huge);
  controller.start();
  EXPECT_TRUE(eventually([&] { return controller.statistics().no_plan >= 3; }));
  controller.stop();
  EXPECT_EQ(controller.status().fault, Fault::kNoPlan);
}

}  // namespace
}  // namespace mbmf
