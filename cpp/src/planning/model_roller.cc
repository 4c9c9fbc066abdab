// Candidates through a learned model, in the vector kernels.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "mbmf/task/known_states.h"
#include "model/packed_dynamics.h"
#include "model/packed_value.h"
#include "planning/anytime.h"
#include "planning/planner_cost.h"
#include "planning/roller.h"

namespace mbmf {

namespace {

// A round below so many vectors is cut more finely than by vectors, for the threads to share.
constexpr int kSmallRound = 32;
constexpr int kSmallUnit = 4;
constexpr int kMostForward = 64;  // steps of roll_forward, or the horizon

class ModelRoller : public Roller {
 public:
  ModelRoller(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics,
              const PlannerOptions& options)
      : task_(std::move(task)),
        dynamics_(std::move(dynamics)),
        horizon_(options.horizon),
        seed_(options.seed),
        table_(select_kernels()),
        value_(options.value) {
    if (dynamics_->is_noisy()) mean_ = std::make_unique<PackedDynamics>(*dynamics_, table_, false);
    cost_ = std::make_unique<PlannerCost>(task_->spec().cost, task_->spec().alive, task_->spec().path);
    std::vector<int> read = cost_->rows();
    if (value_ != nullptr) {
      std::vector<float> centre(static_cast<std::size_t>(task_->nstate()));
      for (int i = 0; i < task_->nstate(); ++i) centre[static_cast<std::size_t>(i)] = dynamics_->centre(i);
      packed_value_ = std::make_unique<PackedValue>(*value_, table_, std::move(centre));
      const std::vector<int> seen = packed_value_->seen();
      read.insert(read.end(), seen.begin(), seen.end());
    }
    packed_ = std::make_unique<PackedDynamics>(*dynamics_, table_, dynamics_->is_noisy(),
                                               dynamics_->predicted_with(read));
    const auto known = static_cast<std::size_t>(task_->known().size());
    known_.resize(known * (static_cast<std::size_t>(std::max(horizon_, kMostForward)) + 1));
    forward_known_.resize(known_.size());
    // candidates that may die roll forward in groups, whose live ones close ranks; others tile by tile
    chunk_ = cost_->alive().empty() ? table_.tile : table_.group;
    rolled_.resize(static_cast<std::size_t>(std::max(horizon_, kMostForward) + 1) * task_->nstate());
    forward_start_.resize(static_cast<std::size_t>(task_->nstate()));
  }

  int start_size() const override { return task_->nstate(); }
  const char* cause() const override {
    return "the start is finite, so the model's predictions or the cost overflow from it";
  }

  Grain grain(std::int64_t most) const override {
    const int half = table_.tile / 2;
    return {most < std::int64_t{kSmallRound} * half ? std::min(kSmallUnit, half) : half, table_.tile, chunk_};
  }

  void reserve(int nslot, int njob, int nthread) override {
    // all or nothing: the planner goes on where memory is lacking
    const int nstate = task_->nstate(), naction = task_->naction();
    const auto first_rows = static_cast<std::size_t>(packed_->model().net[0]->layer[0].rows);
    const bool has_particles = dynamics_->has_particles();
    std::vector<Start> starts(static_cast<std::size_t>(nslot) * njob);
    for (Start& s : starts) {
      s.state.resize(static_cast<std::size_t>(nstate));
      s.base.assign(static_cast<std::size_t>(dynamics_->members()), std::vector<float>(first_rows));
      s.bases.clear();
      for (const std::vector<float>& base : s.base) s.bases.push_back(base.data());
      if (has_particles) s.members.resize(static_cast<std::size_t>(horizon_) * dynamics_->particles());
      s.particles = {dynamics_->particles(),
                     dynamics_->cost_groups(),
                     s.members.data(),
                     {0, 0},
                     static_cast<float>(dynamics_->risk())};
      s.known_values.resize(task_->known().index().size() * (static_cast<std::size_t>(horizon_) + 1));
      s.known = known_in(s.known_values);
      s.work = {};
      s.work.known = s.known.n > 0 ? &s.known : nullptr;
      s.work.value = packed_value_ ? &packed_value_->kernel() : nullptr;
      s.work.model = &packed_->model();
      s.work.particles = has_particles ? &s.particles : nullptr;
      s.work.horizon = horizon_;
      s.work.term = cost_->terms().data();
      s.work.nterm = static_cast<int>(cost_->terms().size());
      s.work.alive = cost_->alive().data();
      s.work.nalive = static_cast<int>(cost_->alive().size());
      s.work.reads_action_rate = cost_->reads_action_rate();
      s.work.dying = static_cast<float>(task_->spec().dying_cost);
      s.work.state = s.state.data();
      s.work.first_base = s.bases.data();
      s.work.stride = chunk_;
    }
    std::vector<Thread> threads;
    for (int i = 0; i < nthread; ++i) {
      const std::size_t rolling = packed_->scratch() + (packed_value_ ? packed_value_->scratch() : 0);
      threads.push_back({AlignedFloats(std::max(rolling, mean().scratch())),
                         AlignedFloats(static_cast<std::size_t>(horizon_) * naction * chunk_),
                         AlignedFloats(static_cast<std::size_t>(horizon_) * table_.tile),
                         AlignedFloats(static_cast<std::size_t>(table_.group))});
    }
    starts_ = std::move(starts);
    threads_ = std::move(threads);
    njob_ = njob;
  }

