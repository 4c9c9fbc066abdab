// One step of a tile of candidates through a model, on the vectors of the instruction set that includes this
// file: what the networks see of the states, what they predict, and the noise of it.

#ifndef MBMF_KERNEL_MODEL_H_
#define MBMF_KERNEL_MODEL_H_

#include <cmath>
#include <limits>

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

// The quaternion that begins at a state.
inline void quaternion_of(const Model& model, const float* from, int state, Vec* q) {
  for (int i = 0; i < 4; ++i) q[i] = state_of(model, from, state + i);
}

// One number, row-major, of the rotation matrix of a quaternion (w first) of any length.
inline Vec matrix_entry(const Vec* q, int entry) {
  const Vec twice = 2.0f / (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  const int row = entry / 3, column = entry % 3;
  if (row == column) {
    const Vec a = q[1 + (row + 1) % 3], b = q[1 + (row + 2) % 3];
    return 1.0f - twice * (a * a + b * b);
  }
  const Vec turned = q[0] * q[4 - row - column];
  const Vec both = q[1 + row] * q[1 + column];
  return twice * ((row - column + 3) % 3 == 1 ? both + turned : both - turned);
}

// The first two columns of the rotation matrix of a quaternion (w first) of any length, six numbers, to rows
// of a tile.
inline void rotation_rows(const Model& model, const float* from, int state, float* to) {
  Vec q[4];
  quaternion_of(model, from, state, q);
  for (int k = 0; k < 6; ++k) store(to + k * kTile, matrix_entry(q, k % 3 * 3 + k / 3));
}

// The vector that begins at a state, in the frame of the quaternion that begins at another: three rows of a
// tile.
inline void body_rows(const Model& model, const float* from, int state, int frame, float* to) {
  Vec q[4], vector[3];
  quaternion_of(model, from, frame, q);
  for (int i = 0; i < 3; ++i) vector[i] = state_of(model, from, state + i);
  for (int i = 0; i < 3; ++i) {
    const Vec sum = fma(matrix_entry(q, 3 + i), vector[1], matrix_entry(q, 6 + i) * vector[2]);
    store(to + i * kTile, fma(matrix_entry(q, i), vector[0], sum));
  }
}

// The same back: a vector in the frame of a quaternion, in the world.
inline void to_world(const Vec* q, const Vec* vector, Vec* out) {
  for (int i = 0; i < 3; ++i) {
    const Vec sum = fma(matrix_entry(q, 3 * i + 1), vector[1], matrix_entry(q, 3 * i + 2) * vector[2]);
    out[i] = fma(matrix_entry(q, 3 * i), vector[0], sum);
  }
}

// The quaternion q turned by a rotation vector in its own frame, of length 1.
inline void turn(const Vec* q, const Vec* vector, Vec* out) {
  const Vec square = fma(vector[0], vector[0], fma(vector[1], vector[1], vector[2] * vector[2]));
  const Vec angle = square_root(square);
  Vec sine, cosine;
  sine_cosine(angle * 0.5f, &sine, &cosine);
  // sin(angle / 2) / angle, also of small angles
  const Vec share = square > 1e-6f ? sine / angle : 0.5f - square * (1.0f / 48.0f);
  const Vec x = share * vector[0], y = share * vector[1], z = share * vector[2];
  out[0] = q[0] * cosine - q[1] * x - q[2] * y - q[3] * z;
  out[1] = q[0] * x + q[1] * cosine + q[2] * z - q[3] * y;
  out[2] = q[0] * y - q[1] * z + q[2] * cosine + q[3] * x;
  out[3] = q[0] * z + q[1] * y - q[2] * x + q[3] * cosine;
  const Vec length = square_root(out[0] * out[0] + out[1] * out[1] + out[2] * out[2] + out[3] * out[3]);
  for (int i = 0; i < 4; ++i) out[i] = out[i] / length;
}

// The same of the rows of a vector of candidates: the quaternion from state `state` on, less the centres.
inline void turn_rows(const Model& model, int state, const Vec* vector, const float* x, float* out) {
  Vec q[4], turned[4];
  quaternion_of(model, x, state, q);
  turn(q, vector, turned);
  for (int i = 0; i < 4; ++i) {
    const float centre = model.centre == nullptr ? 0.0f : model.centre[state + i];
    store(out + (state + i) * kTile, turned[i] - centre);
  }
}

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
      if (input.kind == InputKind::kRotation) {
        rotation_rows(model, from, input.state, to + row * kTile);
        row += mbmf::kernel::kRotationRows - 1;
        continue;
      }
      if (input.kind == InputKind::kMatrix) {
        Vec q[4];
        quaternion_of(model, from, input.state, q);
        store(to + row * kTile, matrix_entry(q, input.entry));
        continue;
      }
      if (input.kind == InputKind::kBody) {
        body_rows(model, from, input.state, input.entry, to + row * kTile);
        row += 2;
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
    Vec normal[4], vector[3], frame[4];
    int group = -1;
    // as it is before the step: its own rows change below
    if (model.frame >= 0) quaternion_of(model, x + v * kLanes, model.frame, frame);
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
      const int kind = model.output == nullptr ? mbmf::kernel::kDifference : model.output[i];
      if (kind >= mbmf::kernel::kBodyDifference) {
        // the three of a vector are predicted together
        const int number = (kind - mbmf::kernel::kBodyDifference) % 3;
        vector[number] = predicted;
        if (number < 2) continue;
        Vec moved[3];
        to_world(frame, vector, moved);
        for (int k = 0; k < 3; ++k) {
          float* each = x + (i - 2 + k) * kTile + v * kLanes;
          const float centre = model.centre == nullptr ? 0.0f : model.centre[i - 2 + k];
          store(each, kind >= mbmf::kernel::kBodyValue ? moved[k] - centre : load(each) + moved[k]);
        }
        continue;
      }
      if (kind >= mbmf::kernel::kTurn) {
        // the four of a quaternion are predicted together
        const int number = kind - mbmf::kernel::kTurn;
        if (number > 0) vector[number - 1] = predicted;
        if (number == 3) turn_rows(model, i - 3, vector, x + v * kLanes, x + v * kLanes);
        continue;
      }
      store(state, kind == mbmf::kernel::kValue ? predicted : load(state) + predicted);
    }
  }
}

