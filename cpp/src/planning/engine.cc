#include "planning/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "mbmf/base/random.h"
#include "planning/k_best.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMostCandidates = 100'000'000;

}  // namespace

Engine::Engine(std::shared_ptr<const Task> task_in, MakeTaskParts make_in, std::unique_ptr<Search> search_in,
               const PlannerOptions& o)
    : task(std::move(task_in)),
      make(std::move(make_in)),
      parts(make(task)),
      search(std::move(search_in)),
      options(o),
      shape{o.horizon, task->naction(), o.candidates},
      table(select_kernels()),
      pool(parts.roller->nthread() > 0 ? parts.roller->nthread() : o.nthread),
      most(most_of(*search)),
      most_keep(most_keep_of(*search)),
      anytime(&pool, parts.roller->grain(most), most, most_keep),
      maker(shape, table) {
  scored.resize(static_cast<std::size_t>(anytime.room()));
  if (parts.proposer) parts.proposer->reserve(pool.nthread());
  reserve(1);
}

std::int64_t Engine::most_of(const Search& search) {
  if (search.rounds() < 1 || search.rounds() >= kMaxRounds) {
    throw_invalid("rounds must be in [1, ", kMaxRounds - 1, "], got ", search.rounds());
  }
  std::int64_t most = 0;
  for (int i = 0; i < search.rounds(); ++i) {
    const std::int64_t candidates = search.most(i);
    if (candidates < 1 || candidates > kMostCandidates) {
      throw_invalid("a round must have 1 to ", kMostCandidates, " candidates at most, got ", candidates,
                    " in round ", i, " of search ", search.name());
    }
    most = std::max(most, candidates);
  }
  return most;
}

std::int64_t Engine::most_keep_of(const Search& search) {
  std::int64_t keep = 0;
  for (int i = 0; i < search.rounds(); ++i) {
    if (search.keep(i) == 0) return 0;
    keep = std::max(keep, search.keep(i));
  }
  return keep;
}

void Engine::wait() {
  if (getpid() != process) return;  // in a forked child there is nobody to wait for
  for (int slot = 0; slot < pool.nslot(); ++slot) pool.wait(slot);
}

void Engine::reserve(std::size_t njob) {
  if (jobs.size() >= njob) return;
  wait();
  const std::int64_t of_policy = parts.proposer ? options.proposals : 0;
  // the jobs say for how many there is room: they come last, and nothing is lost where memory is
  std::vector<Job> more(njob - jobs.size());
  for (Job& job : more) {
    job.work = search->make_work();
    job.proposals.resize(static_cast<std::size_t>(of_policy * shape.horizon * shape.naction));
  }
  std::vector<ProposalStore> room(njob * static_cast<std::size_t>(pool.nslot()));
  for (ProposalStore& store : room) store.reserve(shape, search->most_given(), of_policy);
  jobs.reserve(njob);
  counts.resize(njob);
  anytime.reserve(static_cast<int>(njob));
  parts.roller->reserve(pool.nslot(), static_cast<int>(njob), pool.nthread());
  stores = std::move(room);
  std::move(more.begin(), more.end(), std::back_inserter(jobs));
}

void Engine::set_task(std::shared_ptr<const Task> other) {
  wait();
  TaskParts made = make(other);
  const int size = parts.roller->start_size();
  if (made.roller->start_size() != size) {
    throw_invalid("task must have simulations of ", size, " numbers, got ", made.roller->start_size());
  }
  made.roller->widen(parts.roller->grain(most).chunk);
  made.roller->reserve(pool.nslot(), static_cast<int>(jobs.size()), pool.nthread());
  if (made.proposer) made.proposer->reserve(pool.nthread());
  parts = std::move(made);
  task = std::move(other);
}

PlanMemory Engine::make_memory() const {
  PlanMemory memory;
  const auto size = static_cast<std::size_t>(shape.horizon) * static_cast<std::size_t>(shape.naction);
  memory.search.reserve(64);
  memory.task.reserve(task->spec().name.size() + 64);
  memory.mean.reserve(size);
  memory.deviation.reserve(size);
  memory.kept.reserve(size * static_cast<std::size_t>(search->most_given()));
  memory.executed.reserve(static_cast<std::size_t>(shape.naction));
  return memory;
}

void Engine::check(const PlanQuery& query) const {
  check_path_start(query.at);
  if (query.candidates < 0) throw_invalid("candidates must be at least 0, got ", query.candidates);
}

