#include "mbmf/planner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "best_candidate.h"
#include "cpu.h"
#include "mbmf/error.h"
#include "packed_mlp.h"
#include "planner_cost.h"

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
  std::vector<BestCandidate> item_best;            // (kMaxStates, items)

  Impl(std::shared_ptr<const Task> task_in, std::shared_ptr<const Dynamics> dynamics_in,
       const PlannerOptions& o)
      : task(std::move(task_in)),
        dynamics(std::move(dynamics_in)),
        options(o),
        table(select_kernels()),
        cost(task->spec().cost, task->spec().alive),
        packed(dynamics->mlp(), table, cost.rows()),
        rows(dynamics->mlp()),
        row_values(rows),
        row_input(static_cast<std::size_t>(task->nstate() + task->naction())),
        pool(options.nthread) {
    // candidates that may die roll forward in groups, whose live ones close ranks; others tile by tile
    chunk = cost.alive().empty() ? table.tile : table.group;
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
    item_best.resize(static_cast<std::size_t>(kMaxStates * items));
  }

  // float32 start states, sequence keys and first-layer bases of n <= kMaxStates states
  void prepare(const double* states, const std::uint64_t* episodes, int n) {
    const int nstate = task->nstate();
    for (int i = 0; i < n; ++i) {
      float* row = start.data() + static_cast<std::ptrdiff_t>(i) * nstate;
      for (int k = 0; k < nstate; ++k) {
        row[k] = static_cast<float>(states[static_cast<std::ptrdiff_t>(i) * nstate + k]);
        if (!std::isfinite(row[k])) {
          throw_invalid("state must be finite in float32, got ",
                        states[static_cast<std::ptrdiff_t>(i) * nstate + k], " at entry ", k);
        }
      }
      key[static_cast<std::size_t>(i)] = derive_key(options.seed, Stream::kPlan, episodes[i]);
      table.base(packed.net().layer, row, nstate, base.data() + static_cast<std::ptrdiff_t>(i) * first_rows);
    }
  }

  // what the kernel needs to roll from prepared state i; candidates and cost are still to be set
  kernel::Rollout rollout(int i, std::uint64_t step) const {
    kernel::Rollout work{};
    work.net = &packed.net();
    work.nstate = task->nstate();
    work.naction = task->naction();
    work.horizon = options.horizon;
    work.term = cost.terms().data();
    work.nterm = static_cast<int>(cost.terms().size());
    work.alive = cost.alive().data();
    work.nalive = static_cast<int>(cost.alive().size());
    work.state = start.data() + static_cast<std::ptrdiff_t>(i) * work.nstate;
    work.first_base = base.data() + static_cast<std::ptrdiff_t>(i) * first_rows;
    work.key[0] = key[static_cast<std::size_t>(i)][0];
    work.key[1] = key[static_cast<std::size_t>(i)][1];
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
  void search(const double* states, const std::uint64_t* episodes, const std::uint64_t* steps, int n) {
    prepare(states, episodes, n);
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

void RandomShooting::plan(const double* state, std::uint64_t episode, std::uint64_t step, Plan* plan) {
  Impl& m = *impl_;
  m.search(state, &episode, &step, 1);
  const BestCandidate& best = m.item_best.front();
  plan->candidate = best.candidate;
  plan->cost = best.cost;

  // the best candidate is made again rather than kept while searching
  const auto horizon = static_cast<std::size_t>(m.options.horizon);
  plan->actions.resize(horizon * static_cast<std::size_t>(m.task->naction()));
  plan->states.resize((horizon + 1) * static_cast<std::size_t>(m.task->nstate()));
  m.sample(m.key.front(), step, plan->candidate, 1, plan->actions.data());
  m.table.follow(m.rows.layers().data(), m.rows.nlayer(), m.packed.net().tanh, m.task->nstate(),
                 m.task->naction(), m.start.data(), plan->actions.data(), m.options.horizon,
                 plan->states.data(), m.row_input.data(), m.row_values.of_layers());
}

void RandomShooting::plan_batch(const double* states, const std::uint64_t* episodes,
                                const std::uint64_t* steps, std::int64_t n, float* actions, double* costs) {
  Impl& m = *impl_;
  const int naction = m.task->naction();
  std::vector<float> sequence(static_cast<std::size_t>(m.options.horizon) * naction);
  for (std::int64_t first = 0; first < n; first += kMaxStates) {
    const int count = static_cast<int>(std::min<std::int64_t>(kMaxStates, n - first));
    m.search(states + first * m.task->nstate(), episodes + first, steps + first, count);
    for (int i = 0; i < count; ++i) {
      const BestCandidate& best = m.item_best[static_cast<std::size_t>(i * m.items)];
      m.sample(m.key[static_cast<std::size_t>(i)], steps[first + i], best.candidate, 1, sequence.data());
      std::copy_n(sequence.data(), naction, actions + (first + i) * naction);
      costs[first + i] = best.cost;
    }
  }
}

void RandomShooting::costs(const double* state, std::uint64_t episode, std::uint64_t step, double* out) {
  Impl& m = *impl_;
  m.prepare(state, &episode, 1);
  const kernel::Rollout work = m.rollout(0, step);
  m.pool.parallel_for(m.items, [&](std::int64_t item, int thread) {
    m.roll_item(work, item, thread, [&](std::uint32_t candidate, float value) { out[candidate] = value; });
  });
}

std::int64_t RandomShooting::scratch_bytes() const {
  const Impl& m = *impl_;
  const std::size_t own = (m.scratch.front().size() + m.chunk_cost.front().size()) * sizeof(float);
  const std::size_t shared = (m.start.size() + m.base.size()) * sizeof(float) +
                             m.key.size() * sizeof(PhiloxKey) + m.item_best.size() * sizeof(BestCandidate);
  return static_cast<std::int64_t>(own + shared);
}

}  // namespace mbmf