// What is known of the states at `time`, to all candidates of a tile.
inline void know(const mbmf::kernel::Known& known, int time, float* x, int vectors) {
  const float* value = known.value + static_cast<std::int64_t>(time) * known.n;
  for (int k = 0; k < known.n; ++k) {
    for (int v = 0; v < vectors; ++v) store(x + known.state[k] * kTile + v * kLanes, broadcast(value[k]));
  }
}

// What the states of a tile's first `lanes` lanes are worth: out (kTile).
void evaluate_value(const mbmf::kernel::Value& value, const float* x, int lanes, float* out,
                    const Scratch& s) {
  const Model& model = *value.model;
  const Net& net = **model.net;
  const int vectors = (lanes + kLanes - 1) / kLanes;
  evaluate(net, net.layer[net.nlayer - 1], see(model, x, vectors, s), lanes, nullptr, 0, s);
  for (int v = 0; v < vectors; ++v) {
    const Vec low = broadcast(value.low), high = broadcast(value.high), raw = load(s.output + v * kLanes);
    // not a number compares false, and what overflows is worth nothing
    const Vec finite = raw < broadcast(std::numeric_limits<float>::infinity()) ? raw : low;
    store(out + v * kLanes, finite > low ? (finite < high ? finite : high) : low);
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
               const mbmf::kernel::Known* known, const float* states, const float* actions, int n,
               int horizon, float* out, std::int64_t stride, float* scratch) {
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
    } else {
      const Net& net = *model->net[particles->member[time * particles->count + particle]];
      const PackedLayer& output = net.layer[net.nlayer - 1];
      evaluate(net, output, see(*model, x, vectors, s), n, nullptr, 0, s);
      advance(*model, output, nullptr, particles, particle, time, s.id, x, vectors, s);
    }
    for (int k = 0; known != nullptr && k < known->n; ++k) {
      const float* value = known->value + static_cast<std::int64_t>(time + 1) * known->n + k;
      for (int lane = 0; lane < n; ++lane) x[known->state[k] * kTile + lane] = value[lane * known->stride];
    }
  }
}

