// A tile of inputs through a network: candidates in the lanes, accumulators in registers.
//
// Where at most one vector of candidates is left, the kernels run on the first vector alone (V = 1); a few
// that fill less than half a vector go through the network one layer's rows at a time (kernel_few.h). A
// lane's arithmetic is the same whatever the way, so a candidate's cost never depends on its neighbours.

#ifndef MBMF_KERNEL_NETWORK_H_
#define MBMF_KERNEL_NETWORK_H_

#include "kernel/kernel_few.h"

namespace {

using mbmf::kernel::group_count;
using mbmf::kernel::group_rows;
using mbmf::kernel::Model;
using mbmf::kernel::Net;
using mbmf::kernel::PackedLayer;

// Row groups of the last hidden layer computed before they are used: some 500 rows, in L2 with AVX-512.
// Fewer, to stay in L1, gain nothing and pay for loading and storing the outputs again: 96 rows take 1 to 3 %
// longer, 48 rows 3 %.
constexpr int kHiddenGroups = 504 / kRowBlock;
constexpr int kHiddenRows = kHiddenGroups * kRowBlock;
// Candidates that roll forward together where some may die. Half as many would share a plan more evenly
// between two threads, and take 11 to 16 % longer (hopper), as fewer of the living can close ranks.
constexpr int kGroup = 4 * kTile;

// acc[r] += sum_k w[k][r] x[k] for R rows and V vectors; the accumulators stay in registers
template <int R, int V>
inline __attribute__((always_inline)) void multiply(const float* w, int cols, const float* x,
                                                    Vec (&acc)[R][V]) {
  for (int k = 0; k < cols; ++k) {
    Vec in[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) in[v] = load(x + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec weight = broadcast(w[r]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[r][v] = fma(weight, in[v], acc[r][v]);
    }
    w += R;
    x += kTile;
  }
}

// R rows of a hidden layer: out[r] = activation(start[r] + w x)
template <int R, int V, Activate kActivate>
void hidden_rows(const float* w, const float* start, int cols, const float* x, float* out) {
  Vec acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[r][v] = broadcast(start[r]);
  }
  multiply<R, V>(w, cols, x, acc);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      if constexpr (kActivate == Activate::kRelu) acc[r][v] = relu(acc[r][v]);
      store(out + r * kTile + v * kLanes, acc[r][v]);
    }
  }
  if constexpr (kActivate != Activate::kRelu) {
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) {
        float* p = out + r * kTile + v * kLanes;
        store(p, activate<kActivate>(load(p)));
      }
    }
  }
}

// R rows of a layer without activation, added to what is in out
template <int R, int V>
void linear_rows(const float* w, int cols, const float* x, float* out) {
  Vec acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[r][v] = load(out + r * kTile + v * kLanes);
  }
  multiply<R, V>(w, cols, x, acc);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(out + r * kTile + v * kLanes, acc[r][v]);
  }
}

using HiddenRows = void (*)(const float*, const float*, int, const float*, float*);
using LinearRows = void (*)(const float*, int, const float*, float*);

// the function for `rows` rows, 1 to kRowBlock
template <int V, Activate kActivate, int R = kRowBlock>
HiddenRows hidden_function(int rows) {
  if constexpr (R > 1) {
    if (rows < R) return hidden_function<V, kActivate, R - 1>(rows);
  }
  return hidden_rows<R, V, kActivate>;
}
template <int V, int R = kRowBlock>
LinearRows linear_function(int rows) {
  if constexpr (R > 1) {
    if (rows < R) return linear_function<V, R - 1>(rows);
  }
  return linear_rows<R, V>;
}

// Row groups [begin, end) of a hidden layer from column `skip` on: out holds the rows of these groups.
template <int V, Activate kActivate>
void hidden_groups(const PackedLayer& layer, const float* start, int skip, const float* x, int begin, int end,
                   float* out) {
  const int groups = group_count(layer.rows, kRowBlock);
  int row = 0;
  for (int g = 0; g < begin; ++g) row += group_rows(layer.rows, groups, g);
  for (int g = begin; g < end; ++g) {
    const int rows = group_rows(layer.rows, groups, g);
    const float* w = layer.weight + static_cast<std::int64_t>(row) * layer.cols + skip * rows;
    hidden_function<V, kActivate>(rows)(w, start + row, layer.cols - skip, x, out);
    out += rows * kTile;
    row += rows;
  }
}

