// One input at a time through a network, on the vectors of the instruction set that includes this file: a
// policy's in a rollout, and the states along the best candidate's actions.
//
// A planner has a tile of inputs and shares each weight among its lanes; with one input the vectors run along
// the rows of a layer instead. Eight accumulators hide the latency of a policy's multiply-adds: where a layer
// has fewer vectors of rows than that, several columns are summed side by side. The states of a plan are
// summed column by column, to the same bits as in a tile.

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
    if constexpr (kActivate == Activate::kRelu) sum = relu(sum);
    if constexpr (kActivate == Activate::kTanh) sum = tanh_vec(sum);
    store(out + row + v * kLanes, sum);
  }
}

// a layer; `kInOrder`: a row's sum goes column by column
template <Activate kActivate, bool kInOrder>
void row_layer(const RowLayer& layer, const float* in, float* out) {
  constexpr int c4 = kInOrder ? 1 : 2, c2 = kInOrder ? 1 : 4, c1 = kInOrder ? 1 : 8;
  const int rows = layer.rows;
  int row = 0;
  for (; rows - row >= 8 * kLanes; row += 8 * kLanes) policy_rows<8, 1, kActivate>(layer, row, in, out);
  for (; rows - row >= 4 * kLanes; row += 4 * kLanes) policy_rows<4, c4, kActivate>(layer, row, in, out);
  for (; rows - row >= 2 * kLanes; row += 2 * kLanes) policy_rows<2, c2, kActivate>(layer, row, in, out);
  for (; rows > row; row += kLanes) policy_rows<1, c1, kActivate>(layer, row, in, out);
}

void policy(const RowLayer* layer, int nlayer, const float* in, float* const* out) {
  for (int i = 0; i + 1 < nlayer; ++i) {
    row_layer<Activate::kTanh, false>(layer[i], in, out[i]);
    in = out[i];
  }
  row_layer<Activate::kNone, false>(layer[nlayer - 1], in, out[nlayer - 1]);
}

// The states of a plan. Rolling the best candidate in a tile, most of whose lanes are idle, makes a plan on
// two threads take 5 % (half cheetah) or 4 % (hopper) longer.
void follow(const RowLayer* layer, int nlayer, int is_tanh, int nstate, int naction, const float* state,
            const float* actions, int horizon, float* states, float* input, float* const* out) {
  for (int i = 0; i < nstate; ++i) states[i] = state[i];
  for (int time = 0; time < horizon; ++time) {
    for (int i = 0; i < nstate; ++i) input[i] = states[i];
    for (int i = 0; i < naction; ++i) input[nstate + i] = actions[time * naction + i];
    const float* in = input;
    for (int i = 0; i + 1 < nlayer; ++i) {
      if (is_tanh) {
        row_layer<Activate::kTanh, true>(layer[i], in, out[i]);
      } else {
        row_layer<Activate::kRelu, true>(layer[i], in, out[i]);
      }
      in = out[i];
    }
    row_layer<Activate::kNone, true>(layer[nlayer - 1], in, out[nlayer - 1]);
    for (int i = 0; i < nstate; ++i) states[nstate + i] = states[i] + out[nlayer - 1][i];
    states += nstate;
  }
}

}  // namespace

#endif  // MBMF_KERNEL_POLICY_H_
