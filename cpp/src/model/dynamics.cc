#include "mbmf/model/dynamics.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "model/packed_mlp.h"

namespace mbmf {

namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void check(const Normalization& normalization, int size, const char* what) {
  const std::size_t n = static_cast<std::size_t>(size);
  if (normalization.mean.size() != n || normalization.std.size() != n) {
    throw_invalid(what, " normalization must have ", n, " means and deviations, got ",
                  normalization.mean.size(), " and ", normalization.std.size());
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (!std::isfinite(normalization.mean[i])) {
      throw_invalid(what, " mean must be finite, got ", normalization.mean[i], " at entry ", i);
    }
    if (!(normalization.std[i] >= 0 && std::isfinite(normalization.std[i]))) {
      throw_invalid(what, " deviation must be finite and not negative, got ", normalization.std[i],
                    " at entry ", i);
    }
  }
}

// y = W ((x - mean) / std) + b as one affine map of raw x, in float64
void fold_input(Layer& layer, const std::vector<double>& mean, const std::vector<double>& std) {
  const Eigen::MatrixXd weight =
      Eigen::Map<const RowMatrix>(layer.weight.data(), layer.rows, layer.cols).cast<double>();
  const auto n = static_cast<Eigen::Index>(mean.size());
  Eigen::VectorXd scale(n);
  for (Eigen::Index i = 0; i < n; ++i) scale[i] = std[i] > 0 ? 1.0 / std[i] : 0.0;
  const Eigen::MatrixXd folded = weight * scale.asDiagonal();
  Eigen::Map<Eigen::VectorXf> bias(layer.bias.data(), layer.rows);
  bias =
      (bias.cast<double>() - folded * Eigen::Map<const Eigen::VectorXd>(mean.data(), n)).cast<float>().eval();
  Eigen::Map<RowMatrix>(layer.weight.data(), layer.rows, layer.cols) = folded.cast<float>();
}

// (W x + b) * std + mean as one affine map
void fold_output(Layer& layer, const Normalization& delta) {
  const Eigen::Map<const Eigen::VectorXd> std(delta.std.data(), layer.rows),
      mean(delta.mean.data(), layer.rows);
  Eigen::Map<RowMatrix> weight(layer.weight.data(), layer.rows, layer.cols);
  weight = (std.asDiagonal() * weight.cast<double>()).cast<float>().eval();
  Eigen::Map<Eigen::VectorXf> bias(layer.bias.data(), layer.rows);
  bias = (bias.cast<double>().cwiseProduct(std) + mean).cast<float>().eval();
}

std::vector<Layer> fold(int nstate, int naction, std::vector<Layer> layers, const Normalization& state,
                        const Normalization& action, const Normalization& delta) {
  if (nstate < 1 || naction < 1)
    throw_invalid("nstate and naction must be positive, got ", nstate, " and ", naction);
  check(state, nstate, "state");
  check(action, naction, "action");
  check(delta, nstate, "delta");
  if (layers.empty()) throw_invalid("layers must hold at least one layer, got none");
  if (layers.front().cols != nstate + naction) {
    throw_invalid("the first layer must take nstate + naction = ", nstate + naction, " inputs, got ",
                  layers.front().cols);
  }
  if (layers.back().rows != nstate) {
    throw_invalid("the last layer must give nstate = ", nstate, " outputs, got ", layers.back().rows);
  }
  layers =
      Mlp(std::move(layers), Activation::kRelu).layers();  // sizes and numbers checked before they are used

  std::vector<double> mean = state.mean, std = state.std;
  mean.insert(mean.end(), action.mean.begin(), action.mean.end());
  std.insert(std.end(), action.std.begin(), action.std.end());
  fold_input(layers.front(), mean, std);
  fold_output(layers.back(), delta);
  return layers;
}

}  // namespace

Dynamics::Dynamics(int nstate, int naction, std::vector<Layer> layers, Activation activation,
                   const Normalization& state, const Normalization& action, const Normalization& delta)
    : nstate_(nstate),
      naction_(naction),
      mlp_(fold(nstate, naction, std::move(layers), state, action, delta), activation) {}

void Dynamics::predict(const float* states, const float* actions, std::int64_t n, float* next,
                       int nthread) const {
  const std::int64_t horizon = 1, pair = 2 * static_cast<std::int64_t>(nstate_);
  std::vector<float> both(static_cast<std::size_t>(n * pair));
  open_loop(states, actions, n, static_cast<int>(horizon), both.data(), nthread);
  for (std::int64_t i = 0; i < n; ++i)
    std::copy_n(both.data() + i * pair + nstate_, nstate_, next + i * nstate_);
}

void Dynamics::open_loop(const float* states, const float* actions, std::int64_t n, int horizon, float* out,
                         int nthread) const {
  if (horizon < 1) throw_invalid("horizon must be at least 1, got ", horizon);
  const PackedMlp packed(mlp_, select_kernels());
  const kernel::Table& table = packed.table();
  const std::int64_t tiles = (n + table.tile - 1) / table.tile;
  ThreadPool pool(static_cast<int>(std::clamp<std::int64_t>(tiles, 1, resolve_nthread(nthread))));
  std::vector<AlignedFloats> scratch;
  scratch.reserve(static_cast<std::size_t>(pool.nthread()));
  for (int i = 0; i < pool.nthread(); ++i) {
    scratch.emplace_back(static_cast<std::size_t>(table.scratch(&packed.net(), nstate_, naction_)));
  }
  pool.parallel_for(tiles, [&](std::int64_t tile, int thread) {
    const std::int64_t first = tile * table.tile;
    table.open_loop(&packed.net(), nstate_, naction_, states + first * nstate_,
                    actions + first * horizon * naction_,
                    static_cast<int>(std::min<std::int64_t>(table.tile, n - first)), horizon,
                    out + first * (horizon + 1) * nstate_, scratch[static_cast<std::size_t>(thread)].data());
  });
}

}  // namespace mbmf
