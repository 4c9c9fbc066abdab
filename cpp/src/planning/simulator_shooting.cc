#include "mbmf/planning/simulator_shooting.h"

#include <mujoco/mjbatch.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "physics/mujoco_batch.h"
#include "physics/stepper.h"
#include "planning/best_candidate.h"
#include "task/cost_walk.h"

namespace mbmf {

// One simulation a thread, each of which takes candidate after candidate until none is left.
struct SimulatorShooting::Impl {
  const Task& task;
  const PlannerOptions& options;
  int nthread;
  Batch batch;
  std::vector<double> state, action;  // per simulation (nstate), (naction)
  std::vector<std::int64_t> current;  // candidate that each simulation rolls
  std::vector<BestCandidate> best;    // per simulation
  std::atomic<std::int64_t> next{0};

  // of the search that runs
  const double* start = nullptr;
  PhiloxKey key{};
  std::uint64_t step = 0;
  PathStart at{};
  double* all_costs = nullptr;  // (candidates) or null

  Impl(const Task& task_in, const PlannerOptions& options_in)
      : task(task_in),
        options(options_in),
        nthread(
            static_cast<int>(std::min<std::int64_t>(resolve_nthread(options.nthread), options.candidates))),
        batch(make_batch(task.model(), nthread, nthread)),
        state(static_cast<std::size_t>(nthread) * task.nstate()),
        action(static_cast<std::size_t>(nthread) * task.naction()),
        current(static_cast<std::size_t>(nthread)),
        best(static_cast<std::size_t>(nthread)) {}

  // rolls one candidate again, for what the search does not keep
  struct Again {
    Impl* impl;
    std::uint32_t candidate;
    float* states;         // (horizon + 1, nstate) or null
    bool moved = false;    // along the path
    int next_segment = 0;  // of the path
  };

  // one candidate: its cost, infinite where the simulation diverges. Runs inside mjb_apply: holds no
  // destructor.
  double roll(mjData* d, std::uint32_t candidate, double* s, double* a, Again* again) {
    const int ns = task.nstate(), na = task.naction();
    mj_setState(task.model(), d, start, mjSTATE_INTEGRATION);
    task.refresh(d);
    Draws draws(key, step, candidate);
    Failure failure;
    double cost = 0;
    CostWalk walk(task.spec(), at);
    bool dead = false;
    for (int t = 0; t <= options.horizon; ++t) {
      task.read(task.spec().state, d, s);
      if (again != nullptr && again->states != nullptr) {
        for (int i = 0; i < ns; ++i) again->states[t * ns + i] = static_cast<float>(s[i]);
      }
      if (t < options.horizon) {
        for (int i = 0; i < na; ++i) a[i] = draws.symmetric();
      }
      dead = dead || !walk.add(s, a, na, &cost);
      if (dead && again == nullptr) return cost;
      if (again != nullptr) again->moved = walk.moved();
      if (t < options.horizon && !advance(task, d, a, &failure))
        return std::numeric_limits<double>::infinity();
    }
    return cost;
  }

  static void run_one(const mjModel*, mjData* d, int sim, void* arg) {
    Impl& self = *static_cast<Impl*>(arg);
    double* s = self.state.data() + static_cast<std::ptrdiff_t>(sim) * self.task.nstate();
    double* a = self.action.data() + static_cast<std::ptrdiff_t>(sim) * self.task.naction();
    for (;;) {
      const std::int64_t candidate = self.next.fetch_add(1, std::memory_order_relaxed);
      if (candidate >= self.options.candidates) return;
      self.current[static_cast<std::size_t>(sim)] = candidate;
      const double cost = self.roll(d, static_cast<std::uint32_t>(candidate), s, a, nullptr);
      self.best[static_cast<std::size_t>(sim)].take(cost, static_cast<std::uint32_t>(candidate));
      if (self.all_costs != nullptr) self.all_costs[candidate] = cost;
    }
  }

