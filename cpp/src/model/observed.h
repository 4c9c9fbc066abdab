// What a policy observes, as far as a model predicts it.

#ifndef MBMF_SRC_MODEL_OBSERVED_H_
#define MBMF_SRC_MODEL_OBSERVED_H_

#include <vector>

#include "kernel/kernel.h"
#include "mbmf/task/task.h"

namespace mbmf {

// What a task observes, of its states. Throws std::invalid_argument where that is not one of them.
std::vector<kernel::Input> observed_of(const Task& task);

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_OBSERVED_H_
