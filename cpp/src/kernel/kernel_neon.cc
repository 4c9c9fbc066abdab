// The kernels for neon; an empty table where this build is for another machine.

#include "kernel/kernel.h"

#if defined(__aarch64__)
#define MBMF_KERNEL_NAME "neon"
#define MBMF_KERNEL_TABLE neon_table
#include "kernel/vec_neon.h"
// the vectors first: the kernels are written in terms of them
#include "kernel/kernel_body.h"
#else
namespace mbmf::kernel {
const Table* neon_table() { return nullptr; }
}  // namespace mbmf::kernel
#endif