std::uint64_t Engine::shift_of(const PlanMemory& memory, const PlanQuery& query) const {
  if (!memory.filled) return 0;
  const auto refuse = [](const char* what, const auto& want, const auto& got) {
    throw_invalid("memory must be one of this planner's ", what, ", ", want, ", got one of ", got);
  };
  if (memory.search != search->name()) refuse("search", search->name(), memory.search);
  if (memory.task != task->spec().name) refuse("task", task->spec().name, memory.task);
  if (memory.horizon != shape.horizon) refuse("horizon", shape.horizon, memory.horizon);
  if (memory.naction != shape.naction) refuse("number of actions", shape.naction, memory.naction);
  const auto size = static_cast<std::size_t>(shape.horizon) * static_cast<std::size_t>(shape.naction);
  const auto check_actions = [](const std::vector<float>& values, const char* name) {
    for (const float x : values) {
      if (!(x >= -1 && x <= 1)) throw_invalid("memory must hold actions in [-1, 1], got ", x, " in ", name);
    }
  };
  const bool cold = memory.mean.empty() && memory.kept.empty();  // what random shooting leaves
  if ((memory.mean.size() != size && !cold) || memory.kept.size() % size != 0 ||
      memory.kept.size() > size * static_cast<std::size_t>(search->most_given()) ||
      memory.executed.size() != static_cast<std::size_t>(shape.naction)) {
    throw_invalid("memory must have the sizes that the planner gave it, got others");
  }
  check_actions(memory.mean, "mean");
  check_actions(memory.kept, "kept");
  check_actions(memory.executed, "executed");
  if (query.step < memory.step) {
    throw_invalid("memory must be of an earlier step than ", query.step, ", got one of step ", memory.step);
  }
  return query.step - memory.step;
}

void Engine::begin(Job& job, const PlanQuery& query, PlanMemory* memory, Plan* plan) {
  check(query);
  job.query = query;
  job.memory = memory;
  job.plan = plan;
  job.asked = job.done = 0;
  job.limit = query.candidates == 0 ? std::numeric_limits<std::int64_t>::max() : query.candidates;
  job.rounds = 0;
  job.slot = -1;
  job.over = job.found = false;
  job.nproposal = 0;
  plan->proposals_done = 0;
  const PlanMemory& given = memory == nullptr ? none : *memory;
  const std::uint64_t shift = shift_of(given, query);
  search->begin(given.mean.empty() ? none : given, shift, job.work.get());
}

void Engine::ask_policy(std::size_t n, bool alone) {
  if (!parts.proposer) return;
  const std::int64_t size = std::int64_t{shape.horizon} * shape.naction;
  const std::int64_t grain = parts.proposer->grain(), pieces = (options.proposals + grain - 1) / grain;
  const auto propose = [&](std::int64_t item, int thread) {
    Job& job = jobs[static_cast<std::size_t>(item / pieces)];
    const std::int64_t first = item % pieces * grain;
    parts.proposer->propose(job.query, first, static_cast<int>(std::min(grain, options.proposals - first)),
                            thread, job.proposals.data() + first * size);
  };
  const std::int64_t items = static_cast<std::int64_t>(n) * pieces;
  if (alone) {
    for (std::int64_t item = 0; item < items; ++item) propose(item, 0);
  } else {
    pool.parallel_for(items, propose);
  }
  for (std::size_t i = 0; i < n; ++i) {  // those that are finite, one after the other
    Job& job = jobs[i];
    for (std::int64_t k = 0; k < options.proposals; ++k) {
      const auto begin = job.proposals.begin() + k * size;
      if (!std::all_of(begin, begin + size, [](float x) { return std::isfinite(x); })) continue;
      if (job.nproposal < k) std::copy(begin, begin + size, job.proposals.begin() + job.nproposal * size);
      ++job.nproposal;
    }
    proposals_left_out += options.proposals - job.nproposal;
  }
}

