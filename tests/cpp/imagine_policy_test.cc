// Policies in a learned model against the model's own predictions, step by step.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "infinity.h"
#include "mbmf/rollout/rollout.h"
#include "planner_fixture.h"
#include "task_fixture.h"

namespace mbmf {
namespace {

GaussianPolicy make_policy(int nobservation, int naction) {
  Layer first{6, nobservation, {}, std::vector<float>(6)}, second{naction, 6, {}, {}};
  for (int i = 0; i < first.rows * first.cols; ++i) {
    first.weight.push_back(0.1f * static_cast<float>(i % 7 - 3));
  }
  for (int i = 0; i < second.rows * second.cols; ++i) {
    second.weight.push_back(0.2f * static_cast<float>(i % 5 - 2));
  }
  second.bias.resize(static_cast<std::size_t>(naction));
  return {{std::move(first), std::move(second)}, std::vector<float>(static_cast<std::size_t>(naction), -1)};
}

TaskSpec make_spec(const std::vector<char>& mjb) {
  TaskSpec spec = fixture::plain_spec(mjb);
  spec.reward = {{TermKind::kLinear, 1, {2}}, {TermKind::kAction, -0.5}, {TermKind::kActionRate, -0.25}};
  spec.healthy_reward = 3;
  return spec;
}

std::shared_ptr<const Task> make_task(double lowest) {
  const std::vector<char> mjb = fixture::compile(fixture::creature());
  TaskSpec spec = make_spec(mjb);
  spec.alive = {{2, {lowest, kInfinity}}};
  return fixture::load(mjb, std::move(spec));
}

TEST(ImaginePolicyTest, EqualsTheModelsPredictionsStepByStep) {
  const auto task = make_task(-0.02);
  const int ns = task->nstate(), na = task->naction();
  const auto dynamics = fixture::make_dynamics(ns, na, {16}, 3);
  const GaussianPolicy policy = make_policy(ns, na);
  constexpr int kCount = 70, kSteps = 9;
  std::vector<double> starts(static_cast<std::size_t>(kCount * ns));
  for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = 0.1 * std::sin(0.7 * static_cast<double>(i));
  ImaginedOptions options{kSteps, 5, 11, 1, true};
  const PolicyBatch batch = imagine_policy(*task, *dynamics, policy, starts.data(), kCount, options, {});
  ASSERT_EQ(batch.lengths.size(), std::size_t{kCount});
  EXPECT_EQ(batch.hidden.size(), 1u);

  std::size_t row = 0;
  int ended = 0;
  for (int e = 0; e < kCount; ++e) {
    std::vector<double> state(starts.begin() + e * ns, starts.begin() + (e + 1) * ns);
    std::vector<double> before(static_cast<std::size_t>(na));
    const std::size_t at = static_cast<std::size_t>(e);
    for (int t = 0; t < batch.lengths[at]; ++t, ++row) {
      std::vector<float> next(static_cast<std::size_t>(ns)), executed;
      std::vector<double> action;
      double rate = 0;
      for (int i = 0; i < na; ++i) {
        const float drawn = batch.actions[row * static_cast<std::size_t>(na) + static_cast<std::size_t>(i)];
        executed.push_back(std::clamp(drawn, -1.0f, 1.0f));
        action.push_back(executed.back());
        const double step = action.back() - before[static_cast<std::size_t>(i)];
        if (t > 0) rate += step * step;
      }
      for (int i = 0; i < ns; ++i) {
        EXPECT_EQ(batch.observations[row * static_cast<std::size_t>(ns) + static_cast<std::size_t>(i)],
                  static_cast<float>(state[static_cast<std::size_t>(i)]));
      }
      dynamics->predict(state.data(), executed.data(), 1, next.data(), 1);
      state.assign(next.begin(), next.end());
      const bool alive = state[2] >= -0.02;
      double reward = state[2] - 0.25 * rate + (alive ? 3 : 0);
      for (const double a : action) reward -= 0.5 * a * a;
      EXPECT_NEAR(batch.rewards[row], reward, 1e-12);
      EXPECT_EQ(alive, t + 1 < batch.lengths[at] || batch.truncated[at] == 1);
      before = action;
    }
    ended += batch.terminated[at];
    EXPECT_EQ(batch.terminated[at] + batch.truncated[at] + batch.diverged[at], 1);
  }
  EXPECT_EQ(row, batch.rewards.size());
  EXPECT_GT(ended, 0);
  EXPECT_LT(ended, kCount);

  options.nthread = 3;
  const PolicyBatch again = imagine_policy(*task, *dynamics, policy, starts.data(), kCount, options, {});
  EXPECT_EQ(again.actions, batch.actions);
  EXPECT_EQ(again.rewards, batch.rewards);
  EXPECT_EQ(again.hidden, batch.hidden);
}

TEST(ImaginePolicyTest, EndsWhereAStateIsNotHealthyToo) {
  const std::vector<char> mjb = fixture::compile(fixture::creature());
  const auto alive = make_task(-0.02);
  const int ns = alive->nstate();
  const auto dynamics = fixture::make_dynamics(ns, alive->naction(), {16}, 3);
  const GaussianPolicy policy = make_policy(ns, alive->naction());
  std::vector<double> starts(static_cast<std::size_t>(40 * ns));
  for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = 0.1 * std::sin(0.7 * static_cast<double>(i));
  const auto imagine = [&](const Task& task) {
    return imagine_policy(task, *dynamics, policy, starts.data(), 40, {9, 5, 11, 1, false}, {});
  };
  TaskSpec spec = make_spec(mjb);
  const ChannelBound bound{spec.state[2], {-0.02, kInfinity}}, other{{Source::kQacc, 0}, {-1, 1}};
  spec.healthy = {bound};
  const PolicyBatch wanted = imagine(*alive), found = imagine(*fixture::load(mjb, spec));
  EXPECT_EQ(found.lengths, wanted.lengths);
  EXPECT_EQ(found.terminated, wanted.terminated);
  EXPECT_EQ(found.rewards, wanted.rewards);

  // what no state says ends none, and must not be all that could
  spec.healthy.push_back(other);
  EXPECT_THROW(imagine(*fixture::load(mjb, spec)), std::invalid_argument);
  spec.alive = {{2, {-0.02, kInfinity}}};
  EXPECT_EQ(imagine(*fixture::load(mjb, spec)).lengths, wanted.lengths);
}

TEST(ImaginePolicyTest, RefusesWhatDoesNotFit) {
  const auto task = make_task(-1);
  const int ns = task->nstate(), na = task->naction();
  const std::vector<double> start(static_cast<std::size_t>(ns));
  const ImaginedOptions options{};
  const auto dynamics = fixture::make_dynamics(ns, na, {16}, 3),
             other = fixture::make_dynamics(3, na, {16}, 3);
  const GaussianPolicy policy = make_policy(ns, na);
  EXPECT_THROW(imagine_policy(*task, *other, policy, start.data(), 1, options, {}), std::invalid_argument);
  EXPECT_THROW(imagine_policy(*task, *dynamics, make_policy(3, na), start.data(), 1, options, {}),
               std::invalid_argument);
  EXPECT_THROW(imagine_policy(*task, *dynamics, policy, start.data(), 1, {0, 0, 0, 1, false}, {}),
               std::invalid_argument);
  EXPECT_THROW(imagine_policy(*task, *dynamics, policy, start.data(), 1, {9, 0, 0, -1, false}, {}),
               std::invalid_argument);
}

}  // namespace
}  // namespace mbmf
