// Channels: whether they fit a model, and what they read.

#ifndef MBMF_SRC_TASK_CHANNELS_H_
#define MBMF_SRC_TASK_CHANNELS_H_

#include <mujoco/mujoco.h>

#include <string>
#include <vector>

#include "mbmf/task/task.h"

namespace mbmf {

// How many numbers a task itself has.
struct TaskNumbers {
  int goals, references;
};

// Throws std::invalid_argument, with `where` in front, unless the channel is one of the model and the task.
void check_channel(const mjModel* m, const Channel& channel, const TaskNumbers& numbers,
                   const std::string& where);

// Whether it is the time as it is.
bool is_plain_time(const Channel& channel);

// The cosine or sine, clipped; a rate is taken as it is.
double transformed(const Channel& channel, double x);

// The number at a source's address in d, as it is there.
double read_source(Source source, int address, const mjModel* m, const mjData* d);

// The channel's number: from its place in the memory if it has one, else from its source.
double read_channel(const Channel& channel, const mjModel* m, const mjData* d);

// The numbers of channels: out (channels)
void read_channels(const std::vector<Channel>& channels, const mjModel* m, const mjData* d, double* out);

}  // namespace mbmf

#endif  // MBMF_SRC_TASK_CHANNELS_H_
