#include "mbmf/planning/planner.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "mbmf/base/random.h"
#include "mbmf/base/thread_pool.h"
#include "model/packed_mlp.h"
#include "planning/anytime.h"
#include "planning/k_best.h"
#include "planning/roller.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMaxJobs = 32;  // plans made at once
constexpr int kMaxSequences = 64;      // of one call of Round::sequences

// Candidates' actions as the kernels make them, in a row for each candidate.
class Maker {
 public:
  Maker(const PlanShape& shape, const kernel::Table& table)
      : table_(table),
        rows_(static_cast<std::size_t>(shape.horizon) * shape.naction * table.tile),
        colour_(static_cast<std::size_t>(shape.horizon) * table.tile) {}

  void make(const Proposal& proposal, std::int64_t first, std::int64_t n, float* out) const {
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(proposal.horizon) * proposal.naction;
    float* rows = const_cast<float*>(rows_.data());
    for (std::int64_t done = 0; done < n; done += table_.tile) {
      const int count = static_cast<int>(std::min<std::int64_t>(table_.tile, n - done));
      table_.propose(&proposal, first + done, count, rows, table_.tile, const_cast<float*>(colour_.data()));
      for (int lane = 0; lane < count; ++lane) {
        float* to = out + (done + lane) * size;
        for (std::ptrdiff_t i = 0; i < size; ++i) to[i] = rows[i * table_.tile + lane];
      }
    }
  }

 private:
  const kernel::Table& table_;
  AlignedFloats rows_, colour_;
};

class RolledRound : public Round {
 public:
  const Maker* maker = nullptr;
  const Proposal* proposal = nullptr;

  void sequences(std::int64_t first, int n, float* out) const override {
    if (first < 0 || n < 0 || n > kMaxSequences || first > done - n) {
      throw_invalid("first and n must name at most ", kMaxSequences, " of the ", done,
                    " rolled candidates, got ", first, " and ", n);
    }
    maker->make(*proposal, first, n, out);
  }

  void sequences(const Scored* chosen, std::int64_t n, float* out) const override {
    std::array<std::uint32_t, kMaxSequences> positions;
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(proposal->horizon) * proposal->naction;
    Proposal some = *proposal;
    some.positions = positions.data();
    for (std::int64_t begin = 0; begin < n; begin += kMaxSequences) {
      const std::int64_t count = std::min<std::int64_t>(kMaxSequences, n - begin);
      for (std::int64_t i = 0; i < count; ++i) {
        positions[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(chosen[begin + i].position);
      }
      maker->make(some, 0, count, out + begin * size);
    }
  }
};

// What a round's proposal points to, for each slot of the pool: a thread left behind may still read it when
// the next round begins.
struct ProposalStore {
  Proposal proposal;
  std::vector<float> mean, deviation, before, given;

  void reserve(const PlanShape& shape, std::int64_t most_given) {
    const auto size = static_cast<std::size_t>(shape.horizon) * static_cast<std::size_t>(shape.naction);
    mean.resize(size);
    deviation.resize(size);
    before.resize(static_cast<std::size_t>(shape.naction));
    given.resize(size * static_cast<std::size_t>(most_given));
  }

  void take(const Proposal& from) {
    proposal = from;
    const auto copy = [](const float*& pointer, std::vector<float>& to, std::size_t n) {
      if (pointer == nullptr) return;
      std::copy_n(pointer, n, to.begin());
      pointer = to.data();
    };
    copy(proposal.mean, mean, mean.size());
    copy(proposal.deviation, deviation, deviation.size());
    copy(proposal.before, before, before.size());
    if (proposal.ngiven == 0) proposal.given = nullptr;
    copy(proposal.given, given, mean.size() * static_cast<std::size_t>(proposal.ngiven));
  }
};

}  // namespace

