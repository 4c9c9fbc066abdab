// Candidates from their actions to their costs: the points' costs, and the rollouts of tiles.

#ifndef MBMF_KERNEL_ROLLOUT_H_
#define MBMF_KERNEL_ROLLOUT_H_

#include "kernel/kernel_path.h"
#include "mbmf/task/term_kinds.h"

namespace {

using mbmf::kernel::Bound;
using mbmf::kernel::Rollout;
using mbmf::kernel::Term;

inline Mask outside(Vec x, float low, float high, int low_open, int high_open) {
  const Mask in = (low_open ? x > low : x >= low) & (high_open ? x < high : x <= high);
  return ~in;
}

// The arithmetic of a term on one vector of candidates, whose first row x points at.
struct TermOps {
  using Value = Vec;
  const Rollout& work;
  const Term& term;
  const float* x;
  const float* before;  // its first row of the actions before, or null

  Vec number(float value) const { return broadcast(value); }
  int n() const { return term.n; }
  Vec state(int i) const { return state_of(*work.model, x, term.index[i]); }
  Vec target(int i) const {
    if (term.target_index != nullptr) return state_of(*work.model, x, term.target_index[i]);
    return broadcast(term.target != nullptr ? term.target[i] : 0.0f);
  }
  Vec difference(int i) const {
    if (term.target_index != nullptr) return state(i) - state_of(*work.model, x, term.target_index[i]);
    return term.target != nullptr ? state(i) - term.target[i] : state(i);
  }
  Vec outside(int i) const {
    return ::outside(state(i), term.low, term.high, term.low_open, term.high_open) ? broadcast(1.0f) : Vec{};
  }
  Vec clipped(int i) const {
    const Vec value = state(i), low = broadcast(term.low), high = broadcast(term.high);
    return value < low ? low : (value > high ? high : value);
  }
  Vec excess(int i) const { return state(i) - clipped(i); }
  int naction() const { return work.model->naction; }
  Vec action(int i) const { return load(x + (work.model->nstate + i) * kTile); }
  Vec action_rate() const {
    Vec sum{};
    for (int i = 0; before != nullptr && i < naction(); ++i) {
      sum = add_square(action(i) - load(before + i * kTile), sum);
    }
    return sum;
  }
  Vec add_square(Vec value, Vec sum) const { return fma(value, value, sum); }
  Vec magnitude(Vec value) const { return value < 0.0f ? -value : value; }
  Vec square_root(Vec value) const { return ::square_root(value); }
  Vec arc(Vec sine, Vec cosine) const { return ::arc(sine, cosine); }
};

// one vector of candidates; before: the first row of the actions before, or null where there are none
Vec point_cost(const Rollout& work, const float* x, const float* before, bool is_last) {
  Vec cost{};
  for (int i = 0; i < work.nterm; ++i) {
    const Term& term = work.term[i];
    if (term.terminal && !is_last) continue;
    const TermOps ops{work, term, x, before};
    const Vec value = mbmf::term_value(term.kind, ops, broadcast(__builtin_nanf("")));
    cost = fma(broadcast(term.weight), value, cost);
  }
  return cost;
}

// adds the cost of the point at `time` to the tile's candidates, from `first` on, and marks those that are
// dead or not finite
void add_point(const Rollout& work, const float* x, int time, int first, int lanes, const Scratch& s) {
  float* const cost = s.cost + first;
  std::int32_t* const gone = s.gone + first;
  for (int v = 0; v * kLanes < lanes; ++v) {
    const float* lane = x + v * kLanes;
    Mask dead{}, broken{};
    for (int i = 0; i < work.nalive; ++i) {
      const Bound& bound = work.alive[i];
      const Vec value = state_of(*work.model, lane, bound.index);
      dead |= outside(value, bound.low, bound.high, bound.low_open, bound.high_open);
      broken |= (value - value) != 0.0f;
    }
    const float* before = work.reads_action_rate && time > 0 ? s.before + v * kLanes : nullptr;
    Vec point = point_cost(work, lane, before, time == work.horizon);
    if (work.path != nullptr)
      point = point + path_cost(*work.path, *work.model, lane, first + v * kLanes, dead, s);
    if (work.nalive > 0) {
      point = dead ? broadcast(work.dying) : point;
      point = broken ? broadcast(__builtin_nanf("")) : point;
      const Mask out = dead | broken;
      for (int i = 0; i < kLanes; ++i) gone[v * kLanes + i] = out[i];
    }
    store(cost + v * kLanes, load(cost + v * kLanes) + point);
  }
}

// the actions at `time` of the candidates in a tile's lanes; they are in order until the first one leaves
void set_actions(const Rollout& work, int time, int first, int lanes, bool in_order, const std::uint32_t* id,
                 float* actions) {
  const int naction = work.model->naction;
  for (int i = 0; i < naction; ++i) {
    const float* row = work.actions + (static_cast<std::int64_t>(time) * naction + i) * work.stride + first;
    if (in_order) {
      for (int v = 0; v * kLanes < lanes; ++v)
        store(actions + i * kTile + v * kLanes, load(row + v * kLanes));
    } else {
      for (int lane = 0; lane < lanes; ++lane) actions[i * kTile + lane] = row[id[lane]];
    }
  }
}

// takes what the last states are worth off the costs of the tile's candidates, from `first` on, that live
void add_value(const Rollout& work, const float* x, int first, int lanes, const Scratch& s) {
  alignas(64) float worth[kTile];
  evaluate_value(*work.value, x, lanes, worth, *s.of_value);
  for (int lane = 0; lane < lanes; ++lane) {
    if (work.nalive == 0 || s.gone[first + lane] == 0) s.cost[first + lane] -= worth[lane];
  }
}

// The costs of columns first .. first + count - 1 of the actions, count <= kGroup, as particle number
// `particle`: cost (count).
void roll(const Rollout& work, int first, int count, int particle, float* cost, const Scratch& s) {
  const Model& model = *work.model;
  const int nstate = model.nstate, ninput = nstate + model.naction;
  const std::int64_t stride = static_cast<std::int64_t>(ninput) * kTile;
  const auto finish = [&work, &s, first, cost](int lane) {
    cost[s.id[lane]] = s.cost[lane];
    if (work.moved == nullptr) return;
    work.moved[static_cast<std::uint32_t>(first) + s.id[lane]] += s.moved[lane] != 0;
  };

  // all at the start state
  for (int lane = 0; lane < (count + kTile - 1) / kTile * kTile; ++lane) {
    s.id[lane] = static_cast<std::uint32_t>(lane);
    s.cost[lane] = 0;
    s.moved[lane] = 0;
    if (work.path == nullptr) continue;
    s.segment[lane] = work.path->segment;
    s.along[lane] = 0;
  }
  for (int tile = 0; tile * kTile < count; ++tile) {
    for (int i = 0; i < nstate; ++i) {
      for (int v = 0; v < 2; ++v)
        store(s.input + tile * stride + i * kTile + v * kLanes, broadcast(work.state[i]));
    }
  }

  int live = count;
  bool in_order = true;
  for (int time = 0; time <= work.horizon; ++time) {
    for (int tile = 0; tile * kTile < live; ++tile) {
      float* x = s.input + tile * stride;
      const int lanes = live - tile * kTile < kTile ? live - tile * kTile : kTile;
      if (work.reads_action_rate && time > 0) {
        for (int i = 0; i < model.naction * kTile; i += kLanes)
          store(s.before + i, load(x + nstate * kTile + i));
      }
      if (time < work.horizon) {
        set_actions(work, time, in_order ? first + tile * kTile : first, lanes, in_order, s.id + tile * kTile,
                    x + nstate * kTile);
      }
      add_point(work, x, time, tile * kTile, lanes, s);
      if (time == work.horizon && work.value != nullptr) add_value(work, x, tile * kTile, lanes, s);
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
        in_order = false;
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
    const int member =
        work.particles == nullptr ? 0 : work.particles->member[time * work.particles->count + particle];
    const Net& net = *model.net[member];
    const bool is_last = time == work.horizon - 1;
    const PackedLayer& layer = is_last ? *net.last : net.layer[net.nlayer - 1];
    const std::uint32_t position = work.first + static_cast<std::uint32_t>(first);
    alignas(64) std::uint32_t positions[kTile];
    for (int tile = 0; tile * kTile < live; ++tile) {
      float* x = s.input + tile * stride;
      const int lanes = live - tile * kTile < kTile ? live - tile * kTile : kTile;
      const int vectors = (lanes + kLanes - 1) / kLanes;
      evaluate(net, layer, see(model, x, vectors, s), lanes, time == 0 ? work.first_base[member] : nullptr,
               seen_states(model), s);
      if (model.low != nullptr) {
        for (int lane = 0; lane < kTile; ++lane) positions[lane] = position + s.id[tile * kTile + lane];
      }
      advance(model, layer, is_last ? net.last_row : nullptr, work.particles, particle, time, positions, x,
              vectors, s);
      if (work.known != nullptr) know(*work.known, time + 1, x, vectors);
    }
  }
  for (int lane = 0; lane < live; ++lane) finish(lane);
}

// The same of all particles: the mean over the groups of their means, and the risk.
void roll_particles(const Rollout& work, int first, int count, const Scratch& s) {
  if (work.moved != nullptr) {
    for (int i = 0; i < count; ++i) work.moved[first + i] = 0;
  }
  if (work.particles == nullptr) return roll(work, first, count, 0, work.cost + first, s);
  const Particles& particles = *work.particles;
  const int groups = particles.groups;
  const float each = static_cast<float>(particles.count) / static_cast<float>(groups);
  for (int i = 0; i < count; i += kLanes) {
    store(s.group_mean + i, Vec{});
    store(s.group_square + i, Vec{});
  }
  for (int group = 0; group < groups; ++group) {
    for (int i = 0; i < count; i += kLanes) store(s.group_sum + i, Vec{});
    for (int particle = group; particle < particles.count; particle += groups) {
      roll(work, first, count, particle, s.particle, s);
      for (int i = 0; i < count; i += kLanes) {
        store(s.group_sum + i, load(s.group_sum + i) + load(s.particle + i));
      }
    }
    for (int i = 0; i < count; i += kLanes) {
      const Vec cost = load(s.group_sum + i) / each, mean = load(s.group_mean + i), gap = cost - mean;
      const Vec next = mean + gap / static_cast<float>(group + 1);
      store(s.group_mean + i, next);
      store(s.group_square + i, fma(gap, cost - next, load(s.group_square + i)));
    }
  }
  for (int i = 0; i < count; i += kLanes) {
    const Vec spread = square_root(load(s.group_square + i) / static_cast<float>(groups));
    store(s.group_sum + i, fma(broadcast(particles.risk), spread, load(s.group_mean + i)));
  }
  for (int i = 0; i < count; ++i) work.cost[first + i] = s.group_sum[i];
}

}  // namespace

#endif  // MBMF_KERNEL_ROLLOUT_H_
