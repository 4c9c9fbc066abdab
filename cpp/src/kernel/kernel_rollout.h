// Candidates from their random actions to their costs: Philox, the points' costs, and the rollouts of tiles.

#ifndef MBMF_KERNEL_ROLLOUT_H_
#define MBMF_KERNEL_ROLLOUT_H_

#include "kernel/kernel_path.h"

namespace {

using mbmf::kernel::Bound;
using mbmf::kernel::Rollout;
using mbmf::kernel::Term;

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

// candidate 0's given actions at `time`, where a lane of the tile has it
void set_warm(const Rollout& work, const std::uint32_t* id, int lanes, int time, float* actions) {
  for (int lane = 0; lane < lanes; ++lane) {
    if (id[lane] != 0) continue;
    for (int i = 0; i < work.naction; ++i) {
      actions[i * kTile + lane] = work.warm[static_cast<std::int64_t>(time) * work.naction + i];
    }
  }
}

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

// adds the cost of a point to the tile's candidates, from `first` on, and marks those that are dead or not
// finite
void add_point(const Rollout& work, const float* x, int first, int lanes, const Scratch& s) {
  float* const cost = s.cost + first;
  std::int32_t* const gone = s.gone + first;
  for (int v = 0; v * kLanes < lanes; ++v) {
    const float* lane = x + v * kLanes;
    Mask dead{}, broken{};
    for (int i = 0; i < work.nalive; ++i) {
      const Bound& bound = work.alive[i];
      const Vec value = load(lane + bound.index * kTile);
      dead |= outside(value, bound.low, bound.high, bound.low_open, bound.high_open);
      broken |= (value - value) != 0.0f;
    }
    Vec point = point_cost(work, lane);
    if (work.path != nullptr) point = point + path_cost(*work.path, lane, first + v * kLanes, dead, s);
    if (work.nalive > 0) {
      point = dead ? Vec{} : point;
      point = broken ? broadcast(__builtin_nanf("")) : point;
      const Mask out = dead | broken;
      for (int i = 0; i < kLanes; ++i) gone[v * kLanes + i] = out[i];
    }
    store(cost + v * kLanes, load(cost + v * kLanes) + point);
  }
}

// candidates first .. first + count - 1, count <= kGroup
void roll(const Rollout& work, std::uint32_t first, int count, const Scratch& s) {
  const Net& net = *work.net;
  const int ninput = work.nstate + work.naction;
  const std::int64_t stride = static_cast<std::int64_t>(ninput) * kTile;
  const PackedLayer& output = net.layer[net.nlayer - 1];
  const auto finish = [&work, &s](int lane) {
    const std::uint32_t i = s.id[lane] - work.first;
    work.cost[i] = s.cost[lane];
    if (work.moved != nullptr) work.moved[i] = s.moved[lane];
  };

  // all at the start state; lanes past the last candidate repeat it
  for (int lane = 0; lane < (count + kTile - 1) / kTile * kTile; ++lane) {
    s.id[lane] = first + static_cast<std::uint32_t>(lane < count ? lane : count - 1);
    s.cost[lane] = 0;
    s.moved[lane] = 0;
    if (work.path == nullptr) continue;
    s.segment[lane] = work.path->segment;
    s.along[lane] = 0;
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
        if (work.warm != nullptr && first == 0) {
          set_warm(work, s.id + tile * kTile, lanes, time, x + work.nstate * kTile);
        }
      }
      add_point(work, x, tile * kTile, lanes, s);
    }
    if (time == work.horizon) break;

    // the dead leave: the last live candidate takes a dead one's lane. A hopper's plan with a trained model,
    // of whose points a fifth are alive, takes 0.27 of the time of one in which nobody dies.
    if (work.nalive > 0) {
      for (int lane = 0; lane < live;) {
        if (!s.gone[lane]) {
          ++lane;
          continue;
        }
        finish(lane);
        --live;
        s.id[lane] = s.id[live];
        s.cost[lane] = s.cost[live];
        s.gone[lane] = s.gone[live];
        s.segment[lane] = s.segment[live];
        s.moved[lane] = s.moved[live];
        s.along[lane] = s.along[live];
        float* to = s.input + lane / kTile * stride + lane % kTile;
        const float* from = s.input + live / kTile * stride + live % kTile;
        for (int i = 0; i < ninput; ++i) to[i * kTile] = from[i * kTile];
      }
    }

    // at t = 0 the state's part of the first layer is everyone's: without this a plan takes 5 % longer (ant),
    // 6 % (hopper), 2 % (swimmer), 1 % (half cheetah). The last point needs only what the cost reads: without
    // this 7 % (ant), 6 % (half cheetah), less than the noise of 3 % (swimmer, hopper).
    // Not worth it: leaving out hidden units that no lane activates. With trained models these are 2 % (half
    // cheetah) to 10 % (ant) of a plan's units, less than what finding them costs.
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
  for (int lane = 0; lane < live; ++lane) finish(lane);
}

}  // namespace

#endif  // MBMF_KERNEL_ROLLOUT_H_
