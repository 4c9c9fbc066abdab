// Gaussian policies against plain float64 loops, on every instruction set of this machine.

#include "mbmf/model/policy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocation_counter.h"
#include "mbmf/base/isa.h"
#include "mlp_fixture.h"

namespace mbmf {
namespace {

using fixture::random_layers;

GaussianPolicy random_policy(const std::vector<int>& widths, unsigned seed = 1) {
  return {random_layers(widths, seed), std::vector<float>(static_cast<std::size_t>(widths.back()), -0.5f)};
}

std::vector<float> random_observations(int n, int size) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> observations(static_cast<std::size_t>(n) * size);
  for (float& x : observations) x = normal(generator);
  return observations;
}

// What every layer gives, in float64.
std::vector<std::vector<double>> oracle(const GaussianPolicy& policy, const float* observation) {
  std::vector<double> x(observation, observation + policy.nobservation());
  std::vector<std::vector<double>> values;
  const std::vector<Layer>& layers = policy.mlp().layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    std::vector<double> y;
    for (int r = 0; r < layer.rows; ++r) {
      double sum = layer.bias[static_cast<std::size_t>(r)];
      for (int k = 0; k < layer.cols; ++k) {
        sum += static_cast<double>(layer.weight[static_cast<std::size_t>(r) * layer.cols + k]) *
               x[static_cast<std::size_t>(k)];
      }
      y.push_back(i + 1 < layers.size() ? std::tanh(sum) : sum);
    }
    values.push_back(y);
    x = y;
  }
  return values;
}

class PolicyKernels : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }
};

INSTANTIATE_TEST_SUITE_P(Isa, PolicyKernels, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

// no, one and several hidden layers; every number of vectors and of columns left over that a layer can have
TEST_P(PolicyKernels, EvaluationEqualsPlainLoops) {
  std::vector<std::vector<int>> shapes = {{24, 64, 64, 6}, {44, 64, 64, 8},    {3, 2},           {1, 1, 1},
                                          {17, 500, 3},    {7, 33, 150, 5, 4}, {20, 256, 129, 1}};
  for (int size = 1; size <= 40; ++size) shapes.push_back({size, 4 * size - 3, size});
  for (const std::vector<int>& shape : shapes) {
    const GaussianPolicy policy = random_policy(shape);
    PolicyEvaluator evaluator(policy);
    const int n = 5;
    const std::vector<float> observations = random_observations(n, shape.front());
    for (int i = 0; i < n; ++i) {
      const float* observation = &observations[static_cast<std::size_t>(i) * shape.front()];
      const float* mean = evaluator.mean(observation);
      const auto expected = oracle(policy, observation);
      // float32 sums of numbers of about 1: an error of each term's rounding, and no more
      for (int k = 0; k < policy.naction(); ++k) ASSERT_NEAR(mean[k], expected.back()[k], 2e-6) << shape[1];
      for (std::size_t layer = 0; layer + 1 < expected.size(); ++layer) {
        const float* hidden = evaluator.hidden(static_cast<int>(layer));
        for (std::size_t k = 0; k < expected[layer].size(); ++k) {
          ASSERT_NEAR(hidden[k], expected[layer][k], 2e-6);
        }
      }
    }
  }
}

TEST_P(PolicyKernels, MeansAreTheSameBitsAloneAndAmongOthersAtAnyNumberOfThreads) {
  const GaussianPolicy policy = random_policy({24, 64, 64, 6});
  const int n = 1000;
  const std::vector<float> observations = random_observations(n, 24);
  std::vector<float> expected;
  PolicyEvaluator evaluator(policy);
  for (int i = 0; i < n; ++i) {
    const float* mean = evaluator.mean(&observations[static_cast<std::size_t>(i) * 24]);
    expected.insert(expected.end(), mean, mean + 6);
  }
  for (const int nthread : {1, 2, 3, 7}) {
    std::vector<float> means(expected.size());
    policy.mean(observations.data(), n, means.data(), nthread);
    EXPECT_EQ(means, expected) << nthread;
  }
  policy.mean(observations.data(), 0, nullptr, 2);  // none at all
}

TEST_P(PolicyKernels, KeepsNotANumber) {
  const GaussianPolicy policy = random_policy({5, 20, 3});
  std::vector<float> observation = random_observations(1, 5);
  observation[2] = std::numeric_limits<float>::quiet_NaN();
  PolicyEvaluator evaluator(policy);
  for (int k = 0; k < 3; ++k) EXPECT_TRUE(std::isnan(evaluator.mean(observation.data())[k]));
}

TEST(PolicyTest, EvaluationDoesNotAllocate) {
  const GaussianPolicy policy = random_policy({24, 64, 64, 6});
  PolicyEvaluator evaluator(policy);
  const std::vector<float> observation = random_observations(1, 24);
  const std::size_t before = allocation_count();
  float sum = 0;
  for (int i = 0; i < 100; ++i) sum += evaluator.mean(observation.data())[0];
  EXPECT_EQ(allocation_count(), before);
  EXPECT_NE(sum, 0);
}

TEST(PolicyTest, AnEvaluatorKeepsTheWeights) {
  const std::vector<float> observation = random_observations(1, 24);
  auto policy = std::make_unique<GaussianPolicy>(random_policy({24, 64, 64, 6}));
  PolicyEvaluator evaluator(*policy);
  const float before = evaluator.mean(observation.data())[0];
  policy.reset();
  EXPECT_EQ(evaluator.mean(observation.data())[0], before);
}

TEST(PolicyTest, BadArguments) {
  const auto message = [](std::vector<Layer> layers, std::vector<float> log_std) -> std::string {
    try {
      const GaussianPolicy policy(std::move(layers), std::move(log_std));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "none";
  };
  const std::vector<Layer> good = random_layers({4, 5, 2}, 1);
  EXPECT_EQ(message(good, {0, 80}), "none");
  EXPECT_EQ(message({}, {}), "layers must hold at least one layer, got none");
  EXPECT_EQ(message(good, {0}), "log_std must have 2 entries, as the last layer has rows, got 1");
  EXPECT_EQ(message(good, {0, 81}), "log_std must be in [-80, 80], got 81 at entry 1");
  EXPECT_EQ(message(good, {std::nanf(""), 0}), "log_std must be in [-80, 80], got nan at entry 0");
  std::vector<Layer> bad = good;
  bad[1].weight[3] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message(bad, {0, 0}), "weight of layer 1 must be finite, got inf at entry 3");
}

}  // namespace
}  // namespace mbmf
