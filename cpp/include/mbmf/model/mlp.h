// A multi-layer perceptron: its layers, checked. Models, values and policies pack it for the vector kernels.

#ifndef MBMF_MODEL_MLP_H_
#define MBMF_MODEL_MLP_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace mbmf {

enum class Activation : int { kRelu = 0, kTanh = 1, kSilu = 2 };

// One fully connected layer: y = W x + b. weight (rows, cols) row-major, bias (rows).
struct Layer {
  int rows = 0;
  int cols = 0;
  std::vector<float> weight;
  std::vector<float> bias;
};

// Hidden layers with one activation and a linear output. Immutable and thread-safe.
class Mlp {
 public:
  // Throws std::invalid_argument on no layers, sizes that do not chain, or non-finite numbers.
  Mlp(std::vector<Layer> layers, Activation activation);

  int ninput() const { return layers_.front().cols; }
  int noutput() const { return layers_.back().rows; }
  const std::vector<Layer>& layers() const { return layers_; }
  Activation activation() const { return activation_; }
  std::int64_t flops() const;  // multiply-adds counted twice, per evaluation

 private:
  std::vector<Layer> layers_;
  Activation activation_;
};

}  // namespace mbmf

#endif  // MBMF_MODEL_MLP_H_
