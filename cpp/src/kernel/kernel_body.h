// The table of kernels, written on the vectors of the instruction set that includes this file.

#ifndef MBMF_KERNEL_BODY_H_
#define MBMF_KERNEL_BODY_H_

#include "kernel/kernel_policy.h"
#include "kernel/kernel_product.h"
#include "kernel/kernel_rollout.h"

namespace {

using mbmf::kernel::Table;

std::int64_t scratch_size(const Model* model) {
  Scratch s;
  return lay_out(*model, nullptr, &s);
}

void first_base(const Model* model, int member, const float* state, float* out, float* scratch) {
  Scratch s;
  lay_out(*model, scratch, &s);
  set_states(*model, state, 1, s.input);
  const float* x = see(*model, s.input, 1, s);
  const PackedLayer& layer = *model->net[member]->layer;
  const int groups = group_count(layer.rows, kRowBlock);
  for (int g = 0, row = 0; g < groups; ++g) {
    const int rows = group_rows(layer.rows, groups, g);
    const float* w = layer.weight + static_cast<std::int64_t>(row) * layer.cols;
    for (int r = 0; r < rows; ++r) out[row + r] = layer.bias[row + r];
    for (int k = 0; k < seen_states(*model); ++k) {
      for (int r = 0; r < rows; ++r) out[row + r] = fma(w[k * rows + r], x[k * kTile], out[row + r]);
    }
    row += rows;
  }
}

void rollout(const Rollout* work, float* scratch) {
  Scratch s, of_value;
  const std::int64_t used = lay_out(*work->model, scratch, &s);
  if (work->value != nullptr) {
    lay_out(*work->value->model, scratch + used, &of_value);
    s.of_value = &of_value;
  }
  if (work->nalive > 0) {
    roll_particles(*work, 0, work->count, s);
    return;
  }
  // nobody leaves: tile by tile, whose state then stays in L1
  for (int done = 0; done < work->count; done += kTile) {
    const int count = work->count - done < kTile ? work->count - done : kTile;
    roll_particles(*work, done, count, s);
  }
}

void value(const mbmf::kernel::Value* of, const float* states, int n, float* out, float* scratch) {
  Scratch s;
  lay_out(*of->model, scratch, &s);
  set_states(*of->model, states, n, s.input);
  alignas(64) float worth[kTile];
  evaluate_value(*of, s.input, n, worth, s);
  for (int lane = 0; lane < n; ++lane) out[lane] = worth[lane];
}

void forward(const Net* net, const float* in, int n, float* out, float* scratch) {
  Scratch s;
  const int ninput = net->layer[0].cols, noutput = net->layer[net->nlayer - 1].rows;
  Model model{};
  model.nstate = ninput;
  model.nmember = 1;
  model.net = &net;
  lay_out(model, scratch, &s);
  for (int i = 0; i < ninput; ++i) {
    for (int lane = 0; lane < kTile; ++lane) s.input[i * kTile + lane] = lane < n ? in[lane * ninput + i] : 0;
  }
  evaluate(*net, net->layer[net->nlayer - 1], s.input, n, nullptr, 0, s);
  for (int lane = 0; lane < n; ++lane) {
    for (int i = 0; i < noutput; ++i) out[lane * noutput + i] = s.output[i * kTile + lane];
  }
}

void tanh_rows(float* x, int n) {
  for (int i = 0; i < n; i += kLanes) store(x + i, tanh_vec(load(x + i)));
}

void silu_rows(float* x, int n) {
  for (int i = 0; i < n; i += kLanes) store(x + i, silu_vec(load(x + i)));
}

void sine_cosine_rows(const float* x, int n, float* sine, float* cosine) {
  for (int i = 0; i < n; i += kLanes) {
    Vec s, c;
    sine_cosine(load(x + i), &s, &c);
    store(sine + i, s);
    store(cosine + i, c);
  }
}

// twelve independent chains hide the latency of any machine's multiply-add
double peak(std::int64_t iterations) {
  Vec acc[12];
  for (int i = 0; i < 12; ++i) acc[i] = broadcast(1.0f + static_cast<float>(i));
  Vec a = broadcast(0.999999f), b = broadcast(1e-6f);
  for (std::int64_t n = 0; n < iterations; ++n) {
    asm volatile("" : "+r"(n));  // keeps the loop
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = fma(acc[i], a, b);
  }
  Vec sum{};
  for (int i = 0; i < 12; ++i) sum = sum + acc[i];
  volatile float sink = sum[0];
  static_cast<void>(sink);
  return 12.0 * kLanes * static_cast<double>(iterations);
}

constexpr Table kTable = {MBMF_KERNEL_NAME,
                          kTile,
                          kRowBlock,
                          kGroup,
                          scratch_size,
                          first_base,
                          rollout,
                          open_loop,
                          follow,
                          predict,
                          value,
                          forward,
                          propose,
                          policy,
                          product,
                          tanh_rows,
                          silu_rows,
                          sine_cosine_rows,
                          peak};

}  // namespace

namespace mbmf::kernel {
const Table* MBMF_KERNEL_TABLE() { return &kTable; }
}  // namespace mbmf::kernel

#endif  // MBMF_KERNEL_BODY_H_
