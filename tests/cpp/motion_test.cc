// References, moved mocap bodies, goals and turns, each on what can be computed by hand or by MuJoCo.

#include "mbmf/task/motion.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "mbmf/physics/simulator.h"
#include "mbmf/task/known_states.h"
#include "mbmf/task/reset.h"
#include "planner_fixture.h"
#include "task_fixture.h"

namespace mbmf {
namespace {

using fixture::compile;
using fixture::creature;
using fixture::load;
using fixture::plain_spec;

Reference line() { return {{0, 1, 3}, {0, 10, 2, 20, 4, 0}, 2, false, {}}; }

TEST(ReferenceTest, IsLinearBetweenRowsAndStaysOrLoops) {
  Reference r = line();
  for (const auto& [t, x, y] : std::vector<std::array<double, 3>>{
           {-1, 0, 10}, {0, 0, 10}, {0.5, 1, 15}, {1, 2, 20}, {2, 3, 10}, {3, 4, 0}, {9, 4, 0}}) {
    double out[2];
    r.at(t, out);
    EXPECT_DOUBLE_EQ(out[0], x) << t;
    EXPECT_DOUBLE_EQ(out[1], y) << t;
    EXPECT_DOUBLE_EQ(r.at(t, 1), y) << t;
  }
  r.loop = true;
  EXPECT_DOUBLE_EQ(r.at(3.5, 0), 1);
  EXPECT_DOUBLE_EQ(r.at(-1, 0), 3);
  EXPECT_DOUBLE_EQ(r.at(3, 0), 0);
}

TEST(ReferenceTest, QuaternionsKeepTheirLengthAndGoTheShorterWay) {
  // from no rotation to a half turn about x, written with the other sign
  const Reference r{{0, 1}, {7, 2, 0, 0, 0, 8, 0, -1, 0, 0}, 5, false, {1}};
  double out[5];
  r.at(0.5, out);
  EXPECT_DOUBLE_EQ(out[0], 7.5);
  EXPECT_NEAR(mju_norm(out + 1, 4), 1, 1e-15);
  for (int i = 0; i < 5; ++i) EXPECT_DOUBLE_EQ(r.at(0.5, i), out[i]);
  // 10 degrees apart, with opposite signs: half of it lies between them
  const double a = std::numbers::pi / 36;
  const Reference near{{0, 1}, {1, 0, 0, 0, -std::cos(a), -std::sin(a), 0, 0}, 4, false, {0}};
  double half[4];
  near.at(0.5, half);
  EXPECT_NEAR(std::atan2(half[1], half[0]), a / 2, 1e-12);
}

TEST(TurnTest, StaysOnTheSphereWithinItsAngle) {
  double sum = 0;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    Draws draws(derive_key(1, Stream::kReset, 0), i, 0);
    mjtNum q[4] = {0.6, 0, 0.8, 0}, back[4], apart[4];
    mju_negQuat(back, q);
    turn_quaternion(q, {NoiseKind::kUniform, 0.7}, &draws);
    mju_mulQuat(apart, back, q);
    const double angle = 2 * std::acos(std::min(1.0, std::abs(apart[0])));
    EXPECT_LE(angle, 0.7 + 1e-7);
    EXPECT_NEAR(mju_norm(q, 4), 1, 1e-14);
    sum += (angle - std::sin(angle)) / (0.7 - std::sin(0.7));
  }
  EXPECT_NEAR(sum / 2000, 0.5, 0.02);  // uniform over rotations
}

TEST(MotionTest, ActionsMoveTheBodyAndReferencesHoldIt) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.physics_steps = 5;
  spec.moves = {{MocapMove::Kind::kVelocity, 0, 0, -10, 1.01, 2},
                {MocapMove::Kind::kPosition, 0, 2, 0, 4, 0}};
  for (int i = 0; i < 3; ++i) spec.state.push_back({Source::kBodyPos, 3 * 1 + i});
  spec.observation = spec.state;
  const auto task = load(mjb, spec);
  ASSERT_EQ(task->naction(), 4);
  Simulator simulator(task, 1, 1, 0);
  const double* place = simulator.states() + task->nstate() - 3;
  EXPECT_DOUBLE_EQ(place[0], 1);
  const double down[] = {0, 0, -1, 0.5}, up[] = {0, 0, 1, -1};
  simulator.step(nullptr, 0, down);
  EXPECT_NEAR(place[0], 1 - 2 * 5 * 0.004, 1e-12);
  EXPECT_DOUBLE_EQ(place[1], 2);
  EXPECT_DOUBLE_EQ(place[2], 3);
  for (int i = 0; i < 3; ++i) simulator.step(nullptr, 0, up);
  EXPECT_DOUBLE_EQ(place[0], 1.01);  // and no further
  EXPECT_DOUBLE_EQ(place[2], 0);
}

TEST(MotionTest, FromOutsideItsRangeABodyComesBackAtItsSpeed) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.moves = {{MocapMove::Kind::kVelocity, 0, 0, -10, 0.9, 2}};
  spec.state = {{Source::kBodyPos, 3 * 1}};
  spec.observation = spec.state;
  const auto task = load(mjb, spec);
  Simulator simulator(task, 1, 1, 0);
  const double away[] = {0, 0, 1}, back[] = {0, 0, -1};
  const double step = 2 * task->dt();
  EXPECT_DOUBLE_EQ(simulator.states()[0], 1);
  simulator.step(nullptr, 0, away);
  EXPECT_DOUBLE_EQ(simulator.states()[0], 1);
  simulator.step(nullptr, 0, back);
  EXPECT_NEAR(simulator.states()[0], 1 - step, 1e-12);
}

