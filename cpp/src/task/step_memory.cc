#include "task/step_memory.h"

#include <algorithm>

#include "task/channels.h"

namespace mbmf {

void StepMemory::add(Channel* channel) {
  channel->memory = channel->transform == Transform::kRate ? -1 : given(*channel);
  if (channel->memory >= 0) return;
  if (!left_by_step(*channel) && channel->transform != Transform::kRate) return;
  Channel number{channel->source, channel->address};
  number.lagged = channel->lagged;
  if (channel->transform == Transform::kRate) number.transform = Transform::kRate;
  channel->memory = place(number);
}

void StepMemory::add_actions(int naction) { naction_ = naction; }

int StepMemory::given(const Channel& channel) const {
  if (channel.source == Source::kGoal) return channel.address;
  return channel.source == Source::kReference ? goals_ + channel.address : -1;
}

int StepMemory::place(const Channel& channel) {
  const int number = static_cast<int>(kept_.size());
  for (int i = 0; i < number; ++i) {
    if (kept_[static_cast<std::size_t>(i)].channel == channel) return base_ + i;
  }
  int of = -1;
  if (channel.transform == Transform::kRate) {
    if (left_by_step(channel)) {
      Channel plain = channel;
      plain.transform = Transform::kIdentity;
      of = place(plain);
    } else {
      of = given(channel);
    }
    rates_are_derived_ |= of < 0 && channel.source >= Source::kSensor;
  } else {
    lags_ |= channel.lagged;
    forces_ |= channel.source == Source::kContactForce;
  }
  kept_.push_back({channel, of});
  return base_ + static_cast<int>(kept_.size()) - 1;
}

double StepMemory::read(const Kept& rate, const mjModel* m, const mjData* d) const {
  return rate.of < 0 ? read_source(rate.channel.source, rate.channel.address, m, d) : d->userdata[rate.of];
}

void StepMemory::before_step(const mjModel* m, mjData* d, const double* action) const {
  // a rate's place holds the number before the step while the step runs
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i].channel.transform == Transform::kRate) own(d)[i] = read(kept_[i], m, d);
  }
  if (naction_ == 0) return;
  double *const step = own(d) + kept_.size(), *const was = step + 1, *const before = step + 2;
  *step = squared_step(action, *was != 0 ? before : nullptr, naction_);
  *was = 1;
  std::copy_n(action, naction_, before);
}

void StepMemory::keep_step(const mjModel* m, mjData* d) const {
  if (forces_) mj_rnePostConstraint(m, d);
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const Channel& channel = kept_[i].channel;
    if (channel.transform != Transform::kRate) {
      own(d)[i] = read_source(channel.source, channel.address, m, d);
    }
  }
}

void StepMemory::finish_rates(const mjModel* m, mjData* d, double dt) const {
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i].channel.transform == Transform::kRate) {
      own(d)[i] = (read(kept_[i], m, d) - own(d)[i]) / dt;
    }
  }
}

void StepMemory::start(const mjModel* m, mjData* d) const {
  if (lags_) mj_kinematics(m, d);
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const Channel& channel = kept_[i].channel;
    own(d)[i] = channel.lagged && channel.transform != Transform::kRate
                    ? read_source(channel.source, channel.address, m, d)
                    : 0;
  }
  std::fill(own(d) + kept_.size(), d->userdata + size(), 0.0);
}

}  // namespace mbmf
