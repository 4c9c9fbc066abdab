// The table of kernels, written on the vectors of the instruction set that includes this file.

#ifndef MBMF_KERNEL_BODY_H_
#define MBMF_KERNEL_BODY_H_

#include "kernel/kernel_policy.h"
#include "kernel/kernel_proposal.h"
#include "kernel/kernel_rollout.h"

namespace {

using mbmf::kernel::Table;

std::int64_t scratch_size(const Net* net, int nstate, int naction) {
  Scratch s;
  return lay_out(net, nstate + naction, nullptr, &s);
}

void layer_base(const PackedLayer* layer, const float* x, int cols, float* out) {
  const int groups = group_count(layer->rows, kRowBlock);
  for (int g = 0, row = 0; g < groups; ++g) {
    const int rows = group_rows(layer->rows, groups, g);
    const float* w = layer->weight + static_cast<std::int64_t>(row) * layer->cols;
    for (int r = 0; r < rows; ++r) out[row + r] = layer->bias[row + r];
    for (int k = 0; k < cols; ++k) {
      for (int r = 0; r < rows; ++r) out[row + r] = fma(w[k * rows + r], x[k], out[row + r]);
    }
    row += rows;
  }
}

void rollout(const Rollout* work, float* scratch) {
  Scratch s;
  lay_out(work->net, work->nstate + work->naction, scratch, &s);
  if (work->nalive > 0) {
    roll(*work, 0, work->count, s);
    return;
  }
  // nobody leaves: tile by tile, whose state then stays in L1
  for (int done = 0; done < work->count; done += kTile) {
    const int count = work->count - done < kTile ? work->count - done : kTile;
    roll(*work, done, count, s);
  }
}

void open_loop(const Net* net, int nstate, int naction, const float* states, const float* actions, int n,
               int horizon, float* out, float* scratch) {
  Scratch s;
  lay_out(net, nstate + naction, scratch, &s);
  const std::int64_t row = static_cast<std::int64_t>(horizon + 1) * nstate;
  const PackedLayer& output = net->layer[net->nlayer - 1];
  float* x = s.input;
  for (int i = 0; i < (nstate + naction) * kTile; ++i) x[i] = 0;
  for (int lane = 0; lane < n; ++lane) {
    for (int i = 0; i < nstate; ++i) {
      x[i * kTile + lane] = states[static_cast<std::int64_t>(lane) * nstate + i];
      out[lane * row + i] = x[i * kTile + lane];
    }
  }
  for (int time = 0; time < horizon; ++time) {
    for (int lane = 0; lane < n; ++lane) {
      const float* a = actions + (static_cast<std::int64_t>(lane) * horizon + time) * naction;
      for (int i = 0; i < naction; ++i) x[(nstate + i) * kTile + lane] = a[i];
    }
    evaluate(*net, output, x, n, nullptr, 0, s);
    for (int lane = 0; lane < n; ++lane) {
      for (int i = 0; i < nstate; ++i) {
        x[i * kTile + lane] += s.output[i * kTile + lane];
        out[lane * row + static_cast<std::int64_t>(time + 1) * nstate + i] = x[i * kTile + lane];
      }
    }
  }
}

void forward(const Net* net, const float* in, int n, float* out, float* scratch) {
  Scratch s;
  const int ninput = net->layer[0].cols, noutput = net->layer[net->nlayer - 1].rows;
  lay_out(net, ninput, scratch, &s);
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

constexpr Table kTable = {MBMF_KERNEL_NAME, kTile,   kRowBlock, kGroup, scratch_size, layer_base, rollout,
                          open_loop,        forward, propose,   policy, follow,       tanh_rows,  peak};

}  // namespace

namespace mbmf::kernel {
const Table* MBMF_KERNEL_TABLE() { return &kTable; }
}  // namespace mbmf::kernel

#endif  // MBMF_KERNEL_BODY_H_
