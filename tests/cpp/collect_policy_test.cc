// Rollouts of policies against a simulator that is stepped by hand.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocation_counter.h"
#include "infinity.h"
#include "mbmf/base/error.h"
#include "mbmf/physics/simulator.h"
#include "mbmf/rollout/rollout.h"
#include "task_fixture.h"

namespace mbmf {
namespace {

// A policy with weights of about `scale`, observing `nobservation` numbers.
GaussianPolicy make_policy(int nobservation, int naction, float scale = 0.3f, float log_std = -0.5f) {
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  std::vector<Layer> layers;
  const std::vector<int> widths = {nobservation, 12, 20, naction};
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    Layer layer{widths[i + 1], widths[i], {}, std::vector<float>(static_cast<std::size_t>(widths[i + 1]))};
    for (int k = 0; k < layer.rows * layer.cols; ++k) layer.weight.push_back(scale * normal(generator));
    layers.push_back(std::move(layer));
  }
  std::vector<float> deviations(static_cast<std::size_t>(naction), log_std);
  deviations[0] += 0.25f;
  return {std::move(layers), std::move(deviations)};
}

// The creature, healthy while its torso is above `height`; the policy sees some of the state, turned around.
std::shared_ptr<const Task> falling_task(double height) {
  const std::vector<char> mjb = fixture::compile(fixture::creature());
  TaskSpec spec = fixture::plain_spec(mjb);
  std::reverse(spec.observation.begin(), spec.observation.end());
  spec.observation.resize(11);
  spec.observation.push_back({Source::kSubtreeLinvel, 3 * 2});
  spec.reward = {{TermKind::kLinear, 1, {2}}, {TermKind::kAction, -0.5}};
  spec.healthy = {{{Source::kQpos, 2}, {height, kInfinity}}};
  spec.reset[0].qpos = {NoiseKind::kNormal, 0.05};
  spec.reset[0].qvel = {NoiseKind::kNormal, 0.5};
  spec.reset[2].qvel = {NoiseKind::kUniform, 2};
  return fixture::load(mjb, std::move(spec));
}

// An episode by the simulator, one step after the other.
struct Replay {
  std::vector<float> observations, actions, final_observation;
  std::vector<double> log_probs, rewards, states;
  bool terminated = false;
  int length = 0;
};

Replay replay(const std::shared_ptr<const Task>& task, const GaussianPolicy& policy,
              const PolicyRolloutOptions& options, std::uint64_t episode) {
  Simulator simulator(task, 1, 1, options.seed);
  simulator.start(nullptr, 0, options.start, &episode);
  const int na = task->naction();
  const std::size_t size = static_cast<std::size_t>(na);
  std::vector<float> input(static_cast<std::size_t>(task->nobservation())), mean(size), action(size);
  const auto observe = [&] { std::copy_n(simulator.observations(), input.size(), input.begin()); };
  Replay r;
  while (r.length < options.max_steps && !r.terminated) {
    observe();
    policy.mean(input.data(), 1, mean.data(), 1);
    Draws draws(derive_key(options.seed, Stream::kPolicy, episode), static_cast<std::uint64_t>(r.length), 0);
    double log_prob = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double std = options.noise_std.value_or(std::exp(double{policy.log_std()[i]}));
      action[i] = std > 0 ? static_cast<float>(mean[i] + std * draws.normal()) : mean[i];
      const double z = (double{action[i]} - double{mean[i]}) / std;
      log_prob += -0.5 * z * z - std::log(std) - 0.5 * std::log(2 * std::numbers::pi);
    }
    const std::vector<double> executed(action.begin(), action.end());
    r.observations.insert(r.observations.end(), input.begin(), input.end());
    r.actions.insert(r.actions.end(), action.begin(), action.end());
    r.states.insert(r.states.end(), simulator.states(), simulator.states() + task->nstate());
    r.log_probs.push_back(log_prob);
    simulator.step(nullptr, 0, executed.data());
    r.rewards.push_back(simulator.rewards()[0]);
    r.terminated = simulator.terminated()[0];
    ++r.length;
  }
  observe();
  r.final_observation = input;
  return r;
}

PolicyBatch collect(const Task& task, const GaussianPolicy& policy, const PolicyRolloutOptions& options) {
  return collect_policy(task, policy, options, {});
}

