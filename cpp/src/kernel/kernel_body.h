// The kernels, written on the vectors of the instruction set that includes this file.
//
// A tile is two vectors of candidates wide; where at most one vector of candidates is left, the kernels run
// on the first vector alone (V = 1). A lane's arithmetic is the same whatever the tile, so a candidate's cost
// never depends on its neighbours.

#include "kernel/kernel.h"

namespace {

using mbmf::kernel::Bound;
using mbmf::kernel::group_count;
using mbmf::kernel::group_rows;
using mbmf::kernel::Net;
using mbmf::kernel::PackedLayer;
using mbmf::kernel::Rollout;
using mbmf::kernel::Table;
using mbmf::kernel::Term;

constexpr int kTile = 2 * kLanes;
constexpr int kGroup = 4 * kTile;  // candidates that roll forward together where some may die
constexpr int kHiddenGroups =
    8;  // row groups of the last hidden layer computed before they are used, to stay in L1
constexpr int kHiddenRows = kHiddenGroups * kRowBlock;

typedef Vec VecAlias __attribute__((may_alias));
typedef Word WordAlias __attribute__((may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const VecAlias*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<VecAlias*>(p) = v; }
inline Word load_words(const std::uint32_t* p) { return *reinterpret_cast<const WordAlias*>(p); }

// ---- activation
// ----------------------------------------------------------------------------------------------------

// tanh within 2e-7 of the exact value relative to it, over all of float32; odd, monotone to rounding, keeps
// NaN. Below 0.625 a polynomial in x^2; above, 1 - 2 / (exp(2x) + 1), which is 1 from 9.02 on.
inline Vec tanh_vec(Vec x) {
  const Vec zero{};
  const Vec size = x < zero ? -x : x;

  // the polynomial: minimax on [0, 0.625]
  const Vec z = x * x;
  Vec p = fma(broadcast(-0.006112582981586456f), z, broadcast(0.021009549498558044f));
  p = fma(p, z, broadcast(-0.05385391414165497f));
  p = fma(p, z, broadcast(0.1333279311656952f));
  p = fma(p, z, broadcast(-0.333333283662796f));
  const Vec small = fma(p * z, x, x);

  // exp(2x) = 2^n 2^f with |f| <= 1/2
  const Vec clamped = size > 9.02f ? broadcast(9.02f) : size;
  const Vec y = clamped * 2.885390081777927f;  // 2 / ln 2
  const Vec shifted = y + 12582912.0f;         // rounds to an integer in the low bits
  const Vec n = shifted - 12582912.0f;
  const Vec f = y - n;
  Vec e = fma(broadcast(0.0001546973071526736f), f, broadcast(0.0013390866806730628f));
  e = fma(e, f, broadcast(0.009618030861020088f));
  e = fma(e, f, broadcast(0.055503569543361664f));
  e = fma(e, f, broadcast(0.24022650718688965f));
  e = fma(e, f, broadcast(0.6931471824645996f));
  e = fma(e, f, broadcast(1.0f));
  const Mask exponent = __builtin_convertvector(n, Mask) << 23;
  const Vec power = (Vec)((Mask)e + exponent);
  const Vec large = 1.0f - 2.0f / (power + 1.0f);

  const Vec big = x < zero ? -large : large;
  return size < 0.625f ? small : (x != x ? x : big);
}

// ---- layers
// --------------------------------------------------------------------------------------------------------

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
template <int R, int V, bool kTanh>
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
    for (int v = 0; v < V; ++v) store(out + r * kTile + v * kLanes, kTanh ? acc[r][v] : relu(acc[r][v]));
  }
  if constexpr (kTanh) {
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) {
        float* p = out + r * kTile + v * kLanes;
        store(p, tanh_vec(load(p)));
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
template <int V, bool kTanh, int R = kRowBlock>
HiddenRows hidden_function(int rows) {
  if constexpr (R > 1) {
    if (rows < R) return hidden_function<V, kTanh, R - 1>(rows);
  }
  return hidden_rows<R, V, kTanh>;
}
template <int V, int R = kRowBlock>
LinearRows linear_function(int rows) {
  if constexpr (R > 1) {
    if (rows < R) return linear_function<V, R - 1>(rows);
  }
  return linear_rows<R, V>;
}

// Row groups [begin, end) of a hidden layer from column `skip` on: out holds the rows of these groups.
template <int V, bool kTanh>
void hidden_groups(const PackedLayer& layer, const float* start, int skip, const float* x, int begin, int end,
                   float* out) {
  const int groups = group_count(layer.rows, kRowBlock);
  int row = 0;
  for (int g = 0; g < begin; ++g) row += group_rows(layer.rows, groups, g);
  for (int g = begin; g < end; ++g) {
    const int rows = group_rows(layer.rows, groups, g);
    const float* w = layer.weight + static_cast<std::int64_t>(row) * layer.cols + skip * rows;
    hidden_function<V, kTanh>(rows)(w, start + row, layer.cols - skip, x, out);
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

// ---- network
// -------------------------------------------------------------------------------------------------------

struct Scratch {
  float* input;        // kGroup / kTile tiles of (nstate + naction) rows
  float* output;       // (noutput) rows
  float* block;        // kHiddenRows rows of the last hidden layer
  float* full[2];      // (widest) rows each, for nets of several hidden layers
  float* cost;         // (kGroup)
  std::uint32_t* id;   // (kGroup)
  std::int32_t* gone;  // (kGroup)
};

std::int64_t lay_out(const Net* net, int ninput, float* base, Scratch* s) {
  const int noutput = net == nullptr ? 0 : net->layer[net->nlayer - 1].rows;
  const std::int64_t full =
      net != nullptr && net->nlayer > 2 ? static_cast<std::int64_t>(net->widest) * kTile : 0;
  std::int64_t used = 0;
  auto take = [&](std::int64_t n) {
    float* p = base == nullptr ? nullptr : base + used;
    used += (n + 15) / 16 * 16;
    return p;
  };
  s->input = take(static_cast<std::int64_t>(kGroup) * ninput);
  s->output = take(static_cast<std::int64_t>(noutput) * kTile);
  s->block = take(static_cast<std::int64_t>(kHiddenRows) * kTile);
  s->full[0] = take(full);
  s->full[1] = take(full);
  s->cost = take(kGroup);
  s->id = reinterpret_cast<std::uint32_t*>(take(kGroup));
  s->gone = reinterpret_cast<std::int32_t*>(take(kGroup));
  return used;
}

// One tile through the net into s.output (rows of `last`). With `base`, the first layer's first `skip`
// columns are already in it.
template <int V, bool kTanh>
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
    hidden_groups<V, kTanh>(layer, start != nullptr ? start : layer.bias, skip, in, 0,
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
    hidden_groups<V, kTanh>(hidden, start != nullptr ? start : hidden.bias, skip, in, g, end, s.block);
    linear_columns<V>(last, row, row + rows, s.block, s.output);
    row += rows;
  }
}

// `lanes` candidates of a tile through the net
void evaluate(const Net& net, const PackedLayer& last, const float* x, int lanes, const float* base, int skip,
              const Scratch& s) {
  if (net.nlayer == 1) base = nullptr;
  if (base == nullptr) skip = 0;
  if (net.tanh) {
    if (lanes > kLanes) return evaluate_as<2, true>(net, last, x, base, skip, s);
    return evaluate_as<1, true>(net, last, x, base, skip, s);
  }
  if (lanes > kLanes) return evaluate_as<2, false>(net, last, x, base, skip, s);
  return evaluate_as<1, false>(net, last, x, base, skip, s);
}

// ---- random actions
// ------------------------------------------------------------------------------------------------

// one Philox4x32-10 block per lane, in place (random.cc says it in scalars)
inline void philox(const std::uint32_t* key, Word (&c)[4]) {
  std::uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    Word high0, low0, high1, low1;
    multiply_wide(0xD2511F53u, c[0], &high0, &low0);
    multiply_wide(0xCD9E8D57u, c[2], &high1, &low1);
    c[0] = high1 ^ c[1] ^ k0;
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ k1;
    c[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// the actions at `time` of the candidates in id (kTile), uniform in [-1, 1): rows of naction
void sample_tile(const std::uint32_t* key, const std::uint32_t* step, const std::uint32_t* id, int lanes,
                 int time, int naction, float* actions) {
  for (int v = 0; v * kLanes < lanes; ++v) {
    Word c[4];
    std::uint32_t current = ~0u;
    for (int i = 0; i < naction; ++i) {
      const std::uint32_t draw = static_cast<std::uint32_t>(time) * static_cast<std::uint32_t>(naction) +
                                 static_cast<std::uint32_t>(i);
      if (draw / 4 != current) {
        current = draw / 4;
        c[0] = Word{} + current;
        c[1] = load_words(id + v * kLanes);
        c[2] = Word{} + step[0];
        c[3] = Word{} + step[1];
        philox(key, c);
      }
      const Mask bits = (Mask)(c[draw % 4] >> 8);
      store(actions + i * kTile + v * kLanes, __builtin_convertvector(bits, Vec) * 0x1p-23f - 1.0f);
    }
  }
}

// ---- cost
// ----------------------------------------------------------------------------------------------------------

inline Mask outside(Vec x, float low, float high, int low_open, int high_open) {
  const Mask in = (low_open ? x > low : x >= low) & (high_open ? x < high : x <= high);
  return ~in;
}

// one vector of candidates: x points at its first row
Vec point_cost(const Rollout& work, const float* x) {
  Vec cost{};
  for (int i = 0; i < work.nterm; ++i) {
    const Term& term = work.term[i];
    if (term.kind == 0) {  // constant
      cost = cost + term.weight;
      continue;
    }
    Vec sum{};
    if (term.kind == 6) {  // action
      const float* a = x + work.nstate * kTile;
      for (int k = 0; k < work.naction; ++k) {
        const Vec u = load(a + k * kTile);
        sum = fma(u, u, sum);
      }
    } else if (term.kind == 5) {  // outside
      for (int k = 0; k < term.n; ++k) {
        const Vec s = load(x + term.index[k] * kTile);
        const Mask out = outside(s, term.low, term.high, term.low_open, term.high_open);
        sum = sum + (out ? broadcast(1.0f) : Vec{});
      }
    } else {
      for (int k = 0; k < term.n; ++k) {
        Vec d = load(x + term.index[k] * kTile);
        if (term.target_index != nullptr) {
          d = d - load(x + term.target_index[k] * kTile);
        } else if (term.target != nullptr) {
          d = d - term.target[k];
        }
        if (term.kind == 1) {
          sum = sum + d;
        } else if (term.kind == 3) {
          sum = sum + (d < 0.0f ? -d : d);
        } else {
          sum = fma(d, d, sum);
        }
      }
      if (term.kind == 4) sum = square_root(sum);
    }
    cost = fma(broadcast(term.weight), sum, cost);
  }
  return cost;
}

// adds the cost of a point to the tile's candidates and marks those that are dead or not finite
void add_point(const Rollout& work, const float* x, int lanes, float* cost, std::int32_t* gone) {
  for (int v = 0; v * kLanes < lanes; ++v) {
    const float* lane = x + v * kLanes;
    Vec point = point_cost(work, lane);
    if (work.nalive > 0) {
      Mask dead{}, broken{};
      for (int i = 0; i < work.nalive; ++i) {
        const Bound& bound = work.alive[i];
        const Vec s = load(lane + bound.index * kTile);
        dead |= outside(s, bound.low, bound.high, bound.low_open, bound.high_open);
        broken |= (s - s) != 0.0f;
      }
      point = dead ? Vec{} : point;
      point = broken ? broadcast(__builtin_nanf("")) : point;
      const Mask out = dead | broken;
      for (int i = 0; i < kLanes; ++i) gone[v * kLanes + i] = out[i];
    }
    store(cost + v * kLanes, load(cost + v * kLanes) + point);
  }
}

// ---- rollouts
// ------------------------------------------------------------------------------------------------------

// candidates first .. first + count - 1, count <= kGroup
void roll(const Rollout& work, std::uint32_t first, int count, const Scratch& s) {
  const Net& net = *work.net;
  const int ninput = work.nstate + work.naction;
  const std::int64_t stride = static_cast<std::int64_t>(ninput) * kTile;
  const PackedLayer& output = net.layer[net.nlayer - 1];
  float* const results = work.cost + (first - work.first);

  // all at the start state; lanes past the last candidate repeat it
  for (int lane = 0; lane < (count + kTile - 1) / kTile * kTile; ++lane) {
    s.id[lane] = first + static_cast<std::uint32_t>(lane < count ? lane : count - 1);
    s.cost[lane] = 0;
  }
  for (int tile = 0; tile * kTile < count; ++tile) {
    for (int i = 0; i < work.nstate; ++i) {
      for (int v = 0; v < 2; ++v)
        store(s.input + tile * stride + i * kTile + v * kLanes, broadcast(work.state[i]));
    }
  }

  int live = count;
  for (int time = 0; time <= work.horizon; ++time) {
    for (int tile = 0; tile * kTile < live; ++tile) {
      float* x = s.input + tile * stride;
      const int lanes = live - tile * kTile < kTile ? live - tile * kTile : kTile;
      if (time < work.horizon) {
        sample_tile(work.key, work.step, s.id + tile * kTile, lanes, time, work.naction,
                    x + work.nstate * kTile);
      }
      add_point(work, x, lanes, s.cost + tile * kTile, s.gone + tile * kTile);
    }
    if (time == work.horizon) break;

    // the dead leave: the last live candidate takes a dead one's lane
    if (work.nalive > 0) {
      for (int lane = 0; lane < live;) {
        if (!s.gone[lane]) {
          ++lane;
          continue;
        }
        results[s.id[lane] - first] = s.cost[lane];
        --live;
        s.id[lane] = s.id[live];
        s.cost[lane] = s.cost[live];
        s.gone[lane] = s.gone[live];
        float* to = s.input + lane / kTile * stride + lane % kTile;
        const float* from = s.input + live / kTile * stride + live % kTile;
        for (int i = 0; i < ninput; ++i) to[i * kTile] = from[i * kTile];
      }
    }

    // at t = 0 the state's part of the first layer is everyone's; the last point needs only what the cost
    // reads
    const bool is_last = time == work.horizon - 1;
    const PackedLayer& layer = is_last ? *net.last : output;
    for (int tile = 0; tile * kTile < live; ++tile) {
      float* x = s.input + tile * stride;
      const int lanes = live - tile * kTile < kTile ? live - tile * kTile : kTile;
      evaluate(net, layer, x, lanes, time == 0 ? work.first_base : nullptr, work.nstate, s);
      for (int row = 0; row < layer.rows; ++row) {
        float* state = x + (is_last ? net.last_row[row] : row) * kTile;
        for (int v = 0; v * kLanes < lanes; ++v) {
          store(state + v * kLanes, load(state + v * kLanes) + load(s.output + row * kTile + v * kLanes));
        }
      }
    }
  }
  for (int lane = 0; lane < live; ++lane) results[s.id[lane] - first] = s.cost[lane];
}

// ---- the table
// -----------------------------------------------------------------------------------------------------

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
    roll(*work, work->first, work->count, s);
    return;
  }
  // nobody leaves: tile by tile, whose state then stays in L1
  for (int done = 0; done < work->count; done += kTile) {
    const int count = work->count - done < kTile ? work->count - done : kTile;
    roll(*work, work->first + static_cast<std::uint32_t>(done), count, s);
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

void sample(const std::uint32_t* key, const std::uint32_t* step, std::uint32_t first, int n, int horizon,
            int naction, float* out) {
  alignas(64) std::uint32_t id[kTile];
  for (int lane = 0; lane < kTile; ++lane) id[lane] = first + static_cast<std::uint32_t>(lane);
  constexpr int kActions = 16;  // action dimensions drawn at a time
  alignas(64) float rows[kActions * kTile];
  const int draws = horizon * naction;
  // (time, action) is one running index, so a long one is drawn in pieces as if each draw were a time of its
  // own
  for (int begin = 0; begin < draws; begin += kActions) {
    const int count = draws - begin < kActions ? draws - begin : kActions;
    for (int i = 0; i < count; ++i) sample_tile(key, step, id, n, begin + i, 1, rows + i * kTile);
    for (int lane = 0; lane < n; ++lane) {
      for (int i = 0; i < count; ++i)
        out[static_cast<std::int64_t>(lane) * draws + begin + i] = rows[i * kTile + lane];
    }
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

}  // namespace

// in terms of the functions above
#include "kernel/policy_body.h"

namespace {

constexpr Table kTable = {MBMF_KERNEL_NAME, kTile,     kRowBlock, kGroup, scratch_size, layer_base, rollout,
                          open_loop,        forward,   sample,    policy, tanh_rows,    peak};

}  // namespace

namespace mbmf::kernel {
const Table* MBMF_KERNEL_TABLE() { return &kTable; }
}  // namespace mbmf::kernel
