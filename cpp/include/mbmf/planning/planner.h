// Random-shooting model-predictive control (paper section IV-C).
//
// A plan is a pure function of (model, task, state, seed, episode, step): the same bits on any number of
// threads. A tile of candidates is sampled, rolled forward and scored in one pass; nothing of size candidates
// x horizon is stored.

#ifndef MBMF_PLANNING_PLANNER_H_
#define MBMF_PLANNING_PLANNER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mbmf/base/thread_pool.h"
#include "mbmf/model/dynamics.h"
#include "mbmf/task/task.h"

namespace mbmf {

struct PlannerOptions {
  int horizon = 20;
  std::int64_t candidates = 1000;
  std::uint64_t seed = 0;
  int nthread = 0;  // 0: one for every CPU
};

// A path in place of the task's, as a planner reads it. Made once, away from the control loop, and given to
// any plan of that task; immutable.
class PlannerPath;

// Throws std::invalid_argument unless the task follows a path, this one is valid (check_path), and both read
// the same states.
std::shared_ptr<const PlannerPath> make_planner_path(const Task& task, const PathCost& path);

// What ends a search before all candidates are searched, and what it starts from. The candidates that were
// searched are always the first so many, so a plan that ended at a deadline is the plan of exactly
// Plan::candidates_done candidates, bit for bit.
struct PlanLimits {
  // When the call must have returned. At least one vector of candidates is searched, in time or not.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::int64_t candidates = 0;  // at most; 0: the planner's number
  // (horizon, naction) in [-1, 1], or null: what candidate 0 is in place of random actions, as a rule the
  // last plan shifted by one step (shift_plan)
  const float* warm = nullptr;
  bool predict = true;  // Plan::states; without them there is time for some more candidates
  PathStart at = {};    // on the path
  // Followed in place of the task's path; null: the task's. The planner keeps it until later plans have taken
  // its place: hold it too where a plan must not free memory.
  std::shared_ptr<const PlannerPath> path = nullptr;
};

struct Plan {
  std::int64_t candidate = 0;        // the best one; ties go to the lowest
  double cost = 0;                   // its cost
  std::int64_t candidates_done = 0;  // candidates 0 .. candidates_done - 1 were searched
  std::vector<float> actions;        // (horizon, naction)
  std::vector<float> states;         // (horizon + 1, nstate), predicted; empty where not asked for

  // on a path
  bool moved = false;  // the best candidate moved on from the segment where it began
  int segment = 0;     // where the next plan begins (next_segment in mbmf/task/path.h)
};

// The last plan's actions (horizon, naction) one step later; the last action is repeated. May be in place.
void shift_plan(const float* actions, int horizon, int naction, float* shifted);

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

  // The best candidate from a start (start_size) at a step of an episode; `at` says where it is on the task's
  // path, if there is one. Throws std::invalid_argument on a start that is not finite or a segment below 0,
  // and mbmf::Error if no candidate has a finite cost.
  virtual void plan(const double* start, std::uint64_t episode, std::uint64_t step, const PathStart& at,
                    Plan* plan) = 0;
  void plan(const double* start, std::uint64_t episode, std::uint64_t step, Plan* out) {
    plan(start, episode, step, PathStart{}, out);
  }

  // The same within limits, which also say where the start is on the path. Throws std::invalid_argument also
  // on limits out of range, and where the planner knows no deadlines (SimulatorShooting).
  virtual void plan(const double* start, std::uint64_t episode, std::uint64_t step, const PlanLimits& limits,
                    Plan* plan);

  // The first actions of the best candidates of n starts: starts (n, start_size), episodes (n), steps (n), at
  // (n) or null -> actions (n, naction), costs (n), segments (n) of the next plans, if not null. The same as
  // n calls of plan.
  virtual void plan_batch(const double* starts, const std::uint64_t* episodes, const std::uint64_t* steps,
                          const PathStart* at, std::int64_t n, float* actions, double* costs,
                          std::int32_t* segments) = 0;
  void plan_batch(const double* starts, const std::uint64_t* episodes, const std::uint64_t* steps,
                  std::int64_t n, float* actions, double* costs) {
    plan_batch(starts, episodes, steps, nullptr, n, actions, costs, nullptr);
  }

  // The costs of all candidates: out (candidates). For tests and inspection; `plan` keeps none of them.
  virtual void costs(const double* start, std::uint64_t episode, std::uint64_t step, const PathStart& at,
                     double* out) = 0;
  void costs(const double* start, std::uint64_t episode, std::uint64_t step, double* out) {
    costs(start, episode, step, PathStart{}, out);
  }

  // Goes on with another task of the same robot and state: another path or another cost. Throws
  // std::invalid_argument if its sizes differ.
  virtual void set_task(std::shared_ptr<const Task> task) = 0;

  // The actions of candidates [first, first + count) at (episode, step): out (count, horizon, naction).
  void sample(std::uint64_t episode, std::uint64_t step, std::int64_t first, std::int64_t count,
              float* out) const;

 protected:
  // Throws std::invalid_argument on counts out of range.
  Planner(std::shared_ptr<const Task> task, const PlannerOptions& options);

  // For set_task: throws as it does.
  void replace_task(std::shared_ptr<const Task> task);

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
  using Planner::costs;
  using Planner::plan;
  using Planner::plan_batch;
  void plan(const double* start, std::uint64_t episode, std::uint64_t step, const PathStart& at,
            Plan* plan) override;
  // Takes no lock and allocates nothing after the first call.
  void plan(const double* start, std::uint64_t episode, std::uint64_t step, const PlanLimits& limits,
            Plan* plan) override;
  void plan_batch(const double* starts, const std::uint64_t* episodes, const std::uint64_t* steps,
                  const PathStart* at, std::int64_t n, float* actions, double* costs,
                  std::int32_t* segments) override;
  void costs(const double* start, std::uint64_t episode, std::uint64_t step, const PathStart& at,
             double* out) override;
  void set_task(std::shared_ptr<const Task> task) override;

  // Bytes of working memory of a thread, with all that the threads share; the packed weights are not in it.
  std::int64_t scratch_bytes() const;

  // The same, for a control loop: false, and no exception, where no candidate has a finite cost.
  bool try_plan(const double* state, std::uint64_t episode, std::uint64_t step, const PlanLimits& limits,
                Plan* plan);

  // Where the model expects the robot to be after some actions: state (nstate), actions (steps, naction) ->
  // predicted (nstate), which may be the state itself. steps at most the horizon or 64. Does not allocate.
  void roll_forward(const double* state, const float* actions, int steps, double* predicted);

  // The least that a plan with a deadline takes (one vector of candidates, the choice of the best, without
  // predicted states), measured from a state: the median of some plans. Seconds.
  double shortest_plan(const double* state);

  // The planner's worker threads (its calls run on the caller's thread besides), to set priorities and CPUs.
  std::vector<std::thread::native_handle_type> thread_handles();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_PLANNING_PLANNER_H_
