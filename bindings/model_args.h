// What networks are made of, from arrays and words.

#ifndef MBMF_BINDINGS_MODEL_ARGS_H_
#define MBMF_BINDINGS_MODEL_ARGS_H_

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
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

// What each word stands for.
template <typename Value>
using Words = std::initializer_list<std::pair<const char*, Value>>;

// The value of a word; each is said of one of several, in an error.
template <typename Value>
Value parse_word(const char* name, const std::string& word, Words<Value> words, const char* each = "") {
  std::string known;
  std::size_t left = words.size();
  for (const auto& [text, value] : words) {
    if (word == text) return value;
    --left;
    known += std::string("\"") + text + (left == 0 ? "\"" : left == 1 ? "\" or " : "\", ");
  }
  throw_invalid(name, " must be ", known, each, ", got \"", word, "\"");
}

template <typename Value>
std::vector<Value> parse_words(const char* name, const std::vector<std::string>& given, Words<Value> words) {
  std::vector<Value> values;
  values.reserve(given.size());
  for (const std::string& word : given) values.push_back(parse_word(name, word, words, " each"));
  return values;
}

inline Activation parse_activation(const std::string& name) {
  return parse_word<Activation>(
      "activation", name,
      {{"relu", Activation::kRelu}, {"tanh", Activation::kTanh}, {"silu", Activation::kSilu}});
}

inline std::vector<StateInput> parse_inputs(const std::vector<std::string>& names) {
  return parse_words<StateInput>("inputs", names,
                                 {{"value", StateInput::kValue},
                                  {"sine_cosine", StateInput::kSineCosine},
                                  {"nothing", StateInput::kNothing},
                                  {"rotation", StateInput::kRotation},
                                  {"vertical", StateInput::kVertical},
                                  {"body", StateInput::kBody}});
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