std::int64_t Engine::fill(int number, std::size_t index, int slot) {
  Job& job = jobs[index];
  Proposal proposal;
  proposal.horizon = shape.horizon;
  proposal.naction = shape.naction;
  const std::int64_t count = search->propose(number, job.query, job.work.get(), &proposal);
  if (count > search->most(number) || count < 0 || proposal.ngiven > search->most_given()) {
    throw_invalid("a round must have at most ", search->most(number), " candidates, ", search->most_given(),
                  " of them given, got ", count, " and ", proposal.ngiven);
  }
  const bool normal = proposal.kind != ProposalKind::kUniform;
  if (proposal.redrawn < 0 || proposal.redrawn > shape.horizon || proposal.ngiven < 0 ||
      (proposal.ngiven > 0 && proposal.given == nullptr) ||
      (normal && (proposal.mean == nullptr || proposal.deviation == nullptr))) {
    throw_invalid("a proposal must have what its kind needs, got one of search ", search->name(),
                  " with a null pointer or with redrawn ", proposal.redrawn);
  }
  const PhiloxKey key = derive_key(options.seed, Stream::kPlan, job.query.episode);
  std::copy(key.begin(), key.end(), proposal.key);
  proposal.step[0] = static_cast<std::uint32_t>(job.query.step);
  proposal.step[1] = static_cast<std::uint32_t>(job.query.step >> 32);
  proposal.round = static_cast<std::uint32_t>(number);
  if (number == 0 && job.nproposal > 0) {
    // after what the search gives, where a round that is cut short has them; where that is all, in place of
    // its last ones
    proposal.npolicy = static_cast<int>(std::min<std::int64_t>(job.nproposal, count));
    proposal.first_of_policy = std::min<std::int64_t>(proposal.ngiven, count - proposal.npolicy);
    proposal.policy = job.proposals.data();
  }
  store(slot, index).take(proposal);
  return count;
}

std::int64_t Engine::propose(int number, std::size_t index, int slot) {
  Job& job = jobs[index];
  if (job.over) return 0;
  job.asked = job.done < job.limit ? fill(number, index, slot) : 0;
  job.over = job.asked == 0;
  if (job.over) return 0;
  parts.roller->begin(slot, static_cast<int>(index), job.query);
  job.slot = slot;
  return std::min(job.asked, job.limit - job.done);
}

void Engine::roll(const void* context, int slot, int job, std::int64_t first, int count, int thread,
                  double* costs) {
  Engine& m = *static_cast<Engine*>(const_cast<void*>(context));
  m.parts.roller->roll(slot, job, m.store(slot, static_cast<std::size_t>(job)).proposal, first, count, thread,
                       costs);
}

void Engine::take_costs(int number, std::size_t index, int slot, std::vector<RoundTrace>* traces) {
  Job& job = jobs[index];
  const std::int64_t done = anytime.done(slot, static_cast<int>(index));
  if (done == 0) {
    job.over = true;
    return;
  }
  RolledRound round;
  round.number = number;
  round.asked = job.asked;
  round.done = done;
  round.maker = &maker;
  round.proposal = &store(slot, index).proposal;
  round.nscored = anytime.scored(slot, static_cast<int>(index), scored.data());
  const std::int64_t keep = search->keep(number);
  if (keep > 0) round.nscored = sort_best(scored.data(), round.nscored, keep);
  round.scored = scored.data();
  search->update(round, job.work.get());
  job.done += done;
  ++job.rounds;
  if (number == 0) {
    const std::int64_t rolled = done - round.proposal->first_of_policy;
    job.plan->proposals_done = std::clamp<std::int64_t>(rolled, 0, round.proposal->npolicy);
  }
  job.over = round.cut();
  if (traces == nullptr) return;
  RoundTrace& trace = traces->emplace_back();
  const auto size = static_cast<std::size_t>(shape.horizon) * static_cast<std::size_t>(shape.naction);
  trace.sequences.resize(static_cast<std::size_t>(done) * size);
  maker.make(*round.proposal, 0, done, trace.sequences.data());
  trace.costs.resize(static_cast<std::size_t>(done));
  roll_all(slot, static_cast<int>(index), *round.proposal, done, trace.costs.data());
  search->trace(*job.work, &trace);
}

void Engine::roll_all(int slot, int job, const Proposal& proposal, std::int64_t n, double* out) {
  const std::int64_t chunk = parts.roller->grain(most).chunk;
  const auto piece = [&](std::int64_t item, int thread) {
    const std::int64_t first = item * chunk;
    parts.roller->roll(slot, job, proposal, first, static_cast<int>(std::min(chunk, n - first)), thread,
                       out + first);
  };
  const std::int64_t pieces = (n + chunk - 1) / chunk;
  std::int64_t count = pool.nthread();  // some hundredths of a second of them
  for (std::int64_t first = 0; first < pieces;) {
    const Nanoseconds begin = monotonic_now();
    count = std::min(count, pieces - first);
    if (pool.nthread() > 1) {
      pool.parallel_for(count, [&](std::int64_t item, int thread) { piece(first + item, thread); });
    } else {
      for (std::int64_t i = 0; i < count; ++i) piece(first + i, 0);  // where a piece may throw
    }
    const Nanoseconds taken = monotonic_now() - begin;
    first += count;
    if (first < pieces && between_pieces) between_pieces();
    if (taken < 20'000'000) count *= 2;
    if (taken > 60'000'000) count = std::max<std::int64_t>(count / 2, pool.nthread());
  }
}

