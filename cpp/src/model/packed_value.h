// A value packed for one instruction set's kernels.

#ifndef MBMF_SRC_MODEL_PACKED_VALUE_H_
#define MBMF_SRC_MODEL_PACKED_VALUE_H_

#include <optional>
#include <vector>

#include "kernel/kernel.h"
#include "mbmf/model/value.h"
#include "model/packed_mlp.h"

namespace mbmf {

class PackedValue {
 public:
  // centre (nstate): what the rows are kept less of; empty: all 0.
  PackedValue(const Value& value, const kernel::Table& table, std::vector<float> centre);
  PackedValue(const PackedValue&) = delete;
  PackedValue& operator=(const PackedValue&) = delete;

  const kernel::Value& kernel() const { return value_; }
  const kernel::Table& table() const { return table_; }
  double centre(int i) const {
    return centre_.empty() ? 0.0 : static_cast<double>(centre_[static_cast<std::size_t>(i)]);
  }
  std::size_t scratch() const { return static_cast<std::size_t>(table_.scratch(&model_)); }
  // States that it sees, in order.
  std::vector<int> seen() const;

 private:
  const kernel::Table& table_;
  std::vector<float> centre_;
  std::vector<kernel::Input> inputs_;
  std::optional<RowMlp> rows_;
  std::optional<PackedMlp> packed_;
  const kernel::Net* net_ = nullptr;
  kernel::Model model_{};
  kernel::Value value_{};
};

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_PACKED_VALUE_H_
