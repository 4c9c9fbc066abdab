// Model-predictive control (paper section IV-C): a search over action sequences, rolled through a model.
//
// A planner is a search (what candidates to try) and a roller (what they cost): make_planner puts them
// together. Candidates are rolled in tiles on all threads; nothing of size candidates x horizon x state is
// stored.

#ifndef MBMF_PLANNING_PLANNER_H_
#define MBMF_PLANNING_PLANNER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mbmf/model/dynamics.h"
#include "mbmf/model/policy.h"
#include "mbmf/model/value.h"
#include "mbmf/planning/query.h"
#include "mbmf/planning/search.h"
#include "mbmf/task/task.h"

namespace mbmf {

struct PlannerOptions {
  int horizon = 20;
  std::int64_t candidates = 1000;  // of the first round
  std::uint64_t seed = 0;
  int nthread = 0;  // 0: one for every CPU
  std::string search = "random_shooting";
  std::map<std::string, double> settings = {};   // of the search, by name; what is not there is its default
  std::shared_ptr<const Value> value = nullptr;  // of a candidate's last state; null: the horizon ends there
  // Some candidates of the first round are what this policy does in the model, in place of drawn ones; null:
  // none are. It must observe what the task does.
  std::shared_ptr<const GaussianPolicy> policy = nullptr;
  std::int64_t proposals = 0;  // how many, 1 to the candidates; 0 without a policy
};

// Where the time of a plan went, nanoseconds.
struct PlanTimes {
  std::int64_t total = 0;
  std::int64_t rounds = 0;      // candidates drawn and rolled, on all threads
  std::int64_t proposing = 0;   // of that, drawing them: summed over the threads
  std::int64_t predicting = 0;  // Plan::states
};

// What of a planner knows its task (src/planning/task_parts.h).
struct TaskParts;
using MakeTaskParts = std::function<TaskParts(std::shared_ptr<const Task>)>;

// What makes plans (src/planning/engine.h).
struct Engine;

// The costs of n candidates, in place of the task's: states (n, horizon + 1, nstate), actions (n, horizon,
// naction) -> costs (n). Called on the thread that plans; may throw.
using CostFunction =
    std::function<void(const float* states, const float* actions, std::int64_t n, double* costs)>;

// One thread at a time: a call while another one runs, or after a fork, throws mbmf::Error.
class Planner {
 public:
  // See make_planner. make: of this task, and of each that the planner goes on with.
  Planner(std::shared_ptr<const Task> task, MakeTaskParts make, std::unique_ptr<Search> search,
          const PlannerOptions& options);
  ~Planner();

  const PlannerOptions& options() const;
  const Search& search() const;
  const Task& task() const;
  const std::shared_ptr<const Task>& shared_task() const;

  // Whether a start is an integration-state row of the simulator instead of a state, and its size.
  bool starts_from_row() const;
  int start_size() const;

  // Candidates of a plan at most, over all rounds.
  std::int64_t most_candidates() const;

  // An empty memory with room for what the search keeps.
  PlanMemory make_memory() const;

  // Searches. memory: of the episode's plan before, and then of this one; null: there is none, and none is
  // kept. Takes no lock and allocates nothing after the first call if the memory is from make_memory and
  // `plan` is that of a call before. Throws std::invalid_argument on a query that cannot be or a memory of
  // another planner, and mbmf::Error if no candidate has a finite cost; the memory is then as it was.
  void plan(const PlanQuery& query, PlanMemory* memory, Plan* plan);
  // The same for a control loop: false, and no exception, where no candidate has a finite cost.
  bool try_plan(const PlanQuery& query, PlanMemory* memory, Plan* plan);
  // n plans that do not depend on each other, each as `plan` would make it: queries (n) without deadlines,
  // memories (n) or null, plans (n). They share the threads. found (n): 0, and no exception, where no
  // candidate has a finite cost.
  void plan_batch(const PlanQuery* queries, std::int64_t n, PlanMemory* const* memories, Plan* plans,
                  std::uint8_t* found = nullptr);
  // A plan, and its rounds as they were.
  std::vector<RoundTrace> trace(const PlanQuery& query, PlanMemory* memory, Plan* plan);

