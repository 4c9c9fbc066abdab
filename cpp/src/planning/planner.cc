#include "mbmf/planning/planner.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "model/packed_mlp.h"
#include "planning/anytime_search.h"
#include "planning/best_candidate.h"
#include "planning/planner_cost.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMaxItems = 1024;  // pieces of one plan, at most: bounds the memory for their results
constexpr int kMaxStates = 32;            // states searched at once

}  // namespace

struct RandomShooting::Impl {
  std::shared_ptr<const Task> task;
  std::shared_ptr<const Dynamics> dynamics;
  PlannerOptions options;
  const kernel::Table& table;
  PlannerCost cost;
  PackedMlp packed;
  RowMlp rows;  // the same network, for the best candidate alone
  RowValues row_values;
  AlignedFloats row_input;
  ThreadPool pool;

  int chunk;                                       // candidates of one kernel call
  std::int64_t per_item;                           // kernel calls of one item of work
  std::int64_t items;                              // items of one plan
  int first_rows;                                  // rows of the first layer
  std::vector<AlignedFloats> scratch, chunk_cost;  // per thread
  std::vector<float> start;                        // (kMaxStates, nstate)
  std::vector<float> base;                         // (kMaxStates, first_rows)
  std::vector<PhiloxKey> key;                      // (kMaxStates)
  std::vector<kernel::Path> path;                  // (kMaxStates), where the task has one
  std::vector<BestCandidate> item_best;            // (kMaxStates, items)

  // what a search within limits reads, for each slot of the pool: a thread left behind may still read it when
  // the next search begins
  struct Search {
    std::vector<float> start, base, warm;
    std::shared_ptr<const PlannerPath> on;  // keeps what `path` points at
    kernel::Path path;
    kernel::Rollout work;
  };
  std::vector<Search> searches;
  AnytimeSearch anytime;
  std::vector<float> rolled;     // (max(horizon, 64) + 1, nstate)
  CostEstimate finish, predict;  // choosing and making the best candidate's actions; predicting its states

  Impl(std::shared_ptr<const Task> task_in, std::shared_ptr<const Dynamics> dynamics_in,
       const PlannerOptions& o)
      : task(std::move(task_in)),
        dynamics(std::move(dynamics_in)),
        options(o),
        table(select_kernels()),
        cost(task->spec().cost, task->spec().alive, task->spec().path),
        packed(dynamics->mlp(), table, cost.rows()),
        rows(dynamics->mlp()),
        row_values(rows),
        row_input(static_cast<std::size_t>(task->nstate() + task->naction())),
        pool(options.nthread),
        // candidates that may die roll forward in groups, whose live ones close ranks; others tile by tile
        chunk(cost.alive().empty() ? table.tile : table.group),
        anytime(&pool, options.candidates, chunk, table.tile) {
    const std::int64_t chunks = (options.candidates + chunk - 1) / chunk;
    per_item = (chunks + kMaxItems - 1) / kMaxItems;
    items = (chunks + per_item - 1) / per_item;
    first_rows = dynamics->mlp().layers().front().rows;
    const auto size = static_cast<std::size_t>(table.scratch(&packed.net(), task->nstate(), task->naction()));
    for (int i = 0; i < pool.nthread(); ++i) {
      scratch.emplace_back(size);
      chunk_cost.emplace_back(static_cast<std::size_t>(table.group));
    }
    start.resize(static_cast<std::size_t>(kMaxStates) * task->nstate());
    base.resize(static_cast<std::size_t>(kMaxStates) * first_rows);
    key.resize(kMaxStates);
    if (cost.path()) path.resize(kMaxStates);
    item_best.resize(static_cast<std::size_t>(kMaxStates * items));
    rolled.resize(static_cast<std::size_t>(std::max(options.horizon, 64) + 1) * task->nstate());
    searches.resize(static_cast<std::size_t>(pool.nslot()));
    for (Search& search : searches) {
      search.start.resize(static_cast<std::size_t>(task->nstate()));
      search.base.resize(static_cast<std::size_t>(first_rows));
      search.warm.resize(static_cast<std::size_t>(options.horizon) * task->naction());
    }
  }

