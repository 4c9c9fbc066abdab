// The sizes that a compiled MuJoCo model announces, before MuJoCo takes memory for them.

#ifndef MBMF_SRC_TASK_MODEL_BYTES_H_
#define MBMF_SRC_TASK_MODEL_BYTES_H_

#include <cstddef>

namespace mbmf {

// Throws mbmf::Error unless MJB bytes are of the release of MuJoCo that this was built for, and as many as
// their header announces. What the arrays hold is not looked at: that is MuJoCo's to check.
void check_model_bytes(const void* mjb, std::size_t size);

}  // namespace mbmf

#endif  // MBMF_SRC_TASK_MODEL_BYTES_H_
