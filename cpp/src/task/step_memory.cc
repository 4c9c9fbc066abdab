#include "task/step_memory.h"

#include <algorithm>

#include "task/channels.h"

namespace mbmf {

void StepMemory::add(Channel* channel) {
  channel->memory = -1;
  if (!left_by_step(*channel) && channel->transform != Transform::kRate) return;
  Channel number{channel->source, channel->address};
  number.lagged = channel->lagged;
  if (channel->transform == Transform::kRate) number.transform = Transform::kRate;
  channel->memory = place(number);
}

void StepMemory::add_actions(int naction) { naction_ = naction; }

int StepMemory::place(const Channel& channel) {
  const int number = static_cast<int>(kept_.size());
  for (int i = 0; i < number; ++i) {
    if (kept_[static_cast<std::size_t>(i)].channel == channel) return i;
  }
  int of = -1;
  if (channel.transform == Transform::kRate) {
    if (left_by_step(channel)) {
      Channel plain = channel;
      plain.transform = Transform::kIdentity;
      of = place(plain);
    }
    rates_are_derived_ |= of < 0 && channel.source >= Source::kSensor;
  } else {
    lags_ |= channel.lagged;
    forces_ |= channel.source == Source::kContactForce;
  }
  kept_.push_back({channel, of});
  return static_cast<int>(kept_.size()) - 1;
}

double StepMemory::read(const Kept& rate, const mjData* d) const {
  return rate.of < 0 ? read_source(rate.channel.source, rate.channel.address, d) : d->userdata[rate.of];
}

void StepMemory::before_step(mjData* d, const double* action) const {
  // a rate's place holds the number before the step while the step runs
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i].channel.transform == Transform::kRate) d->userdata[i] = read(kept_[i], d);
  }
  if (naction_ == 0) return;
  double *const step = d->userdata + kept_.size(), *const was = step + 1, *const before = step + 2;
  *step = squared_step(action, *was != 0 ? before : nullptr, naction_);
  *was = 1;
  std::copy_n(action, naction_, before);
}

void StepMemory::keep_step(const mjModel* m, mjData* d) const {
  if (forces_) mj_rnePostConstraint(m, d);
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const Channel& channel = kept_[i].channel;
    if (channel.transform != Transform::kRate) {
      d->userdata[i] = read_source(channel.source, channel.address, d);
    }
  }
}

void StepMemory::finish_rates(mjData* d, double dt) const {
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i].channel.transform == Transform::kRate) {
      d->userdata[i] = (read(kept_[i], d) - d->userdata[i]) / dt;
    }
  }
}

void StepMemory::start(const mjModel* m, mjData* d) const {
  if (lags_) mj_kinematics(m, d);
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const Channel& channel = kept_[i].channel;
    d->userdata[i] = channel.lagged && channel.transform != Transform::kRate
                         ? read_source(channel.source, channel.address, d)
                         : 0;
  }
  std::fill(d->userdata + kept_.size(), d->userdata + size(), 0.0);
}

}  // namespace mbmf
