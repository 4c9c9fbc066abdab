#include "model/observed.h"

#include <mujoco/mujoco.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

#include "mbmf/base/error.h"
#include "mbmf/model/policy.h"
#include "mbmf/task/task.h"

namespace mbmf {

namespace {

// The state that `wanted` is, with its place in a simulation's memory aside; -1: none.
int find_state(const std::vector<Channel>& states, Channel wanted) {
  wanted.memory = -1;
  for (std::size_t i = 0; i < states.size(); ++i) {
    Channel state = states[i];
    state.memory = -1;
    if (state == wanted) return static_cast<int>(i);
  }
  return -1;
}

// The first of four states in a row that are the numbers of a source from `address` on; -1: none.
int find_quaternion(const std::vector<Channel>& states, Source source, int address) {
  const int first = find_state(states, {source, address});
  for (int i = 1; first >= 0 && i < 4; ++i) {
    if (find_state(states, {source, address + i}) != first + i) return -1;
  }
  return first;
}

// The state that a quaternion begins with which is the rotation of a body in the world; -1: none.
int find_rotation(const Task& task, int body) {
  const std::vector<Channel>& states = task.spec().state;
  const mjModel* m = task.model();
  const int joint = m->body_jntadr[body];
  if (joint >= 0 && m->jnt_type[joint] == mjJNT_FREE) {
    const int state = find_quaternion(states, Source::kQpos, m->jnt_qposadr[joint] + 3);
    if (state >= 0) return state;
  }
  return find_quaternion(states, Source::kBodyQuat, 4 * body);
}

std::optional<kernel::Input> input_of(const Task& task, const Channel& channel) {
  const std::vector<Channel>& states = task.spec().state;
  int state = find_state(states, channel);
  if (state >= 0) return kernel::Input{state, kernel::InputKind::kNumber};
  if (channel.transform == Transform::kCos || channel.transform == Transform::kSin) {
    if (channel.low > -1 || channel.high < 1) return std::nullopt;  // the kernels clip nothing
    Channel angle = channel;
    angle.transform = Transform::kIdentity;
    angle.low = -std::numeric_limits<double>::infinity();
    angle.high = std::numeric_limits<double>::infinity();
    state = find_state(states, angle);
    if (state < 0) return std::nullopt;
    const bool cosine = channel.transform == Transform::kCos;
    return kernel::Input{state, cosine ? kernel::InputKind::kCosine : kernel::InputKind::kSine};
  }
  if (channel.source == Source::kBodyRotation && channel == Channel{channel.source, channel.address}) {
    state = find_rotation(task, channel.address / 9);
    if (state >= 0) return kernel::Input{state, kernel::InputKind::kMatrix, channel.address % 9};
  }
  return std::nullopt;
}

[[noreturn]] void throw_unpredicted(const Task& task, int observation) {
  throw_invalid("policy must observe what the model predicts, the states of task ", task.spec().name,
                ", got observation ", observation, ", which does not follow from them");
}

float number(const kernel::Input& input, const double* state) {
  const double* const x = state + input.state;
  switch (input.kind) {
    case kernel::InputKind::kCosine:
      return static_cast<float>(std::cos(*x));
    case kernel::InputKind::kSine:
      return static_cast<float>(std::sin(*x));
    case kernel::InputKind::kMatrix: {
      mjtNum quaternion[4] = {x[0], x[1], x[2], x[3]}, matrix[9];
      mju_normalize4(quaternion);
      mju_quat2Mat(matrix, quaternion);
      return static_cast<float>(matrix[input.entry]);
    }
    default:
      return static_cast<float>(*x);
  }
}

}  // namespace

std::vector<int> unpredicted_observations(const Task& task) {
  std::vector<int> unpredicted;
  for (int i = 0; i < task.nobservation(); ++i) {
    if (!input_of(task, task.spec().observation[static_cast<std::size_t>(i)])) unpredicted.push_back(i);
  }
  return unpredicted;
}

bool ends_are_predicted(const Task& task) {
  return !task.spec().alive.empty() || healthy_states(task).size() == task.spec().healthy.size();
}

std::vector<kernel::Input> observed_of(const Task& task) {
  std::vector<kernel::Input> observed;
  observed.reserve(task.spec().observation.size());
  for (std::size_t i = 0; i < task.spec().observation.size(); ++i) {
    const std::optional<kernel::Input> input = input_of(task, task.spec().observation[i]);
    if (!input) throw_unpredicted(task, static_cast<int>(i));
    observed.push_back(*input);
  }
  return observed;
}

Seen seen_by(std::shared_ptr<const GaussianPolicy> policy, const Task& task) {
  const std::vector<int> unpredicted = unpredicted_observations(task);
  if (unpredicted.empty()) return {observed_of(task), std::move(policy)};
  std::vector<Layer> layers = policy->mlp().layers();
  Layer& first = layers.front();
  const auto rows = static_cast<std::size_t>(first.rows), cols = static_cast<std::size_t>(first.cols);
  for (const int column : unpredicted) {
    for (std::size_t row = 0; row < rows; ++row) {
      if (first.weight[row * cols + static_cast<std::size_t>(column)] != 0) throw_unpredicted(task, column);
    }
  }
  std::vector<kernel::Input> inputs;
  std::vector<float> weight;
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < cols; ++i) {
    if (const std::optional<kernel::Input> input = input_of(task, task.spec().observation[i])) {
      inputs.push_back(*input);
      kept.push_back(i);
    }
  }
  if (kept.empty()) throw_unpredicted(task, 0);
  weight.reserve(rows * kept.size());
  for (std::size_t row = 0; row < rows; ++row) {
    for (const std::size_t column : kept) weight.push_back(first.weight[row * cols + column]);
  }
  first.cols = static_cast<int>(kept.size());
  first.weight = std::move(weight);
  return {std::move(inputs), std::make_shared<const GaussianPolicy>(std::move(layers), policy->log_std())};
}

std::vector<StateBound> healthy_states(const Task& task) {
  std::vector<StateBound> bounds;
  for (const ChannelBound& bound : task.spec().healthy) {
    const int state = find_state(task.spec().state, bound.channel);
    if (state >= 0) bounds.push_back({state, bound.bounds});
  }
  return bounds;
}

void observe(const std::vector<kernel::Input>& observed, const double* state, float* out) {
  for (const kernel::Input& input : observed) *out++ = number(input, state);
}

}  // namespace mbmf
