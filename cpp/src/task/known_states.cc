#include "mbmf/task/known_states.h"

#include <algorithm>
#include <cmath>

#include "task/channels.h"

namespace mbmf {

KnownStates::KnownStates(const TaskSpec& spec, double dt) : references_(spec.references), dt_(dt) {
  for (std::size_t i = 0; i < references_.size(); ++i) {
    for (int column = 0; column < references_[i].columns; ++column) {
      owner_.push_back(static_cast<int>(i));
      column_.push_back(column);
    }
  }
  const auto is_reference = [](const Channel& channel) { return channel.source == Source::kReference; };
  if (std::none_of(spec.state.begin(), spec.state.end(), is_reference)) return;
  for (std::size_t i = 0; i < spec.state.size(); ++i) {
    const Channel& channel = spec.state[i];
    if (channel.source != Source::kReference && channel.source != Source::kTime) continue;
    if (is_plain_time(channel) && time_ < 0) time_ = static_cast<int>(i);
    index_.push_back(static_cast<int>(i));
    channel_.push_back(channel);
  }
}

double KnownStates::value(const Channel& channel, double time) const {
  if (channel.source == Source::kTime) return time;
  const auto at = static_cast<std::size_t>(channel.address);
  return references_[static_cast<std::size_t>(owner_[at])].at(time, column_[at]);
}

void KnownStates::predict(const double* state, int horizon, double* out) const {
  if (index_.empty()) return;
  const double start = state[time_];
  for (int t = 0; t <= horizon; ++t) {
    for (std::size_t i = 0; i < index_.size(); ++i) {
      const Channel& channel = channel_[i];
      double x = state[index_[i]];
      if (t > 0) {
        x = value(channel, start + t * dt_);
        if (channel.transform == Transform::kRate) x = (x - value(channel, start + (t - 1) * dt_)) / dt_;
        x = transformed(channel, x);
      }
      *out++ = x;
    }
  }
}

}  // namespace mbmf