  ~Impl() {
    for (int slot = 0; slot < pool.nslot(); ++slot) pool.wait(slot);
  }

  // a float32 start state and its first-layer base
  void prepare_state(const double* state, float* row, float* row_base) const {
    const int nstate = task->nstate();
    for (int k = 0; k < nstate; ++k) {
      row[k] = static_cast<float>(state[k]);
      if (!std::isfinite(row[k])) {
        throw_invalid("state must be finite in float32, got ", state[k], " at entry ", k);
      }
    }
    table.base(packed.net().layer, row, nstate, row_base);
  }

  // float32 start states, sequence keys, first-layer bases and paths of n <= kMaxStates states
  void prepare(const double* states, const std::uint64_t* episodes, const PathStart* at, int n) {
    const int nstate = task->nstate();
    for (int i = 0; i < n; ++i) {
      if (at != nullptr) check_path_start(at[i]);
      if (!path.empty()) {
        path[static_cast<std::size_t>(i)] = cost.path()->from(at == nullptr ? PathStart{} : at[i]);
      }
      prepare_state(states + static_cast<std::ptrdiff_t>(i) * nstate,
                    start.data() + static_cast<std::ptrdiff_t>(i) * nstate,
                    base.data() + static_cast<std::ptrdiff_t>(i) * first_rows);
      key[static_cast<std::size_t>(i)] = derive_key(options.seed, Stream::kPlan, episodes[i]);
    }
  }

  // what the kernel needs to roll from prepared state i; candidates and cost are still to be set
  kernel::Rollout rollout(int i, std::uint64_t step) const {
    return rollout(start.data() + static_cast<std::ptrdiff_t>(i) * task->nstate(),
                   base.data() + static_cast<std::ptrdiff_t>(i) * first_rows,
                   key[static_cast<std::size_t>(i)], step, path.empty() ? nullptr : path.data() + i);
  }

  kernel::Rollout rollout(const float* state, const float* first_base, const PhiloxKey& sequence,
                          std::uint64_t step, const kernel::Path* on_path) const {
    kernel::Rollout work{};
    work.net = &packed.net();
    work.nstate = task->nstate();
    work.naction = task->naction();
    work.horizon = options.horizon;
    work.term = cost.terms().data();
    work.nterm = static_cast<int>(cost.terms().size());
    work.alive = cost.alive().data();
    work.nalive = static_cast<int>(cost.alive().size());
    work.path = on_path;
    work.state = state;
    work.first_base = first_base;
    work.key[0] = sequence[0];
    work.key[1] = sequence[1];
    work.step[0] = static_cast<std::uint32_t>(step);
    work.step[1] = static_cast<std::uint32_t>(step >> 32);
    return work;
  }

  // calls use(candidate, cost) for the candidates of one item, in order
  template <typename Use>
  void roll_item(kernel::Rollout work, std::int64_t item, int thread, const Use& use) {
    float* out = chunk_cost[static_cast<std::size_t>(thread)].data();
    const std::int64_t end = std::min((item + 1) * per_item * chunk, options.candidates);
    for (std::int64_t first = item * per_item * chunk; first < end; first += chunk) {
      work.first = static_cast<std::uint32_t>(first);
      work.count = static_cast<int>(std::min<std::int64_t>(chunk, end - first));
      work.cost = out;
      table.rollout(&work, scratch[static_cast<std::size_t>(thread)].data());
      for (int i = 0; i < work.count; ++i) use(work.first + static_cast<std::uint32_t>(i), out[i]);
    }
  }

