// One input at a time through a policy's network, on the vectors of the instruction set that includes this
// file.
//
// A planner has a tile of inputs and shares each weight among its lanes; with one input the vectors run along
// the rows of a layer instead. Eight accumulators hide the latency of a policy's multiply-adds: where a layer
// has fewer vectors of rows than that, several columns are summed side by side.

#ifndef MBMF_KERNEL_POLICY_H_
#define MBMF_KERNEL_POLICY_H_

#include "kernel/kernel_few.h"

namespace {

// V vectors of rows from `row` on, C columns at a time
template <int V, int C, Activate kActivate>
void policy_rows(const RowLayer& layer, int row, const float* in, float* out) {
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
    store(out + row + v * kLanes, activate<kActivate>(sum));
  }
}

template <Activate kActivate>
void row_layer(const RowLayer& layer, const float* in, float* out) {
  const int rows = layer.rows;
  int row = 0;
  for (; rows - row >= 8 * kLanes; row += 8 * kLanes) policy_rows<8, 1, kActivate>(layer, row, in, out);
  for (; rows - row >= 4 * kLanes; row += 4 * kLanes) policy_rows<4, 2, kActivate>(layer, row, in, out);
  for (; rows - row >= 2 * kLanes; row += 2 * kLanes) policy_rows<2, 4, kActivate>(layer, row, in, out);
  for (; rows > row; row += kLanes) policy_rows<1, 8, kActivate>(layer, row, in, out);
}

void policy(const RowLayer* layer, int nlayer, const float* in, float* const* out) {
  for (int i = 0; i + 1 < nlayer; ++i) {
    row_layer<Activate::kTanh>(layer[i], in, out[i]);
    in = out[i];
  }
  row_layer<Activate::kNone>(layer[nlayer - 1], in, out[nlayer - 1]);
}

}  // namespace

#endif  // MBMF_KERNEL_POLICY_H_
