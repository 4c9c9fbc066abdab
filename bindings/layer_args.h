// Layers of a network from arrays.

#ifndef MBMF_BINDINGS_LAYER_ARGS_H_
#define MBMF_BINDINGS_LAYER_ARGS_H_

#include <vector>

#include "array_args.h"
#include "mbmf/model/mlp.h"

namespace mbmf::bindings {

// weights (rows, cols) and biases (rows), both float32, of each layer.
inline std::vector<Layer> parse_layers(const std::vector<py::array>& weights,
                                       const std::vector<py::array>& biases) {
  if (weights.size() != biases.size()) {
    throw_invalid("weights and biases must be equally many, got ", weights.size(), " and ", biases.size());
  }
  std::vector<Layer> layers;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const float* weight = input<float>(weights[i], "weights", {"rows", "cols"});
    layers.push_back({static_cast<int>(weights[i].shape(0)), static_cast<int>(weights[i].shape(1)),
                      std::vector<float>(weight, weight + weights[i].size()),
                      input_vector<float>(biases[i], "biases", weights[i].shape(0))});
  }
  return layers;
}

}  // namespace mbmf::bindings

#endif  // MBMF_BINDINGS_LAYER_ARGS_H_