  void widen(int chunk) override { chunk_ = std::max(chunk_, chunk); }

  void begin(int slot, int job, const PlanQuery& query) override {
    Start& s = start(slot, job);
    const int nstate = task_->nstate();
    for (int k = 0; k < nstate; ++k) {
      const float x = static_cast<float>(query.start[k]);
      if (!std::isfinite(x)) {
        throw_invalid("state must be finite in float32, got ", query.start[k], " at entry ", k);
      }
    }
    packed_->to_row(query.start, s.state.data());
    for (std::size_t member = 0; member < s.base.size(); ++member) {
      table_.base(&packed_->model(), static_cast<int>(member), s.state.data(), s.base[member].data(),
                  threads_.front().scratch.data());
    }
    if (dynamics_->has_particles()) {
      const Dynamics::Noise noise = Dynamics::noise(seed_, query.episode, query.step);
      packed_->draw_members(noise.key, horizon_, s.members.data());
      std::copy(noise.key.begin(), noise.key.end(), s.particles.key);
    }
    s.on = path_of(query, cost_->path());
    if (s.on) s.path = s.on->from(query.at);
    s.work.path = s.on ? &s.path : nullptr;
    know(query.start, horizon_, s.known_values.data());
  }

  void roll(int slot, int job, const Proposal& proposal, std::int64_t first, int count, int thread,
            double* costs) override {
    Thread& t = threads_[static_cast<std::size_t>(thread)];
    const Nanoseconds begin = monotonic_now();
    table_.propose(&proposal, first, count, t.actions.data(), chunk_, t.colour.data());
    proposing_ns_.fetch_add(monotonic_now() - begin, std::memory_order_relaxed);
    kernel::Rollout work = start(slot, job).work;
    work.actions = t.actions.data();
    work.count = count;
    work.first = static_cast<std::uint32_t>(first);
    work.cost = t.costs.data();
    table_.rollout(&work, t.scratch.data());
    for (int i = 0; i < count; ++i) costs[i] = static_cast<double>(t.costs.data()[i]);
  }

  Followed follow(int slot, int job, const PlanQuery& query, const float* actions) override {
    Thread& t = threads_.front();
    const int size = horizon_ * task_->naction();
    for (int i = 0; i < size; ++i) t.actions.data()[static_cast<std::int64_t>(i) * chunk_] = actions[i];
    const Start& s = start(slot, job);
    std::int32_t moved = 0;
    kernel::Rollout work = s.work;
    work.actions = t.actions.data();
    work.count = 1;
    work.first = kNoPosition;
    work.cost = t.costs.data();
    work.moved = work.path == nullptr ? nullptr : &moved;
    table_.rollout(&work, t.scratch.data());
    // along the path: where most particles have moved on
    Followed followed{static_cast<double>(t.costs.data()[0]), 2 * moved > dynamics_->particles(), 0};
    if (s.on) followed.segment = next_segment(s.on->cost(), query.at, query.start, followed.moved);
    return followed;
  }

  void predict(int slot, int job, const float* actions, float* states) override {
    table_.open_loop(&mean().model(), nullptr, 0, 0, start(slot, job).work.known,
                     start(slot, job).state.data(), actions, 1, horizon_, states, 0,
                     threads_.front().scratch.data());
    mean().from_rows(states, horizon_ + 1);
  }

