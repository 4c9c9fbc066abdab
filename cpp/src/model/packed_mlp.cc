#include "model/packed_mlp.h"

#include <algorithm>
#include <new>
#include <numeric>
#include <utility>

namespace mbmf {

AlignedFloats::AlignedFloats(std::size_t size)
    : data_(static_cast<float*>(
          ::operator new (std::max<std::size_t>(size, 1) * sizeof(float), std::align_val_t{64}))),
      size_(size) {
  std::fill_n(data_, size_, 0.0f);
}

AlignedFloats::~AlignedFloats() {
  if (data_ != nullptr) ::operator delete (data_, std::align_val_t{64});
}

AlignedFloats::AlignedFloats(AlignedFloats&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AlignedFloats& AlignedFloats::operator=(AlignedFloats&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

kernel::PackedLayer PackedMlp::pack(const Layer& layer) {
  AlignedFloats& weight = storage_.emplace_back(layer.weight.size());
  const int groups = kernel::group_count(layer.rows, table_.row_block);
  float* out = weight.data();
  for (int g = 0, row = 0; g < groups; ++g) {
    const int rows = kernel::group_rows(layer.rows, groups, g);
    for (int k = 0; k < layer.cols; ++k) {
      for (int r = 0; r < rows; ++r)
        *out++ = layer.weight[static_cast<std::size_t>(row + r) * layer.cols + k];
    }
    row += rows;
  }
  AlignedFloats& bias = storage_.emplace_back(layer.bias.size());
  std::copy(layer.bias.begin(), layer.bias.end(), bias.data());
  return {layer.rows, layer.cols, weight.data(), bias.data()};
}

PackedMlp::PackedMlp(const Mlp& mlp, const kernel::Table& table, std::vector<int> last_rows)
    : table_(table), last_rows_(std::move(last_rows)) {
  storage_.reserve(2 * mlp.layers().size() + 2);  // packed layers point into its elements
  int widest = 0;
  for (std::size_t i = 0; i < mlp.layers().size(); ++i) {
    const Layer& layer = mlp.layers()[i];
    layers_.push_back(pack(layer));
    if (i + 1 < mlp.layers().size()) widest = std::max(widest, layer.rows);
  }

  const Layer& output = mlp.layers().back();
  if (last_rows_.empty()) {
    last_rows_.resize(static_cast<std::size_t>(output.rows));
    std::iota(last_rows_.begin(), last_rows_.end(), 0);
    last_ = layers_.back();
  } else {
    Layer some{static_cast<int>(last_rows_.size()), output.cols, {}, {}};
    for (const int row : last_rows_) {
      const auto begin = output.weight.begin() + static_cast<std::ptrdiff_t>(row) * output.cols;
      some.weight.insert(some.weight.end(), begin, begin + output.cols);
      some.bias.push_back(output.bias[static_cast<std::size_t>(row)]);
    }
    last_ = pack(some);
  }
  net_ = {static_cast<int>(layers_.size()),   layers_.data(), &last_, last_rows_.data(),
          static_cast<int>(mlp.activation()), widest,         nullptr};
}

void PackedMlp::use_rows(const RowMlp& rows) { net_.row = rows.layers().data(); }

RowMlp::RowMlp(const Mlp& mlp) {
  for (const Layer& layer : mlp.layers()) {
    const int rows = (layer.rows + kernel::kRowPad - 1) / kernel::kRowPad * kernel::kRowPad;
    AlignedFloats weight(static_cast<std::size_t>(rows) * layer.cols), bias(static_cast<std::size_t>(rows));
    for (int k = 0; k < layer.cols; ++k) {
      for (int r = 0; r < layer.rows; ++r) {
        weight.data()[static_cast<std::size_t>(k) * rows + r] =
            layer.weight[static_cast<std::size_t>(r) * layer.cols + k];
      }
    }
    std::copy(layer.bias.begin(), layer.bias.end(), bias.data());
    layers_.push_back({rows, layer.cols, weight.data(), bias.data()});
    storage_.push_back(std::move(weight));
    storage_.push_back(std::move(bias));
  }
}

RowValues::RowValues(const RowMlp& mlp) {
  for (const kernel::RowLayer& layer : mlp.layers()) {
    storage_.emplace_back(static_cast<std::size_t>(layer.rows));
    of_layer_.push_back(storage_.back().data());
  }
}

}  // namespace mbmf
