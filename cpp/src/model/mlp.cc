#include "mbmf/model/mlp.h"

#include <cmath>
#include <utility>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr int kMaxWidth = 65536;

void check_finite(const std::vector<float>& values, const char* what, std::size_t layer) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw_invalid(what, " of layer ", layer, " must be finite, got ", values[i], " at entry ", i);
    }
  }
}

}  // namespace

Mlp::Mlp(std::vector<Layer> layers, Activation activation)
    : layers_(std::move(layers)), activation_(activation) {
  if (layers_.empty()) throw_invalid("layers must hold at least one layer, got none");
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (layer.rows < 1 || layer.rows > kMaxWidth || layer.cols < 1 || layer.cols > kMaxWidth) {
      throw_invalid("weight of layer ", i, " must be between 1 x 1 and ", kMaxWidth, " x ", kMaxWidth,
                    ", got ", layer.rows, " x ", layer.cols);
    }
    if (layer.weight.size() != static_cast<std::size_t>(layer.rows) * layer.cols) {
      throw_invalid("weight of layer ", i, " must have ", static_cast<std::size_t>(layer.rows) * layer.cols,
                    " entries, got ", layer.weight.size());
    }
    if (layer.bias.size() != static_cast<std::size_t>(layer.rows)) {
      throw_invalid("bias of layer ", i, " must have ", layer.rows, " entries, got ", layer.bias.size());
    }
    if (i > 0 && layer.cols != layers_[i - 1].rows) {
      throw_invalid("weight of layer ", i, " must have ", layers_[i - 1].rows, " columns, as layer ", i - 1,
                    " has rows, got ", layer.cols);
    }
    check_finite(layer.weight, "weight", i);
    check_finite(layer.bias, "bias", i);
  }
}

std::int64_t Mlp::flops() const {
  std::int64_t count = 0;
  for (const Layer& layer : layers_) count += std::int64_t{2} * layer.rows * layer.cols;
  return count;
}

}  // namespace mbmf
