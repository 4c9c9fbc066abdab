// An Mlp packed for one instruction set's kernels.

#ifndef MBMF_SRC_MODEL_PACKED_MLP_H_
#define MBMF_SRC_MODEL_PACKED_MLP_H_

#include <vector>

#include "kernel/kernel.h"
#include "mbmf/model/mlp.h"

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

// An Mlp packed for a few inputs at a time, the vectors running along the rows. Immutable, shared by threads;
// each needs a RowValues of its own.
class RowMlp {
 public:
  explicit RowMlp(const Mlp& mlp);

  const std::vector<kernel::RowLayer>& layers() const { return layers_; }
  int nlayer() const { return static_cast<int>(layers_.size()); }

 private:
  std::vector<AlignedFloats> storage_;
  std::vector<kernel::RowLayer> layers_;
};

class PackedMlp {
 public:
  // last_rows: the output rows that a cost reads, for Net::last; all if empty.
  PackedMlp(const Mlp& mlp, const kernel::Table& table, std::vector<int> last_rows = {});
  PackedMlp(const PackedMlp&) = delete;
  PackedMlp& operator=(const PackedMlp&) = delete;

  const kernel::Net& net() const { return net_; }
  // The same network packed by rows, for a few candidates at a time; it must outlive this.
  void use_rows(const RowMlp& rows);
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

// What the layers of a RowMlp give for an input.
class RowValues {
 public:
  explicit RowValues(const RowMlp& mlp);

  float* const* of_layers() const { return of_layer_.data(); }

 private:
  std::vector<AlignedFloats> storage_;
  std::vector<float*> of_layer_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_PACKED_MLP_H_
