// An Mlp packed for one instruction set's kernels.

#ifndef MBMF_PACKED_MLP_H_
#define MBMF_PACKED_MLP_H_

#include <vector>

#include "kernel/kernel.h"
#include "mbmf/mlp.h"

namespace mbmf {

// Floats on 64-byte boundaries, as the kernels load them.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(std::size_t size);
  ~AlignedFloats();
  AlignedFloats(AlignedFloats&& other) noexcept;
  AlignedFloats& operator=(AlignedFloats&& other) noexcept;
  AlignedFloats(const AlignedFloats&) = delete;
  AlignedFloats& operator=(const AlignedFloats&) = delete;

  float* data() { return data_; }
  const float* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  float* data_ = nullptr;
  std::size_t size_ = 0;
};

class PackedMlp {
 public:
  // last_rows: the output rows that a cost reads, for Net::last; all if empty.
  PackedMlp(const Mlp& mlp, const kernel::Table& table, std::vector<int> last_rows = {});
  PackedMlp(const PackedMlp&) = delete;
  PackedMlp& operator=(const PackedMlp&) = delete;

  const kernel::Net& net() const { return net_; }
  const kernel::Table& table() const { return table_; }

 private:
  kernel::PackedLayer pack(const Layer& layer);

  const kernel::Table& table_;
  std::vector<AlignedFloats> storage_;
  std::vector<kernel::PackedLayer> layers_;
  kernel::PackedLayer last_{};
  std::vector<int> last_rows_;
  kernel::Net net_{};
};

}  // namespace mbmf

#endif  // MBMF_PACKED_MLP_H_