struct Planner::Impl {
  std::shared_ptr<const Task> task;
  std::unique_ptr<Roller> roller;
  std::unique_ptr<Search> search;
  PlannerOptions options;
  PlanShape shape;
  const kernel::Table& table;
  ThreadPool pool;
  std::int64_t most, most_keep;  // of a round; most_keep 0: all
  AnytimeRound anytime;
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
  };
  std::vector<Job> jobs;
  std::vector<ProposalStore> stores;  // (nslot, jobs)
  std::vector<std::int64_t> counts;   // (jobs)
  std::vector<Scored> scored;
  PlanMemory none;  // where the caller keeps no memory
  PlanTimes times;
  CostEstimate update, choose, predict;  // what follows a round; the search; that
  std::atomic<bool> busy{false};
  const pid_t process = getpid();

  Impl(std::shared_ptr<const Task> task_in, std::unique_ptr<Roller> roller_in,
       std::unique_ptr<Search> search_in, const PlannerOptions& o)
      : task(std::move(task_in)),
        roller(std::move(roller_in)),
        search(std::move(search_in)),
        options(o),
        shape{o.horizon, task->naction(), o.candidates},
        table(select_kernels()),
        pool(roller->nthread() > 0 ? roller->nthread() : o.nthread),
        most(most_of(*search)),
        most_keep(most_keep_of(*search)),
        anytime(&pool, roller->grain(most), most, most_keep),
        maker(shape, table) {
    scored.resize(static_cast<std::size_t>(anytime.room()));
    reserve(1);
  }

  ~Impl() { wait(); }

  static std::int64_t most_of(const Search& search) {
    if (search.rounds() < 1 || search.rounds() >= kMaxRounds) {
      throw_invalid("rounds must be in [1, ", kMaxRounds - 1, "], got ", search.rounds());
    }
    std::int64_t most = 0;
    for (int i = 0; i < search.rounds(); ++i) most = std::max(most, search.most(i));
    return most;
  }

  static std::int64_t most_keep_of(const Search& search) {
    std::int64_t keep = 0;
    for (int i = 0; i < search.rounds(); ++i) {
      if (search.keep(i) == 0) return 0;
      keep = std::max(keep, search.keep(i));
    }
    return keep;
  }

  void wait() {
    if (getpid() != process) return;  // in a forked child there is nobody to wait for
    for (int slot = 0; slot < pool.nslot(); ++slot) pool.wait(slot);
  }

  void reserve(std::size_t njob) {
    if (jobs.size() >= njob) return;
    wait();
    while (jobs.size() < njob) jobs.emplace_back().work = search->make_work();
    counts.resize(njob);
    stores = std::vector<ProposalStore>(njob * static_cast<std::size_t>(pool.nslot()));
    for (ProposalStore& store : stores) store.reserve(shape, search->most_given());
    anytime.reserve(static_cast<int>(njob));
    roller->reserve(pool.nslot(), static_cast<int>(njob), pool.nthread());
  }

  ProposalStore& store(int slot, std::size_t job) {
    return stores[static_cast<std::size_t>(slot) * jobs.size() + job];
  }

  PlanMemory make_memory() const {
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

  void check(const PlanQuery& query) const {
    check_path_start(query.at);
    if (query.candidates < 0) throw_invalid("candidates must be at least 0, got ", query.candidates);
  }

  // the steps since the plan that filled a memory
  std::uint64_t shift_of(const PlanMemory& memory, const PlanQuery& query) const {
    if (!memory.filled) return 0;
    const auto refuse = [](const char* what, const auto& want, const auto& got) {
      throw_invalid("memory must be one of this planner's ", what, ", ", want, ", got one of ", got);
    };
    if (memory.search != search->name()) refuse("search", search->name(), memory.search);
    if (memory.task != task->spec().name) refuse("task", task->spec().name, memory.task);
    if (memory.horizon != shape.horizon) refuse("horizon", shape.horizon, memory.horizon);
    if (memory.naction != shape.naction) refuse("number of actions", shape.naction, memory.naction);
    const auto size = static_cast<std::size_t>(shape.horizon) * static_cast<std::size_t>(shape.naction);
    const auto good = [](const std::vector<float>& values) {
      return std::all_of(values.begin(), values.end(), [](float x) { return x >= -1 && x <= 1; });
    };
    const bool cold = memory.mean.empty() && memory.kept.empty();  // what random shooting leaves
    if ((memory.mean.size() != size && !cold) || memory.kept.size() % size != 0 ||
        memory.kept.size() > size * static_cast<std::size_t>(search->most_given()) ||
        memory.executed.size() != static_cast<std::size_t>(shape.naction)) {
      throw_invalid("memory must have the sizes that the planner gave it, got others");
    }
    if (!good(memory.mean) || !good(memory.kept) || !good(memory.executed)) {
      throw_invalid("memory must hold actions in [-1, 1], got others");
    }
    if (query.step < memory.step) {
      throw_invalid("memory must be of an earlier step than ", query.step, ", got one of step ", memory.step);
    }
    return query.step - memory.step;
  }

  void begin(Job& job, const PlanQuery& query, PlanMemory* memory, Plan* plan) {
    check(query);
    job.query = query;
    job.memory = memory;
    job.plan = plan;
    job.asked = job.done = 0;
    job.limit = query.candidates == 0 ? std::numeric_limits<std::int64_t>::max() : query.candidates;
    job.rounds = 0;
    job.slot = -1;
    job.over = job.found = false;
    const PlanMemory& given = memory == nullptr ? none : *memory;
    const std::uint64_t shift = shift_of(given, query);
    search->begin(given.mean.empty() ? none : given, shift, job.work.get());
  }

  // Asks for the next round of a job and copies what it is made of into a slot; its candidates.
  std::int64_t fill(int number, std::size_t index, int slot) {
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
    store(slot, index).take(proposal);
    return count;
  }

  // The candidates of a job's next round, ready to be rolled in a slot; 0 if it is over.
  std::int64_t propose(int number, std::size_t index, int slot) {
    Job& job = jobs[index];
    if (job.over) return 0;
    job.asked = job.done < job.limit ? fill(number, index, slot) : 0;
    job.over = job.asked == 0;
    if (job.over) return 0;
    roller->begin(slot, static_cast<int>(index), job.query);
    job.slot = slot;
    return std::min(job.asked, job.limit - job.done);
  }

  static void roll(const void* context, int slot, int job, std::int64_t first, int count, int thread,
                   double* costs) {
    Impl& m = *static_cast<Impl*>(const_cast<void*>(context));
    m.roller->roll(slot, job, m.store(slot, static_cast<std::size_t>(job)).proposal, first, count, thread,
                   costs);
  }

  // shows the search what a round of a job cost
  void take_costs(int number, std::size_t index, int slot, std::vector<RoundTrace>* traces) {
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

  // costs of positions 0 .. n - 1 of a proposal
  void roll_all(int slot, int job, const Proposal& proposal, std::int64_t n, double* out) {
    const std::int64_t chunk = roller->grain(most).chunk;
    const auto piece = [&](std::int64_t item, int thread) {
      const std::int64_t first = item * chunk;
      roller->roll(slot, job, proposal, first, static_cast<int>(std::min(chunk, n - first)), thread,
                   out + first);
    };
    const std::int64_t pieces = (n + chunk - 1) / chunk;
    if (pool.nthread() > 1) return pool.parallel_for(pieces, piece);
    for (std::int64_t i = 0; i < pieces; ++i) piece(i, 0);  // where a piece may throw
  }

  // What is executed, what it leads to, and what is remembered.
  void finish(std::size_t index) {
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
      const Roller::Followed followed = roller->follow(job.slot, number, job.query, plan.actions.data());
      plan.moved = followed.moved;
      plan.segment = followed.segment;
      if (std::isnan(plan.cost)) plan.cost = followed.cost;
      job.found = std::isfinite(plan.cost);
      if (!job.found) return;
    }
    if (job.memory != nullptr) {
      PlanMemory& memory = *job.memory;
      search->remember(*job.work, &memory);
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
    roller->predict(job.slot, number, plan.actions.data(), plan.states.data());
    const Nanoseconds predicted = monotonic_now() - chosen;
    times.predicting += predicted;
    predict.add(static_cast<double>(predicted));
  }

  // when the rounds of a plan must be over, with time for what follows
  Nanoseconds stop_of(const PlanQuery& query) const {
    if (query.deadline == std::chrono::steady_clock::time_point::max()) return kNever;
    const double after = update.bound() + choose.bound() + (query.predict ? predict.bound() : 0);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(query.deadline.time_since_epoch()).count() -
           static_cast<Nanoseconds>(after);
  }

  // The n first jobs, which have begun, round by round.
  void run(std::size_t n, std::vector<RoundTrace>* traces) {
    const Nanoseconds begin = monotonic_now();
    times = {};
    times.proposing = -roller->proposing_ns();
    const Nanoseconds stop = n == 1 ? stop_of(jobs.front().query) : kNever;
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
    times.proposing += roller->proposing_ns();
    times.total = monotonic_now() - begin;
  }

  void require_found(const Job& job) const {
    if (job.found) return;
    throw Error("no candidate has a finite cost at step " + std::to_string(job.query.step) + " of episode " +
                std::to_string(job.query.episode) + ": " + roller->cause());
  }

  // One thread at a time, and none after a fork.
  class Guard {
   public:
    explicit Guard(Impl* impl) : impl_(impl) {
      if (getpid() != impl->process) {
        throw Error("a planner must be used in the process that made it, got a call after a fork");
      }
      if (impl->busy.exchange(true, std::memory_order_acquire)) {
        throw Error("a planner must be used by one thread at a time, got a call while another one runs");
      }
    }
    ~Guard() { impl_->busy.store(false, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Impl* impl_;
  };
};

Planner::Planner(std::shared_ptr<const Task> task, std::unique_ptr<Roller> roller,
                 std::unique_ptr<Search> search, const PlannerOptions& options)
    : impl_(std::make_unique<Impl>(std::move(task), std::move(roller), std::move(search), options)) {}

Planner::~Planner() = default;

const PlannerOptions& Planner::options() const { return impl_->options; }
const Search& Planner::search() const { return *impl_->search; }
const Task& Planner::task() const { return *impl_->task; }
const std::shared_ptr<const Task>& Planner::shared_task() const { return impl_->task; }
bool Planner::starts_from_row() const { return impl_->roller->starts_from_row(); }
int Planner::start_size() const { return impl_->roller->start_size(); }

std::int64_t Planner::most_candidates() const {
  std::int64_t sum = 0;
  for (int i = 0; i < impl_->search->rounds(); ++i) sum += impl_->search->most(i);
  return sum;
}

PlanMemory Planner::make_memory() const { return impl_->make_memory(); }

bool Planner::try_plan(const PlanQuery& query, PlanMemory* memory, Plan* plan) {
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
  m.begin(m.jobs.front(), query, memory, plan);
  m.run(1, nullptr);
  return m.jobs.front().found;
}

void Planner::plan(const PlanQuery& query, PlanMemory* memory, Plan* plan) {
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
  m.begin(m.jobs.front(), query, memory, plan);
  m.run(1, nullptr);
  m.require_found(m.jobs.front());
}

std::vector<RoundTrace> Planner::trace(const PlanQuery& query, PlanMemory* memory, Plan* plan) {
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
  std::vector<RoundTrace> traces;
  m.begin(m.jobs.front(), query, memory, plan);
  m.run(1, &traces);
  m.require_found(m.jobs.front());
  return traces;
}

void Planner::plan_batch(const PlanQuery* queries, std::int64_t n, PlanMemory* const* memories, Plan* plans) {
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
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
    for (std::size_t i = 0; i < count; ++i) m.require_found(m.jobs[i]);
  }
}

void Planner::roll(const PlanQuery& query, const float* sequences, std::int64_t n, double* out) {
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
  const std::int64_t size = std::int64_t{m.shape.horizon} * m.shape.naction;
  for (std::int64_t i = 0; i < n * size; ++i) {
    if (!(sequences[i] >= -1 && sequences[i] <= 1)) {
      throw_invalid("sequences must be actions in [-1, 1], got ", sequences[i], " in sequence ", i / size);
    }
  }
  m.check(query);
  const int slot = m.pool.reserve();
  m.roller->begin(slot, 0, query);
  Proposal proposal;
  proposal.horizon = m.shape.horizon;
  proposal.naction = m.shape.naction;
  proposal.given = sequences;
  proposal.ngiven = static_cast<int>(n);
  m.roll_all(slot, 0, proposal, n, out);
}

std::vector<double> Planner::costs(const PlanQuery& query) {
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
  Plan plan;
  m.begin(m.jobs.front(), query, nullptr, &plan);
  const int slot = m.pool.reserve();
  std::vector<double> out(static_cast<std::size_t>(m.propose(0, 0, slot)));
  m.roll_all(slot, 0, m.store(slot, 0).proposal, static_cast<std::int64_t>(out.size()), out.data());
  return out;
}

void Planner::sample(std::uint64_t episode, std::uint64_t step, std::int64_t first, std::int64_t count,
                     float* out) {
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
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
  Impl& m = *impl_;
  const Impl::Guard guard(&m);
  if (task->nstate() != m.task->nstate() || task->naction() != m.task->naction()) {
    throw_invalid("task must have ", m.task->nstate(), " states and ", m.task->naction(), " actions, got ",
                  task->nstate(), " and ", task->naction());
  }
  m.wait();
  m.roller->set_task(task);
  m.task = std::move(task);
}

void Planner::set_check(std::function<void()> check) { impl_->anytime.set_check(std::move(check)); }

std::int64_t Planner::scratch_bytes() const {
  const Impl& m = *impl_;
  const std::size_t shared = m.scored.size() * sizeof(Scored) + m.stores.size() * sizeof(ProposalStore);
  return m.roller->scratch_bytes() + static_cast<std::int64_t>(shared);
}

void Planner::roll_forward(const double* state, const float* actions, int steps, double* predicted) {
  const Impl::Guard guard(impl_.get());
  impl_->roller->roll_forward(state, actions, steps, predicted);
}

const PlanTimes& Planner::times() const { return impl_->times; }

double Planner::shortest_plan(const double* start) {
  PlanQuery query;
  query.start = start;
  query.candidates = std::min<std::int64_t>(impl_->anytime.fewest(), impl_->most);
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

std::vector<std::thread::native_handle_type> Planner::thread_handles() { return impl_->pool.handles(); }

}  // namespace mbmf
