// What candidates cost. A roller knows nothing of where they come from.

#ifndef MBMF_SRC_PLANNING_ROLLER_H_
#define MBMF_SRC_PLANNING_ROLLER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/planning/planner.h"
#include "planning/planner_path.h"

namespace mbmf {

// In place of a position: of a sequence that is no candidate.
constexpr std::uint32_t kNoPosition = 0xFFFFFFFF;

// How many candidates are worth rolling at once: `unit` at least, `chunk` at most.
struct Grain {
  int unit;
  int tile;
  int chunk;
};

class Roller {
 public:
  virtual ~Roller() = default;

  virtual bool starts_from_row() const { return false; }
  virtual int start_size() const = 0;
  // For rounds of at most so many candidates.
  virtual Grain grain(std::int64_t most) const = 0;
  // Threads that `roll` may be called on; 0: as many as the planner has.
  virtual int nthread() const { return 0; }
  // Why a plan may find no candidate of finite cost.
  virtual const char* cause() const = 0;

  // Makes room: plans begin in any of `nslot` slots, up to `njob` in each, and are rolled on `nthread`
  // threads. A thread that is left behind may go on reading its slot.
  virtual void reserve(int nslot, int njob, int nthread) = 0;
  // Takes so many candidates at once too, before `reserve`: what a planner was told that it may ask for.
  virtual void widen(int chunk) { static_cast<void>(chunk); }

  // Takes a query's start and path. Throws std::invalid_argument on a start that is not finite.
  virtual void begin(int slot, int job, const PlanQuery& query) = 0;
  // The costs of positions first .. first + count - 1 of a proposal, count at most the grain's chunk.
  virtual void roll(int slot, int job, const Proposal& proposal, std::int64_t first, int count, int thread,
                    double* costs) = 0;

  // One sequence (horizon, naction) by itself, on the caller's thread: the same cost as in a round.
  struct Followed {
    double cost = 0;
    bool moved = false;  // along the path
    int segment = 0;     // of the next plan
  };
  virtual Followed follow(int slot, int job, const PlanQuery& query, const float* actions) = 0;
  // Its states: (horizon + 1, nstate).
  virtual void predict(int slot, int job, const float* actions, float* states) = 0;

  virtual void roll_forward(const double* state, const float* actions, int steps, double* predicted);
  virtual std::int64_t scratch_bytes() const { return 0; }
  // Nanoseconds that drawing took on all threads, where that is known.
  virtual std::int64_t proposing_ns() const { return 0; }
};

// One file each.
std::unique_ptr<Roller> make_model_roller(std::shared_ptr<const Task> task,
                                          std::shared_ptr<const Dynamics> dynamics,
                                          const PlannerOptions& options);
std::unique_ptr<Roller> make_function_roller(std::shared_ptr<const Task> task,
                                             std::shared_ptr<const Dynamics> dynamics, CostFunction cost,
                                             const PlannerOptions& options);
std::unique_ptr<Roller> make_simulator_roller(std::shared_ptr<const Task> task,
                                              const PlannerOptions& options);

// Throws std::invalid_argument on counts out of range, and on a model whose sizes are not the task's.
void check_sizes(const PlannerOptions& options, const Task& task);
void check_sizes(const PlannerOptions& options, const Task& task, const Dynamics& dynamics);

// The path of a query: its own, or the task's; null where there is none. Throws std::invalid_argument on one
// that was made for another task.
const std::shared_ptr<const PlannerPath>& path_of(const PlanQuery& query,
                                                  const std::shared_ptr<const PlannerPath>& of_task);

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_ROLLER_H_
