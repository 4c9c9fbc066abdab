#include "physics/stepper.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace mbmf {

namespace {

// far from what any step adds, and from the 1 that MuJoCo leaves after it has reset a bad simulation
constexpr int kSilenced = 1 << 20;

bool warned(const mjData* d, Failure* failure) {
  for (int i = 0; i < mjNWARNING; ++i) {
    if (d->warning[i].number != kSilenced) {
      *failure = {Failure::Kind::kWarning, i, d->warning[i].lastinfo, 0};
      // after a reset the others are 0, and only the one that caused it counts
      if (d->warning[i].number != 0) return true;
    }
  }
  return failure->kind != Failure::Kind::kNone;
}

// MuJoCo would reset such a state at the start of its next step
bool usable(const mjModel* m, const mjData* d, Failure* failure) {
  for (mjtSize i = 0; i < m->nq; ++i) {
    if (!(std::abs(d->qpos[i]) <= mjMAXVAL)) {
      *failure = {Failure::Kind::kQpos, 0, static_cast<int>(i), d->qpos[i]};
      return false;
    }
  }
  for (mjtSize i = 0; i < m->nv; ++i) {
    if (!(std::abs(d->qvel[i]) <= mjMAXVAL)) {
      *failure = {Failure::Kind::kQvel, 0, static_cast<int>(i), d->qvel[i]};
      return false;
    }
  }
  return true;
}

}  // namespace

std::string failure_text(const Failure& failure) {
  std::ostringstream text;
  switch (failure.kind) {
    case Failure::Kind::kNone:
    case Failure::Kind::kError:
      break;
    case Failure::Kind::kWarning:
      text << "MuJoCo warned: " << mju_warningText(failure.warning, static_cast<std::size_t>(failure.info));
      break;
    case Failure::Kind::kQpos:
      text << "qpos[" << failure.info << "] became " << failure.value;
      break;
    case Failure::Kind::kQvel:
      text << "qvel[" << failure.info << "] became " << failure.value;
      break;
  }
  return text.str();
}

void silence_warnings(mjData* d) {
  for (mjWarningStat& warning : d->warning) warning = {0, kSilenced};
}

bool begin(const Task& task, mjData* d, ResetKind kind, Draws draws, Failure* failure) {
  *failure = {};
  if (task.spec().keyframe < 0) {
    mj_resetData(task.model(), d);
  } else {
    mj_resetDataKeyframe(task.model(), d, task.spec().keyframe);
  }
  silence_warnings(d);
  task.start(d, kind, draws);
  task.refresh(d);
  task.remember_start(d);
  return usable(task.model(), d, failure) && !warned(d, failure);
}

void clip_action(const double* action, int naction, double* clipped) {
  for (int i = 0; i < naction; ++i) clipped[i] = std::clamp(action[i], -1.0, 1.0);
}

bool advance(const Task& task, mjData* d, const double* action, Failure* failure) {
  *failure = {};
  const mjModel* m = task.model();
  silence_warnings(d);
  task.before_step(d, action);
  task.to_control(action, d->ctrl);
  for (int i = 0; i < task.spec().physics_steps; ++i) {
    task.move(d, action);
    mj_step(m, d);
    if (warned(d, failure)) return false;
  }
  if (!usable(m, d, failure)) return false;
  task.after_step(d);
  return !warned(d, failure);
}

}  // namespace mbmf
