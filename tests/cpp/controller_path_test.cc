// Paths of a control loop: it begins where the robot is, and takes another one while it runs.

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

#include "controller_fixture.h"
#include "mbmf/control/controller.h"

namespace mbmf {
namespace {

using fixture::eventually;
using fixture::Feeder;
using fixture::loop_options;
using fixture::planner_options;

PathCost path_to(double x, double y) {
  PathCost path;
  path.waypoints = {0, 0, x, y};
  path.x = 0;
  path.y = 1;
  path.distance = 3;
  path.forward = 10;
  return path;
}

std::shared_ptr<const Task> task_on(const PathCost& path) { return fixture::make_task(6, 2, {}, {}, path); }

// what a planner of its own does for a task with that path, where the record says that the loop was on it
std::vector<double> planned(Planner& planner, const std::vector<double>& state, std::int64_t step,
                            int segment) {
  const Plan plan =
      fixture::plan_at(planner, state, 0, static_cast<std::uint64_t>(step), {segment, {state[0], state[1]}});
  return {plan.actions[0], plan.actions[1]};
}

TEST(ControllerPath, SwitchesWhileItRuns) {
  const std::array<PathCost, 2> paths = {path_to(5, 0), path_to(0, -5)};
  const auto dynamics = fixture::make_dynamics(6, 2, {32}, 0.02);
  const std::vector<double> state = {0.4, -0.3, 0.1, 0.1, 0.1, 0.1};
  ControllerOptions options = loop_options();
  options.mode = PlanMode::kFixed;
  std::vector<ActionMessage> sent;
  sent.reserve(100'000);
  options.send = [&](const ActionMessage& message) { sent.push_back(message); };
  const auto made_controller =
      fixture::make_controller(task_on(paths[0]), dynamics, planner_options(2), options);
  Controller& controller = *made_controller;
  controller.put_state(state.data());
  controller.start();
  {
    Feeder feeder(&controller, state);
    EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= 25; }));
    for (int i = 1; i <= 300; ++i) {
      controller.set_path(paths[static_cast<std::size_t>(i % 2)]);
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    controller.set_path(paths[1]);
    const std::int64_t before = controller.statistics().planned;
    EXPECT_TRUE(eventually([&] { return controller.statistics().planned >= before + 20; }));
  }
  controller.stop();

  std::map<std::int64_t, int> segment;  // by the tick from which the action acts
  for (const StepRecord& record : controller.records()) segment[record.step + 1] = record.segment;
  const auto first = make_planner(task_on(paths[0]), dynamics, planner_options(1));
  const auto second = make_planner(task_on(paths[1]), dynamics, planner_options(1));
  int on_first = 0, on_second = 0;
  std::vector<int> order;
  for (const ActionMessage& message : sent) {
    if (message.kind != StepKind::kPlanned) continue;
    const int at = segment.at(message.step);
    const bool is_first = message.action == planned(*first, state, message.step, at);
    const bool is_second = message.action == planned(*second, state, message.step, at);
    EXPECT_TRUE(is_first || is_second) << message.step;
    on_first += static_cast<int>(is_first && !is_second);
    on_second += static_cast<int>(is_second && !is_first);
    if (is_first != is_second) order.push_back(is_first ? 1 : 2);  // both may choose the same candidate
  }
  EXPECT_GE(on_first, 5);
  EXPECT_GE(on_second, 3);
  ASSERT_FALSE(order.empty());
  EXPECT_EQ(order.front(), 1);
  EXPECT_EQ(order.back(), 2);

  // the path stays for the next start
  sent.clear();
  controller.put_state(state.data());
  controller.start();
  EXPECT_TRUE(eventually([&] {
    controller.put_state(state.data());
    return controller.statistics().planned >= 1;
  }));
  controller.stop();
  const std::int64_t step = controller.records().front().step + 1;
  EXPECT_EQ(sent.front().action, planned(*second, state, step, controller.records().front().segment));
}

TEST(ControllerPath, RefusesWhatTheTaskCannotFollow) {
  const auto dynamics = fixture::make_dynamics(6, 2, {32}, 0.02);
  const auto made_controller =
      fixture::make_controller(task_on(path_to(5, 0)), dynamics, planner_options(), loop_options());
  Controller& controller = *made_controller;
  const auto refused = [](Controller* loop, const PathCost& path) -> std::string {
    try {
      loop->set_path(path);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  PathCost other = path_to(1, 0);
  other.y = 2;
  EXPECT_NE(refused(&controller, other).find("0, 1 and -1, got 0, 2 and -1"), std::string::npos);
  EXPECT_NE(refused(&controller, path_to(0, 0)).find("must differ from the one before"), std::string::npos);
  EXPECT_EQ(refused(&controller, path_to(1, 0)), "");

  // and a planner by itself refuses what was made for another task
  const auto planner = make_planner(task_on(path_to(5, 0)), dynamics, planner_options());
  const std::vector<double> state(6, 0.1);
  Plan plan;
  PlanQuery query = fixture::query_at(state, 0, 0);
  query.path = make_planner_path(*task_on(other), other);
  EXPECT_THROW(planner->plan(query, nullptr, &plan), std::invalid_argument);
  query.path = make_planner_path(planner->task(), path_to(1, 0));
  EXPECT_NO_THROW(planner->plan(query, nullptr, &plan));

  const auto made_pathless =
      fixture::make_controller(fixture::make_robot().task, dynamics, planner_options(), loop_options());
  Controller& pathless = *made_pathless;
  EXPECT_NE(refused(&pathless, path_to(1, 0)).find("task must be one that follows a path"),
            std::string::npos);
}

}  // namespace
}  // namespace mbmf
