// Random-shooting model-predictive control (paper section IV-C).
//
// A plan is a pure function of (model, task, state, seed, episode, step): the same bits on any number of
// threads. A tile of candidates is sampled, rolled forward and scored in one pass; nothing of size candidates
// x horizon is stored.

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

// A search over random candidates; see RandomShooting and SimulatorShooting for what rolls them forward. Not
// thread-safe.
class Planner {
 public:
  virtual ~Planner() = default;

  const PlannerOptions& options() const { return options_; }
  const Task& task() const { return *task_; }
  const std::shared_ptr<const Task>& shared_task() const { return task_; }

  // Whether a start is an integration-state row of the simulator instead of a state, and its size.
  virtual bool starts_from_row() const = 0;
  virtual int start_size() const = 0;

  // The best candidate from a start (start_size) at a step of an episode. Throws std::invalid_argument on a
  // non-finite start and mbmf::Error if no candidate has a finite cost.
  virtual void plan(const double* start, std::uint64_t episode, std::uint64_t step, Plan* plan) = 0;

  // The first actions of the best candidates of n starts: starts (n, start_size), episodes (n), steps (n) ->
  // actions (n, naction), costs (n). The same as n calls of plan.
  virtual void plan_batch(const double* starts, const std::uint64_t* episodes, const std::uint64_t* steps,
                          std::int64_t n, float* actions, double* costs) = 0;

  // The costs of all candidates: out (candidates). For tests and inspection; `plan` keeps none of them.
  virtual void costs(const double* start, std::uint64_t episode, std::uint64_t step, double* out) = 0;

  // The actions of candidates [first, first + count) at (episode, step): out (count, horizon, naction).
  void sample(std::uint64_t episode, std::uint64_t step, std::int64_t first, std::int64_t count,
              float* out) const;

 protected:
  // Throws std::invalid_argument on counts out of range.
  Planner(std::shared_ptr<const Task> task, const PlannerOptions& options);

 private:
  std::shared_ptr<const Task> task_;
  PlannerOptions options_;
};

// Rolls candidates through a learned model, in the vector kernels; starts are states.
class RandomShooting : public Planner {
 public:
  // Throws std::invalid_argument on counts out of range and on a model whose sizes are not the task's.
  RandomShooting(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics,
                 PlannerOptions options);
  ~RandomShooting() override;

  bool starts_from_row() const override { return false; }
  int start_size() const override { return task().nstate(); }
  void plan(const double* start, std::uint64_t episode, std::uint64_t step, Plan* plan) override;
  void plan_batch(const double* starts, const std::uint64_t* episodes, const std::uint64_t* steps,
                  std::int64_t n, float* actions, double* costs) override;
  void costs(const double* start, std::uint64_t episode, std::uint64_t step, double* out) override;

  // Bytes of working memory of a thread, with all that the threads share; the packed weights are not in it.
  std::int64_t scratch_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_PLANNER_H_
