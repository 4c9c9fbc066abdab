// One observation at a time through a policy network, on the vectors of the instruction set that includes
// this file.
//
// A planner has a tile of inputs and shares each weight among its lanes; a policy in a rollout has one input,
// so here the vectors run along the rows of a layer instead. Eight accumulators hide the latency of the
// multiply-adds: where a layer has fewer vectors of rows than that, several columns are summed side by side.

#ifndef MBMF_KERNEL_POLICY_H_
#define MBMF_KERNEL_POLICY_H_

#include "kernel/kernel_math.h"

namespace {

using mbmf::kernel::RowLayer;

// V vectors of rows from `row` on, C columns at a time
template <int V, int C>
void policy_rows(const RowLayer& layer, int row, const float* in, bool is_last, float* out) {
  Vec acc[C][V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    acc[0][v] = load(layer.bias + row + v * kLanes);
#pragma GCC unroll 8
    for (int c = 1; c < C; ++c) acc[c][v] = Vec{};
  }
  const float* w = layer.weight + row;
  int k = 0;
  for (; k + C <= layer.cols; k += C) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      const Vec x = broadcast(in[k + c]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[c][v] = fma(load(w + v * kLanes), x, acc[c][v]);
      w += layer.rows;
    }
  }
  for (; k < layer.cols; ++k) {
    const Vec x = broadcast(in[k]);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[0][v] = fma(load(w + v * kLanes), x, acc[0][v]);
    w += layer.rows;
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    Vec sum = acc[0][v];
#pragma GCC unroll 8
    for (int c = 1; c < C; ++c) sum = sum + acc[c][v];
    store(out + row + v * kLanes, is_last ? sum : tanh_vec(sum));
  }
}

void policy(const RowLayer* layer, int nlayer, const float* in, float* const* out) {
  for (int i = 0; i < nlayer; ++i) {
    const bool is_last = i + 1 == nlayer;
    int row = 0;
    const int rows = layer[i].rows;
    for (; rows - row >= 8 * kLanes; row += 8 * kLanes) policy_rows<8, 1>(layer[i], row, in, is_last, out[i]);
    for (; rows - row >= 4 * kLanes; row += 4 * kLanes) policy_rows<4, 2>(layer[i], row, in, is_last, out[i]);
    for (; rows - row >= 2 * kLanes; row += 2 * kLanes) policy_rows<2, 4>(layer[i], row, in, is_last, out[i]);
    for (; rows > row; row += kLanes) policy_rows<1, 8>(layer[i], row, in, is_last, out[i]);
    in = out[i];
  }
}

}  // namespace

#endif  // MBMF_KERNEL_POLICY_H_