void expect_same_bits(const PolicyBatch& a, const PolicyBatch& b) {
  EXPECT_EQ(a.observations, b.observations);
  EXPECT_EQ(a.actions, b.actions);
  EXPECT_EQ(a.means, b.means);
  EXPECT_EQ(a.log_probs, b.log_probs);
  EXPECT_EQ(a.rewards, b.rewards);
  EXPECT_EQ(a.hidden, b.hidden);
  EXPECT_EQ(a.states, b.states);
  EXPECT_EQ(a.lengths, b.lengths);
  EXPECT_EQ(a.terminated, b.terminated);
  EXPECT_EQ(a.truncated, b.truncated);
  EXPECT_EQ(a.diverged, b.diverged);
  EXPECT_EQ(a.final_observations, b.final_observations);
  EXPECT_EQ(a.final_states, b.final_states);
}

int count(const std::vector<std::uint8_t>& flags) {
  return static_cast<int>(std::count(flags.begin(), flags.end(), 1));
}

TEST(CollectPolicyTest, EqualsASimulatorThatIsSteppedByHand) {
  const auto task = falling_task(0.45);
  const GaussianPolicy policy = make_policy(task->nobservation(), task->naction());
  for (const ResetKind start : {ResetKind::kDefault, ResetKind::kControl}) {
    PolicyRolloutOptions options{
        .episodes = 12, .max_steps = 60, .seed = 4, .first_episode = 1000, .nthread = 2};
    options.start = start;
    options.keep_states = options.keep_hidden = true;
    const PolicyBatch batch = collect(*task, policy, options);
    ASSERT_EQ(batch.lengths.size(), 12);
    const int no = task->nobservation(), na = task->naction(), ns = task->nstate();
    std::ptrdiff_t row = 0;
    int clipped = 0;
    for (int e = 0; e < 12; ++e) {
      const Replay expected = replay(task, policy, options, 1000 + static_cast<std::uint64_t>(e));
      const int n = expected.length;
      ASSERT_EQ(batch.lengths[e], n);
      EXPECT_EQ(batch.terminated[e], expected.terminated);
      EXPECT_EQ(batch.truncated[e], !expected.terminated);
      EXPECT_EQ(batch.diverged[e], 0);
      const auto equal = [&](const auto& all, const auto& one, int width) {
        return std::equal(one.begin(), one.end(), all.begin() + row * width);
      };
      EXPECT_TRUE(equal(batch.observations, expected.observations, no));
      EXPECT_TRUE(equal(batch.actions, expected.actions, na));
      EXPECT_TRUE(equal(batch.rewards, expected.rewards, 1));
      EXPECT_TRUE(equal(batch.states, expected.states, ns));
      EXPECT_TRUE(std::equal(expected.final_observation.begin(), expected.final_observation.end(),
                             batch.final_observations.begin() + std::ptrdiff_t{e} * no));
      for (int t = 0; t < n; ++t) ASSERT_NEAR(batch.log_probs[row + t], expected.log_probs[t], 1e-12);
      row += n;
    }
    // the tests above were not of nothing
    EXPECT_GT(count(batch.terminated), 0);
    EXPECT_GT(count(batch.truncated), 0);
    for (const float a : batch.actions) clipped += std::abs(a) > 1;
    EXPECT_GT(clipped, 0);

    // means and hidden values are the network's
    std::vector<float> means(batch.means.size());
    policy.mean(batch.observations.data(), batch.nsteps(), means.data(), 1);
    EXPECT_EQ(batch.means, means);
    PolicyEvaluator evaluator(policy);
    for (std::int64_t i = 0; i < batch.nsteps(); ++i) {
      evaluator.mean(&batch.observations[i * no]);
      ASSERT_TRUE(std::equal(&batch.hidden[0][i * 12], &batch.hidden[0][i * 12] + 12, evaluator.hidden(0)));
      ASSERT_TRUE(std::equal(&batch.hidden[1][i * 20], &batch.hidden[1][i * 20] + 20, evaluator.hidden(1)));
    }
  }
}

TEST(CollectPolicyTest, IsTheFewestEpisodesAtAnyNumberOfThreads) {
  const auto task = falling_task(0.45);
  const GaussianPolicy policy = make_policy(task->nobservation(), task->naction());
  PolicyRolloutOptions options{.steps = 500, .max_steps = 60, .seed = 1, .first_episode = 3, .nthread = 1};
  options.keep_states = options.keep_hidden = true;
  const PolicyBatch first = collect(*task, policy, options);
  EXPECT_GE(first.nsteps(), 500);
  EXPECT_LT(first.nsteps() - first.lengths.back(), 500);
  for (int repetition = 0; repetition < 3; ++repetition) {
    for (const int nthread : {2, 3, 7}) {
      options.nthread = nthread;
      expect_same_bits(first, collect(*task, policy, options));
    }
  }

  // the episodes are those of their numbers, however many are asked for
  options.steps = 0;
  options.episodes = static_cast<std::int64_t>(first.lengths.size());
  expect_same_bits(first, collect(*task, policy, options));
  options.first_episode = 4;
  options.episodes = 1;
  const PolicyBatch second = collect(*task, policy, options);
  EXPECT_EQ(second.lengths[0], first.lengths[1]);
  EXPECT_TRUE(std::equal(second.actions.begin(), second.actions.end(),
                         first.actions.begin() + std::ptrdiff_t{first.lengths[0]} * task->naction()));

  // another seed is another batch
  options.seed = 2;
  EXPECT_NE(collect(*task, policy, options).actions, second.actions);
}

