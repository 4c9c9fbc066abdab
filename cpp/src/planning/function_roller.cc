// Candidates through a learned model with a cost function in place of the task's cost, some thousands at a
// time. The function is called on the thread that plans.

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "model/packed_mlp.h"
#include "planning/roller.h"

namespace mbmf {

namespace {

constexpr std::int64_t kNumbers = 2'000'000;  // states and actions of one call, at most

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
    return {chunk, chunk, chunk};
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
      take_value_off(n, costs);
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
    take_value_off(static_cast<std::int64_t>(n) * dynamics_->particles(), costs_.data());
    for (std::size_t i = 0; i < count; ++i) {
      costs[i] = dynamics_->reduce(costs_.data() + static_cast<std::ptrdiff_t>(i * particles));
    }
  }

  // of what `n` rows of states_ end in
  void take_value_off(std::int64_t n, double* costs) {
    if (value_ == nullptr) return;
    const auto nstate = static_cast<std::size_t>(task_->nstate());
    last_.resize(static_cast<std::size_t>(n) * nstate);
    worth_.resize(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < worth_.size(); ++i) {
      const auto end = states_.begin() + static_cast<std::ptrdiff_t>((i + 1) * (horizon_ + 1) * nstate);
      std::copy(end - static_cast<std::ptrdiff_t>(nstate), end,
                last_.begin() + static_cast<std::ptrdiff_t>(i * nstate));
    }
    value_->evaluate(last_.data(), n, worth_.data());
    for (std::size_t i = 0; i < worth_.size(); ++i) costs[i] -= worth_[i];
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
  std::vector<double> repeated_, costs_, last_, worth_;
};

}  // namespace

std::unique_ptr<Roller> make_function_roller(std::shared_ptr<const Task> task,
                                             std::shared_ptr<const Dynamics> dynamics, CostFunction cost,
                                             const PlannerOptions& options) {
  check_sizes(options, *task, *dynamics);
  return std::make_unique<FunctionRoller>(std::move(task), std::move(dynamics), std::move(cost), options);
}

}  // namespace mbmf
