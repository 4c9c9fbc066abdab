#include "task/channels.h"

#include <cmath>
#include <string>
#include <vector>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// how many addresses a source has in a model; 0: the model has none of it
mjtSize source_size(const mjModel* m, Source source, const TaskNumbers& numbers) {
  switch (source) {
    case Source::kTime:
      return 1;
    case Source::kQpos:
      return m->nq;
    case Source::kQvel:
    case Source::kQacc:
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
    case Source::kBodyVelocity:
      return 6 * m->nbody;
    case Source::kTendonLength:
    case Source::kTendonVelocity:
      return m->ntendon;
    case Source::kActuatorForce:
      return m->nout;
    case Source::kSiteRotation:
      return 9 * m->nsite;
    case Source::kSiteVelocity:
      return 6 * m->nsite;
    case Source::kGeomDistance:
      return m->ngeom * m->ngeom;
    case Source::kBodyQuat:
      return 4 * m->nbody;
    case Source::kGoal:
      return numbers.goals;
    case Source::kReference:
      return numbers.references;
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

// one of the six numbers of Source::kBodyVelocity and kSiteVelocity
double velocity(const mjModel* m, const mjData* d, mjtObj kind, int address) {
  mjtNum angular_linear[6];
  mj_objectVelocity(m, d, kind, address / 6, angular_linear, 0);
  return angular_linear[(address % 6 + 3) % 6];
}

}  // namespace

double read_source(Source source, int address, const mjModel* m, const mjData* d) {
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
    case Source::kTendonLength:
      return d->ten_length[address];
    case Source::kTendonVelocity:
      return d->ten_velocity[address];
    case Source::kActuatorForce:
      return d->actuator_force[address];
    case Source::kSiteRotation:
      return d->site_xmat[address];
    case Source::kBodyVelocity:
      return velocity(m, d, mjOBJ_XBODY, address);
    case Source::kSiteVelocity:
      return velocity(m, d, mjOBJ_SITE, address);
    case Source::kQacc:
      return d->qacc[address];
    case Source::kGeomDistance: {
      const int geoms = static_cast<int>(m->ngeom);
      // which takes room on d's stack and gives it back
      return mj_geomDistance(m, const_cast<mjData*>(d), address / geoms, address % geoms, mjMAXVAL, nullptr);
    }
    case Source::kBodyQuat:
      return d->xquat[address];
    case Source::kGoal:
    case Source::kReference:
      break;  // always in the memory
  }
  return 0;
}

double transformed(const Channel& channel, double x) {
  if (channel.transform == Transform::kCos) x = std::cos(x);
  if (channel.transform == Transform::kSin) x = std::sin(x);
  // not std::clamp: NaN passes through, and is seen
  if (x < channel.low) x = channel.low;
  if (x > channel.high) x = channel.high;
  return x;
}

double read_channel(const Channel& channel, const mjModel* m, const mjData* d) {
  return transformed(channel, channel.memory < 0 ? read_source(channel.source, channel.address, m, d)
                                                 : d->userdata[channel.memory]);
}

void read_channels(const std::vector<Channel>& channels, const mjModel* m, const mjData* d, double* out) {
  for (const Channel& channel : channels) *out++ = read_channel(channel, m, d);
}

bool is_plain_time(const Channel& channel) {
  Channel time{Source::kTime};
  time.memory = channel.memory;
  return channel == time;
}

void check_channel(const mjModel* m, const Channel& channel, const TaskNumbers& numbers,
                   const std::string& where) {
  const mjtSize size = source_size(m, channel.source, numbers);
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