  void roll_forward(const double* state, const float* actions, int steps, double* predicted) override {
    const int nstate = task_->nstate();
    const int most = std::max(horizon_, kMostForward);
    if (steps < 1 || steps > most) throw_invalid("steps must be in [1, ", most, "], got ", steps);
    mean().to_row(state, forward_start_.data());
    know(state, steps, forward_known_.data());
    const kernel::Known known = known_in(forward_known_);
    table_.open_loop(&mean().model(), nullptr, 0, 0, known.n > 0 ? &known : nullptr, forward_start_.data(),
                     actions, 1, steps, rolled_.data(), 0, threads_.front().scratch.data());
    const float* last = rolled_.data() + static_cast<std::ptrdiff_t>(steps) * nstate;
    for (int k = 0; k < nstate; ++k) predicted[k] = static_cast<double>(last[k]) + mean().centre(k);
    // what is known is so in double precision: a time that a clock gives has more digits than float32
    const std::vector<int>& known_index = task_->known().index();
    const double* const at = known_.data() + static_cast<std::size_t>(steps) * known_index.size();
    for (std::size_t i = 0; i < known_index.size(); ++i) predicted[known_index[i]] = at[i];
  }

  std::int64_t proposing_ns() const override { return proposing_ns_.load(std::memory_order_relaxed); }

  std::int64_t scratch_bytes() const override {
    const Thread& t = threads_.front();
    const std::size_t own = t.scratch.size() + t.actions.size() + t.colour.size() + t.costs.size();
    const Start& s = starts_.front();
    std::size_t floats = s.state.size();
    for (const std::vector<float>& base : s.base) floats += base.size();
    const std::size_t shared =
        starts_.size() * (floats * sizeof(float) + s.members.size() * sizeof(std::int32_t) + sizeof(Start));
    return static_cast<std::int64_t>(own * sizeof(float) + shared);
  }

 private:
  struct Start {
    std::vector<float> state;
    std::vector<std::vector<float>> base;  // of each network
    std::vector<std::int32_t> members;     // (horizon, particles)
    std::vector<const float*> bases;
    kernel::Particles particles;
    std::shared_ptr<const PlannerPath> on;  // keeps what `path` points at
    kernel::Path path;
    std::vector<float> known_values;  // (horizon + 1, known states)
    kernel::Known known;
    kernel::Rollout work;
  };
  struct Thread {
    AlignedFloats scratch, actions, colour, costs;
  };

  // What is known of the states from `state` on, to out (steps + 1, known states).
  void know(const double* state, int steps, float* out) {
    const KnownStates& known = task_->known();
    if (known.size() == 0) return;
    known.predict(state, steps, known_.data());
    const std::size_t size = known.index().size(), count = size * (static_cast<std::size_t>(steps) + 1);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = static_cast<float>(known_[i] - packed_->centre(known.index()[i % size]));
    }
  }

  kernel::Known known_in(const std::vector<float>& values) const {
    return {task_->known().size(), task_->known().index().data(), values.data(), 0};
  }

  const PackedDynamics& mean() const { return mean_ ? *mean_ : *packed_; }

  Start& start(int slot, int job) { return starts_[static_cast<std::size_t>(slot) * njob_ + job]; }

  std::shared_ptr<const Task> task_;
  std::shared_ptr<const Dynamics> dynamics_;
  int horizon_;
  std::uint64_t seed_;
  const kernel::Table& table_;
  std::unique_ptr<PlannerCost> cost_;
  std::shared_ptr<const Value> value_;  // or null
  std::unique_ptr<PackedValue> packed_value_;
  std::unique_ptr<PackedDynamics> packed_;
  std::unique_ptr<PackedDynamics> mean_;  // without noise, what a plan predicts; null: packed_
  int chunk_ = 0;                         // candidates of one kernel call
  int njob_ = 0;
  std::vector<Start> starts_;  // (nslot, njob)
  std::vector<Thread> threads_;
  std::vector<float> rolled_, forward_start_, forward_known_;
  std::vector<double> known_;
  std::atomic<std::int64_t> proposing_ns_{0};
};

}  // namespace

std::unique_ptr<Roller> make_model_roller(std::shared_ptr<const Task> task,
                                          std::shared_ptr<const Dynamics> dynamics,
                                          const PlannerOptions& options) {
  check_sizes(options, *task, *dynamics);
  return std::make_unique<ModelRoller>(std::move(task), std::move(dynamics), options);
}

}  // namespace mbmf
