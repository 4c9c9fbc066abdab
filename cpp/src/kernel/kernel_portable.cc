// The kernels for any machine.

#define MBMF_KERNEL_NAME "portable"
#define MBMF_KERNEL_TABLE portable_table
#include "kernel/vec_portable.h"
// the vectors first: the kernels are written in terms of them
#include "kernel/kernel_body.h"
