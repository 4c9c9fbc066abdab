// Channels: whether they fit a model, and what they read.

#ifndef MBMF_SRC_TASK_CHANNELS_H_
#define MBMF_SRC_TASK_CHANNELS_H_

#include <mujoco/mujoco.h>

#include <string>

#include "mbmf/task/task.h"

namespace mbmf {

// Throws std::invalid_argument, with `where` in front, unless the channel is one of the model.
void check_channel(const mjModel* m, const Channel& channel, const std::string& where);

// The number at a source's address in d, as it is there.
double read_source(Source source, int address, const mjData* d);

// The channel's number: from its place in the memory if it has one, else from its source.
double read_channel(const Channel& channel, const mjData* d);

}  // namespace mbmf

#endif  // MBMF_SRC_TASK_CHANNELS_H_
