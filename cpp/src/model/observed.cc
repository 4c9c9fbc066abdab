#include "model/observed.h"

#include <cstddef>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// The state that `wanted` is, with its place in a simulation's memory aside.
int find_state(const std::vector<Channel>& states, Channel wanted) {
  wanted.memory = -1;
  for (std::size_t i = 0; i < states.size(); ++i) {
    Channel state = states[i];
    state.memory = -1;
    if (state == wanted) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

std::vector<kernel::Input> observed_of(const Task& task) {
  std::vector<kernel::Input> observed;
  observed.reserve(task.spec().observation.size());
  const std::vector<Channel>& states = task.spec().state;
  for (std::size_t i = 0; i < task.spec().observation.size(); ++i) {
    const Channel& channel = task.spec().observation[i];
    int state = find_state(states, channel);
    kernel::InputKind kind = kernel::InputKind::kNumber;
    const bool turns = channel.transform == Transform::kCos || channel.transform == Transform::kSin;
    if (state < 0 && turns) {
      Channel angle = channel;
      angle.transform = Transform::kIdentity;
      state = find_state(states, angle);
      kind = channel.transform == Transform::kCos ? kernel::InputKind::kCosine : kernel::InputKind::kSine;
    }
    if (state < 0) {
      throw_invalid("policy must observe what the model predicts, the states of task ", task.spec().name,
                    ", got observation ", i, ", which is none of them, clipped alike");
    }
    observed.push_back({state, kind});
  }
  return observed;
}

}  // namespace mbmf
