// Ownership of a MuJoCo batch.

#ifndef MBMF_SRC_BATCH_H_
#define MBMF_SRC_BATCH_H_

#include <mujoco/mjbatch.h>
#include <mujoco/mujoco.h>

#include <memory>
#include <string>

#include "mbmf/error.h"

namespace mbmf {

struct BatchDeleter {
  void operator()(mjBatch* batch) const { mjb_deleteBatch(batch); }
};
using Batch = std::unique_ptr<mjBatch, BatchDeleter>;

// A batch of nsim simulations on nthread threads. One mjData serves many simulations, except where sleeping
// bodies keep a history that is not part of the state. Throws mbmf::Error if MuJoCo refuses.
inline Batch make_batch(const mjModel* model, int nsim, int nthread) {
  mjBatchConfig config;
  mjb_defaultConfig(&config);
  config.nthread = nthread;
  config.persistent = (model->opt.enableflags & mjENBL_SLEEP) != 0;
  char message[512] = "";
  Batch batch(mjb_makeBatch(model, nsim, &config, message, sizeof(message)));
  if (!batch) throw Error(std::string("MuJoCo cannot make a batch of simulations: ") + message);
  return batch;
}

}  // namespace mbmf

#endif  // MBMF_SRC_BATCH_H_
