#include "planning/roller.h"

#include <algorithm>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMaxCandidates = 100'000'000;
constexpr int kMaxHorizon = 10'000;
constexpr std::int64_t kMaxProposals = 10'000;

}  // namespace

void check_sizes(const PlannerOptions& options, const Task& task) {
  if (options.horizon < 1 || options.horizon > kMaxHorizon) {
    throw_invalid("horizon must be in [1, ", kMaxHorizon, "], got ", options.horizon);
  }
  if (options.candidates < 1 || options.candidates > kMaxCandidates) {
    throw_invalid("candidates must be in [1, ", kMaxCandidates, "], got ", options.candidates);
  }
  if (std::int64_t{options.horizon} * task.naction() > kMaxDraws) {
    throw_invalid("horizon times the task's ", task.naction(), " actions must be at most ", kMaxDraws,
                  ", got ", std::int64_t{options.horizon} * task.naction());
  }
  if (options.value != nullptr && options.value->nstate() != task.nstate()) {
    throw_invalid("the value must be of the task's ", task.nstate(), " states, got ",
                  options.value->nstate());
  }
  if (options.policy == nullptr) {
    if (options.proposals != 0)
      throw_invalid("proposals must be 0 without a policy, got ", options.proposals);
    return;
  }
  if (options.policy->nobservation() != task.nobservation() || options.policy->naction() != task.naction()) {
    throw_invalid("the policy must be of the task's ", task.nobservation(), " observations and ",
                  task.naction(), " actions, got ", options.policy->nobservation(), " and ",
                  options.policy->naction());
  }
  const std::int64_t most = std::min(options.candidates, kMaxProposals);
  if (options.proposals < 1 || options.proposals > most) {
    throw_invalid("proposals must be in [1, ", most, "], the candidates at most, got ", options.proposals);
  }
}

void check_sizes(const PlannerOptions& options, const Task& task, const Dynamics& dynamics) {
  check_sizes(options, task);
  if (dynamics.nstate() != task.nstate() || dynamics.naction() != task.naction()) {
    throw_invalid("the model must have the task's ", task.nstate(), " states and ", task.naction(),
                  " actions, got ", dynamics.nstate(), " and ", dynamics.naction());
  }
}

const std::shared_ptr<const PlannerPath>& path_of(const PlanQuery& query,
                                                  const std::shared_ptr<const PlannerPath>& of_task) {
  if (!query.path) return of_task;
  if (!of_task || !same_states(query.path->cost(), of_task->cost())) {
    throw_invalid("query.path must be one made for the task (make_planner_path), got another task's");
  }
  return query.path;
}

void Roller::roll_forward(const double*, const float*, int, double*) {
  throw_invalid("the planner's model must be a learned one to roll a state forward, got another");
}

}  // namespace mbmf
