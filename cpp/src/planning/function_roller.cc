// Candidates through a learned model with a cost function in place of the task's cost, some thousands at a
// time. The function is called on the thread that plans. The task's cost is then what the function leaves to
// it: the bounds of `alive`, and terms of the end.

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "model/packed_mlp.h"
#include "planning/roller.h"
#include "task/cost_walk.h"

namespace mbmf {

namespace {

constexpr std::int64_t kNumbers = 2'000'000;  // states and actions of one call, at most
constexpr int kFewest = 32, kSome = 2048;     // candidates of one call where time is short

class FunctionRoller : public Roller {
 public:
  FunctionRoller(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics,
                 CostFunction cost, const PlannerOptions& options)
      : task_(std::move(task)),
        dynamics_(std::move(dynamics)),
        cost_(std::move(cost)),
        horizon_(options.horizon),
        seed_(options.seed),
        nthread_(options.nthread),
        table_(select_kernels()),
        value_(options.value),
        chunk_(static_cast<int>(std::max<std::int64_t>(
            1, kNumbers / (std::int64_t{horizon_} * (task_->nstate() + task_->naction()) *
                           dynamics_->particles())))) {}

  int start_size() const override { return task_->nstate(); }
  int nthread() const override { return 1; }  // the model's rollouts have the others
  const char* cause() const override { return "the model's predictions or the cost function are not finite"; }
  Grain grain(std::int64_t most) const override {
    const int chunk = static_cast<int>(std::min<std::int64_t>(chunk_, most));
    return {std::min(kFewest, chunk), std::min(kSome, chunk), chunk};
  }

  void reserve(int nslot, int njob, int) override {
    njob_ = njob;
    starts_.resize(static_cast<std::size_t>(nslot) * njob);
    for (Start& s : starts_) s.state.resize(static_cast<std::size_t>(task_->nstate()));
    colour_ = AlignedFloats(static_cast<std::size_t>(horizon_) * table_.tile);
    rows_ = AlignedFloats(static_cast<std::size_t>(horizon_) * task_->naction() * table_.tile);
  }

  void begin(int slot, int job, const PlanQuery& query) override {
    Start& s = start(slot, job);
    for (std::size_t k = 0; k < s.state.size(); ++k) {
      s.state[k] = query.start[k];
      if (!std::isfinite(static_cast<float>(s.state[k]))) {
        throw_invalid("state must be finite in float32, got ", query.start[k], " at entry ", k);
      }
    }
    s.noise = Dynamics::noise(seed_, query.episode, query.step);
  }

  void roll(int slot, int job, const Proposal& proposal, std::int64_t first, int count, int,
            double* costs) override {
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(horizon_) * task_->naction();
    actions_.resize(static_cast<std::size_t>(count * size));
    for (int done = 0; done < count; done += table_.tile) {
      const int n = std::min(table_.tile, count - done);
      table_.propose(&proposal, first + done, n, rows_.data(), table_.tile, colour_.data());
      for (int lane = 0; lane < n; ++lane) {
        float* out = actions_.data() + (done + lane) * size;
        for (std::ptrdiff_t i = 0; i < size; ++i) out[i] = rows_.data()[i * table_.tile + lane];
      }
    }
    Start& s = start(slot, job);
    s.noise.first = static_cast<std::uint32_t>(first);
    cost_of(s, actions_.data(), count, costs);
  }

  Followed follow(int slot, int job, const PlanQuery&, const float* actions) override {
    double cost = 0;
    Start& s = start(slot, job);
    s.noise.first = kNoPosition;
    cost_of(s, actions, 1, &cost);
    return {cost, false, 0};
  }

  void predict(int slot, int job, const float* actions, float* states) override {
    dynamics_->open_loop(start(slot, job).state.data(), actions, 1, horizon_, states, 1);
  }

 private:
  struct Start {
    std::vector<double> state;
    Dynamics::Noise noise;
  };

