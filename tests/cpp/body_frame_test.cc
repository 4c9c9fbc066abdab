// Models of a turning robot, whose vectors are seen and predicted in its own frame.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "mbmf/model/dynamics.h"
#include "mlp_fixture.h"

namespace mbmf {
namespace {

constexpr int kStates = 7, kActions = 1, kCount = 21, kHorizon = 3;

// a quaternion and a velocity, of two members with a variance head
DynamicsSpec flying() {
  DynamicsSpec spec;
  spec.nstate = kStates;
  spec.naction = kActions;
  // the vertical, the velocity, the action
  for (unsigned seed : {0u, 1u}) spec.members.push_back(fixture::random_layers({7, 16, 2 * kStates}, seed));
  const std::vector<double> zeros(kStates, 0.0), ones(kStates, 1.0);
  spec.state = {std::vector<double>(6, 0.1), std::vector<double>(6, 0.7)};
  spec.action = {{0.0}, {1.0}};
  spec.delta = {zeros, {0, 0.3, 0.3, 0.3, 0.5, 0.6, 0.7}};
  spec.input.assign(4, StateInput::kVertical);
  spec.input.insert(spec.input.end(), 3, StateInput::kBody);
  spec.output.assign(4, StateOutput::kRotation);
  spec.output.insert(spec.output.end(), 3, StateOutput::kBodyDifference);
  spec.log_variance_min.assign(kStates, -6.0);
  spec.log_variance_max.assign(kStates, 0.0);
  spec.propagation = Propagation::kTsInf;
  return spec;
}

struct Starts {
  std::vector<double> states;
  std::vector<float> actions;
};

Starts starts() {
  Starts out;
  for (int i = 0; i < kCount; ++i) {
    const double angle = 0.3 * i, w = std::cos(angle), s = std::sin(angle) / std::sqrt(3.0);
    out.states.insert(out.states.end(), {w, s, -s, s, 0.1 * i, 1.0, -0.05 * i});
  }
  for (int i = 0; i < kCount * kHorizon; ++i) out.actions.push_back(std::sin(static_cast<float>(i)));
  return out;
}

// the world's x axis becomes its y axis
std::vector<double> quarter_turn(const std::vector<double>& states) {
  std::vector<double> out;
  const double c = std::sqrt(0.5);
  for (std::size_t i = 0; i < states.size(); i += kStates) {
    const double* s = states.data() + i;
    out.insert(out.end(), {c * (s[0] - s[3]), c * (s[1] - s[2]), c * (s[2] + s[1]), c * (s[3] + s[0]), -s[5],
                           s[4], s[6]});
  }
  return out;
}

TEST(BodyFrame, WhatIsPredictedTurnsWithTheRobot) {
  const Dynamics dynamics(flying());
  const Starts from = starts();
  const std::vector<double> turned = quarter_turn(from.states);
  std::vector<float> plain(static_cast<std::size_t>(kCount) * (kHorizon + 1) * kStates), other(plain.size());
  dynamics.open_loop(from.states.data(), from.actions.data(), kCount, kHorizon, plain.data(), 2);
  dynamics.open_loop(turned.data(), from.actions.data(), kCount, kHorizon, other.data(), 1);
  const std::vector<double> want = quarter_turn({plain.begin(), plain.end()});
  double moved = 0;
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(other[i], want[i], 1e-4) << "at " << i;
  for (int i = 0; i < kCount; ++i) {
    const std::size_t first = static_cast<std::size_t>(i) * (kHorizon + 1) * kStates;
    moved += std::abs(static_cast<double>(plain[first + kHorizon * kStates + 4] - plain[first + 4]));
  }
  EXPECT_GT(moved, 0.1 * kCount);
}

TEST(BodyFrame, DeviationsTurnToo) {
  const Dynamics dynamics(flying());
  const Starts from = starts();
  const std::vector<double> turned = quarter_turn(from.states);
  std::vector<float> next(2 * kCount * kStates), plain(next.size()), other(next.size());
  dynamics.predict_members(from.states.data(), from.actions.data(), kCount, next.data(), plain.data(), 1);
  dynamics.predict_members(turned.data(), from.actions.data(), kCount, next.data(), other.data(), 1);
  for (std::size_t i = 0; i < plain.size(); i += kStates) {
    EXPECT_NEAR(other[i + 4], plain[i + 5], 1e-5);
    EXPECT_NEAR(other[i + 5], plain[i + 4], 1e-5);
    EXPECT_NEAR(other[i + 6], plain[i + 6], 1e-5);
    EXPECT_GT(plain[i + 4], 0);
  }
}

TEST(BodyFrame, ParticlesStayOnTheSphere) {
  const Dynamics dynamics(flying());
  const Starts from = starts();
  std::vector<float> out(static_cast<std::size_t>(kCount) * 2 * (kHorizon + 1) * kStates);
  const Dynamics::Noise noise = Dynamics::noise(1, 2, 3);
  dynamics.sample(from.states.data(), from.actions.data(), kCount, kHorizon, noise, out.data(), 2);
  for (std::size_t i = 0; i < out.size(); i += kStates) {
    double square = 0;
    for (std::size_t k = 0; k < 4; ++k) square += static_cast<double>(out[i + k]) * out[i + k];
    EXPECT_NEAR(square, 1, 1e-4);
    EXPECT_TRUE(std::isfinite(out[i + 4]));
  }
}

TEST(BodyFrame, NeedsOneFrame) {
  DynamicsSpec spec = flying();
  spec.input.assign(4, StateInput::kNothing);
  spec.input.insert(spec.input.end(), 3, StateInput::kBody);
  EXPECT_THROW(Dynamics{spec}, std::invalid_argument);
}

}  // namespace
}  // namespace mbmf