  // the best candidate from a start; its cost is infinite if there is none
  BestCandidate search(const double* from, std::uint64_t episode, std::uint64_t step_in,
                       const PathStart& at_in, double* costs) {
    check_path_start(at_in);
    for (int i = 0; i < mjb_nstate(batch.get()); ++i) {
      if (!std::isfinite(from[i])) throw_invalid("start must be finite, got ", from[i], " at entry ", i);
    }
    start = from;
    step = step_in;
    at = at_in;
    key = derive_key(options.seed, Stream::kPlan, episode);
    all_costs = costs;
    next = 0;
    std::fill(best.begin(), best.end(), BestCandidate{});
    // an error in MuJoCo ends a simulation's turn in the middle of a candidate: that one is lost, the others
    // go on
    while (apply(batch.get(), nullptr, 0, run_one, this, 0) > 0) {
      for (std::size_t sim = 0; sim < current.size(); ++sim) {
        if (mjb_status(batch.get())[sim] != 0 && costs != nullptr) {
          costs[current[sim]] = std::numeric_limits<double>::infinity();
        }
      }
    }
    BestCandidate winner;
    for (const BestCandidate& b : best) winner.take(b.cost, b.candidate);
    return winner;
  }

  static void run_again(const mjModel*, mjData* d, int, void* arg) {
    Again& again = *static_cast<Again*>(arg);
    Impl& self = *again.impl;
    self.roll(d, again.candidate, self.state.data(), self.action.data(), &again);
    if (!self.task.spec().path) return;
    mj_setState(self.task.model(), d, self.start, mjSTATE_INTEGRATION);
    self.task.refresh(d);
    self.task.read(self.task.spec().state, d, self.state.data());
    again.next_segment = next_segment(*self.task.spec().path, self.at, self.state.data(), again.moved);
  }

  // a candidate of the search that just ran
  Again look_again(std::uint32_t candidate, float* states) {
    Again again{this, candidate, states};
    const int first = 0;
    apply(batch.get(), &first, 1, run_again, &again, 0);
    return again;
  }
};

namespace {
constexpr const char* kCause = "every candidate's simulation diverges";
}  // namespace

SimulatorShooting::SimulatorShooting(std::shared_ptr<const Task> task, PlannerOptions options)
    : Planner(std::move(task), options), impl_(std::make_unique<Impl>(this->task(), this->options())) {}

SimulatorShooting::~SimulatorShooting() = default;

int SimulatorShooting::start_size() const { return mjb_nstate(impl_->batch.get()); }

void SimulatorShooting::set_task(std::shared_ptr<const Task> task) {
  replace_task(std::move(task));
  impl_ = std::make_unique<Impl>(this->task(), options());
}

void SimulatorShooting::plan(const double* start, std::uint64_t episode, std::uint64_t step,
                             const PathStart& at, Plan* plan) {
  const BestCandidate best = impl_->search(start, episode, step, at, nullptr);
  best.require_found(episode, step, kCause);
  plan->candidate = best.candidate;
  plan->cost = best.cost;
  plan->candidates_done = options().candidates;
  const auto horizon = static_cast<std::size_t>(options().horizon);
  plan->actions.resize(horizon * static_cast<std::size_t>(task().naction()));
  plan->states.resize((horizon + 1) * static_cast<std::size_t>(task().nstate()));
  sample(episode, step, best.candidate, 1, plan->actions.data());
  const Impl::Again again = impl_->look_again(best.candidate, plan->states.data());
  plan->moved = again.moved;
  plan->segment = again.next_segment;
}

void SimulatorShooting::plan_batch(const double* starts, const std::uint64_t* episodes,
                                   const std::uint64_t* steps, const PathStart* at, std::int64_t n,
                                   float* actions, double* costs, std::int32_t* segments) {
  const int naction = task().naction();
  for (std::int64_t i = 0; i < n; ++i) {
    const BestCandidate best = impl_->search(starts + i * start_size(), episodes[i], steps[i],
                                             at == nullptr ? PathStart{} : at[i], nullptr);
    best.require_found(episodes[i], steps[i], kCause);
    Draws draws(derive_key(options().seed, Stream::kPlan, episodes[i]), steps[i], best.candidate);
    for (int k = 0; k < naction; ++k) actions[i * naction + k] = draws.symmetric();
    costs[i] = best.cost;
    if (segments == nullptr) continue;
    segments[i] = task().spec().path ? impl_->look_again(best.candidate, nullptr).next_segment : 0;
  }
}

void SimulatorShooting::costs(const double* start, std::uint64_t episode, std::uint64_t step,
                              const PathStart& at, double* out) {
  impl_->search(start, episode, step, at, out);
}

}  // namespace mbmf