// Adds columns [begin, end) of a layer to out (all rows); x holds these columns' inputs.
template <int V>
void linear_columns(const PackedLayer& layer, int begin, int end, const float* x, float* out) {
  const int groups = group_count(layer.rows, kRowBlock);
  for (int g = 0, row = 0; g < groups; ++g) {
    const int rows = group_rows(layer.rows, groups, g);
    const float* w = layer.weight + static_cast<std::int64_t>(row) * layer.cols + begin * rows;
    linear_function<V>(rows)(w, end - begin, x, out + row * kTile);
    row += rows;
  }
}

struct Scratch {
  float* input;        // kGroup / kTile tiles of (nstate + naction) rows
  float* seen;         // what the networks see of a tile, where that is not its input: (nseen + naction) rows
  float* output;       // (noutput) rows
  float* sum;          // (nstate) rows: of several networks' outputs
  float* before;       // (naction) rows: the actions before a tile's present ones
  float* block;        // kHiddenRows rows of the last hidden layer
  float* full[2];      // (widest) rows each, for nets of several hidden layers
  float* few[2];       // (kFew, few_width) each
  float* cost;         // (kGroup)
  std::uint32_t* id;   // (kGroup)
  std::int32_t* gone;  // (kGroup)
  // on a path, each (kGroup): segment, whether it is another than at the start, position along it
  std::int32_t *segment, *moved;
  float* along;
  // of particles, each (kGroup): one's costs, their sum over a group, the groups' mean and squared deviations
  float *particle, *group_sum, *group_mean, *group_square;
  const Scratch* of_value;  // the network that values the last states has its own; null: there is none
};

std::int64_t lay_out(const Model& model, float* base, Scratch* s) {
  const Net& net = **model.net;
  const int noutput = net.layer[net.nlayer - 1].rows;
  const std::int64_t full = net.nlayer > 2 ? static_cast<std::int64_t>(net.widest) * kTile : 0;
  const std::int64_t seen = model.input == nullptr ? 0 : model.nseen + model.naction;
  std::int64_t used = 0;
  auto take = [&](std::int64_t n) {
    float* p = base == nullptr ? nullptr : base + used;
    used += (n + 15) / 16 * 16;
    return p;
  };
  s->input = take(static_cast<std::int64_t>(kGroup) * (model.nstate + model.naction));
  s->seen = take(seen * kTile);
  s->output = take(static_cast<std::int64_t>(noutput) * kTile);
  s->sum = take(static_cast<std::int64_t>(model.nstate) * kTile);
  s->before = take(static_cast<std::int64_t>(model.naction) * kTile);
  s->block = take(static_cast<std::int64_t>(kHiddenRows) * kTile);
  s->full[0] = take(full);
  s->full[1] = take(full);
  const std::int64_t few = net.row != nullptr ? std::int64_t{kFew} * few_width(net) : 0;
  s->few[0] = take(few);
  s->few[1] = take(few);
  s->cost = take(kGroup);
  s->id = reinterpret_cast<std::uint32_t*>(take(kGroup));
  s->gone = reinterpret_cast<std::int32_t*>(take(kGroup));
  s->segment = reinterpret_cast<std::int32_t*>(take(kGroup));
  s->moved = reinterpret_cast<std::int32_t*>(take(kGroup));
  s->along = take(kGroup);
  s->particle = take(kGroup);
  s->group_sum = take(kGroup);
  s->group_mean = take(kGroup);
  s->group_square = take(kGroup);
  s->of_value = nullptr;
  return used;
}