TEST(MotionTest, WhatIsKnownIsWhatTheSimulationShows) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.references = {line()};
  spec.references[0].time = {0, 0.01, 0.03};
  spec.references[0].loop = true;
  spec.goals = {{false, 3, 4}, {true, 0, 1}};
  spec.state = {{Source::kReference, 0}, {Source::kGoal, 0}, {Source::kTime}, {Source::kQpos, 0}};
  spec.state.push_back({Source::kReference, 1, Transform::kRate});
  spec.observation = spec.state;
  const auto task = load(mjb, spec);
  EXPECT_EQ(task->known().index(), (std::vector<int>{0, 2, 4}));
  Simulator simulator(task, 1, 1, 0);
  EXPECT_GE(simulator.states()[1], 3);
  EXPECT_LT(simulator.states()[1], 4);
  std::vector<double> known(3 * 11);
  task->known().predict(simulator.states(), 10, known.data());
  const double goal = simulator.states()[1], still[] = {0, 0};
  for (std::size_t t = 0; t <= 10; ++t) {
    EXPECT_NEAR(simulator.states()[0], known[3 * t], 1e-9);
    EXPECT_NEAR(simulator.states()[2], known[3 * t + 1], 1e-12);
    EXPECT_NEAR(simulator.states()[4], known[3 * t + 2], 1e-6);
    EXPECT_EQ(simulator.states()[1], goal);
    simulator.step(nullptr, 0, still);
  }
}

// a clock's time has more digits than float32: after 2^20 s there is no 1/50 s in it
TEST(MotionTest, RolledForwardWhatIsKnownKeepsItsDigits) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.references = {line()};
  spec.references[0].loop = true;
  spec.state = {{Source::kReference, 0}, {Source::kTime}, {Source::kQpos, 0}};
  spec.observation = spec.state;
  const auto task = load(mjb, spec);
  const auto planner =
      make_planner(task, fixture::make_dynamics(3, task->naction(), {8}), PlannerOptions{4, 2, 1, 1});
  const double state[] = {0, 1048576.125, 0.5};
  const std::vector<float> actions(3 * static_cast<std::size_t>(task->naction()));
  double predicted[3];
  planner->roll_forward(state, actions.data(), 3, predicted);
  const double later = state[1] + 3 * task->dt();
  EXPECT_NEAR(predicted[1], later, 1e-9);
  EXPECT_NEAR(predicted[0], spec.references[0].at(later, 0), 1e-9);
}

TEST(MotionTest, RefusesWhatDoesNotFit) {
  const std::vector<char> mjb = compile(creature());
  const std::vector<std::pair<std::function<void(TaskSpec&)>, std::string>> cases = {
      {[](TaskSpec& s) {
         s.goals = {{false, 1, 0}};
       },
       "goals[0] must be a finite interval with low <= high, got low 1 and high 0"},
      {[](TaskSpec& s) {
         s.goals = {{true, 0, 4}};
       },
       "goals[0] must be of angles in [0, pi] for a rotation, got low 0 and high 4"},
      {[](TaskSpec& s) {
         s.references = {{{0, 0}, {1, 2}, 1, false, {}}};
       },
       "references[0].time must begin with 0 and increase, got 0 at row 1"},
      {[](TaskSpec& s) {
         s.references = {{{0}, {1, 2}, 1, false, {}}};
       },
       "references[0].value must be 1 rows of 1 numbers, got 2"},
      {[](TaskSpec& s) {
         s.follows = {{0, 0, 0, -1}};
       },
       "follows[0].reference must be in [0, 0), got 0"},
      {[](TaskSpec& s) {
         s.moves = {{MocapMove::Kind::kVelocity, 1, 0, 0, 1, 1}};
       },
       "moves[0].body must be a mocap body in [0, 1), got 1"},
      {[](TaskSpec& s) {
         s.moves = {{MocapMove::Kind::kTurn, 0, 0, 0, 1, 0}};
       },
       "moves[0].speed must be finite and above 0, got 0"},
      {[](TaskSpec& s) {
         s.reset[0].turns = {{1, {NoiseKind::kNormal, 1}}};
       },
       "reset[0].turns must be of quaternions in qpos, got index 1"},
      {[](TaskSpec& s) { s.start_mocap = {1}; }, "start_mocap must be 7 values for this model, got 1"},
      {[](TaskSpec& s) {
         s.state.push_back({Source::kGoal, 0});
       },
       "state[28].address must be in [0, 0) for this source and model, got 0"},
  };
  for (const auto& [change, message] : cases) {
    TaskSpec spec = plain_spec(mjb);
    change(spec);
    try {
      load(mjb, spec);
      ADD_FAILURE() << "nothing was refused: " << message;
    } catch (const std::invalid_argument& error) {
      if (message.find("state[") == 0) {
        EXPECT_NE(std::string(error.what()).find("for this source and model"), std::string::npos);
      } else {
        EXPECT_EQ(error.what(), message);
      }
    }
  }
}

}  // namespace
}  // namespace mbmf
