// The control loop: the right actions, in time, without locks and allocations.

#include "mbmf/control/controller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "allocation_counter.h"
#include "controller_fixture.h"
#include "mbmf/base/error.h"
#include "mbmf/control/realtime_simulation.h"

namespace mbmf {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

using fixture::eventually;
using fixture::Feeder;
using fixture::kPeriod;
using fixture::loop_options;
using fixture::make_robot;
using fixture::plan_at;
using fixture::planner_options;
using fixture::Robot;

// every planned action is the planner's for the same state and tick, bit for bit
TEST(Controller, SendsThePlannersActions) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.mode = PlanMode::kFixed;
  std::vector<ActionMessage> sent;
  sent.reserve(1000);
  options.send = [&](const ActionMessage& message) { sent.push_back(message); };
  const auto made_controller =
      fixture::make_controller(robot.task, robot.dynamics, planner_options(2), options);
  Controller& controller = *made_controller;
  controller.put_state(robot.state.data());
  controller.start();
  EXPECT_TRUE(controller.running());
  EXPECT_THROW(controller.start(), Error);
  EXPECT_THROW(controller.records(), Error);
  {
    Feeder feeder(&controller, robot.state);
    EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= 10; }));
  }
  controller.stop();
  const auto planner = make_planner(robot.task, robot.dynamics, planner_options(1));
  int compared = 0;
  for (const ActionMessage& message : sent) {
    if (message.kind != StepKind::kPlanned) continue;
    const Plan plan = plan_at(*planner, robot.state, 0, static_cast<std::uint64_t>(message.step));
    for (int i = 0; i < robot.task->naction(); ++i) {
      EXPECT_EQ(message.action[static_cast<std::size_t>(i)],
                static_cast<double>(plan.actions[static_cast<std::size_t>(i)]));
    }
    ++compared;
  }
  EXPECT_GE(compared, 10);
  ActionMessage message;
  EXPECT_TRUE(controller.get_action(&message));
  EXPECT_FALSE(controller.get_action(&message));
  EXPECT_EQ(message.step, sent.back().step);
  EXPECT_EQ(message.action, sent.back().action);
  // and it starts again
  controller.start();
  EXPECT_TRUE(eventually([&] { return controller.statistics().steps >= 2; }));
  controller.stop();
  EXPECT_EQ(controller.records().front().step, 0);
  EXPECT_EQ(static_cast<std::int64_t>(controller.records().size()), controller.statistics().steps);
}

TEST(Controller, StatisticsAddUpAndTicksAreKept) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.compensate = true;
  PlannerOptions warm = planner_options(2);
  warm.settings["warm_start"] = 1;
  const auto made_controller = fixture::make_controller(robot.task, robot.dynamics, warm, options);
  Controller& controller = *made_controller;
  Feeder feeder(&controller, robot.state);
  controller.start();
  EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= 50; }));
  controller.stop();
  const ControllerStatistics s = controller.statistics();
  const std::vector<StepRecord> records = controller.records();
  ASSERT_EQ(static_cast<std::int64_t>(records.size()), s.steps);
  EXPECT_EQ(s.steps, s.planned + s.held + s.safe);
  EXPECT_EQ(s.jitter.count, s.steps);
  EXPECT_EQ(s.steps + s.skipped, records.back().step + 1);
  std::int64_t late = 0, candidates = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const StepRecord& r = records[i];
    if (i > 0) {
      EXPECT_GT(r.step, records[i - 1].step);
    }
    EXPECT_GE(r.wake_ns, 0);
    EXPECT_LT(r.wake_ns, 1e9 * kPeriod);  // after an overrun the ticks that have passed are skipped
    late += r.fault == Fault::kLatePlan;
    if (r.kind == StepKind::kPlanned) candidates += r.candidates;
  }
  EXPECT_EQ(late, s.late);
  EXPECT_EQ(candidates, s.candidates);
  EXPECT_LE(s.most, 200);
  EXPECT_GE(s.fewest, 1);
  // however late single steps are: what lies between the first and the last
  const double ticks = static_cast<double>(records.back().step - records.front().step);
  EXPECT_NEAR(s.period.mean * static_cast<double>(s.steps - 1), kPeriod * ticks,
              kPeriod + 1e-3 * ticks * kPeriod);
  EXPECT_EQ(controller.status().step, records.back().step);
}

