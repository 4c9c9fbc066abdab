// What of a planner knows its task: made anew, whole, for each task that the planner goes on with.

#ifndef MBMF_SRC_PLANNING_TASK_PARTS_H_
#define MBMF_SRC_PLANNING_TASK_PARTS_H_

#include <memory>

#include "planning/proposer.h"
#include "planning/roller.h"

namespace mbmf {

struct TaskParts {
  std::unique_ptr<Roller> roller;      // what candidates cost
  std::unique_ptr<Proposer> proposer;  // what a policy proposes; or null
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_TASK_PARTS_H_
