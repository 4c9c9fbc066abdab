// One control step of one simulation: what Simulator and the collectors of whole episodes share.
//
// These functions run inside mjb_apply, where an error in MuJoCo unwinds with longjmp: they, and whatever
// calls them there, hold nothing with a destructor while MuJoCo runs, and throw nothing.

#ifndef MBMF_SRC_PHYSICS_STEPPER_H_
#define MBMF_SRC_PHYSICS_STEPPER_H_

#include <cstdint>
#include <string>

#include "mbmf/task/task.h"

namespace mbmf {

// Why a step failed. kError: MuJoCo raised an error, whose message the batch keeps.
struct Failure {
  enum class Kind : std::int8_t { kNone = 0, kWarning, kQpos, kQvel, kError } kind = Kind::kNone;
  int warning = 0;   // kWarning: mjtWarning
  int info = 0;      // kWarning: MuJoCo's number for it; else the index in qpos or qvel
  double value = 0;  // kQpos, kQvel: the number there
};

// A sentence for people; "" for kNone and kError.
std::string failure_text(const Failure& failure);

// Marks every warning as already given, so that MuJoCo neither prints them nor writes its log file into the
// user's folder; `advance` sees the counters move.
void silence_warnings(mjData* d);

// Starts d anew and refreshes it. False if the start is not finite.
bool begin(const Task& task, mjData* d, ResetKind kind, Draws draws, Failure* failure);

// Clips an action to [-1, 1].
void clip_action(const double* action, int naction, double* clipped);

// Advances d by one control step with action (naction) in [-1, 1], and refreshes it. False if MuJoCo warned
// or the state is no longer usable; d is then in no defined state.
bool advance(const Task& task, mjData* d, const double* action, Failure* failure);

}  // namespace mbmf

#endif  // MBMF_SRC_PHYSICS_STEPPER_H_
