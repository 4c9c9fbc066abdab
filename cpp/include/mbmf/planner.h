// Random-shooting model-predictive control (paper section IV-C).
//
// A plan is a pure function of (model, task, state, seed, episode, step): the same bits on any number of threads. A
// tile of candidates is sampled, rolled forward and scored in one pass; nothing of size candidates x horizon is stored.

#ifndef MBMF_PLANNER_H_
#define MBMF_PLANNER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/dynamics.h"
#include "mbmf/task.h"
#include "mbmf/thread_pool.h"

namespace mbmf {

struct PlannerOptions {
  int horizon = 20;
  std::int64_t candidates = 1000;
  std::uint64_t seed = 0;
  int nthread = 0;  // 0: one for every CPU
};

struct Plan {
  std::int64_t candidate = 0;  // the best one; ties go to the lowest
  double cost = 0;             // its cost
  std::vector<float> actions;  // (horizon, naction)
  std::vector<float> states;   // (horizon + 1, nstate), predicted
};

class RandomShooting {
 public:
  // Throws std::invalid_argument on counts out of range and on a model whose sizes are not the task's.
  RandomShooting(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics, PlannerOptions options);
  ~RandomShooting();

  const PlannerOptions& options() const;
  const Task& task() const;
  std::shared_ptr<const Task> shared_task() const;

  // The best candidate from state (nstate) at a step of an episode. Throws std::invalid_argument on a non-finite
  // state and mbmf::Error if no candidate has a finite cost. Not thread-safe.
  void plan(const double* state, std::uint64_t episode, std::uint64_t step, Plan* plan);

  // The first actions of the best candidates of n states: states (n, nstate), episodes (n), steps (n) ->
  // actions (n, naction), costs (n). The same as n calls of plan.
  void plan_batch(const double* states, const std::uint64_t* episodes, const std::uint64_t* steps, std::int64_t n,
                  float* actions, double* costs);

  // The actions of candidates [first, first + count) at (episode, step): out (count, horizon, naction).
  void sample(std::uint64_t episode, std::uint64_t step, std::int64_t first, std::int64_t count, float* out) const;

  // The costs of all candidates: out (candidates). For tests and inspection; `plan` keeps none of them.
  void costs(const double* state, std::uint64_t episode, std::uint64_t step, double* out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_PLANNER_H_
