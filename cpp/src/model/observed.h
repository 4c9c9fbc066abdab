// What a policy observes, and what ends an episode, as far as a model predicts it.

#ifndef MBMF_SRC_MODEL_OBSERVED_H_
#define MBMF_SRC_MODEL_OBSERVED_H_

#include <memory>
#include <vector>

#include "kernel/kernel.h"
#include "mbmf/model/policy.h"
#include "mbmf/task/task.h"

namespace mbmf {

// What a task observes, of its states. Throws std::invalid_argument where they do not say it.
std::vector<kernel::Input> observed_of(const Task& task);

// What a policy sees of the states, and the policy of that alone.
struct Seen {
  std::vector<kernel::Input> inputs;
  std::shared_ptr<const GaussianPolicy> policy;  // of as many inputs
};

// What the states do not say, the policy must not see: its weights of that must all be 0. Throws
// std::invalid_argument where they are not.
Seen seen_by(std::shared_ptr<const GaussianPolicy> policy, const Task& task);

// What is observed of a state (nstate); out (observed)
void observe(const std::vector<kernel::Input>& observed, const double* state, float* out);

// The bounds of `healthy` that are of states; a model says nothing of the others.
std::vector<StateBound> healthy_states(const Task& task);

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_OBSERVED_H_
