// What networks are made of, from arrays and words.

#ifndef MBMF_BINDINGS_MODEL_ARGS_H_
#define MBMF_BINDINGS_MODEL_ARGS_H_

#include <string>
#include <vector>

#include "array_args.h"
#include "mbmf/model/dynamics.h"
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

// The layers of each member of an ensemble: weights (members, rows, cols) and biases (members, rows), or
// those of one network, both float32.
inline std::vector<std::vector<Layer>> parse_members(const std::vector<py::array>& weights,
                                                     const std::vector<py::array>& biases) {
  if (weights.empty() || weights.front().ndim() != 3) return {parse_layers(weights, biases)};
  if (weights.size() != biases.size()) {
    throw_invalid("weights and biases must be equally many, got ", weights.size(), " and ", biases.size());
  }
  const py::ssize_t members = weights.front().shape(0);
  std::vector<std::vector<Layer>> all(static_cast<std::size_t>(members));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const float* weight = input<float>(weights[i], "weights", {members, "rows", "cols"});
    const py::ssize_t rows = weights[i].shape(1), cols = weights[i].shape(2);
    const float* bias = input<float>(biases[i], "biases", {members, rows});
    for (std::vector<Layer>& layers : all) {
      layers.push_back({static_cast<int>(rows), static_cast<int>(cols),
                        std::vector<float>(weight, weight + rows * cols),
                        std::vector<float>(bias, bias + rows)});
      weight += rows * cols;
      bias += rows;
    }
  }
  return all;
}

inline Activation parse_activation(const std::string& name) {
  if (name == "relu") return Activation::kRelu;
  if (name == "tanh") return Activation::kTanh;
  if (name == "silu") return Activation::kSilu;
  throw_invalid("activation must be \"relu\", \"tanh\" or \"silu\", got \"", name, "\"");
}

inline std::vector<StateInput> parse_inputs(const std::vector<std::string>& names) {
  std::vector<StateInput> inputs;
  for (const std::string& name : names) {
    if (name == "value") {
      inputs.push_back(StateInput::kValue);
    } else if (name == "sine_cosine") {
      inputs.push_back(StateInput::kSineCosine);
    } else if (name == "nothing") {
      inputs.push_back(StateInput::kNothing);
    } else if (name == "rotation") {
      inputs.push_back(StateInput::kRotation);
    } else if (name == "vertical") {
      inputs.push_back(StateInput::kVertical);
    } else if (name == "body") {
      inputs.push_back(StateInput::kBody);
    } else {
      throw_invalid(
          "inputs must be \"value\", \"sine_cosine\", \"nothing\", \"rotation\", \"vertical\" or \"body\" "
          "each, got \"",
          name, "\"");
    }
  }
  return inputs;
}

inline Normalization parse_normalization(const py::array& mean, const py::array& std, Dim size) {
  return {input_vector<double>(mean, "mean", size), input_vector<double>(std, "std", size)};
}

// States (n, nstate), float32 or float64: a model keeps what float64 says of them.
inline std::vector<double> parse_states(const py::array& states, int nstate) {
  if (py::dtype::of<float>().equal(states.dtype())) {
    const float* data = input<float>(states, "states", {"n", nstate});
    return {data, data + states.size()};
  }
  const double* data = input<double>(states, "states", {"n", nstate});
  return {data, data + states.size()};
}

}  // namespace mbmf::bindings

#endif  // MBMF_BINDINGS_MODEL_ARGS_H_
