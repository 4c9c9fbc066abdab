// Long work that reports progress and can be stopped.

#ifndef MBMF_SRC_ROLLOUT_WATCHED_RUN_H_
#define MBMF_SRC_ROLLOUT_WATCHED_RUN_H_

#include <cstdint>
#include <functional>

#include "mbmf/rollout/rollout.h"

namespace mbmf {

// Runs `work`, which must not throw, on a thread of its own, so that progress is reported on time however
// long a step takes. Calls progress(steps_done()) from the caller's thread about ten times a second and once
// at the end; once it returns false or throws, calls stop(), after which work must return soon. Throws what
// progress threw, and mbmf::Error if it returned false.
void run_watched(const std::function<void()>& work, const std::function<std::int64_t()>& steps_done,
                 const std::function<void()>& stop, const Progress& progress);

}  // namespace mbmf

#endif  // MBMF_SRC_ROLLOUT_WATCHED_RUN_H_
