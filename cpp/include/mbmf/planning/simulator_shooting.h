// Random shooting through MuJoCo itself: the upper bound that a learned model is measured against.
//
// The same candidates as RandomShooting for the same seed, rolled forward by the simulator in float64; a
// start is an integration-state row (Simulator::get_state), since a task's state need not say all that MuJoCo
// must know.

#ifndef MBMF_PLANNING_SIMULATOR_SHOOTING_H_
#define MBMF_PLANNING_SIMULATOR_SHOOTING_H_

#include <memory>

#include "mbmf/planning/planner.h"

namespace mbmf {

class SimulatorShooting : public Planner {
 public:
  // Throws std::invalid_argument on counts out of range and mbmf::Error if MuJoCo fails.
  SimulatorShooting(std::shared_ptr<const Task> task, PlannerOptions options);
  ~SimulatorShooting() override;

  bool starts_from_row() const override { return true; }
  int start_size() const override;

  // A candidate whose simulation diverges has no finite cost. The plan's states are those that MuJoCo
  // reached.
  using Planner::costs;
  using Planner::plan;
  using Planner::plan_batch;
  void plan(const double* start, std::uint64_t episode, std::uint64_t step, const PathStart& at,
            Plan* plan) override;
  void plan_batch(const double* starts, const std::uint64_t* episodes, const std::uint64_t* steps,
                  const PathStart* at, std::int64_t n, float* actions, double* costs,
                  std::int32_t* segments) override;
  void costs(const double* start, std::uint64_t episode, std::uint64_t step, const PathStart& at,
             double* out) override;
  void set_task(std::shared_ptr<const Task> task) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_PLANNING_SIMULATOR_SHOOTING_H_
