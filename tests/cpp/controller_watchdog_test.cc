// What the control loop does when things go wrong: its watchdog, late plans, ticks that have passed.

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <thread>

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
  Controller controller(robot.task, robot.dynamics, planner_options(), options);
  Feeder feeder(&controller, robot.state);
  controller.start();
  EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= 5; }));
  feeder.*fault = true;
  const std::int64_t safe = controller.statistics().safe;
  EXPECT_TRUE(eventually([&] { return controller.statistics().safe >= safe + 3; }));
  ActionMessage message;
  controller.get_action(&message);
  EXPECT_EQ(message.kind, StepKind::kSafe);
  EXPECT_EQ(message.fault, expected);
  EXPECT_EQ(message.action, options.safe_action);
  EXPECT_STRNE(fault_text(message.fault), "");
  const std::int64_t planned = controller.statistics().planned;
  feeder.*fault = false;
  EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= planned + 3; }));
  controller.stop();

  // before the safe actions of the fault the last plan was held, and for no more steps than it may be
  const std::vector<StepRecord> records = controller.records();
  int held = 0, seen = 0;
  for (std::size_t i = 1; i < records.size(); ++i) {
    if (records[i].fault == Fault::kNoState) continue;
    held = records[i].kind == StepKind::kHeld ? held + 1 : 0;
    EXPECT_LE(held, options.hold_steps);
    seen += records[i].kind == StepKind::kHeld && records[i].fault == expected;
    if (records[i].kind == StepKind::kPlanned) {
      EXPECT_EQ(records[i].fault, Fault::kNone);
    }
  }
  EXPECT_GE(seen, 1);
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
  sent.reserve(10'000);
  options.send = [&](const ActionMessage& message) {
    sent.push_back(message);
    broken = sent.size() > 5;
  };
  Controller controller(robot.task, robot.dynamics, planner_options(), options);
  controller.start();
  EXPECT_TRUE(eventually([&] { return controller.statistics().safe >= 2; }));
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
    }
  }
  EXPECT_GE(held, 1);
  EXPECT_EQ(sent.back().action, std::vector<double>(2, 0.0));
}

// a fixed number of candidates for which there is no time: every action is late, none of them is sent
TEST(Controller, LateActionsAreNotSent) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.mode = PlanMode::kFixed;
  options.hold_steps = 2;
  PlannerOptions many = planner_options();
  many.candidates = 400'000;
  Controller controller(robot.task, robot.dynamics, many, options);
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
    Controller timed(robot.task, robot.dynamics, many, options);
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
  Controller controller(robot.task, robot.dynamics, planner_options(), options);
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

TEST(Controller, NoPlanIsAFault) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  Controller controller(robot.task, robot.dynamics, planner_options(), options);
  std::vector<double> huge(robot.state.size(), 3e38);
  Feeder feeder(&controller, huge);
  controller.start();
  EXPECT_TRUE(eventually([&] { return controller.statistics().no_plan >= 3; }));
  controller.stop();
  EXPECT_EQ(controller.status().fault, Fault::kNoPlan);
}

}  // namespace
}  // namespace mbmf