TEST(CollectPolicyTest, NoiseCanBeOfAnotherDeviationOrNone) {
  const auto task = falling_task(0.45);
  const GaussianPolicy policy = make_policy(task->nobservation(), task->naction());
  PolicyRolloutOptions options{.episodes = 3, .max_steps = 20, .nthread = 1};
  options.noise_std = 0;
  const PolicyBatch clean = collect(*task, policy, options);
  EXPECT_EQ(clean.actions, clean.means);
  EXPECT_TRUE(clean.log_probs.empty());
  EXPECT_TRUE(clean.states.empty() && clean.final_states.empty() && clean.hidden.empty());
  options.noise_std = 0.005;
  const PolicyBatch noisy = collect(*task, policy, options);
  double squares = 0;
  for (std::size_t i = 0; i < noisy.actions.size(); ++i) {
    squares += std::pow((noisy.actions[i] - noisy.means[i]) / 0.005, 2);
  }
  const double n = static_cast<double>(noisy.actions.size());
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));
  const Replay expected = replay(task, policy, options, 0);
  for (int t = 0; t < expected.length; ++t) EXPECT_NEAR(noisy.log_probs[t], expected.log_probs[t], 1e-12);
}

// A ball on a rail whose motor does what `motor` says.
std::shared_ptr<const Task> ball_task(const std::string& motor) {
  const std::vector<char> mjb = fixture::compile(R"(<mujoco><option timestep='0.01'/><worldbody><body>
      <joint name='j' type='slide'/><geom size='.1'/></body></worldbody><actuator><motor joint='j' )" +
                                                 motor + "/></actuator></mujoco>");
  TaskSpec spec = fixture::plain_spec(mjb);
  spec.reward = {{TermKind::kConstant, 1}};
  return fixture::load(mjb, std::move(spec));
}

// What holds for any batch in which some episodes diverged and others did not.
void expect_some_diverged(const PolicyBatch& batch, int max_steps) {
  EXPECT_GT(count(batch.diverged), 0);
  EXPECT_GT(*std::max_element(batch.lengths.begin(), batch.lengths.end()), 0);
  std::int64_t steps = 0;
  for (std::size_t e = 0; e < batch.lengths.size(); ++e) {
    EXPECT_EQ(batch.terminated[e] + batch.truncated[e] + batch.diverged[e], 1);
    if (batch.diverged[e]) {
      EXPECT_LT(batch.lengths[e], max_steps);
    }
    steps += batch.lengths[e];
  }
  EXPECT_EQ(batch.nsteps(), steps);
  for (const float x : batch.actions) EXPECT_TRUE(std::isfinite(x));
  for (const double x : batch.states) EXPECT_TRUE(std::isfinite(x));
  for (const double x : batch.final_states) EXPECT_TRUE(std::isfinite(x));
}

TEST(CollectPolicyTest, DivergedEpisodesEndBeforeTheFailingStep) {
  // the push is more than MuJoCo takes where the action is beyond 0.4 or so
  const auto task = ball_task("gear='1e11'");
  const GaussianPolicy policy = make_policy(task->nobservation(), 1, 0.1f, -1.2f);
  PolicyRolloutOptions options{.steps = 200, .max_steps = 6, .nthread = 2};
  options.keep_states = true;
  const PolicyBatch batch = collect(*task, policy, options);
  expect_some_diverged(batch, 6);
  options.nthread = 1;
  expect_same_bits(batch, collect(*task, policy, options));

  // means near the largest float: half of the actions overflow, and none of these is executed or kept
  const auto gentle = ball_task("gear='1e-3'");
  const GaussianPolicy overflowing({{1, 2, {0, 0}, {std::numeric_limits<float>::max()}}}, {80});
  expect_some_diverged(collect(*gentle, overflowing, options), 6);

  // nothing but diverged episodes is an error, not a loop without end
  const auto broken = ball_task("gear='1e13' ctrlrange='1 2' ctrllimited='true'");
  try {
    collect(*broken, policy, options);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "the simulation diverges in the first step: 100 episodes in a row have no steps");
  }
}

