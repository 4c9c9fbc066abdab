#include "mbmf/planning/planner.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <utility>

#include "mbmf/base/error.h"
#include "planning/engine.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMaxJobs = 32;  // plans made at once
constexpr std::int64_t kMostRolled = std::numeric_limits<std::int32_t>::max();

}  // namespace

Planner::Planner(std::shared_ptr<const Task> task, MakeTaskParts make, std::unique_ptr<Search> search,
                 const PlannerOptions& options)
    : engine_(std::make_unique<Engine>(std::move(task), std::move(make), std::move(search), options)) {}

Planner::~Planner() = default;

const PlannerOptions& Planner::options() const { return engine_->options; }
const Search& Planner::search() const { return *engine_->search; }
const Task& Planner::task() const { return *engine_->task; }
const std::shared_ptr<const Task>& Planner::shared_task() const { return engine_->task; }
bool Planner::starts_from_row() const { return engine_->parts.roller->starts_from_row(); }
int Planner::start_size() const { return engine_->parts.roller->start_size(); }

std::int64_t Planner::most_candidates() const {
  std::int64_t sum = 0;
  for (int i = 0; i < engine_->search->rounds(); ++i) sum += engine_->search->most(i);
  return sum;
}

PlanMemory Planner::make_memory() const { return engine_->make_memory(); }

bool Planner::try_plan(const PlanQuery& query, PlanMemory* memory, Plan* plan) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  m.begin(m.jobs.front(), query, memory, plan);
  m.run(1, nullptr);
  return m.jobs.front().found;
}

void Planner::plan(const PlanQuery& query, PlanMemory* memory, Plan* plan) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  m.begin(m.jobs.front(), query, memory, plan);
  m.run(1, nullptr);
  m.require_found(m.jobs.front());
}

std::vector<RoundTrace> Planner::trace(const PlanQuery& query, PlanMemory* memory, Plan* plan) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  std::vector<RoundTrace> traces;
  m.begin(m.jobs.front(), query, memory, plan);
  m.run(1, &traces);
  m.require_found(m.jobs.front());
  return traces;
}

void Planner::plan_batch(const PlanQuery* queries, std::int64_t n, PlanMemory* const* memories, Plan* plans,
                         std::uint8_t* found) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  for (std::int64_t first = 0; first < n; first += kMaxJobs) {
    const auto count = static_cast<std::size_t>(std::min(kMaxJobs, n - first));
    m.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t at = first + static_cast<std::int64_t>(i);
      if (queries[at].deadline != std::chrono::steady_clock::time_point::max()) {
        throw_invalid("a batch must be without deadlines, got one");
      }
      m.begin(m.jobs[i], queries[at], memories == nullptr ? nullptr : memories[at], plans + at);
    }
    m.run(count, nullptr);
    for (std::size_t i = 0; i < count; ++i) {
      if (found == nullptr) m.require_found(m.jobs[i]);
      if (found != nullptr) found[first + static_cast<std::int64_t>(i)] = m.jobs[i].found;
    }
  }
}

void Planner::roll(const PlanQuery& query, const float* sequences, std::int64_t n, double* out) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  const std::int64_t size = std::int64_t{m.shape.horizon} * m.shape.naction;
  if (n < 0 || n > kMostRolled) throw_invalid("n must be in [0, ", kMostRolled, "] sequences, got ", n);
  for (std::int64_t i = 0; i < n * size; ++i) {
    if (!(sequences[i] >= -1 && sequences[i] <= 1)) {
      throw_invalid("sequences must be actions in [-1, 1], got ", sequences[i], " in sequence ", i / size);
    }
  }
  m.check(query);
  const int slot = m.pool.reserve();
  m.parts.roller->begin(slot, 0, query);
  Proposal proposal;
  proposal.horizon = m.shape.horizon;
  proposal.naction = m.shape.naction;
  proposal.given = sequences;
  proposal.ngiven = static_cast<int>(n);
  m.roll_all(slot, 0, proposal, n, out);
}

std::vector<double> Planner::costs(const PlanQuery& query) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  Plan plan;
  m.begin(m.jobs.front(), query, nullptr, &plan);
  m.ask_policy(1, false);
  const int slot = m.pool.reserve();
  std::vector<double> out(static_cast<std::size_t>(m.propose(0, 0, slot)));
  m.roll_all(slot, 0, m.store(slot, 0).proposal, static_cast<std::int64_t>(out.size()), out.data());
  return out;
}

void Planner::sample(std::uint64_t episode, std::uint64_t step, std::int64_t first, std::int64_t count,
                     float* out) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  PlanQuery query;
  query.episode = episode;
  query.step = step;
  Plan plan;
  m.begin(m.jobs.front(), query, nullptr, &plan);
  const int slot = m.pool.reserve();
  const std::int64_t n = m.fill(0, 0, slot);
  if (first < 0 || count < 0 || count > n || first > n - count) {
    throw_invalid("first and count must name candidates in [0, ", n, "), got ", first, " and ", count);
  }
  m.maker.make(m.store(slot, 0).proposal, first, count, out);
}

void Planner::set_task(std::shared_ptr<const Task> task) {
  Engine& m = *engine_;
  const Engine::Guard guard(&m);
  if (task->nstate() != m.task->nstate() || task->naction() != m.task->naction()) {
    throw_invalid("task must have ", m.task->nstate(), " states and ", m.task->naction(), " actions, got ",
                  task->nstate(), " and ", task->naction());
  }
  if (m.parts.proposer && task->nobservation() != m.task->nobservation()) {
    throw_invalid("task must have the ", m.task->nobservation(), " observations that the policy sees, got ",
                  task->nobservation());
  }
  m.set_task(std::move(task));
}

void Planner::set_check(std::function<void()> check) {
  engine_->between_pieces = check;
  engine_->anytime.set_check(std::move(check));
}

std::int64_t Planner::scratch_bytes() const {
  const Engine& m = *engine_;
  const std::size_t shared = m.scored.size() * sizeof(Scored) + m.stores.size() * sizeof(ProposalStore);
  return m.parts.roller->scratch_bytes() + static_cast<std::int64_t>(shared);
}

void Planner::roll_forward(const double* state, const float* actions, int steps, double* predicted) {
  const Engine::Guard guard(engine_.get());
  engine_->parts.roller->roll_forward(state, actions, steps, predicted);
}

const PlanTimes& Planner::times() const { return engine_->times; }

std::int64_t Planner::proposals_left_out() const { return engine_->proposals_left_out; }

double Planner::shortest_plan(const double* start) {
  PlanQuery query;
  query.start = start;
  query.candidates = std::min<std::int64_t>(engine_->anytime.fewest(), engine_->most);
  query.predict = false;
  Plan plan;
  std::array<Nanoseconds, 9> taken;
  for (Nanoseconds& ns : taken) {
    const Nanoseconds begin = monotonic_now();
    this->plan(query, nullptr, &plan);
    ns = monotonic_now() - begin;
  }
  std::nth_element(taken.begin(), taken.begin() + taken.size() / 2, taken.end());
  return 1e-9 * static_cast<double>(taken[taken.size() / 2]);
}

std::vector<std::thread::native_handle_type> Planner::thread_handles() { return engine_->pool.handles(); }

}  // namespace mbmf