  void cost_of(const Start& start, const float* actions, int n, double* costs) {
    const auto count = static_cast<std::size_t>(n), nstate = start.state.size();
    repeated_.resize(count * nstate);
    for (std::size_t i = 0; i < count; ++i) {
      std::copy(start.state.begin(), start.state.end(),
                repeated_.begin() + static_cast<std::ptrdiff_t>(i * nstate));
    }
    const auto particles = static_cast<std::size_t>(dynamics_->particles());
    states_.resize(count * particles * (static_cast<std::size_t>(horizon_) + 1) * nstate);
    if (!dynamics_->has_particles()) {
      dynamics_->open_loop(repeated_.data(), actions, n, horizon_, states_.data(), nthread_);
      cost_(states_.data(), actions, n, costs);
      add_rest(actions, n, costs);
      return;
    }

    // a sequence for each particle
    dynamics_->sample(repeated_.data(), actions, n, horizon_, start.noise, states_.data(), nthread_);
    const std::size_t size = static_cast<std::size_t>(horizon_) * static_cast<std::size_t>(task_->naction());
    of_particles_.resize(count * particles * size);
    for (std::size_t i = 0; i < count * particles; ++i) {
      std::copy_n(actions + i / particles * size, size,
                  of_particles_.begin() + static_cast<std::ptrdiff_t>(i * size));
    }
    costs_.resize(count * particles);
    cost_(states_.data(), of_particles_.data(), n * dynamics_->particles(), costs_.data());
    add_rest(of_particles_.data(), static_cast<std::int64_t>(n) * dynamics_->particles(), costs_.data());
    for (std::size_t i = 0; i < count; ++i) {
      costs[i] = dynamics_->reduce(costs_.data() + static_cast<std::ptrdiff_t>(i * particles));
    }
  }

  // What n sequences cost that their function does not say, from states_: for leaving the bounds of `alive`,
  // once, and for the end; less what the end is worth to those that stayed.
  void add_rest(const float* actions, std::int64_t n, double* costs) {
    const auto nstate = static_cast<std::size_t>(task_->nstate());
    const int naction = task_->naction();
    const bool has_value = value_ != nullptr;
    last_.resize(has_value ? static_cast<std::size_t>(n) * nstate : 0);
    worth_.resize(has_value ? static_cast<std::size_t>(n) : 0);
    state_.resize(nstate);
    action_.resize(2 * static_cast<std::size_t>(naction));
    stays_.assign(static_cast<std::size_t>(n), 1);
    const float* state = states_.data();
    for (std::int64_t i = 0; i < n; ++i, actions += static_cast<std::ptrdiff_t>(horizon_) * naction) {
      CostWalk walk(task_->spec(), nullptr, {});
      for (int t = 0; t <= horizon_; ++t, state += nstate) {
        if (stays_[static_cast<std::size_t>(i)] == 0) continue;
        std::copy_n(state, nstate, state_.begin());
        double* const now = action_.data();
        std::copy_n(now, naction, now + naction);
        if (t < horizon_) std::copy_n(actions + static_cast<std::ptrdiff_t>(t) * naction, naction, now);
        stays_[static_cast<std::size_t>(i)] =
            walk.add(state_.data(), now, t > 0 ? now + naction : nullptr, naction, t == horizon_, costs + i);
      }
      if (has_value) {
        std::copy_n(state - nstate, nstate, last_.begin() + static_cast<std::ptrdiff_t>(i * task_->nstate()));
      }
    }
    if (!has_value) return;
    value_->evaluate(last_.data(), n, worth_.data());
    for (std::size_t i = 0; i < worth_.size(); ++i) costs[i] -= stays_[i] != 0 ? worth_[i] : 0.0;
  }

  Start& start(int slot, int job) { return starts_[static_cast<std::size_t>(slot) * njob_ + job]; }

  std::shared_ptr<const Task> task_;
  std::shared_ptr<const Dynamics> dynamics_;
  CostFunction cost_;
  int horizon_;
  std::uint64_t seed_;
  int nthread_;
  const kernel::Table& table_;
  std::shared_ptr<const Value> value_;  // or null
  int chunk_;
  int njob_ = 0;
  std::vector<Start> starts_;  // (nslot, njob)
  AlignedFloats rows_, colour_;
  std::vector<float> actions_, states_, of_particles_;
  std::vector<double> repeated_, costs_, last_, worth_, state_, action_;
  std::vector<std::uint8_t> stays_;
};

}  // namespace

std::unique_ptr<Roller> make_function_roller(std::shared_ptr<const Task> task,
                                             std::shared_ptr<const Dynamics> dynamics, CostFunction cost,
                                             const PlannerOptions& options) {
  check_sizes(options, *task, *dynamics);
  return std::make_unique<FunctionRoller>(std::move(task), std::move(dynamics), std::move(cost), options);
}

}  // namespace mbmf
