#include "task/channels.h"

#include <cmath>
#include <string>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// how many addresses a source has in a model; 0: the model has none of it
mjtSize source_size(const mjModel* m, Source source) {
  switch (source) {
    case Source::kTime:
      return 1;
    case Source::kQpos:
      return m->nq;
    case Source::kQvel:
      return m->nv;
    case Source::kAct:
      return m->na;
    case Source::kSensor:
      return m->nsensordata;
    case Source::kBodyPos:
    case Source::kSubtreeCom:
    case Source::kSubtreeLinvel:
      return 3 * m->nbody;
    case Source::kBodyRotation:
      return 9 * m->nbody;
    case Source::kSitePos:
      return 3 * m->nsite;
    case Source::kBodyEuler:
    case Source::kContactForce:
      return 6 * m->nbody;
  }
  return -1;
}

// one of the six numbers of Source::kBodyEuler from a rotation matrix
double euler(const mjtNum* r, int k) {
  double y, x;
  if (k < 2) {
    y = r[3], x = r[1];
  } else if (k < 4) {
    y = -r[6], x = std::sqrt(r[7] * r[7] + r[8] * r[8]);
  } else {
    y = r[7], x = r[8];
  }
  const double angle = std::atan2(y, x);
  return k % 2 == 0 ? std::cos(angle) : std::sin(angle);
}

}  // namespace

double read_source(Source source, int address, const mjData* d) {
  switch (source) {
    case Source::kTime:
      return d->time;
    case Source::kQpos:
      return d->qpos[address];
    case Source::kQvel:
      return d->qvel[address];
    case Source::kAct:
      return d->act[address];
    case Source::kSensor:
      return d->sensordata[address];
    case Source::kBodyPos:
      return d->xpos[address];
    case Source::kBodyRotation:
      return d->xmat[address];
    case Source::kSitePos:
      return d->site_xpos[address];
    case Source::kSubtreeCom:
      return d->subtree_com[address];
    case Source::kSubtreeLinvel:
      return d->subtree_linvel[address];
    case Source::kBodyEuler:
      return euler(d->xmat + 9 * (address / 6), address % 6);
    case Source::kContactForce:
      return d->cfrc_ext[address];
  }
  return 0;
}

double read_channel(const Channel& channel, const mjData* d) {
  double x =
      channel.memory < 0 ? read_source(channel.source, channel.address, d) : d->userdata[channel.memory];
  if (channel.transform == Transform::kCos) x = std::cos(x);
  if (channel.transform == Transform::kSin) x = std::sin(x);
  // not std::clamp: NaN passes through, and is seen
  if (x < channel.low) x = channel.low;
  if (x > channel.high) x = channel.high;
  return x;
}

void check_channel(const mjModel* m, const Channel& channel, const std::string& where) {
  const mjtSize size = source_size(m, channel.source);
  if (size < 0) throw_invalid(where, ".source must be a source, got ", static_cast<int>(channel.source));
  if (channel.address < 0 || channel.address >= size) {
    throw_invalid(where, ".address must be in [0, ", size, ") for this source and model, got ",
                  channel.address);
  }
  if (channel.transform < Transform::kIdentity || channel.transform > Transform::kRate) {
    throw_invalid(where, ".transform must be a transform, got ", static_cast<int>(channel.transform));
  }
  if (channel.lagged && channel.source != Source::kBodyPos) {
    throw_invalid(where, ".lagged must be false but for positions of bodies, got true");
  }
  if (!(channel.low <= channel.high)) {
    throw_invalid(where, " must be clipped to low <= high, got low ", channel.low, " and high ",
                  channel.high);
  }
}

}  // namespace mbmf