// with a state one period old, planning starts from the prediction with the action under way
TEST(Controller, CompensatesForTheDelay) {
  const Robot robot = make_robot();
  const double dt = robot.task->dt();
  ControllerOptions options;
  options.period = dt;
  options.phase = 0.1 * dt;
  options.mode = PlanMode::kFixed;
  options.compensate = true;
  options.stale_after = 10;
  const auto length = std::chrono::nanoseconds(std::llround(1e9 * dt));
  TimePoint start{};
  std::int64_t measured = 0;  // the tick of the state that was read last
  options.read = [&](double* state, TimePoint* when) {
    std::copy(robot.state.begin(), robot.state.end(), state);
    measured = (steady_clock::now() - start) / length;
    *when = start + measured * length;
    return true;
  };
  std::vector<ActionMessage> sent;
  std::vector<std::int64_t> from;
  sent.reserve(10'000);
  from.reserve(10'000);
  std::atomic<int> comparable{0};
  options.send = [&](const ActionMessage& message) {
    const bool follows = !sent.empty() && sent.back().step == message.step - 1;
    comparable += message.kind == StepKind::kPlanned && follows && measured == message.step - 1;
    sent.push_back(message);
    from.push_back(measured);
  };
  PlannerOptions small = planner_options();
  small.candidates = 20;  // within a period of the robot's, also with sanitizers on a slow machine
  const auto made_controller = fixture::make_controller(robot.task, robot.dynamics, small, options);
  Controller& controller = *made_controller;
  start = steady_clock::now() + milliseconds(5);
  controller.start(start);
  EXPECT_TRUE(eventually([&] { return comparable >= 20; }));
  controller.stop();
  const auto planner = make_planner(robot.task, robot.dynamics, small);
  int compared = 0;
  for (std::size_t k = 1; k < sent.size(); ++k) {
    // planned one period ahead of a state that was measured as the action before it began to act
    const std::int64_t tick = sent[k].step;
    if (sent[k].kind != StepKind::kPlanned || from[k] != tick - 1 || sent[k - 1].step != tick - 1) continue;
    const std::vector<float> action(sent[k - 1].action.begin(), sent[k - 1].action.end());
    std::vector<double> expected(robot.state.size());
    planner->roll_forward(robot.state.data(), action.data(), 1, expected.data());
    EXPECT_NE(expected, robot.state);
    const Plan plan = plan_at(*planner, expected, 0, static_cast<std::uint64_t>(tick));
    EXPECT_EQ(sent[k].action[0], static_cast<double>(plan.actions[0]));
    ++compared;
  }
  EXPECT_GE(compared, 20);
}

class ControllerWith : public testing::TestWithParam<fixture::SearchCase> {};

INSTANTIATE_TEST_SUITE_P(Searches, ControllerWith, testing::ValuesIn(fixture::search_cases()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

// what was sent, planned again by a planner of one's own with the memory of the plan before
TEST_P(ControllerWith, ReplaysEqualThePlannersPlans) {
  const Robot robot = make_robot();
  for (const PlanMode mode : {PlanMode::kFixed, PlanMode::kAnytime, PlanMode::kFitted}) {
    ControllerOptions options = loop_options();
    options.mode = mode;
    std::vector<ActionMessage> sent;
    sent.reserve(10'000);
    options.send = [&](const ActionMessage& message) { sent.push_back(message); };
    const auto made_controller =
        fixture::make_controller(robot.task, robot.dynamics, fixture::search_options(GetParam(), 2), options);
    Controller& controller = *made_controller;
    {
      Feeder feeder(&controller, robot.state);
      controller.start();
      EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= 20; }));
      feeder.stall = true;  // long enough for the last plan to say nothing any more
      const std::int64_t safe = controller.statistics().safe;
      EXPECT_TRUE(eventually([&] { return controller.statistics().safe >= safe + 10; }));
      feeder.stall = false;
      const std::int64_t planned = controller.statistics().planned;
      EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= planned + 20; }));
      controller.stop();
    }
    std::map<std::int64_t, std::int64_t> candidates;  // by the tick from which the action acts
    for (const StepRecord& record : controller.records()) candidates[record.step + 1] = record.candidates;

    const PlannerOptions alone = fixture::search_options(GetParam(), 1);
    const auto planner = make_planner(robot.task, robot.dynamics, alone);
    PlanMemory memory = planner->make_memory();
    std::int64_t last = -1, compared = 0, remembered = 0;
    for (const ActionMessage& message : sent) {
      if (message.kind != StepKind::kPlanned) continue;
      memory.filled = last >= 0 && message.step - last < alone.horizon;
      remembered += memory.filled;
      PlanQuery query = fixture::query_at(robot.state, 0, static_cast<std::uint64_t>(message.step));
      query.candidates = candidates.at(message.step);
      Plan plan;
      planner->plan(query, &memory, &plan);
      ASSERT_EQ(plan.candidates_done, query.candidates);
      const std::vector<double> first(plan.actions.begin(), plan.actions.begin() + robot.task->naction());
      ASSERT_EQ(message.action, first) << "step " << message.step << ", the last one " << last;
      last = message.step;
      ++compared;
    }
    EXPECT_GE(compared, 40);
    EXPECT_GT(remembered, 0);
    EXPECT_LT(remembered, compared - 1);
  }
}