void Engine::finish(std::size_t index) {
  Job& job = jobs[index];
  Plan& plan = *job.plan;
  const Nanoseconds searched = monotonic_now();
  job.found = job.rounds > 0 && search->choose(job.work.get(), &plan);
  if (!job.found) return;
  plan.candidates_done = job.done;
  plan.rounds_done = job.rounds;
  plan.moved = false;
  plan.segment = 0;
  const int number = static_cast<int>(index);
  if (std::isnan(plan.cost) || task->spec().path) {
    const Roller::Followed followed = parts.roller->follow(job.slot, number, job.query, plan.actions.data());
    plan.moved = followed.moved;
    plan.segment = followed.segment;
    if (std::isnan(plan.cost)) plan.cost = followed.cost;
    job.found = std::isfinite(plan.cost);
    if (!job.found) return;
  }
  if (job.memory != nullptr) {
    PlanMemory& memory = *job.memory;
    search->remember(*job.work, &memory);
    if (memory.mean.empty() && !(memory.kept.empty() && memory.deviation.empty())) {
      memory.filled = false;
      throw_invalid("a search that remembers must fill mean, got none beside kept or deviation from search ",
                    search->name());
    }
    memory.search = search->name();
    memory.task = task->spec().name;
    memory.horizon = shape.horizon;
    memory.naction = shape.naction;
    memory.filled = true;
    memory.step = job.query.step;
    memory.executed.assign(plan.actions.begin(), plan.actions.begin() + shape.naction);
    memory.segment = plan.segment;
  }
  const Nanoseconds chosen = monotonic_now();
  choose.add(static_cast<double>(chosen - searched));
  plan.states.resize(job.query.predict ? static_cast<std::size_t>(shape.horizon + 1) * task->nstate() : 0);
  if (!job.query.predict) return;
  parts.roller->predict(job.slot, number, plan.actions.data(), plan.states.data());
  const Nanoseconds predicted = monotonic_now() - chosen;
  times.predicting += predicted;
  predict.add(static_cast<double>(predicted));
}

Nanoseconds Engine::stop_of(const PlanQuery& query) const {
  if (query.deadline == std::chrono::steady_clock::time_point::max()) return kNever;
  const double after = update.bound() + choose.bound() + (query.predict ? predict.bound() : 0);
  // one that is long over, not one that overflows
  const auto deadline = std::max(query.deadline, std::chrono::steady_clock::now() - std::chrono::hours(1));
  return std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count() -
         static_cast<Nanoseconds>(after);
}

void Engine::run(std::size_t n, std::vector<RoundTrace>* traces) {
  const Nanoseconds begin = monotonic_now();
  times = {};
  times.proposing = -parts.roller->proposing_ns();
  const Nanoseconds stop = n == 1 ? stop_of(jobs.front().query) : kNever;
  ask_policy(n, stop != kNever);
  for (int number = 0; number < search->rounds(); ++number) {
    const int slot = pool.reserve();
    bool any = false;
    for (std::size_t i = 0; i < n; ++i) {
      counts[i] = propose(number, i, slot);
      any |= counts[i] > 0;
    }
    if (!any) break;
    const Nanoseconds proposed = monotonic_now();
    anytime.run(slot, roll, this, counts.data(), static_cast<int>(n), search->keep(number), stop,
                number == 0);
    const Nanoseconds rolled = monotonic_now();
    times.rounds += rolled - proposed;
    for (std::size_t i = 0; i < n; ++i) {
      if (counts[i] > 0) take_costs(number, i, slot, traces);
    }
    update.add(static_cast<double>(monotonic_now() - rolled) / static_cast<double>(n));
  }
  for (std::size_t i = 0; i < n; ++i) finish(i);
  times.proposing += parts.roller->proposing_ns();
  times.total = monotonic_now() - begin;
}

void Engine::require_found(const Job& job) const {
  if (job.found) return;
  throw Error("no candidate has a finite cost at step " + std::to_string(job.query.step) + " of episode " +
              std::to_string(job.query.episode) + ": " + parts.roller->cause());
}

}  // namespace mbmf
