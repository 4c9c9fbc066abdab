// A policy packed for one instruction set's kernels, to act in the states of a model.

#ifndef MBMF_SRC_MODEL_PACKED_POLICY_H_
#define MBMF_SRC_MODEL_PACKED_POLICY_H_

#include <optional>
#include <vector>

#include "kernel/kernel.h"
#include "mbmf/model/policy.h"
#include "model/packed_mlp.h"

namespace mbmf {

class PackedPolicy {
 public:
  // observed: what it observes of a model's states (nstate). centre (nstate): what these are kept less of;
  // empty: all 0. noise: what multiplies the noise that the kernel is given.
  PackedPolicy(const GaussianPolicy& policy, const kernel::Table& table, int nstate,
               std::vector<kernel::Input> observed, std::vector<float> centre, float noise);
  PackedPolicy(const PackedPolicy&) = delete;
  PackedPolicy& operator=(const PackedPolicy&) = delete;

  const kernel::Actor& kernel() const { return actor_; }
  std::size_t scratch() const { return static_cast<std::size_t>(table_.scratch(&model_)); }

 private:
  const kernel::Table& table_;
  std::vector<kernel::Input> observed_;
  std::vector<float> centre_, deviation_;
  std::optional<RowMlp> rows_;
  std::optional<PackedMlp> packed_;
  const kernel::Net* net_ = nullptr;
  kernel::Model model_{};
  kernel::Actor actor_{};
};

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_PACKED_POLICY_H_
