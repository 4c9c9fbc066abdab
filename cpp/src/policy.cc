#include "mbmf/policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu.h"
#include "kernel/kernel.h"
#include "mbmf/error.h"
#include "mbmf/thread_pool.h"
#include "packed_mlp.h"

namespace mbmf {

namespace {

constexpr float kMaxLogStd = 80;           // exp(-80) is still a normal float32
constexpr std::int64_t kRowsAtOnce = 256;  // observations that a thread takes together

int padded(int rows) { return (rows + kernel::kRowPad - 1) / kernel::kRowPad * kernel::kRowPad; }

}  // namespace

// The network for one instruction set's kernel.
struct GaussianPolicy::Packed {
  explicit Packed(const Mlp& mlp) : table(select_kernels()) {
    for (const Layer& layer : mlp.layers()) {
      const int rows = padded(layer.rows);
      AlignedFloats weight(static_cast<std::size_t>(rows) * layer.cols), bias(static_cast<std::size_t>(rows));
      for (int k = 0; k < layer.cols; ++k) {
        for (int r = 0; r < layer.rows; ++r) {
          weight.data()[static_cast<std::size_t>(k) * rows + r] =
              layer.weight[static_cast<std::size_t>(r) * layer.cols + k];
        }
      }
      std::copy(layer.bias.begin(), layer.bias.end(), bias.data());
      layers.push_back({rows, layer.cols, weight.data(), bias.data()});
      storage.push_back(std::move(weight));
      storage.push_back(std::move(bias));
    }
  }

  const kernel::Table& table;
  std::vector<AlignedFloats> storage;
  std::vector<kernel::RowLayer> layers;
};

struct PolicyEvaluator::Values {
  std::vector<AlignedFloats> storage;
  std::vector<float*> of_layer;
};

GaussianPolicy::GaussianPolicy(std::vector<Layer> layers, std::vector<float> log_std)
    : mlp_(std::move(layers), Activation::kTanh), log_std_(std::move(log_std)) {
  if (log_std_.size() != static_cast<std::size_t>(naction())) {
    throw_invalid("log_std must have ", naction(), " entries, as the last layer has rows, got ",
                  log_std_.size());
  }
  for (std::size_t i = 0; i < log_std_.size(); ++i) {
    if (!(std::abs(log_std_[i]) <= kMaxLogStd)) {
      throw_invalid("log_std must be in [-", kMaxLogStd, ", ", kMaxLogStd, "], got ", log_std_[i],
                    " at entry ", i);
    }
  }
  packed_ = std::make_shared<const Packed>(mlp_);
}

void GaussianPolicy::mean(const float* observations, std::int64_t n, float* means, int nthread) const {
  const std::int64_t blocks = (n + kRowsAtOnce - 1) / kRowsAtOnce;
  ThreadPool pool(static_cast<int>(std::clamp<std::int64_t>(blocks, 1, resolve_nthread(nthread))));
  std::vector<PolicyEvaluator> evaluators;
  evaluators.reserve(static_cast<std::size_t>(pool.nthread()));
  for (int i = 0; i < pool.nthread(); ++i) evaluators.emplace_back(*this);
  const std::int64_t nobs = nobservation(), na = naction();
  pool.parallel_for(blocks, [&](std::int64_t block, int thread) {
    const std::int64_t end = std::min(n, (block + 1) * kRowsAtOnce);
    for (std::int64_t i = block * kRowsAtOnce; i < end; ++i) {
      std::copy_n(evaluators[static_cast<std::size_t>(thread)].mean(observations + i * nobs), na,
                  means + i * na);
    }
  });
}

PolicyEvaluator::PolicyEvaluator(const GaussianPolicy& policy)
    : packed_(policy.packed_), values_(std::make_unique<Values>()) {
  for (const kernel::RowLayer& layer : packed_->layers) {
    values_->storage.emplace_back(static_cast<std::size_t>(layer.rows));
    values_->of_layer.push_back(values_->storage.back().data());
  }
}

PolicyEvaluator::~PolicyEvaluator() = default;
PolicyEvaluator::PolicyEvaluator(PolicyEvaluator&&) noexcept = default;
PolicyEvaluator& PolicyEvaluator::operator=(PolicyEvaluator&&) noexcept = default;

const float* PolicyEvaluator::mean(const float* observation) {
  packed_->table.policy(packed_->layers.data(), static_cast<int>(packed_->layers.size()), observation,
                        values_->of_layer.data());
  return values_->of_layer.back();
}

const float* PolicyEvaluator::hidden(int i) const { return values_->of_layer[static_cast<std::size_t>(i)]; }

}  // namespace mbmf
