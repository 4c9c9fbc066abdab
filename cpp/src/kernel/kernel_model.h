// One step of a tile of candidates through a model, on the vectors of the instruction set that includes this
// file: what the networks see of the states, what they predict, and the noise of it.

#ifndef MBMF_KERNEL_MODEL_H_
#define MBMF_KERNEL_MODEL_H_

#include "kernel/kernel_network.h"
#include "kernel/kernel_proposal.h"

namespace {

using mbmf::kernel::InputKind;
using mbmf::kernel::Particles;

// state i of a vector of candidates, whose first row x points at
inline Vec state_of(const Model& model, const float* x, int i) {
  const Vec value = load(x + i * kTile);
  return model.centre == nullptr ? value : value + model.centre[i];
}

// inputs that come from the state
inline int seen_states(const Model& model) { return model.input == nullptr ? model.nstate : model.nseen; }

// the rows that the networks take, of the rows of `vectors` vectors of candidates
const float* see(const Model& model, const float* x, int vectors, const Scratch& s) {
  if (model.input == nullptr) return x;
  for (int v = 0; v < vectors; ++v) {
    const float* from = x + v * kLanes;
    float* to = s.seen + v * kLanes;
    for (int row = 0; row < model.nseen; ++row) {
      const mbmf::kernel::Input& input = model.input[row];
      if (input.kind == InputKind::kNumber) {
        store(to + row * kTile, load(from + input.state * kTile));
        continue;
      }
      Vec sine, cosine;
      sine_cosine(state_of(model, from, input.state), &sine, &cosine);
      store(to + row * kTile, input.kind == InputKind::kSine ? sine : cosine);
      const bool both = input.kind == InputKind::kSine && row + 1 < model.nseen &&
                        model.input[row + 1].kind == InputKind::kCosine &&
                        model.input[row + 1].state == input.state;
      if (both) store(to + ++row * kTile, cosine);
    }
    for (int i = 0; i < model.naction; ++i) {
      store(to + (model.nseen + i) * kTile, load(from + (model.nstate + i) * kTile));
    }
  }
  return s.seen;
}

// the deviation of state i's prediction; NaN where its raw log variance is not finite
inline Vec deviation(const Model& model, int i, Vec raw) {
  const Vec inverse = fma(broadcast(model.scale[i]), exp_minus(raw), broadcast(model.high[i]));
  return square_root(model.low[i] + 1.0f / inverse) + (raw - raw);
}

// The next states of a tile, from what a network gave in s.output (`layer`, whose row r is state rows[r]'s,
// or r's). position (lanes, 64-byte aligned): of the candidates, for the noise of particle number `particle`.
void advance(const Model& model, const PackedLayer& layer, const int* rows, const Particles* particles,
             int particle, int time, const std::uint32_t* position, float* x, int vectors, const Scratch& s) {
  const bool noisy = model.low != nullptr;
  const int half = noisy ? layer.rows / 2 : layer.rows;
  const int groups = (model.nstate + 3) / 4;
  for (int v = 0; v < vectors; ++v) {
    Vec normal[4];
    int group = -1;
    for (int row = 0; row < half; ++row) {
      const int i = rows == nullptr ? row : rows[row];
      Vec predicted = load(s.output + row * kTile + v * kLanes);
      if (noisy) {
        if (i / 4 != group) {
          group = i / 4;
          Word c[4] = {Word{} + static_cast<std::uint32_t>(time * groups + group),
                       load_words(position + v * kLanes), Word{} + static_cast<std::uint32_t>(particle),
                       Word{}};
          philox(particles->key, c);
          normals(c[0], c[1], &normal[0], &normal[1]);
          normals(c[2], c[3], &normal[2], &normal[3]);
        }
        const Vec raw = load(s.output + (half + row) * kTile + v * kLanes);
        predicted = fma(deviation(model, i, raw), normal[i % 4], predicted);
      }
      float* state = x + i * kTile + v * kLanes;
      const bool is_value = model.is_value != nullptr && model.is_value[i] != 0;
      store(state, is_value ? predicted : load(state) + predicted);
    }
  }
}

// Start states and actions of n <= kTile rollouts into a tile's rows.
void set_states(const Model& model, const float* states, int n, float* x) {
  for (int i = 0; i < (model.nstate + model.naction) * kTile; ++i) x[i] = 0;
  for (int lane = 0; lane < n; ++lane) {
    for (int i = 0; i < model.nstate; ++i) {
      x[i * kTile + lane] = states[static_cast<std::int64_t>(lane) * model.nstate + i];
    }
  }
}

// one step by the networks' mean
void advance_by_mean(const Model& model, float* x, int n, const Scratch& s) {
  const int vectors = (n + kLanes - 1) / kLanes;
  const float* seen = see(model, x, vectors, s);
  for (int member = 0; member < model.nmember; ++member) {
    const Net& net = *model.net[member];
    const PackedLayer& output = net.layer[net.nlayer - 1];
    evaluate(net, output, seen, n, nullptr, 0, s);
    if (model.nmember == 1) break;
    for (int row = 0; row < model.nstate; ++row) {
      for (int v = 0; v < vectors; ++v) {
        const int at = row * kTile + v * kLanes;
        Vec sum = load(s.output + at);
        if (member > 0) sum = load(s.sum + at) + sum;
        const bool is_last = member == model.nmember - 1;
        store(is_last ? s.output + at : s.sum + at, is_last ? sum / static_cast<float>(model.nmember) : sum);
      }
    }
  }
  const Net& net = **model.net;
  advance(model, net.layer[net.nlayer - 1], nullptr, nullptr, 0, 0, nullptr, x, vectors, s);
}

void open_loop(const Model* model, const Particles* particles, int particle, std::uint32_t first,
               const float* states, const float* actions, int n, int horizon, float* out, std::int64_t stride,
               float* scratch) {
  Scratch s;
  lay_out(*model, scratch, &s);
  float* x = s.input;
  set_states(*model, states, n, x);
  const int nstate = model->nstate, naction = model->naction, vectors = (n + kLanes - 1) / kLanes;
  for (int lane = 0; lane < kTile; ++lane) s.id[lane] = first + static_cast<std::uint32_t>(lane);
  for (int time = 0; time <= horizon; ++time) {
    for (int lane = 0; lane < n; ++lane) {
      float* to = out + lane * stride + static_cast<std::int64_t>(time) * nstate;
      for (int i = 0; i < nstate; ++i) to[i] = x[i * kTile + lane];
    }
    if (time == horizon) break;
    for (int lane = 0; lane < n; ++lane) {
      const float* a = actions + (static_cast<std::int64_t>(lane) * horizon + time) * naction;
      for (int i = 0; i < naction; ++i) x[(nstate + i) * kTile + lane] = a[i];
    }
    if (particles == nullptr) {
      advance_by_mean(*model, x, n, s);
      continue;
    }
    const Net& net = *model->net[particles->member[time * particles->count + particle]];
    const PackedLayer& output = net.layer[net.nlayer - 1];
    evaluate(net, output, see(*model, x, vectors, s), n, nullptr, 0, s);
    advance(*model, output, nullptr, particles, particle, time, s.id, x, vectors, s);
  }
}

void predict(const Model* model, int member, const float* states, const float* actions, int n, float* next,
             float* deviations, float* scratch) {
  Scratch s;
  lay_out(*model, scratch, &s);
  float* x = s.input;
  set_states(*model, states, n, x);
  const int nstate = model->nstate, naction = model->naction, vectors = (n + kLanes - 1) / kLanes;
  for (int lane = 0; lane < n; ++lane) {
    for (int i = 0; i < naction; ++i) x[(nstate + i) * kTile + lane] = actions[lane * naction + i];
  }
  const Net& net = *model->net[member];
  evaluate(net, net.layer[net.nlayer - 1], see(*model, x, vectors, s), n, nullptr, 0, s);
  for (int i = 0; i < nstate; ++i) {
    const bool is_value = model->is_value != nullptr && model->is_value[i] != 0;
    alignas(64) float spread[kTile] = {};
    for (int v = 0; v < vectors && model->low != nullptr; ++v) {
      store(spread + v * kLanes, deviation(*model, i, load(s.output + (nstate + i) * kTile + v * kLanes)));
    }
    for (int lane = 0; lane < n; ++lane) {
      const float predicted = s.output[i * kTile + lane];
      next[lane * nstate + i] = is_value ? predicted : x[i * kTile + lane] + predicted;
      deviations[lane * nstate + i] = spread[lane];
    }
  }
}

}  // namespace

#endif  // MBMF_KERNEL_MODEL_H_
