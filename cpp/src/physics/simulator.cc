#include "mbmf/physics/simulator.h"

#include <mujoco/mjbatch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "physics/mujoco_batch.h"
#include "physics/stepper.h"

namespace mbmf {

namespace {

// Throws unless all numbers of a matrix are finite.
void check_finite(const double* x, std::size_t nrow, std::size_t ncol, const char* what) {
  // no branch in the loop that almost always runs alone, so that it becomes vector instructions
  std::int64_t bad = 0;
  for (std::size_t k = 0; k < nrow * ncol; ++k)
    bad += !(std::abs(x[k]) <= std::numeric_limits<double>::max());
  if (bad == 0) return;
  for (std::size_t k = 0; k < nrow * ncol; ++k) {
    if (!std::isfinite(x[k]))
      throw_invalid(what, " must be finite, got ", x[k], " at [", k / ncol, ", ", k % ncol, "]");
  }
}

}  // namespace

struct Simulator::Impl {
  Impl(std::shared_ptr<const Task> task_, int nsim_, int nthread, std::uint64_t seed_)
      : task(std::move(task_)),
        nsim(nsim_),
        batch(make_batch(task->model(), nsim, resolve_nthread(nthread))),
        state_size(mjb_nstate(batch.get())),
        seed(seed_),
        draws(static_cast<std::size_t>(nsim)),
        starts(static_cast<std::size_t>(nsim)),
        clipped(static_cast<std::size_t>(nsim) * task->naction()),
        states(static_cast<std::size_t>(nsim) * task->nstate()),
        observations(task->observes_state() ? 0 : static_cast<std::size_t>(nsim) * task->nobservation()),
        rewards(static_cast<std::size_t>(nsim)),
        terminated(static_cast<std::size_t>(nsim)),
        diverged(static_cast<std::size_t>(nsim)),
        failures(static_cast<std::size_t>(nsim)) {}

  mjtNum* row(int sim) const { return mjb_state(batch.get()) + static_cast<std::size_t>(sim) * state_size; }

  // Copies out what a refreshed d shows.
  void observe(const mjData* d, int sim) {
    const std::size_t i = static_cast<std::size_t>(sim);
    task->read(task->spec().state, d, &states[i * task->nstate()]);
    if (!task->observes_state()) {
      task->read(task->spec().observation, d, &observations[i * task->nobservation()]);
    }
  }

  void clear_results(int sim) {
    rewards[sim] = 0;
    terminated[sim] = diverged[sim] = 0;
    failures[sim] = {};
  }

  void mark_diverged(int sim) {
    rewards[sim] = 0;
    terminated[sim] = diverged[sim] = 1;
  }

  void check_ids(const int* ids, int nid) const {
    if (ids == nullptr) return;
    for (int j = 0; j < nid; ++j) {
      if (ids[j] < 0 || ids[j] >= nsim) throw_invalid("ids must be in [0, ", nsim, "), got ", ids[j]);
      if (j > 0 && ids[j] <= ids[j - 1]) {
        throw_invalid("ids must be sorted and unique, got ", ids[j], " after ", ids[j - 1]);
      }
    }
  }

  // Runs func on the simulations; throws if MuJoCo raised an error in any.
  void apply_or_throw(const int* ids, int nid, mjfBatchFunc func, void* arg, const char* doing) {
    if (apply(batch, ids, nid, func, arg, 1) == 0) return;
    for (int sim = 0; sim < nsim; ++sim) {
      if (mjb_status(batch.get())[sim] != 0) {
        throw Error("simulation " + std::to_string(sim) + " failed while " + doing + ": " +
                    mjb_error(batch.get(), sim));
      }
    }
  }

  // Resets the simulations from their `starts`.
  void run_resets(const int* ids, int nid, ResetKind reset_kind) {
    if (reset_kind < ResetKind::kDefault || reset_kind > ResetKind::kControl) {
      throw_invalid("kind must be a kind of reset, got ", static_cast<int>(reset_kind));
    }
    kind = reset_kind;
    apply_or_throw(ids, nid, reset_one, this, "it was reset");
  }

