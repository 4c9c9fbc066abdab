// Random networks for the tests of kernels and policies.

#ifndef MBMF_TESTS_MLP_FIXTURE_H_
#define MBMF_TESTS_MLP_FIXTURE_H_

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "kernel/kernel.h"
#include "mbmf/model/mlp.h"

namespace mbmf::fixture {

// Layers of these widths, input first, whose outputs are of the size of their inputs.
inline std::vector<Layer> random_layers(const std::vector<int>& widths, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<Layer> layers;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    Layer layer{widths[i + 1], widths[i], {}, {}};
    for (int k = 0; k < layer.rows * layer.cols; ++k) {
      layer.weight.push_back(normal(generator) / std::sqrt(static_cast<float>(layer.cols)));
    }
    for (int k = 0; k < layer.rows; ++k) layer.bias.push_back(0.1f * normal(generator));
    layers.push_back(std::move(layer));
  }
  return layers;
}

// One network as the kernels' model of nstate states and naction actions.
struct PlainModel {
  PlainModel(const kernel::Net& net, int nstate, int naction) : pointer(&net) {
    model.nstate = nstate;
    model.naction = naction;
    model.nmember = 1;
    model.net = &pointer;
  }
  explicit PlainModel(const kernel::Net& net) : PlainModel(net, net.layer->cols, 0) {}
  PlainModel(const PlainModel&) = delete;
  PlainModel& operator=(const PlainModel&) = delete;

  const kernel::Net* pointer;
  kernel::Model model{};
};

}  // namespace mbmf::fixture

#endif  // MBMF_TESTS_MLP_FIXTURE_H_