  // the best candidates from n <= kMaxStates states, into the first item_best of each
  void search(const double* states, const std::uint64_t* episodes, const std::uint64_t* steps,
              const PathStart* at, int n) {
    prepare(states, episodes, at, n);
    pool.parallel_for(n * items, [&](std::int64_t index, int thread) {
      const int i = static_cast<int>(index / items);
      BestCandidate best;
      roll_item(rollout(i, steps[i]), index % items, thread,
                [&](std::uint32_t candidate, float value) { best.take(value, candidate); });
      item_best[static_cast<std::size_t>(index)] = best;
    });
    for (int i = 0; i < n; ++i) {
      BestCandidate* best = item_best.data() + i * items;
      for (std::int64_t k = 1; k < items; ++k) best->take(best[k].cost, best[k].candidate);
      best->require_found(episodes[i], steps[i], "the model's predictions or the cost overflow");
    }
  }

  // the best of the candidates that the limits leave time for; not finite, and no plan, if none is
  BestCandidate search_within(const double* state, std::uint64_t episode, std::uint64_t step,
                              const PlanLimits& limits, Plan* plan) {
    const std::int64_t candidates = limits.candidates == 0 ? options.candidates : limits.candidates;
    if (candidates < 1 || candidates > options.candidates) {
      throw_invalid("limits.candidates must be in [0, ", options.candidates, "], got ", limits.candidates);
    }
    const int slot = pool.reserve(), nstate = task->nstate();
    Search& s = searches[static_cast<std::size_t>(slot)];
    prepare_state(state, s.start.data(), s.base.data());
    const PhiloxKey sequence = derive_key(options.seed, Stream::kPlan, episode);
    check_path_start(limits.at);
    if (limits.path && (!cost.path() || !same_states(limits.path->cost(), cost.path()->cost()))) {
      throw_invalid("limits.path must be one made for the task (make_planner_path), got another task's");
    }
    s.on = limits.path ? limits.path : cost.path();
    if (s.on) s.path = s.on->from(limits.at);
    s.work = rollout(s.start.data(), s.base.data(), sequence, step, s.on ? &s.path : nullptr);
    if (limits.warm != nullptr) {
      for (std::size_t i = 0; i < s.warm.size(); ++i) {
        if (!(limits.warm[i] >= -1 && limits.warm[i] <= 1)) {
          throw_invalid("limits.warm must be actions in [-1, 1], got ", limits.warm[i], " at entry ", i);
        }
        s.warm[i] = limits.warm[i];
      }
      s.work.warm = s.warm.data();
    }

    // time for what follows the search
    Nanoseconds stop = kNever;
    if (limits.deadline != std::chrono::steady_clock::time_point::max()) {
      const double after = finish.bound() + (limits.predict ? predict.bound() : 0);
      stop =
          std::chrono::duration_cast<std::chrono::nanoseconds>(limits.deadline.time_since_epoch()).count() -
          static_cast<Nanoseconds>(after);
    }
    const AnytimeSearch::Result found = anytime.run(
        slot,
        [](const void* arg, int at, std::int64_t first, int count, int thread, float* out) {
          const Impl& m = *static_cast<const Impl*>(arg);
          kernel::Rollout work = m.searches[static_cast<std::size_t>(at)].work;
          work.first = static_cast<std::uint32_t>(first);
          work.count = count;
          work.cost = out;
          m.table.rollout(&work, const_cast<float*>(m.scratch[static_cast<std::size_t>(thread)].data()));
        },
        this, candidates, stop);

    const Nanoseconds searched = monotonic_now();
    if (!std::isfinite(found.best.cost)) return found.best;
    plan->candidate = found.best.candidate;
    plan->cost = found.best.cost;
    plan->candidates_done = found.done;
    plan->actions.resize(s.warm.size());
    if (limits.warm != nullptr && plan->candidate == 0) {
      std::copy(s.warm.begin(), s.warm.end(), plan->actions.begin());
    } else {
      sample(sequence, step, plan->candidate, 1, plan->actions.data());
    }
    plan->moved = moves_on(s.work, plan->candidate);
    plan->segment = s.on ? next_segment(s.on->cost(), limits.at, state, plan->moved) : 0;
    const Nanoseconds chosen = monotonic_now();
    finish.add(static_cast<double>(chosen - searched));
    plan->states.resize(limits.predict ? static_cast<std::size_t>(options.horizon + 1) * nstate : 0);
    if (!limits.predict) return found.best;
    follow(s.start.data(), plan);
    predict.add(static_cast<double>(monotonic_now() - chosen));
    return found.best;
  }

