#include <algorithm>
#include <utility>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "mbmf/planning/planner.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMaxCandidates = 100'000'000;
constexpr int kMaxHorizon = 10'000;

}  // namespace

Planner::Planner(std::shared_ptr<const Task> task, const PlannerOptions& options)
    : task_(std::move(task)), options_(options) {
  if (options.horizon < 1 || options.horizon > kMaxHorizon) {
    throw_invalid("horizon must be in [1, ", kMaxHorizon, "], got ", options.horizon);
  }
  if (options.candidates < 1 || options.candidates > kMaxCandidates) {
    throw_invalid("candidates must be in [1, ", kMaxCandidates, "], got ", options.candidates);
  }
}

void Planner::plan(const double*, std::uint64_t, std::uint64_t, const PlanLimits&, Plan*) {
  throw_invalid("limits must not be given to a planner through the simulator, got some");
}

void shift_plan(const float* actions, int horizon, int naction, float* shifted) {
  const std::ptrdiff_t moved = static_cast<std::ptrdiff_t>(horizon - 1) * naction;
  std::copy(actions + naction, actions + naction + moved, shifted);
  if (shifted != actions) std::copy_n(actions + moved, naction, shifted + moved);
}

void Planner::replace_task(std::shared_ptr<const Task> task) {
  if (task->nstate() != task_->nstate() || task->naction() != task_->naction()) {
    throw_invalid("task must have ", task_->nstate(), " states and ", task_->naction(), " actions, got ",
                  task->nstate(), " and ", task->naction());
  }
  task_ = std::move(task);
}

void Planner::sample(std::uint64_t episode, std::uint64_t step, std::int64_t first, std::int64_t count,
                     float* out) const {
  if (first < 0 || count < 0 || count > options_.candidates || first > options_.candidates - count) {
    throw_invalid("first and count must name candidates in [0, ", options_.candidates, "), got ", first,
                  " and ", count);
  }
  const kernel::Table& table = select_kernels();
  const PhiloxKey key = derive_key(options_.seed, Stream::kPlan, episode);
  const std::uint32_t step_words[2] = {static_cast<std::uint32_t>(step),
                                       static_cast<std::uint32_t>(step >> 32)};
  const int naction = task_->naction();
  const std::int64_t size = static_cast<std::int64_t>(options_.horizon) * naction;
  for (std::int64_t done = 0; done < count; done += table.tile) {
    table.sample(key.data(), step_words, static_cast<std::uint32_t>(first + done),
                 static_cast<int>(std::min<std::int64_t>(table.tile, count - done)), options_.horizon,
                 naction, out + done * size);
  }
}

}  // namespace mbmf