TEST_P(ControllerWith, NeitherAllocatesNorLocks) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.period = 0.0002;
  options.margin = 0.00004;
  options.phase = 0.0;
  options.compensate = true;
  options.stale_after = 10;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  options.period = 0.02;
  constexpr std::int64_t kSteps = 50;
#else
  constexpr std::int64_t kSteps = 10'000;
#endif
  PlannerOptions few = fixture::search_options(GetParam(), 2);
  few.horizon = 4;
  const auto made_controller = fixture::make_controller(robot.task, robot.dynamics, few, options);
  Controller& controller = *made_controller;
  ActionMessage message;
  controller.get_action(&message);
  controller.put_state(robot.state.data());
  controller.start();
  EXPECT_TRUE(eventually([&] {
    controller.put_state(robot.state.data());  // one that may be rolled forward
    return controller.statistics().planned >= 5;
  }));
  const std::size_t before = allocation_count(), locks_before = lock_count();
  const auto end = steady_clock::now() + std::chrono::seconds(60);
  for (ControllerStatistics s; s.steps < kSteps || s.planned < kSteps / 2; s = controller.statistics()) {
    if (steady_clock::now() > end) break;
    controller.put_state(robot.state.data());
    controller.get_action(&message);
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(lock_count(), locks_before);
  controller.stop();
  EXPECT_GE(controller.statistics().steps, kSteps);
  EXPECT_GE(controller.statistics().planned, kSteps / 2);
}