  // the predicted states of the plan's actions
  void follow(const float* state, Plan* plan) {
    table.follow(rows.layers().data(), rows.nlayer(), packed.net().tanh, task->nstate(), task->naction(),
                 state, plan->actions.data(), options.horizon, plan->states.data(), row_input.data(),
                 row_values.of_layers());
  }

  // whether a candidate moves on along the path: rolls it again, to the same bits
  bool moves_on(kernel::Rollout work, std::int64_t candidate) {
    if (work.path == nullptr) return false;
    float again = 0;
    std::int32_t moved = 0;
    work.first = static_cast<std::uint32_t>(candidate);
    work.count = 1;
    work.cost = &again;
    work.moved = &moved;
    table.rollout(&work, scratch.front().data());
    return moved != 0;
  }

  // of a plan from a state
  int next_segment_of(const PathStart& at, const double* state, bool moved) const {
    return task->spec().path ? next_segment(*task->spec().path, at, state, moved) : 0;
  }

  void sample(const PhiloxKey& sequence, std::uint64_t step, std::int64_t first, int n, float* out) const {
    const std::uint32_t step_words[2] = {static_cast<std::uint32_t>(step),
                                         static_cast<std::uint32_t>(step >> 32)};
    table.sample(sequence.data(), step_words, static_cast<std::uint32_t>(first), n, options.horizon,
                 task->naction(), out);
  }
};

RandomShooting::RandomShooting(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics,
                               PlannerOptions options)
    : Planner(task, options) {
  if (dynamics->nstate() != task->nstate() || dynamics->naction() != task->naction()) {
    throw_invalid("the model must have the task's ", task->nstate(), " states and ", task->naction(),
                  " actions, got ", dynamics->nstate(), " and ", dynamics->naction());
  }
  impl_ = std::make_unique<Impl>(std::move(task), std::move(dynamics), options);
}

RandomShooting::~RandomShooting() = default;

void RandomShooting::set_task(std::shared_ptr<const Task> task) {
  replace_task(task);
  impl_ = std::make_unique<Impl>(std::move(task), impl_->dynamics, options());
}

void RandomShooting::plan(const double* state, std::uint64_t episode, std::uint64_t step, const PathStart& at,
                          Plan* plan) {
  Impl& m = *impl_;
  m.search(state, &episode, &step, &at, 1);
  const BestCandidate& best = m.item_best.front();
  plan->candidate = best.candidate;
  plan->cost = best.cost;
  plan->candidates_done = m.options.candidates;
  plan->moved = m.moves_on(m.rollout(0, step), best.candidate);
  plan->segment = m.next_segment_of(at, state, plan->moved);

  // the best candidate is made again rather than kept while searching
  const auto horizon = static_cast<std::size_t>(m.options.horizon);
  plan->actions.resize(horizon * static_cast<std::size_t>(m.task->naction()));
  plan->states.resize((horizon + 1) * static_cast<std::size_t>(m.task->nstate()));
  m.sample(m.key.front(), step, plan->candidate, 1, plan->actions.data());
  m.follow(m.start.data(), plan);
}

void RandomShooting::plan(const double* state, std::uint64_t episode, std::uint64_t step,
                          const PlanLimits& limits, Plan* plan) {
  const BestCandidate best = impl_->search_within(state, episode, step, limits, plan);
  best.require_found(episode, step, "the model's predictions or the cost overflow");
}

bool RandomShooting::try_plan(const double* state, std::uint64_t episode, std::uint64_t step,
                              const PlanLimits& limits, Plan* plan) {
  return std::isfinite(impl_->search_within(state, episode, step, limits, plan).cost);
}

