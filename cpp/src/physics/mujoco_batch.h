// Ownership of a MuJoCo batch.

#ifndef MBMF_SRC_PHYSICS_MUJOCO_BATCH_H_
#define MBMF_SRC_PHYSICS_MUJOCO_BATCH_H_

#include <mujoco/mjbatch.h>
#include <mujoco/mujoco.h>
#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "mbmf/base/error.h"
#include "physics/timers.h"

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace mbmf {

// A forked child has none of a batch's threads: there it is neither used nor freed.
struct BatchDeleter {
  pid_t process = getpid();
  void operator()(mjBatch* batch) const {
    if (getpid() == process) mjb_deleteBatch(batch);
  }
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

#ifdef __SANITIZE_THREAD__
inline void release_to(char* mark) { __tsan_release(mark); }
inline void acquire_from(char* mark) { __tsan_acquire(mark); }
#else
inline void release_to(char*) {}
inline void acquire_from(char*) {}
#endif

// mjb_apply: runs func on simulations `ids` (nid; null: all) on the batch's threads, without timers, and
// returns how many failed. Throws mbmf::Error in a forked child.
//
// MuJoCo's release is built without the thread sanitizer, which therefore does not see that mjb_apply starts
// its calls after the caller's writes and returns after theirs. Here it is told; the calls stay unordered
// among themselves, so that a race between two simulations is still found.
inline int apply(const Batch& owner, const int* ids, int nid, mjfBatchFunc func, void* arg, int save) {
  if (getpid() != owner.get_deleter().process) {
    throw Error("simulations must be used in the process that made them, got a call after a fork");
  }
  struct Call {
    mjfBatchFunc func;
    void* arg;
    char begin, end;
  } call{func, arg, 0, 0};
  prepare_timers();
  release_to(&call.begin);
  const int failed = mjb_apply(
      owner.get(), ids, nid,
      [](const mjModel* m, mjData* d, int sim, void* data) {
        Call* each = static_cast<Call*>(data);
        set_timers(false);
        acquire_from(&each->begin);
        each->func(m, d, sim, each->arg);
        release_to(&each->end);
      },
      &call, save);
  acquire_from(&call.end);
  set_timers(true);  // the caller's thread is one of the batch's
  return failed;
}

}  // namespace mbmf

#endif  // MBMF_SRC_PHYSICS_MUJOCO_BATCH_H_
