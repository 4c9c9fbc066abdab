#include "model/packed_policy.h"

#include <cmath>
#include <utility>

namespace mbmf {

PackedPolicy::PackedPolicy(const GaussianPolicy& policy, const kernel::Table& table, int nstate,
                           std::vector<kernel::Input> observed, std::vector<float> centre, float noise)
    : table_(table), observed_(std::move(observed)), centre_(std::move(centre)) {
  std::vector<Layer> layers = policy.mlp().layers();
  // numbers come less their centres
  Layer& first = layers.front();
  for (int row = 0; row < first.rows && !centre_.empty(); ++row) {
    double bias = static_cast<double>(first.bias[static_cast<std::size_t>(row)]);
    for (std::size_t i = 0; i < observed_.size(); ++i) {
      if (observed_[i].kind != kernel::InputKind::kNumber) continue;
      const std::size_t at = static_cast<std::size_t>(row) * observed_.size() + i;
      bias += static_cast<double>(first.weight[at]) *
              static_cast<double>(centre_[static_cast<std::size_t>(observed_[i].state)]);
    }
    first.bias[static_cast<std::size_t>(row)] = static_cast<float>(bias);
  }
  const Mlp mlp(std::move(layers), policy.mlp().activation());
  rows_.emplace(mlp);
  packed_.emplace(mlp, table);
  packed_->use_rows(*rows_);
  net_ = &packed_->net();
  deviation_.reserve(policy.log_std().size());
  for (const float log_std : policy.log_std()) deviation_.push_back(std::exp(log_std) * noise);
  model_.nstate = nstate;
  model_.nmember = 1;
  model_.net = &net_;
  model_.input = observed_.data();
  model_.nseen = static_cast<int>(observed_.size());
  if (!centre_.empty()) model_.centre = centre_.data();
  actor_ = {&model_, deviation_.data()};
}

}  // namespace mbmf
