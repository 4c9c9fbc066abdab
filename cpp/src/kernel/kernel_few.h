// A few inputs through a network, the vectors running along the rows of a layer, on the vectors of the
// instruction set that includes this file.
//
// What is left of a round when its last vector is mostly empty: four candidates take a quarter of a vector's
// time instead of all of it, so that small rounds divide evenly among threads. Columns are summed in order:
// the same bits as in a tile.

#ifndef MBMF_KERNEL_FEW_H_
#define MBMF_KERNEL_FEW_H_

#include "kernel/kernel_math.h"

namespace {

using mbmf::kernel::kRowPad;
using mbmf::kernel::Net;
using mbmf::kernel::RowLayer;

constexpr int kFew = 4;
constexpr int kFewVectors = kRowBlock >= 12 ? 4 : 2;  // of rows at a time: 16 or 8 accumulators

enum class Activate { kRelu = 0, kTanh = 1, kSilu = 2, kNone };  // as mbmf::Activation

template <Activate kActivate>
inline Vec activate(Vec x) {
  if constexpr (kActivate == Activate::kRelu) return relu(x);
  if constexpr (kActivate == Activate::kTanh) return tanh_vec(x);
  if constexpr (kActivate == Activate::kSilu) return silu_vec(x);
  return x;
}

// the longest row that a layer reads or gives
int few_width(const Net& net) {
  int width = 0;
  for (int i = 0; i < net.nlayer; ++i) {
    const int cols = (net.row[i].cols + kRowPad - 1) / kRowPad * kRowPad;
    width = width < cols ? cols : width;
    width = width < net.row[i].rows ? net.row[i].rows : width;
  }
  return width;
}

// V vectors of rows from `row` on, for L inputs that are `width` apart
template <int V, int L, Activate kActivate>
void few_rows(const RowLayer& layer, int row, int width, const float* in, float* out) {
  Vec acc[L][V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const Vec bias = load(layer.bias + row + v * kLanes);
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) acc[l][v] = bias;
  }
  const float* w = layer.weight + row;
  for (int k = 0; k < layer.cols; ++k) {
    Vec weight[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) weight[v] = load(w + v * kLanes);
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) {
      const Vec x = broadcast(in[l * width + k]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[l][v] = fma(weight[v], x, acc[l][v]);
    }
    w += layer.rows;
  }
#pragma GCC unroll 4
  for (int l = 0; l < L; ++l) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      if constexpr (kActivate == Activate::kRelu) acc[l][v] = relu(acc[l][v]);
      store(out + l * width + row + v * kLanes, acc[l][v]);
    }
  }
  if constexpr (kActivate == Activate::kTanh || kActivate == Activate::kSilu) {
    for (int l = 0; l < L; ++l) {
      for (int v = 0; v < V; ++v) {
        float* p = out + l * width + row + v * kLanes;
        store(p, activate<kActivate>(load(p)));
      }
    }
  }
}

template <int L, Activate kActivate>
void few_layer(const RowLayer& layer, int width, const float* in, float* out) {
  int row = 0;
  for (; layer.rows - row >= kFewVectors * kLanes; row += kFewVectors * kLanes) {
    few_rows<kFewVectors, L, kActivate>(layer, row, width, in, out);
  }
  for (; layer.rows > row; row += kLanes) few_rows<1, L, kActivate>(layer, row, width, in, out);
}

template <int L>
const float* few_forward_as(const Net& net, int width, float* in, float* out) {
  for (int i = 0; i + 1 < net.nlayer; ++i) {
    switch (static_cast<Activate>(net.activation)) {
      case Activate::kTanh:
        few_layer<L, Activate::kTanh>(net.row[i], width, in, out);
        break;
      case Activate::kSilu:
        few_layer<L, Activate::kSilu>(net.row[i], width, in, out);
        break;
      default:
        few_layer<L, Activate::kRelu>(net.row[i], width, in, out);
    }
    float* const swapped = in;
    in = out;
    out = swapped;
  }
  few_layer<L, Activate::kNone>(net.row[net.nlayer - 1], width, in, out);
  return out;
}

// n <= kFew inputs, `width` apart, through the network; returns which of the two buffers holds the outputs
const float* few_forward(const Net& net, int n, int width, float* in, float* out) {
  switch (n) {
    case 1:
      return few_forward_as<1>(net, width, in, out);
    case 2:
      return few_forward_as<2>(net, width, in, out);
    default:
      return few_forward_as<kFew>(net, width, in, out);
  }
}

}  // namespace

#endif  // MBMF_KERNEL_FEW_H_