// a simulated robot beside it; what is sent is what acts, from the tick that it was meant for
TEST(Controller, DrivesASimulationInRealTime) {
  const Robot robot = make_robot();
  ControllerOptions options;
  options.period = robot.task->dt();
  options.phase = 0.1 * options.period;
  const auto made_controller =
      fixture::make_controller(robot.task, robot.dynamics, planner_options(2), options);
  Controller& controller = *made_controller;
  RealtimeSimulation simulation(robot.task, {300, 40, 7, 0});
  EXPECT_THROW(RealtimeSimulation(robot.task, {0, 1, 0, 0}), std::invalid_argument);
  EXPECT_THROW(RealtimeSimulation(robot.task, {1, 0, 0, 0}), std::invalid_argument);
  EXPECT_THROW(simulation.record(), Error);  // and what is to come is recorded all the same
  const TimePoint first = steady_clock::now() + milliseconds(5);
  controller.start(first);
  simulation.start(&controller, first);
  EXPECT_THROW(simulation.start(&controller, first), Error);
  EXPECT_TRUE(eventually([&] { return simulation.finished(); }));
  controller.stop();
  const RealtimeSimulation::Record& record = simulation.record();
  ASSERT_EQ(record.rewards.size(), 300U);
  EXPECT_NE(record.next_states.back(), 0);
  std::int64_t before = -1, fresh = 0;
  for (std::size_t k = 0; k < 300; ++k) {
    EXPECT_EQ(record.first[k] != 0, k % 40 == 0);
    EXPECT_GE(record.action_step[k], before);
    before = record.action_step[k];
    fresh += record.fresh[k];
  }
  EXPECT_GT(fresh, 0);  // how many is the machine's
  std::vector<double> row(static_cast<std::size_t>(simulation.state_size()));
  simulation.latest(row.data());
  EXPECT_GT(row[0], 0);  // its time
}

TEST(Controller, AWaitThatOnlySpinsIsEnded) {
  using std::chrono::hours;
  std::atomic<bool> stop{false};
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(20));
    stop = true;
  });
  EXPECT_FALSE(wait_until(steady_clock::now() + hours(1), hours(1), stop));
  other.join();
}

TEST(Controller, ThreadSettingsThatAreRefusedAreNotes) {
  const Robot robot = make_robot();
  ControllerOptions options = loop_options();
  options.thread.cpus = {1023};  // which no machine of ours has
  const auto made_controller =
      fixture::make_controller(robot.task, robot.dynamics, planner_options(2), options);
  Controller& controller = *made_controller;
  controller.start();
  controller.stop();
  ASSERT_EQ(controller.notes().size(), 1U);
  EXPECT_NE(controller.notes()[0].find("cpus 1023 was refused: "), std::string::npos);
}

TEST(Controller, RefusesBadInput) {
  const Robot robot = make_robot();
  const double nan = std::nan("");
  const std::vector<std::pair<std::function<void(ControllerOptions&)>, std::string>> table = {
      {[](auto& o) { o.period = -0.1; }, "period must be above 0 and at most 3600 s, got -0.1"},
      {[&](auto& o) { o.period = nan; }, "period must be above 0 and at most 3600 s, got nan"},
      {[](auto& o) { o.period = 1e-6; }, "period must be at least "},
      {[](auto& o) { o.share = 1; }, "share must be between 0 and 1, got 1"},
      {[](auto& o) { o.margin = 1; }, "margin must be below the period of "},
      {[](auto& o) { o.phase = -1; }, "phase must be at least 0 and below the period of "},
      {[](auto& o) { o.actuation_delay = -1; }, "actuation_delay must be in [0, "},
      {[](auto& o) { o.hold_steps = -1; }, "hold_steps must be in [0, 1000000], got -1"},
      {[](auto& o) { o.stale_after = -1; }, "stale_after must be in [0, 1e+06] s, got -1"},
      {[](auto& o) { o.spin = 1; }, "spin must be in [0, "},
      {[](auto& o) { o.history = 0; }, "history must be in [1, 100000000], got 0"},
      {[](auto& o) { o.safe_action = {0}; }, "safe_action must be 2 numbers, got 1"},
      {[](auto& o) {
         o.safe_action = {0, 2};
       },
       "safe_action must be in [-1, 1], got 2"},
      {[](auto& o) { o.thread.priority = 100; }, "priority must be in [0, 99], got 100"},
      {[](auto& o) { o.thread.cpus = {-1}; }, "cpus must be numbers in [0, 1024), got -1"},
      {[](auto& o) { o.mode = static_cast<PlanMode>(9); }, "mode must be a mode, got 9"},
  };
  for (const auto& [change, message] : table) {
    ControllerOptions options = loop_options();
    change(options);
    try {
      Controller(robot.task, robot.dynamics, planner_options(), options);
      ADD_FAILURE() << message;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace mbmf