  // The costs of given sequences (n, horizon, naction) in [-1, 1]: out (n); not finite where one cannot be
  // rolled.
  void roll(const PlanQuery& query, const float* sequences, std::int64_t n, double* out);

  // The costs of the first round's candidates, of an episode's first plan.
  std::vector<double> costs(const PlanQuery& query);

  // The actions of the first round's candidates [first, first + count) of an episode's first plan, at
  // (episode, step), as they are without a policy: out (count, horizon, naction).
  void sample(std::uint64_t episode, std::uint64_t step, std::int64_t first, std::int64_t count, float* out);

  // Called on the planning thread about twenty times a second during calls that last, to end them by
  // throwing; for Ctrl-C. The planner is usable afterwards.
  void set_check(std::function<void()> check);

  // Goes on with another task of the same robot and state: another path or another cost. Throws
  // std::invalid_argument, and goes on with the task that it has, if the sizes of states, actions and
  // simulated starts differ, or those of the observations of a policy that proposes; so it does where memory
  // runs out.
  void set_task(std::shared_ptr<const Task> task);

  // Bytes of working memory of a thread, with all that the threads share; the packed weights are not in it.
  // It grows with the horizon (the actions of one call of the kernels), and for random shooting not with the
  // number of candidates.
  std::int64_t scratch_bytes() const;

  // Where the model expects the robot to be after some actions: state (nstate), actions (steps, naction) ->
  // predicted (nstate), which may be the state itself. steps at most the horizon or 64. Does not allocate.
  // Throws std::invalid_argument where the model is not a learned one.
  void roll_forward(const double* state, const float* actions, int steps, double* predicted);

  // Of the last plan or batch.
  const PlanTimes& times() const;

  // Of all plans so far: proposals of the policy that were left out, since they were not finite.
  std::int64_t proposals_left_out() const;

  // The least that a plan with a deadline takes (the fewest candidates, the choice of the best, without
  // predicted states), measured from a start: the median of some plans. Seconds.
  double shortest_plan(const double* start);

  // The worker threads (calls run on the caller's thread besides), to set priorities and CPUs.
  std::vector<std::thread::native_handle_type> thread_handles();

 private:
  std::unique_ptr<Engine> engine_;
};

// Throws what make_planner would throw of the options' search and sizes for this task.
void check_search(const Task& task, const PlannerOptions& options);

// A planner as the options say, with the search that they name or one of one's own (options.search and
// settings are then not read). Candidates are rolled through a learned model, in the vector kernels; through
// it with a cost function; or through MuJoCo itself, the upper bound that a learned model is measured
// against, whose starts are integration-state rows (Simulator::get_state).
//
// Throw std::invalid_argument on a model whose sizes are not the task's, sizes out of range, an unknown
// search, and settings that are unknown, out of range, or do not fit together; mbmf::Error if MuJoCo fails.
std::unique_ptr<Planner> make_planner(std::shared_ptr<const Task> task,
                                      std::shared_ptr<const Dynamics> dynamics, const PlannerOptions& options,
                                      std::unique_ptr<Search> search = nullptr);
std::unique_ptr<Planner> make_planner(std::shared_ptr<const Task> task,
                                      std::shared_ptr<const Dynamics> dynamics, CostFunction cost,
                                      const PlannerOptions& options,
                                      std::unique_ptr<Search> search = nullptr);
std::unique_ptr<Planner> make_simulator_planner(std::shared_ptr<const Task> task,
                                                const PlannerOptions& options,
                                                std::unique_ptr<Search> search = nullptr);

}  // namespace mbmf

#endif  // MBMF_PLANNING_PLANNER_H_