  // what mjb_apply runs: nothing with a destructor is alive while MuJoCo runs
  static void reset_one(const mjModel* m, mjData* d, int sim, void* arg);
  static void step_one(const mjModel* m, mjData* d, int sim, void* arg);
  static void refresh_one(const mjModel* m, mjData* d, int sim, void* arg);

  std::shared_ptr<const Task> task;
  int nsim;
  Batch batch;
  int state_size;
  std::uint64_t seed;
  std::vector<StartDraws> draws;   // of the next reset, by simulation
  std::vector<StartDraws> starts;  // of the reset that runs
  std::vector<double> clipped;     // actions of the step that runs, by simulation
  std::vector<double> states, observations, rewards;
  std::vector<std::uint8_t> terminated, diverged;
  std::vector<Failure> failures;
  ResetKind kind = ResetKind::kDefault;  // of the reset that runs
};

void Simulator::Impl::reset_one(const mjModel*, mjData* d, int sim, void* arg) {
  Impl& impl = *static_cast<Impl*>(arg);
  const StartDraws& start = impl.starts[sim];
  const Draws draws(derive_key(start.seed, Stream::kReset, start.sequence), start.resets, 0);
  impl.clear_results(sim);
  if (!begin(*impl.task, d, impl.kind, draws, &impl.failures[sim])) impl.mark_diverged(sim);
  impl.observe(d, sim);
}

void Simulator::Impl::step_one(const mjModel* m, mjData* d, int sim, void* arg) {
  Impl& impl = *static_cast<Impl*>(arg);
  const Task& task = *impl.task;
  const std::size_t i = static_cast<std::size_t>(sim);
  const double* action = &impl.clipped[i * task.naction()];
  if (!advance(task, d, action, &impl.failures[i])) {
    impl.mark_diverged(sim);
    // the row still holds the state before the step
    mj_setState(m, d, impl.row(sim), mjSTATE_INTEGRATION);
    silence_warnings(d);
    return;
  }
  impl.observe(d, sim);
  impl.rewards[i] = task.reward(d, &impl.states[i * task.nstate()], action);
  impl.terminated[i] = !task.healthy(d);
  impl.diverged[i] = 0;
}

void Simulator::Impl::refresh_one(const mjModel*, mjData* d, int sim, void* arg) {
  Impl& impl = *static_cast<Impl*>(arg);
  silence_warnings(d);
  impl.task->refresh(d);
  impl.observe(d, sim);
}

Simulator::Simulator(std::shared_ptr<const Task> task, int nsim, int nthread, std::uint64_t seed) {
  if (nsim < 1) throw_invalid("nsim must be at least 1, got ", nsim);
  impl_ = std::make_unique<Impl>(std::move(task), nsim, nthread, seed);
  reseed(seed);
  reset(nullptr, 0, ResetKind::kDefault);
}

Simulator::~Simulator() = default;

int Simulator::nsim() const { return impl_->nsim; }
int Simulator::nthread() const { return mjb_nthread(impl_->batch.get()); }
const Task& Simulator::task() const { return *impl_->task; }

void Simulator::reseed(std::uint64_t seed) {
  impl_->seed = seed;
  for (int sim = 0; sim < impl_->nsim; ++sim) impl_->draws[sim] = {seed, static_cast<std::uint64_t>(sim), 0};
}

void Simulator::reseed_each(const int* ids, int nid, const std::uint64_t* seeds) {
  impl_->check_ids(ids, nid);
  for (int j = 0, n = ids ? nid : impl_->nsim; j < n; ++j) impl_->draws[ids ? ids[j] : j] = {seeds[j], 0, 0};
}

std::uint64_t Simulator::seed() const { return impl_->seed; }
const std::vector<StartDraws>& Simulator::draws() const { return impl_->draws; }

void Simulator::set_draws(std::vector<StartDraws> draws) {
  if (draws.size() != impl_->draws.size()) {
    throw_invalid("draws must be of ", impl_->draws.size(), " simulations, got ", draws.size());
  }
  impl_->draws = std::move(draws);
}

void Simulator::reset(const int* ids, int nid, ResetKind kind) {
  impl_->check_ids(ids, nid);
  for (int j = 0, n = ids ? nid : impl_->nsim; j < n; ++j) {
    const int sim = ids ? ids[j] : j;
    impl_->starts[sim] = impl_->draws[sim];
  }
  impl_->run_resets(ids, nid, kind);
  for (int j = 0, n = ids ? nid : impl_->nsim; j < n; ++j) ++impl_->draws[ids ? ids[j] : j].resets;
}

void Simulator::start(const int* ids, int nid, ResetKind kind, const std::uint64_t* episodes) {
  impl_->check_ids(ids, nid);
  for (int j = 0, n = ids ? nid : impl_->nsim; j < n; ++j)
    impl_->starts[ids ? ids[j] : j] = {impl_->seed, episodes[j], 0};
  impl_->run_resets(ids, nid, kind);
}

void Simulator::step(const int* ids, int nid, const double* actions) {
  Impl& impl = *impl_;
  impl.check_ids(ids, nid);
  const int n = ids ? nid : impl.nsim, na = impl.task->naction();
  check_finite(actions, static_cast<std::size_t>(n), static_cast<std::size_t>(na), "actions");
  for (int j = 0; j < n; ++j) {
    const std::size_t sim = static_cast<std::size_t>(ids ? ids[j] : j);
    clip_action(actions + static_cast<std::size_t>(j) * na, na, &impl.clipped[sim * na]);
  }
  if (apply(impl.batch, ids, nid, Impl::step_one, &impl, 1) == 0) return;

  // an error in MuJoCo: the batch kept the row
  for (int j = 0; j < n; ++j) {
    const int sim = ids ? ids[j] : j;
    if (mjb_status(impl.batch.get())[sim] == 0) continue;
    impl.failures[sim] = {};
    impl.failures[sim].kind = Failure::Kind::kError;
    impl.mark_diverged(sim);
  }
}

const double* Simulator::states() const { return impl_->states.data(); }
const double* Simulator::observations() const {
  return impl_->task->observes_state() ? impl_->states.data() : impl_->observations.data();
}
const double* Simulator::rewards() const { return impl_->rewards.data(); }
const std::uint8_t* Simulator::terminated() const { return impl_->terminated.data(); }
const std::uint8_t* Simulator::diverged() const { return impl_->diverged.data(); }

std::string Simulator::error(int sim) const {
  if (sim < 0 || sim >= impl_->nsim) throw_invalid("sim must be in [0, ", impl_->nsim, "), got ", sim);
  const Failure& failure = impl_->failures[sim];
  if (failure.kind == Failure::Kind::kError) return mjb_error(impl_->batch.get(), sim);
  return failure_text(failure);
}

int Simulator::state_size() const { return impl_->state_size; }

void Simulator::get_state(const int* ids, int nid, double* rows) const {
  impl_->check_ids(ids, nid);
  const std::size_t size = static_cast<std::size_t>(impl_->state_size);
  for (int j = 0, n = ids ? nid : impl_->nsim; j < n; ++j) {
    std::copy_n(impl_->row(ids ? ids[j] : j), size, rows + static_cast<std::size_t>(j) * size);
  }
}

void Simulator::set_state(const int* ids, int nid, const double* rows) {
  impl_->check_ids(ids, nid);
  const std::size_t size = static_cast<std::size_t>(impl_->state_size);
  const int n = ids ? nid : impl_->nsim;
  check_finite(rows, static_cast<std::size_t>(n), size, "rows");
  for (int j = 0; j < n; ++j) {
    const int sim = ids ? ids[j] : j;
    std::copy_n(rows + static_cast<std::size_t>(j) * size, size, impl_->row(sim));
    impl_->clear_results(sim);
  }
  impl_->apply_or_throw(ids, nid, Impl::refresh_one, impl_.get(), "its state was set");
}

}  // namespace mbmf
