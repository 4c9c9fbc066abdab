#include "mbmf/model/dynamics.h"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "kernel/kernel.h"
#include "mbmf/base/error.h"
#include "model/folded.h"

namespace mbmf {

namespace {

constexpr int kMaxMembers = 1000, kMaxParticles = 100'000;
constexpr double kMaxLogVariance = 80;  // its exponential is a float32

bool is_one_of(int value, int count) { return value >= 0 && value < count; }

void check_head(const DynamicsSpec& spec) {
  const std::vector<double>&low = spec.log_variance_min, &high = spec.log_variance_max;
  if (low.empty() && high.empty()) return;
  const auto n = static_cast<std::size_t>(spec.nstate);
  if (low.size() != n || high.size() != n) {
    throw_invalid("log_variance_min and log_variance_max must have ", n, " entries each, got ", low.size(),
                  " and ", high.size());
  }
  for (std::size_t i = 0; i < n; ++i) {
    // learned bounds may cross, and mean what they mean: softplus is no limit with a corner
    if (!(std::abs(low[i]) <= kMaxLogVariance && std::abs(high[i]) <= kMaxLogVariance)) {
      throw_invalid("log_variance_min and log_variance_max must be in [", -kMaxLogVariance, ", ",
                    kMaxLogVariance, "], got ", low[i], " and ", high[i], " at entry ", i);
    }
  }
}

void check_particles(const DynamicsSpec& spec, bool has_head) {
  const int members = static_cast<int>(spec.members.size());
  if (!is_one_of(static_cast<int>(spec.propagation), 3)) {
    throw_invalid("propagate must be expectation, ts1 or tsinf, got number ",
                  static_cast<int>(spec.propagation));
  }
  if (spec.propagation != Propagation::kExpectation && members == 1 && !has_head) {
    throw_invalid("propagate must be expectation where one member has no variance head, got ",
                  spec.propagation == Propagation::kTs1 ? "ts1" : "tsinf");
  }
  const bool fits = spec.propagation == Propagation::kExpectation ? spec.particles == members
                                                                  : spec.particles % members == 0;
  if (spec.particles != 0 && !(spec.particles > 0 && spec.particles <= kMaxParticles && fits)) {
    throw_invalid("particles must be ",
                  spec.propagation == Propagation::kExpectation
                      ? "as many as members where each propagates its mean"
                      : "a positive multiple of the members",
                  ", ", members, ", and at most ", kMaxParticles, ", got ", spec.particles);
  }
  if (!(std::abs(spec.risk) <= 1e6)) throw_invalid("risk must be in [-1e6, 1e6], got ", spec.risk);
  if (spec.risk != 0 && members == 1) {
    throw_invalid("risk must be 0 where there is one member, got ", spec.risk);
  }
}

void check(const DynamicsSpec& spec) {
  const int nstate = spec.nstate, naction = spec.naction;
  if (nstate < 1 || naction < 1)
    throw_invalid("nstate and naction must be positive, got ", nstate, " and ", naction);
  const auto n = static_cast<std::size_t>(nstate);
  check_inputs(spec.input, nstate);
  if (!spec.output.empty() && spec.output.size() != n)
    throw_invalid("outputs must have ", n, " entries, got ", spec.output.size());
  for (const StateOutput output : spec.output) {
    if (!is_one_of(static_cast<int>(output), 5))
      throw_invalid("outputs must be differences, values or rotations, or in a body's frame, got number ",
                    static_cast<int>(output));
  }
  if (!in_groups(spec.output, StateOutput::kRotation, 4)) {
    throw_invalid("outputs must be rotations for four states together, got other numbers of them");
  }
  if (!in_groups(spec.output, StateOutput::kBodyDifference, 3) ||
      !in_groups(spec.output, StateOutput::kBodyValue, 3)) {
    throw_invalid("outputs must be in a body's frame for three states together, got other numbers of them");
  }
  const bool in_body = std::any_of(spec.output.begin(), spec.output.end(), [](StateOutput output) {
    return output == StateOutput::kBodyDifference || output == StateOutput::kBodyValue;
  });
  if (in_body && frame_of(spec.input) < 0) {
    throw_invalid(
        "outputs in a body's frame need one quaternion that is seen as a rotation or a vertical, got none, "
        "or "
        "several");
  }
  check_normalization(spec.state, count_seen(spec.input, nstate), "state");
  check_normalization(spec.action, naction, "action");
  check_normalization(spec.delta, nstate, "delta");
  if (!spec.whole.mean.empty() || !spec.whole.std.empty()) check_normalization(spec.whole, nstate, "whole");
  if (spec.members.empty() || spec.members.size() > kMaxMembers)
    throw_invalid("members must be 1 to ", kMaxMembers, ", got ", spec.members.size());
  check_head(spec);
  const bool has_head = !spec.log_variance_min.empty();
  check_particles(spec, has_head);
  const int ninput = count_seen(spec.input, nstate) + naction, noutput = has_head ? 2 * nstate : nstate;
  for (const std::vector<Layer>& layers : spec.members) {
    if (layers.empty()) throw_invalid("layers must hold at least one layer, got none");
    if (layers.front().cols != ninput) {
      throw_invalid("the first layer must take nstate + naction = ", ninput, " inputs, got ",
                    layers.front().cols);
    }
    if (layers.back().rows != noutput) {
      throw_invalid("the last layer must give nstate = ", noutput, " outputs, got ", layers.back().rows);
    }
    const std::vector<Layer>& first = spec.members.front();
    if (layers.size() != first.size()) {
      throw_invalid("members must have the same layers, got ", first.size(), " and ", layers.size());
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (layers[i].rows != first[i].rows || layers[i].cols != first[i].cols) {
        throw_invalid("members must have layers of the same sizes, got ", first[i].rows, " x ", first[i].cols,
                      " and ", layers[i].rows, " x ", layers[i].cols, " as layer ", i);
      }
    }
  }
}

DynamicsSpec one_network(int nstate, int naction, std::vector<Layer> layers, Activation activation,
                         const Normalization& state, const Normalization& action,
                         const Normalization& delta) {
  DynamicsSpec spec;
  spec.nstate = nstate;
  spec.naction = naction;
  spec.members.push_back(std::move(layers));
  spec.activation = activation;
  spec.state = state;
  spec.action = action;
  spec.delta = delta;
  return spec;
}

}  // namespace

std::vector<int> Dynamics::predicted_with(const std::vector<int>& states) const {
  std::set<int> all;
  for (const int state : states) {
    const int kind = output_.empty() ? kernel::kDifference : output_[static_cast<std::size_t>(state)];
    const bool vector = kind >= kernel::kBodyDifference, turns = !vector && kind >= kernel::kTurn;
    const int number = vector ? (kind - kernel::kBodyDifference) % 3 : (turns ? kind - kernel::kTurn : 0);
    const int count = vector ? 3 : (turns ? 4 : 1);
    for (int i = 0; i < count; ++i) all.insert(state - number + i);
  }
  return {all.begin(), all.end()};
}

Dynamics::Dynamics(int nstate, int naction, std::vector<Layer> layers, Activation activation,
                   const Normalization& state, const Normalization& action, const Normalization& delta)
    : Dynamics(one_network(nstate, naction, std::move(layers), activation, state, action, delta)) {}

Dynamics::Dynamics(DynamicsSpec spec)
    : nstate_(spec.nstate),
      naction_(spec.naction),
      known_(spec.known != nullptr && spec.known->size() > 0 ? spec.known : nullptr),
      particles_(spec.particles),
      propagation_(spec.propagation),
      risk_(spec.risk) {
  check(spec);
  if (particles_ == 0) particles_ = static_cast<int>(spec.members.size());
  const auto n = static_cast<std::size_t>(nstate_);
  if (std::any_of(spec.input.begin(), spec.input.end(),
                  [](StateInput input) { return input != StateInput::kValue; })) {
    input_ = spec.input;
  }
  if (std::any_of(spec.output.begin(), spec.output.end(),
                  [](StateOutput output) { return output != StateOutput::kDifference; })) {
    // the kernels' kind, and how many states are predicted together
    constexpr std::array<std::pair<int, int>, 5> kKinds{{{kernel::kDifference, 1},
                                                         {kernel::kValue, 1},
                                                         {kernel::kTurn, 4},
                                                         {kernel::kBodyDifference, 3},
                                                         {kernel::kBodyValue, 3}}};
    for (std::size_t i = 0; i < spec.output.size();) {
      const auto& [kind, count] = kKinds[static_cast<std::size_t>(spec.output[i])];
      for (int k = 0; k < count; ++k, ++i) output_.push_back(kind + k);
    }
    frame_ = frame_of(spec.input);
  }
  centre_ = centres_of(spec.input, nstate_, spec.state, spec.whole);
  Normalization input = less_centres(spec.input, spec.state, centre_);
  input.mean.insert(input.mean.end(), spec.action.mean.begin(), spec.action.mean.end());
  input.std.insert(input.std.end(), spec.action.std.begin(), spec.action.std.end());
  std::vector<double> shift = spec.delta.mean;
  for (std::size_t i = 0; i < centre_.size() && !output_.empty(); ++i) {
    if (output_[i] == kernel::kValue) shift[i] -= static_cast<double>(centre_[i]);
  }
  for (std::vector<Layer>& member : spec.members) {
    // sizes and numbers checked before they are used
    std::vector<Layer> layers = Mlp(std::move(member), spec.activation).layers();
    fold_input(layers.front(), input.mean, input.std);
    fold_output(layers.back(), shift, spec.delta.std);
    members_.emplace_back(std::move(layers), spec.activation);
  }
  if (spec.log_variance_min.empty()) return;
  // max - softplus(max - r), then min + softplus(. - min), have the exponential exp(min) + 1 / (exp(-max) +
  // exp(-r))
  for (std::size_t i = 0; i < n; ++i) {
    const double variance = spec.delta.std[i] * spec.delta.std[i];
    low_.push_back(static_cast<float>(variance * std::exp(spec.log_variance_min[i])));
    // a dimension without deviation has no noise: 1 / infinity, whatever the exponential is. The scale stays
    // finite and above 0, so that its product with an exponential of 0 or infinity is a number.
    constexpr double kLargest = std::numeric_limits<float>::max();
    const double scale = variance > 0 ? 1 / variance : std::numeric_limits<double>::infinity();
    high_.push_back(static_cast<float>(std::exp(-spec.log_variance_max[i]) * scale));
    scale_.push_back(static_cast<float>(std::min(scale, kLargest)));
  }
}

double Dynamics::reduce(const double* costs) const {
  double mean = 0, square = 0;
  const int groups = cost_groups();
  for (int group = 0; group < groups; ++group) {
    double cost = 0;
    for (int i = group; i < particles_; i += groups) cost += costs[i];
    cost /= static_cast<double>(particles_) / groups;
    const double gap = cost - mean;
    mean += gap / (group + 1);
    square += gap * (cost - mean);
  }
  return mean + risk_ * std::sqrt(square / groups);
}

Dynamics::Noise Dynamics::noise(std::uint64_t seed, std::uint64_t episode, std::uint64_t step) {
  const PhiloxKey key = derive_key(seed, Stream::kParticle, episode);
  const PhiloxBlock block = draw_block(key, step, 0, 0);
  return {{block[0], block[1]}, 0};
}

}  // namespace mbmf
