// The kernels for avx512; an empty table where this build is for another machine.

#include "kernel/kernel.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define MBMF_KERNEL_NAME "avx512"
#define MBMF_KERNEL_TABLE avx512_table
#include "kernel/vec_avx512.h"
// the vectors first: the kernels are written in terms of them
#include "kernel/kernel_body.h"
#else
namespace mbmf::kernel {
const Table* avx512_table() { return nullptr; }
}  // namespace mbmf::kernel
#endif