void RandomShooting::roll_forward(const double* state, const float* actions, int steps, double* predicted) {
  Impl& m = *impl_;
  const int nstate = m.task->nstate();
  if (steps < 1 || static_cast<std::size_t>(steps) >= m.rolled.size() / static_cast<std::size_t>(nstate)) {
    throw_invalid("steps must be in [1, ", static_cast<int>(m.rolled.size()) / nstate - 1, "], got ", steps);
  }
  for (int k = 0; k < nstate; ++k) m.start[static_cast<std::size_t>(k)] = static_cast<float>(state[k]);
  m.table.open_loop(&m.packed.net(), nstate, m.task->naction(), m.start.data(), actions, 1, steps,
                    m.rolled.data(), m.scratch.front().data());
  const float* end = m.rolled.data() + static_cast<std::ptrdiff_t>(steps) * nstate;
  std::copy_n(end, nstate, predicted);
}

double RandomShooting::shortest_plan(const double* state) {
  PlanLimits limits;
  limits.candidates = std::min<std::int64_t>(impl_->anytime.fewest(), options().candidates);
  limits.predict = false;
  Plan plan;
  std::array<Nanoseconds, 9> taken;
  for (Nanoseconds& ns : taken) {
    const Nanoseconds begin = monotonic_now();
    this->plan(state, 0, 0, limits, &plan);
    ns = monotonic_now() - begin;
  }
  std::nth_element(taken.begin(), taken.begin() + taken.size() / 2, taken.end());
  return 1e-9 * static_cast<double>(taken[taken.size() / 2]);
}

std::vector<std::thread::native_handle_type> RandomShooting::thread_handles() {
  return impl_->pool.handles();
}

void RandomShooting::plan_batch(const double* states, const std::uint64_t* episodes,
                                const std::uint64_t* steps, const PathStart* at, std::int64_t n,
                                float* actions, double* costs, std::int32_t* segments) {
  Impl& m = *impl_;
  const int naction = m.task->naction();
  std::vector<float> sequence(static_cast<std::size_t>(m.options.horizon) * naction);
  for (std::int64_t first = 0; first < n; first += kMaxStates) {
    const int count = static_cast<int>(std::min<std::int64_t>(kMaxStates, n - first));
    const PathStart* const from = at == nullptr ? nullptr : at + first;
    m.search(states + first * m.task->nstate(), episodes + first, steps + first, from, count);
    for (int i = 0; i < count; ++i) {
      const BestCandidate& best = m.item_best[static_cast<std::size_t>(i * m.items)];
      m.sample(m.key[static_cast<std::size_t>(i)], steps[first + i], best.candidate, 1, sequence.data());
      std::copy_n(sequence.data(), naction, actions + (first + i) * naction);
      costs[first + i] = best.cost;
      if (segments == nullptr) continue;
      segments[first + i] =
          m.next_segment_of(from == nullptr ? PathStart{} : from[i], states + (first + i) * m.task->nstate(),
                            m.moves_on(m.rollout(i, steps[first + i]), best.candidate));
    }
  }
}

void RandomShooting::costs(const double* state, std::uint64_t episode, std::uint64_t step,
                           const PathStart& at, double* out) {
  Impl& m = *impl_;
  m.prepare(state, &episode, &at, 1);
  const kernel::Rollout work = m.rollout(0, step);
  m.pool.parallel_for(m.items, [&](std::int64_t item, int thread) {
    m.roll_item(work, item, thread, [&](std::uint32_t candidate, float value) { out[candidate] = value; });
  });
}

std::int64_t RandomShooting::scratch_bytes() const {
  const Impl& m = *impl_;
  const std::size_t own = (m.scratch.front().size() + m.chunk_cost.front().size()) * sizeof(float);
  const std::size_t shared = (m.start.size() + m.base.size()) * sizeof(float) +
                             m.key.size() * sizeof(PhiloxKey) + m.path.size() * sizeof(kernel::Path) +
                             m.item_best.size() * sizeof(BestCandidate);
  return static_cast<std::int64_t>(own + shared);
}

}  // namespace mbmf
