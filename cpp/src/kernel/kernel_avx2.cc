// The kernels for avx2; an empty table where this build is for another machine.

#include "kernel/kernel.h"

#if defined(__AVX2__) && defined(__FMA__)
#define MBMF_KERNEL_NAME "avx2"
#define MBMF_KERNEL_TABLE avx2_table
#include "kernel/vec_avx2.h"
// the vectors first: the kernels are written in terms of them
#include "kernel/kernel_body.h"
#else
namespace mbmf::kernel {
const Table* avx2_table() { return nullptr; }
}  // namespace mbmf::kernel
#endif