// One tile through the net into s.output (rows of `last`). With `base`, the first layer's first `skip`
// columns are already in it.
template <int V, Activate kActivate>
void evaluate_as(const Net& net, const PackedLayer& last, const float* x, const float* base, int skip,
                 const Scratch& s) {
  for (int row = 0; row < last.rows; ++row) {
    for (int v = 0; v < V; ++v) store(s.output + row * kTile + v * kLanes, broadcast(last.bias[row]));
  }
  if (net.nlayer == 1) {
    linear_columns<V>(last, 0, last.cols, x, s.output);
    return;
  }

  // hidden layers but the last, whole
  const float* in = x + skip * kTile;
  const float* start = base;
  for (int i = 0; i + 2 < net.nlayer; ++i) {
    float* out = s.full[i % 2];
    const PackedLayer& layer = net.layer[i];
    hidden_groups<V, kActivate>(layer, start != nullptr ? start : layer.bias, skip, in, 0,
                                group_count(layer.rows, kRowBlock), out);
    in = out;
    start = nullptr;
    skip = 0;
  }

  // the last hidden layer in blocks that stay in L1, each used at once
  const PackedLayer& hidden = net.layer[net.nlayer - 2];
  const int groups = group_count(hidden.rows, kRowBlock);
  for (int g = 0, row = 0; g < groups; g += kHiddenGroups) {
    const int end = g + kHiddenGroups < groups ? g + kHiddenGroups : groups;
    int rows = 0;
    for (int i = g; i < end; ++i) rows += group_rows(hidden.rows, groups, i);
    hidden_groups<V, kActivate>(hidden, start != nullptr ? start : hidden.bias, skip, in, g, end, s.block);
    linear_columns<V>(last, row, row + rows, s.block, s.output);
    row += rows;
  }
}

// what few_forward gives for lanes [first, first + n) of a tile, into the rows of s.output
void evaluate_few(const Net& net, const PackedLayer& last, const float* x, int first, int n,
                  const Scratch& s) {
  const int width = few_width(net), ninput = net.layer[0].cols;
  for (int done = 0; done < n; done += kFew) {
    const int lanes = n - done < kFew ? n - done : kFew;
    for (int lane = 0; lane < kFew; ++lane) {
      const float* from = x + first + done + (lane < lanes ? lane : 0);
      for (int i = 0; i < ninput; ++i) s.few[0][lane * width + i] = from[i * kTile];
    }
    const float* out = few_forward(net, lanes, width, s.few[0], s.few[1]);
    for (int row = 0; row < last.rows; ++row) {
      const int from = &last == net.last ? net.last_row[row] : row;
      for (int lane = 0; lane < lanes; ++lane) {
        s.output[row * kTile + first + done + lane] = out[lane * width + from];
      }
    }
  }
}

template <Activate kActivate>
void evaluate_vectors(const Net& net, const PackedLayer& last, const float* x, int vectors, const float* base,
                      int skip, const Scratch& s) {
  if (vectors == 2) return evaluate_as<2, kActivate>(net, last, x, base, skip, s);
  return evaluate_as<1, kActivate>(net, last, x, base, skip, s);
}

// `lanes` candidates of a tile through the net
void evaluate(const Net& net, const PackedLayer& last, const float* x, int lanes, const float* base, int skip,
              const Scratch& s) {
  if (net.nlayer == 1) base = nullptr;
  if (base == nullptr) skip = 0;
  int vectors = (lanes + kLanes - 1) / kLanes;
  const int rest = lanes - (vectors - 1) * kLanes;
  if (net.row != nullptr && 2 * rest <= kLanes) {
    --vectors;
    evaluate_few(net, last, x, vectors * kLanes, rest, s);
    if (vectors == 0) return;
  }
  switch (static_cast<Activate>(net.activation)) {
    case Activate::kTanh:
      return evaluate_vectors<Activate::kTanh>(net, last, x, vectors, base, skip, s);
    case Activate::kSilu:
      return evaluate_vectors<Activate::kSilu>(net, last, x, vectors, base, skip, s);
    default:
      return evaluate_vectors<Activate::kRelu>(net, last, x, vectors, base, skip, s);
  }
}

}  // namespace

#endif  // MBMF_KERNEL_NETWORK_H_
