// Loading compiled MuJoCo models without MuJoCo printing or writing a log file.

#ifndef MBMF_SRC_TASK_MODEL_LOADER_H_
#define MBMF_SRC_TASK_MODEL_LOADER_H_

#include <mujoco/mujoco.h>

#include <cstddef>

namespace mbmf {

// A model from MJB bytes, to be freed with mj_deleteModel. Throws mbmf::Error with what MuJoCo says if it
// refuses.
mjModel* load_model(const void* mjb, std::size_t size);

}  // namespace mbmf

#endif  // MBMF_SRC_TASK_MODEL_LOADER_H_
