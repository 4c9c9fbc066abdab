// The engine of plans: rounds of a search, rolled on all threads, for one plan or many, with a deadline or
// none.

#ifndef MBMF_SRC_PLANNING_ENGINE_H_
#define MBMF_SRC_PLANNING_ENGINE_H_

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "mbmf/planning/planner.h"
#include "planning/anytime.h"
#include "planning/candidates.h"
#include "planning/task_parts.h"

namespace mbmf {

struct Engine {
  std::shared_ptr<const Task> task;
  MakeTaskParts make;
  TaskParts parts;  // of the task
  std::unique_ptr<Search> search;
  PlannerOptions options;
  PlanShape shape;
  const kernel::Table& table;
  ThreadPool pool;
  std::int64_t most, most_keep;  // of a round; most_keep 0: all
  AnytimeRound anytime;
  std::function<void()> between_pieces;  // of costs, to end a call by throwing; or empty
  Maker maker;

  // one plan of those that are made at once
  struct Job {
    PlanQuery query;
    PlanMemory* memory = nullptr;
    Plan* plan = nullptr;
    std::unique_ptr<Search::Work> work;
    std::int64_t asked = 0;     // of this round
    std::int64_t done = 0;      // rolled in all
    std::int64_t limit = 0;     // on that
    int rounds = 0, slot = -1;  // begun; that the last one was in
    bool over = false, found = false;
    std::vector<float> proposals;  // of the policy (options.proposals, horizon, naction)
    int nproposal = 0;             // of them, those that are candidates
  };
  std::vector<Job> jobs;
  std::vector<ProposalStore> stores;  // (nslot, jobs)
  std::vector<std::int64_t> counts;   // (jobs)
  std::vector<Scored> scored;
  PlanMemory none;  // where the caller keeps no memory
  PlanTimes times;
  CostEstimate update, choose, predict;  // what follows a round; the search; that
  std::int64_t proposals_left_out = 0;
  std::atomic<bool> busy{false};
  const pid_t process = getpid();

  Engine(std::shared_ptr<const Task> task_in, MakeTaskParts make_in, std::unique_ptr<Search> search_in,
         const PlannerOptions& o);

  ~Engine() { wait(); }

  static std::int64_t most_of(const Search& search);

  static std::int64_t most_keep_of(const Search& search);

  void wait();

  void reserve(std::size_t njob);

  // Goes on with another task, or where that throws with the one that it has.
  void set_task(std::shared_ptr<const Task> other);

  ProposalStore& store(int slot, std::size_t job) {
    return stores[static_cast<std::size_t>(slot) * jobs.size() + job];
  }

  PlanMemory make_memory() const;

  void check(const PlanQuery& query) const;

  // the steps since the plan that filled a memory
  std::uint64_t shift_of(const PlanMemory& memory, const PlanQuery& query) const;

  void begin(Job& job, const PlanQuery& query, PlanMemory* memory, Plan* plan);

  // What the policy proposes to the n first jobs, which have begun. alone: on the caller's thread, since a
  // worker may lose its CPU and the caller would wait for it.
  void ask_policy(std::size_t n, bool alone);

  // Asks for the next round of a job and copies what it is made of into a slot; its candidates.
  std::int64_t fill(int number, std::size_t index, int slot);

  // The candidates of a job's next round, ready to be rolled in a slot; 0 if it is over.
  std::int64_t propose(int number, std::size_t index, int slot);

  static void roll(const void* context, int slot, int job, std::int64_t first, int count, int thread,
                   double* costs);

  // shows the search what a round of a job cost
  void take_costs(int number, std::size_t index, int slot, std::vector<RoundTrace>* traces);

  // costs of positions 0 .. n - 1 of a proposal; may be ended by `between_pieces`
  void roll_all(int slot, int job, const Proposal& proposal, std::int64_t n, double* out);

  // What is executed, what it leads to, and what is remembered.
  void finish(std::size_t index);

  // when the rounds of a plan must be over, with time for what follows
  Nanoseconds stop_of(const PlanQuery& query) const;

  // The n first jobs, which have begun, round by round.
  void run(std::size_t n, std::vector<RoundTrace>* traces);

  void require_found(const Job& job) const;

  // One thread at a time, and none after a fork.
  class Guard {
   public:
    explicit Guard(Engine* engine) : engine_(engine) {
      if (getpid() != engine->process) {
        throw Error("a planner must be used in the process that made it, got a call after a fork");
      }
      if (engine->busy.exchange(true, std::memory_order_acquire)) {
        throw Error("a planner must be used by one thread at a time, got a call while another one runs");
      }
    }
    ~Guard() { engine_->busy.store(false, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Engine* engine_;
  };
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_ENGINE_H_
