// The instruction set of the vector kernels.
//
// The best one of the machine is used; the environment variable MBMF_FORCE_ISA forces another (avx512, avx2,
// neon, portable), read when a planner or a prediction is made. Results differ between instruction sets by
// float32 rounding; on one instruction set they are the same bits at any thread count.

#ifndef MBMF_BASE_ISA_H_
#define MBMF_BASE_ISA_H_

#include <string>
#include <vector>

namespace mbmf {

// Names of the instruction sets that this build and this machine can run, best first.
std::vector<std::string> available_isas();

// The one in use. Throws std::invalid_argument if MBMF_FORCE_ISA names one that is unknown or not available.
std::string selected_isa();

// Multiply-add peak in GFLOP/s (two operations each) of `nthread` threads, by a register-only loop of about
// `seconds`.
double multiply_add_peak(int nthread, double seconds);

}  // namespace mbmf

#endif  // MBMF_BASE_ISA_H_