void follow(const mbmf::kernel::Follow* work, float* scratch) {
  Scratch s, of_policy;
  const Model &model = *work->model, &policy = *work->actor->model;
  lay_out(policy, scratch + lay_out(model, scratch, &s), &of_policy);
  const Net& net = **policy.net;
  const int nstate = model.nstate, naction = model.naction, n = work->count;
  const int vectors = (n + kLanes - 1) / kLanes;
  float* x = s.input;
  for (int i = 0; i < nstate * kTile; ++i) x[i] = work->state[i / kTile];
  for (int i = nstate * kTile; i < (nstate + naction) * kTile; ++i) x[i] = 0;
  const Vec one = broadcast(1.0f);
  for (int time = 0; time < work->horizon; ++time) {
    evaluate(net, net.layer[net.nlayer - 1], see(policy, x, vectors, of_policy), n, nullptr, 0, of_policy);
    for (int a = 0; a < naction; ++a) {
      float* row = work->actions + static_cast<std::int64_t>(time * naction + a) * kTile;
      const Vec deviation = broadcast(work->actor->deviation[a]);
      for (int v = 0; v < vectors; ++v) {
        Vec action = fma(deviation, load(row + v * kLanes), load(of_policy.output + a * kTile + v * kLanes));
        action = action > one ? one : action;  // what is not a number compares false, and stays
        action = action < -one ? -one : action;
        store(row + v * kLanes, action);
        store(x + (nstate + a) * kTile + v * kLanes, action);
      }
    }
    if (time + 1 == work->horizon) break;
    advance_by_mean(model, x, n, s);
    if (work->known != nullptr) know(*work->known, time + 1, x, vectors);
  }
}

// Deviations (n, nstate) of a vector's three states, from those in the body's frame, as if these were
// independent.
void spread_to_world(const Model& model, int first, const float* x, int n, float* deviations) {
  alignas(64) float share[9][kTile];
  for (int v = 0; v < (n + kLanes - 1) / kLanes; ++v) {
    Vec q[4];
    quaternion_of(model, x + v * kLanes, model.frame, q);
    for (int entry = 0; entry < 9; ++entry) store(share[entry] + v * kLanes, matrix_entry(q, entry));
  }
  for (int lane = 0; lane < n; ++lane) {
    float* each = deviations + lane * model.nstate + first;
    float out[3];
    for (int row = 0; row < 3; ++row) {
      float sum = 0;
      for (int k = 0; k < 3; ++k)
        sum += share[3 * row + k][lane] * share[3 * row + k][lane] * each[k] * each[k];
      out[row] = std::sqrt(sum);
    }
    for (int row = 0; row < 3; ++row) each[row] = out[row];
  }
}

// Deviations (n, nstate) of a quaternion's four states, from those of the rotation vector that turns it, in
// the last three, as if these were independent: d q = q (0, v) / 2, to first order.
void spread_of_turn(const Model& model, int first, const float* x, int n, float* deviations) {
  for (int lane = 0; lane < n; ++lane) {
    float* each = deviations + lane * model.nstate + first;
    float q[4], square[3];
    for (int i = 0; i < 4; ++i) {
      const float centre = model.centre == nullptr ? 0.0f : model.centre[first + i];
      q[i] = x[(first + i) * kTile + lane] + centre;
    }
    for (int k = 0; k < 3; ++k) square[k] = each[1 + k] * each[1 + k] / 4;
    const int other[4][3] = {{1, 2, 3}, {0, 3, 2}, {3, 0, 1}, {2, 1, 0}};
    for (int i = 0; i < 4; ++i) {
      float sum = 0;
      for (int k = 0; k < 3; ++k) sum += q[other[i][k]] * q[other[i][k]] * square[k];
      each[i] = std::sqrt(sum);
    }
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
    alignas(64) float spread[kTile] = {};
    for (int v = 0; v < vectors && model->low != nullptr; ++v) {
      store(spread + v * kLanes, deviation(*model, i, load(s.output + (nstate + i) * kTile + v * kLanes)));
    }
    for (int lane = 0; lane < n; ++lane) deviations[lane * nstate + i] = spread[lane];
  }
  for (int i = 0; i < nstate && model->frame >= 0; ++i) {
    if (model->output[i] != mbmf::kernel::kBodyDifference && model->output[i] != mbmf::kernel::kBodyValue)
      continue;
    spread_to_world(*model, i, x, n, deviations);
  }
  for (int i = 0; i < nstate && model->output != nullptr; ++i) {
    if (model->output[i] == mbmf::kernel::kTurn) spread_of_turn(*model, i, x, n, deviations);
  }
  // the means: as if there were no noise
  Model mean = *model;
  mean.low = nullptr;
  PackedLayer outputs = net.layer[net.nlayer - 1];
  outputs.rows = nstate;
  advance(mean, outputs, nullptr, nullptr, 0, 0, nullptr, x, vectors, s);
  for (int i = 0; i < nstate; ++i) {
    for (int lane = 0; lane < n; ++lane) next[lane * nstate + i] = x[i * kTile + lane];
  }
}

}  // namespace

#endif  // MBMF_KERNEL_MODEL_H_
