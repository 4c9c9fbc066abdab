// MuJoCo's timers, which the simulations of a batch do without.
//
// Where mjcb_time is set, as MuJoCo's Python package sets it, a step reads the clock some fifty times: a
// tenth of a half cheetah's step. Nobody can read the timers of a batch's simulations.

#ifndef MBMF_SRC_PHYSICS_TIMERS_H_
#define MBMF_SRC_PHYSICS_TIMERS_H_

namespace mbmf {

// Puts a function before the clock that mjcb_time is, if any, which threads can be without.
void prepare_timers();

// Whether MuJoCo's timers run on this thread.
void set_timers(bool on);

}  // namespace mbmf

#endif  // MBMF_SRC_PHYSICS_TIMERS_H_
