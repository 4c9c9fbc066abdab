// What a policy observes, as far as a model predicts it.

#ifndef MBMF_SRC_MODEL_OBSERVED_H_
#define MBMF_SRC_MODEL_OBSERVED_H_

#include <vector>

#include "kernel/kernel.h"
#include "mbmf/task/task.h"

namespace mbmf {

// What a task observes, of its states. Throws std::invalid_argument where they do not say it.
std::vector<kernel::Input> observed_of(const Task& task);

// What is observed of a state (nstate); out (observed)
void observe(const std::vector<kernel::Input>& observed, const double* state, float* out);

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_OBSERVED_H_
