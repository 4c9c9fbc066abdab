// One evaluation of a policy's network in a rollout, beside the plainest way to write it with Eigen.
//
// Both take one observation at a time. They must agree to 1e-5.

#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include "mbmf/model/policy.h"

namespace {

constexpr int kObservations = 24, kActions = 6;  // the half cheetah's
constexpr int kInputs = 64;                      // different observations, in turn

mbmf::GaussianPolicy make_policy(int hidden) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  const std::vector<int> widths = {kObservations, hidden, hidden, kActions};
  std::vector<mbmf::Layer> layers;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    mbmf::Layer layer{
        widths[i + 1], widths[i], {}, std::vector<float>(static_cast<std::size_t>(widths[i + 1]), 0.1f)};
    for (int k = 0; k < layer.rows * layer.cols; ++k) {
      layer.weight.push_back(normal(generator) / std::sqrt(static_cast<float>(layer.cols)));
    }
    layers.push_back(layer);
  }
  return {layers, std::vector<float>(kActions, 0.0f)};
}

std::vector<float> make_observations() {
  std::mt19937 generator(2);
  std::normal_distribution<float> normal;
  std::vector<float> observations(static_cast<std::size_t>(kInputs) * kObservations);
  for (float& x : observations) x = normal(generator);
  return observations;
}

class EigenPolicy {
 public:
  explicit EigenPolicy(const mbmf::GaussianPolicy& policy) {
    using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    for (const mbmf::Layer& layer : policy.mlp().layers()) {
      weights_.emplace_back(Eigen::Map<const RowMajor>(layer.weight.data(), layer.rows, layer.cols));
      biases_.emplace_back(Eigen::Map<const Eigen::VectorXf>(layer.bias.data(), layer.rows));
    }
    values_.resize(weights_.size());
  }

  const float* mean(const float* observation) {
    const Eigen::Map<const Eigen::VectorXf> x(observation, kObservations);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      values_[i] = biases_[i];
      if (i == 0) {
        values_[i].noalias() += weights_[i] * x;
      } else {
        values_[i].noalias() += weights_[i] * values_[i - 1];
      }
      if (i + 1 < weights_.size()) values_[i] = values_[i].array().tanh();
    }
    return values_.back().data();
  }

 private:
  std::vector<Eigen::MatrixXf> weights_;
  std::vector<Eigen::VectorXf> biases_, values_;
};

template <typename Evaluator>
void run(benchmark::State& state) {
  const mbmf::GaussianPolicy policy = make_policy(static_cast<int>(state.range(0)));
  const std::vector<float> observations = make_observations();
  Evaluator evaluator(policy);
  mbmf::PolicyEvaluator reference(policy);
  int next = 0;
  for (int i = 0; i < kInputs; ++i) {
    const float* observation = &observations[static_cast<std::size_t>(i) * kObservations];
    const float* expected = reference.mean(observation);
    const float* mean = evaluator.mean(observation);
    for (int k = 0; k < kActions; ++k) {
      if (!(std::abs(mean[k] - expected[k]) <= 1e-5f)) return state.SkipWithError("the means differ");
    }
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(evaluator.mean(&observations[static_cast<std::size_t>(next) * kObservations]));
    next = (next + 1) % kInputs;
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_Policy(benchmark::State& state) { run<mbmf::PolicyEvaluator>(state); }
BENCHMARK(BM_Policy)->Arg(64)->Arg(256)->ArgName("hidden");

void BM_PolicyEigen(benchmark::State& state) { run<EigenPolicy>(state); }
BENCHMARK(BM_PolicyEigen)->Arg(64)->Arg(256)->ArgName("hidden");

}  // namespace
