#include "mbmf/task/path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <vector>

#include "mbmf/base/isa.h"
#include "mbmf/planning/planner.h"
#include "planner_fixture.h"

namespace mbmf {
namespace {

using fixture::plan_at;
using fixture::query_at;

constexpr double kPi = 3.14159265358979323846;

PathCost corner() {
  PathCost path;
  path.waypoints = {0, 0, 1, 0, 1, 2, -1, 2};
  path.x = 0;
  path.y = 1;
  path.last_segment = 2;
  return path;
}

PathCost there_and_back() {
  PathCost path = corner();
  path.waypoints = {0, 0, 2, 0, 0, 0};
  return path;
}

// the distance to a segment by trying its points
double tried(const double* from, const double* to, double x, double y) {
  double best = 1e300;
  for (int i = 0; i <= 20000; ++i) {
    const double u = i / 20000.0;
    best = std::min(best,
                    std::hypot(x - (from[0] + u * (to[0] - from[0])), y - (from[1] + u * (to[1] - from[1]))));
  }
  return best;
}

TEST(PathWalk, ProjectsOntoTheClosestPoint) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<double> uniform(-3, 3);
  int near = 0, inside = 0;
  for (int trial = 0; trial < 60; ++trial) {
    PathCost path = corner();
    path.waypoints.resize(6);
    for (double& x : path.waypoints) x = uniform(generator);
    const double x = uniform(generator), y = uniform(generator);
    const PathStart start{0, {uniform(generator), uniform(generator)}};
    const PathWalk walk(path, start);
    const PathWalk::Place place = walk.place(0, x + start.origin[0], y + start.origin[1]);
    const double* p = path.waypoints.data();
    EXPECT_NEAR(place.distance, tried(p, p + 2, x, y), 1e-3);
    EXPECT_NEAR(place.next_distance, tried(p + 2, p + 4, x, y), 1e-3);
    EXPECT_EQ(place.next_as_near, place.next_distance <= place.distance);
    near += place.next_as_near;

    // the position along it is linear, and 0 and 1 at the ends
    const double dx = p[2] - p[0], dy = p[3] - p[1];
    const double foot_x = p[0] + place.along * dx, foot_y = p[1] + place.along * dy;
    EXPECT_NEAR((x - foot_x) * dx + (y - foot_y) * dy, 0, 1e-9);
    EXPECT_EQ(place.beyond, place.along >= 1);
    inside += place.along > 0 && place.along < 1;
  }
  EXPECT_GT(near, 10);
  EXPECT_LT(near, 50);
  EXPECT_GT(inside, 10);
}

TEST(PathWalk, TheLastWaypointGoesOnForEver) {
  const PathCost path = corner();
  const PathWalk walk(path, {});
  for (const int segment : {3, 4, 1000}) {
    const PathWalk::Place place = walk.place(segment, 2, 6);
    EXPECT_DOUBLE_EQ(place.distance, 5);
    EXPECT_DOUBLE_EQ(place.next_distance, 5);
    EXPECT_EQ(place.along, 0);
    EXPECT_TRUE(place.next_as_near);
    EXPECT_FALSE(walk.passed(segment, place));
    EXPECT_DOUBLE_EQ(segment_direction(path, segment), kPi);
  }
  EXPECT_DOUBLE_EQ(segment_direction(path, 1), kPi / 2);
}

// what is nearest to the waypoint between two segments is equally near to both: it moves on
TEST(PathWalk, TiesMoveOn) {
  std::mt19937 generator(2);
  std::uniform_real_distribution<double> uniform(0, 1);
  const PathCost path = corner();
  const PathWalk walk(path, {0, {0.1, 0.7}});
  for (int i = 0; i < 200; ++i) {
    EXPECT_TRUE(walk.place(0, 1.1 + uniform(generator), 0.7 - uniform(generator)).next_as_near);
  }
  const PathCost back = there_and_back();
  const PathWalk turning(back, {0, {0.1, 0.7}});
  for (int i = 0; i < 200; ++i) {
    const double x = 0.1 + 2 * uniform(generator), y = uniform(generator) - 0.5;
    const PathWalk::Place place = turning.place(0, x, y);
    EXPECT_TRUE(place.next_as_near);
    EXPECT_EQ(turning.passed(0, place), x >= 2.1);  // but it has not passed its segment
  }
}

TEST(PathWalk, CostsByHand) {
  PathCost path = corner();
  path.distance = 3;
  path.forward = 10;
  path.far = 1;
  path.far_factor = 10;
  PathWalk walk(path, {});
  const double first[] = {0.5, 0.25};
  EXPECT_DOUBLE_EQ(walk.add(first), 3 * 0.25 - 10 * 0.5);
  const double second[] = {0.75, -1};  // as far as 1 m: ten times; the corner is farther
  EXPECT_DOUBLE_EQ(walk.add(second), 30 - 10 * 0.25);
  EXPECT_FALSE(walk.moved());
  const double third[] = {0.9, 1};  // on the second segment, half way, from where it counts in full
  EXPECT_DOUBLE_EQ(walk.add(third), 3 * (1 - 0.9) - 10 * 0.5);
  EXPECT_TRUE(walk.moved());
  EXPECT_EQ(walk.segment(), 1);
  const double fourth[] = {1, 1.5};
  EXPECT_DOUBLE_EQ(walk.add(fourth), -10 * 0.75);
}

TEST(PathWalk, TurnsAreWrapped) {
  PathCost path = corner();
  path.waypoints = {0, 0, 0, 5};  // to pi / 2
  path.heading = 2;
  path.turn = 2;
  path.turn_limit = kPi / 3;
  path.turn_beyond = 20;
  for (const auto& [heading, want] : {std::pair{kPi / 2, 0.0},
                                      {kPi / 2 + 0.5, 1.0},
                                      {kPi / 2 - 0.5 + 6 * kPi, 1.0},
                                      {kPi / 2 + 0.25 - 200 * kPi, 0.5},
                                      {kPi / 2 + 1.1, 20.0},
                                      {-kPi / 2, 20.0}}) {
    const double state[] = {0, 1, heading};
    EXPECT_NEAR(PathWalk(path, {}).add(state), want, 1e-9) << heading;
  }
}

TEST(NextSegment, ByBothRules) {
  PathCost path = corner();
  const double before[] = {0.5, 0}, after[] = {1, 1}, far[] = {-1, 2.5};
  EXPECT_EQ(next_segment(path, {4, {0, 0}}, before, false), 4);
  EXPECT_EQ(next_segment(path, {4, {0, 0}}, before, true), 5);
  path.strict = true;
  EXPECT_EQ(next_segment(path, {}, before, true), 0);
  EXPECT_EQ(next_segment(path, {}, after, false), 1);
  EXPECT_EQ(next_segment(path, {2, {0, 0}}, far, false), 3);
  EXPECT_EQ(next_segment(path, {3, {0, 0}}, far, true), 3);  // nothing comes after the last waypoint
}

TEST(CheckPath, RefusesWhatCannotBe) {
  const auto refused = [](void (*change)(PathCost*), const char* message) {
    PathCost path = corner();
    change(&path);
    try {
      check_path(path, 2);
      ADD_FAILURE() << message;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  };
  check_path(corner(), 2);
  refused([](PathCost* p) { p->waypoints.resize(2); },
          "path.waypoints must be two or more points (x, y), got 2");
  refused([](PathCost* p) { p->waypoints.resize(5); }, "got 5 numbers");
  refused([](PathCost* p) { p->waypoints[3] = std::nan(""); }, "path.waypoints must be finite");
  refused([](PathCost* p) { p->waypoints = {0, 0, 1, 1, 1, 1}; },
          "must differ from the one before, got the same at 2");
  refused([](PathCost* p) { p->y = 2; }, "path.y must be a state index in [0, 2), got 2");
  refused([](PathCost* p) { p->heading = -2; }, "path.heading must be a state index");
  refused([](PathCost* p) { p->forward = INFINITY; }, "path.forward must be finite");
  refused([](PathCost* p) { p->far = 0; }, "path.far must be above 0");
  refused([](PathCost* p) { p->turn_limit = std::nan(""); }, "path.turn_limit must be above 0");
  refused([](PathCost* p) { p->last_segment = -1; }, "path.last_segment must be at least 0");
  EXPECT_THROW(check_path_start({-1, {0, 0}}), std::invalid_argument);
  EXPECT_THROW(check_path_start({2'000'000'000, {0, 0}}), std::invalid_argument);
  EXPECT_THROW(check_path_start({0, {0, INFINITY}}), std::invalid_argument);
}

class PathPlannerOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }
};

INSTANTIATE_TEST_SUITE_P(Isa, PathPlannerOn, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

constexpr int kStates = 6, kActions = 2, kHorizon = 9, kCandidates = 500;

struct Case {
  PathCost path;
  std::vector<StateBound> alive;
  std::vector<double> start;
  PathStart at;
};

// every term of a path, by both rules, with and without candidates that die
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool strict : {false, true}) {
    for (const bool mortal : {false, true}) {
      for (const bool back : {false, true}) {
        PathCost path = back ? there_and_back() : corner();
        path.heading = 2;
        path.distance = 4;
        path.far = 0.3;
        path.far_factor = 10;
        path.forward = 85;
        path.turn = 2;
        path.turn_limit = 1;
        path.turn_beyond = 20;
        path.strict = strict;
        std::vector<StateBound> alive;
        if (mortal) alive.push_back({4, {-0.5, 0.6, false, true}});
        all.push_back({path, alive, {0.9 + 5, 0.05 - 3, 7, 0, 0, 0}, {back ? 1 : 0, {5, -3}}});
      }
    }
  }
  return all;
}

std::shared_ptr<const Task> task_of(const Case& c) {
  return fixture::make_task(kStates, kActions, {{TermKind::kAction, 0.1}}, c.alive, c.path);
}

TEST_P(PathPlannerOn, CostsEqualTheTasks) {
  const auto dynamics = fixture::make_dynamics(kStates, kActions, {40}, 0.25);
  int moved_in_all = 0, stayed_in_all = 0;
  for (const Case& c : cases()) {
    const auto task = task_of(c);
    const auto planner = make_planner(task, dynamics, {kHorizon, kCandidates, 3, 2});
    const std::vector<double> got = planner->costs(query_at(c.start, 1, 2, c.at));
    ASSERT_EQ(got.size(), std::size_t{kCandidates});
    std::vector<double> want(kCandidates);

    std::vector<float> actions(kCandidates * kHorizon * kActions);
    std::vector<double> starts;
    planner->sample(1, 2, 0, kCandidates, actions.data());
    for (int k = 0; k < kCandidates; ++k) starts.insert(starts.end(), c.start.begin(), c.start.end());
    std::vector<float> states(kCandidates * (kHorizon + 1) * kStates);
    dynamics->open_loop(starts.data(), actions.data(), kCandidates, kHorizon, states.data(), 1);
    task->cost(states.data(), actions.data(), kCandidates, kHorizon, c.at, want.data());

    int off = 0;
    double scale = 0;
    for (const double w : want) scale = std::max(scale, std::fabs(w));
    for (std::size_t k = 0; k < kCandidates; ++k) off += std::fabs(got[k] - want[k]) > 1e-4 * scale;
    EXPECT_LE(off, 2);  // where rounding decides who moves on, costs jump
    const Plan plan = plan_at(*planner, c.start, 1, 2, c.at);
    EXPECT_EQ(plan.cost, *std::min_element(got.begin(), got.end()));

    // whether the best one moves on, and where the next plan begins
    PathWalk walk(c.path, c.at);
    bool alive = true;
    for (int t = 0; t <= kHorizon; ++t) {
      const std::vector<double> state(plan.states.begin() + t * kStates,
                                      plan.states.begin() + (t + 1) * kStates);
      alive = alive && within(c.alive, state.data());
      if (alive) walk.add(state.data());
    }
    EXPECT_EQ(plan.moved, walk.moved());
    EXPECT_EQ(plan.segment, next_segment(c.path, c.at, c.start.data(), walk.moved()));
    (walk.moved() ? moved_in_all : stayed_in_all) += 1;
  }
  EXPECT_GT(moved_in_all, 0);
  EXPECT_GT(stayed_in_all, 0);
}

TEST_P(PathPlannerOn, SameBitsAtAnyThreadCountAndNumberOfCandidates) {
  const auto dynamics = fixture::make_dynamics(kStates, kActions, {40}, 0.25);
  for (const Case& c : cases()) {
    const auto task = task_of(c);
    std::vector<double> first;
    Plan first_plan;
    for (const int nthread : {1, 2, 3, 7}) {
      const auto planner = make_planner(task, dynamics, {kHorizon, kCandidates, 3, nthread});
      const std::vector<double> costs = planner->costs(query_at(c.start, 1, 2, c.at));
      const Plan plan = plan_at(*planner, c.start, 1, 2, c.at);
      ASSERT_EQ(costs.size(), std::size_t{kCandidates});
      if (nthread == 1) {
        first = costs;
        first_plan = plan;
      }
      EXPECT_EQ(costs, first);
      EXPECT_EQ(plan.actions, first_plan.actions);
      EXPECT_EQ(plan.moved, first_plan.moved);
    }
    for (const int count : {1, 5, 31, 33, 129}) {
      const std::vector<double> some =
          make_planner(task, dynamics, {kHorizon, count, 3, 2})->costs(query_at(c.start, 1, 2, c.at));
      ASSERT_EQ(some.size(), static_cast<std::size_t>(count));
      EXPECT_TRUE(std::equal(some.begin(), some.end(), first.begin())) << count;
    }
  }
}

TEST_P(PathPlannerOn, BatchesAndLimitsKnowThePath) {
  const auto dynamics = fixture::make_dynamics(kStates, kActions, {40}, 0.25);
  for (const Case& c : cases()) {
    const auto planner = make_planner(task_of(c), dynamics, {kHorizon, kCandidates, 3, 2});
    constexpr int kCount = 40;  // more than are searched at once
    std::vector<PlanQuery> queries;
    std::vector<Plan> plans(kCount);
    for (std::size_t i = 0; i < kCount; ++i) {
      PathStart at = c.at;
      at.segment = static_cast<int>(i % 4);
      at.origin[0] += 0.01 * static_cast<double>(i);
      queries.push_back(query_at(c.start, 0, i, at));
    }
    planner->plan_batch(queries.data(), kCount, nullptr, plans.data());
    for (std::size_t i = 0; i < kCount; i += 7) {
      const Plan plan = plan_at(*planner, c.start, 0, i, queries[i].at);
      EXPECT_EQ(plan.cost, plans[i].cost);
      EXPECT_EQ(plan.actions, plans[i].actions);
      EXPECT_EQ(plan.moved, plans[i].moved);
      EXPECT_EQ(plan.segment, plans[i].segment);
      // with a deadline that is far away
      PlanQuery query = queries[i];
      fixture::set_deadline(&query, std::chrono::hours(1));
      PlanMemory memory = planner->make_memory();
      Plan limited;
      planner->plan(query, &memory, &limited);
      EXPECT_EQ(limited.candidates_done, kCandidates);
      EXPECT_EQ(limited.cost, plan.cost);
      EXPECT_EQ(limited.moved, plan.moved);
      EXPECT_EQ(limited.segment, plan.segment);
      EXPECT_EQ(memory.segment, plan.segment);
    }
  }
}

// one model, another path: as a planner made for it
TEST_P(PathPlannerOn, SwitchesPaths) {
  const auto dynamics = fixture::make_dynamics(kStates, kActions, {40}, 0.25);
  const std::vector<Case> all = cases();
  const auto planner = make_planner(task_of(all[0]), dynamics, {kHorizon, kCandidates, 3, 2});
  const std::vector<double> before = planner->costs(query_at(all[0].start, 0, 0, all[0].at));
  std::vector<double> costs;
  for (const Case& c : all) {
    const auto task = task_of(c);
    planner->set_task(task);
    costs = planner->costs(query_at(c.start, 0, 0, c.at));
    EXPECT_EQ(
        costs,
        make_planner(task, dynamics, {kHorizon, kCandidates, 3, 1})->costs(query_at(c.start, 0, 0, c.at)));
  }
  EXPECT_NE(costs, before);
  EXPECT_THROW(planner->set_task(fixture::make_task(kStates + 1, kActions, {})), std::invalid_argument);
}

}  // namespace
}  // namespace mbmf
