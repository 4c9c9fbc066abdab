#include "mbmf/model/policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/cpu.h"
#include "kernel/kernel.h"
#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "model/packed_mlp.h"

namespace mbmf {

namespace {

constexpr float kMaxLogStd = 80;           // exp(-80) is still a normal float32
constexpr std::int64_t kRowsAtOnce = 256;  // observations that a thread takes together

}  // namespace

struct GaussianPolicy::Packed {
  explicit Packed(const Mlp& mlp) : table(select_kernels()), net(mlp) {}

  const kernel::Table& table;
  RowMlp net;
};

struct PolicyEvaluator::Values {
  explicit Values(const RowMlp& net) : rows(net) {}

  RowValues rows;
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
    : packed_(policy.packed_), values_(std::make_unique<Values>(packed_->net)) {}

PolicyEvaluator::~PolicyEvaluator() = default;
PolicyEvaluator::PolicyEvaluator(PolicyEvaluator&&) noexcept = default;
PolicyEvaluator& PolicyEvaluator::operator=(PolicyEvaluator&&) noexcept = default;

const float* PolicyEvaluator::mean(const float* observation) {
  const RowMlp& net = packed_->net;
  float* const* values = values_->rows.of_layers();
  packed_->table.policy(net.layers().data(), net.nlayer(), observation, values);
  return values[net.nlayer() - 1];
}

const float* PolicyEvaluator::hidden(int i) const { return values_->rows.of_layers()[i]; }

}  // namespace mbmf
