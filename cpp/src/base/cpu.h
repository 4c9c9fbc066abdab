// The kernels of the instruction set in use.

#ifndef MBMF_SRC_BASE_CPU_H_
#define MBMF_SRC_BASE_CPU_H_

#include "kernel/kernel.h"
#include "mbmf/base/isa.h"

namespace mbmf {

// The table that selected_isa() names; throws as it does.
const kernel::Table& select_kernels();

}  // namespace mbmf

#endif  // MBMF_SRC_BASE_CPU_H_