// An error in MuJoCo leaves the step by a jump.
TEST(CollectPolicyTest, AnErrorInMuJoCoEndsItsEpisodeOnly) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer does not see how an error ends a call";
#endif
  const auto task = ball_task("ctrlrange='-1 1' ctrllimited='true'");
  const GaussianPolicy policy = make_policy(task->nobservation(), 1, 0.1f, -1.0f);
  mjcb_control = [](const mjModel*, mjData* d) {
    if (d->ctrl[0] > 0.8) mju_error("pushed too hard");
  };
  PolicyRolloutOptions options{.steps = 300, .max_steps = 20, .nthread = 1};
  options.keep_states = true;
  const PolicyBatch batch = collect(*task, policy, options);
  options.nthread = 3;
  const PolicyBatch again = collect(*task, policy, options);
  mjcb_control = nullptr;
  expect_some_diverged(batch, 20);
  expect_same_bits(batch, again);
}

// episodes of one step each, most of whose time goes into adding them to the batch, and many stops
TEST(CollectPolicyTest, AStopIsNotUndoneByAnEpisodeThatEnds) {
  const auto task = falling_task(-kInfinity);
  const GaussianPolicy policy = make_policy(task->nobservation(), task->naction());
  PolicyRolloutOptions options{.steps = std::int64_t{1} << 40, .max_steps = 1, .nthread = 2};
  options.keep_states = options.keep_hidden = true;
  for (int i = 0; i < 20; ++i) {
    EXPECT_THROW(collect_policy(*task, policy, options, [](std::int64_t) { return false; }), Error);
  }
}

TEST(CollectPolicyTest, AStopEndsTheCollectionWithinAStep) {
  const auto task = falling_task(-100);
  const GaussianPolicy policy = make_policy(task->nobservation(), task->naction());
  const PolicyRolloutOptions options{.steps = std::int64_t{1} << 40, .max_steps = 1 << 30, .nthread = 2};
  std::int64_t last = 0;
  EXPECT_THROW(collect_policy(*task, policy, options,
                              [&](std::int64_t steps) {
                                EXPECT_GE(steps, last);
                                last = steps;
                                return steps < 100;
                              }),
               Error);
  EXPECT_GE(last, 100);
  EXPECT_THROW(
      collect_policy(*task, policy, options, [](std::int64_t) -> bool { throw std::logic_error("mine"); }),
      std::logic_error);
}

TEST(CollectPolicyTest, AStepDoesNotAllocate) {
  const auto task = falling_task(-100);
  const GaussianPolicy policy = make_policy(task->nobservation(), task->naction());
  const auto allocations = [&](int steps) {
    PolicyRolloutOptions options{.episodes = 1, .max_steps = steps, .nthread = 1};
    options.keep_states = options.keep_hidden = true;
    const std::size_t before = allocation_count();
    EXPECT_EQ(collect(*task, policy, options).nsteps(), steps);
    return allocation_count() - before;
  };
  allocations(10);
  EXPECT_EQ(allocations(400), allocations(10));
}

TEST(CollectPolicyTest, BadArguments) {
  const auto task = falling_task(0.45);
  const GaussianPolicy policy = make_policy(task->nobservation(), task->naction());
  const GaussianPolicy other = make_policy(task->nobservation() + 1, task->naction());
  using Change = std::function<void(PolicyRolloutOptions&)>;
  const auto message = [&](const GaussianPolicy& used, const Change& change) -> std::string {
    PolicyRolloutOptions options{.steps = 10};
    change(options);
    try {
      collect(*task, used, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "none";
  };
  const std::vector<std::pair<Change, std::string>> table = {
      {[](auto& o) { o.steps = 0; },
       "either steps or episodes must be at least 1 and the other 0, got 0 and 0"},
      {[](auto& o) { o.episodes = 2; },
       "either steps or episodes must be at least 1 and the other 0, got 10 and 2"},
      {[](auto& o) { o.steps = -1; }, "steps must not be negative, got -1"},
      {[](auto& o) { o.episodes = -3; }, "episodes must not be negative, got -3"},
      {[](auto& o) { o.max_steps = 0; }, "max_steps must be at least 1, got 0"},
      {[](auto& o) { o.nthread = -1; }, "nthread must be in [0, 1024], got -1"},
      {[](auto& o) { o.start = static_cast<ResetKind>(3); }, "start must be a kind of reset, got 3"},
      {[](auto& o) { o.noise_std = -1; }, "noise_std must be from 0 to 1e6, got -1"},
      {[](auto& o) { o.noise_std = std::nan(""); }, "noise_std must be from 0 to 1e6, got nan"},
  };
  for (const auto& [change, expected] : table) EXPECT_EQ(message(policy, change), expected);
  EXPECT_EQ(message(other, [](auto&) {}),
            "policy must be of 12 observations and 2 actions, as task fixture, got one of 13 and 2");
}

}  // namespace
}  // namespace mbmf
