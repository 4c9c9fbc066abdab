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
        nthread_(options.nthread),
        table_(select_kernels()),
        chunk_(static_cast<int>(std::max<std::int64_t>(
            1, kNumbers / (std::int64_t{horizon_} * (task_->nstate() + task_->naction()))))) {}

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
    for (std::vector<float>& s : starts_) s.resize(static_cast<std::size_t>(task_->nstate()));
    colour_ = AlignedFloats(static_cast<std::size_t>(horizon_) * table_.tile);
    rows_ = AlignedFloats(static_cast<std::size_t>(horizon_) * task_->naction() * table_.tile);
  }

  void set_task(std::shared_ptr<const Task> task) override { task_ = std::move(task); }

  void begin(int slot, int job, const PlanQuery& query) override {
    std::vector<float>& s = start(slot, job);
    for (std::size_t k = 0; k < s.size(); ++k) {
      s[k] = static_cast<float>(query.start[k]);
      if (!std::isfinite(s[k])) {
        throw_invalid("state must be finite in float32, got ", query.start[k], " at entry ", k);
      }
    }
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
    cost_of(start(slot, job), actions_.data(), count, costs);
  }

  Followed follow(int slot, int job, const PlanQuery&, const float* actions) override {
    double cost = 0;
    cost_of(start(slot, job), actions, 1, &cost);
    return {cost, false, 0};
  }

  void predict(int slot, int job, const float* actions, float* states) override {
    dynamics_->open_loop(start(slot, job).data(), actions, 1, horizon_, states, 1);
  }

 private:
  void cost_of(const std::vector<float>& start, const float* actions, int n, double* costs) {
    const std::size_t nstate = start.size();
    repeated_.resize(static_cast<std::size_t>(n) * nstate);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      std::copy(start.begin(), start.end(), repeated_.begin() + static_cast<std::ptrdiff_t>(i * nstate));
    }
    states_.resize(static_cast<std::size_t>(n) * (static_cast<std::size_t>(horizon_) + 1) * nstate);
    dynamics_->open_loop(repeated_.data(), actions, n, horizon_, states_.data(), nthread_);
    cost_(states_.data(), actions, n, costs);
  }

  std::vector<float>& start(int slot, int job) {
    return starts_[static_cast<std::size_t>(slot) * njob_ + job];
  }

  std::shared_ptr<const Task> task_;
  std::shared_ptr<const Dynamics> dynamics_;
  CostFunction cost_;
  int horizon_, nthread_;
  const kernel::Table& table_;
  int chunk_;
  int njob_ = 0;
  std::vector<std::vector<float>> starts_;  // (nslot, njob)
  AlignedFloats rows_, colour_;
  std::vector<float> actions_, repeated_, states_;
};

}  // namespace

std::unique_ptr<Roller> make_function_roller(std::shared_ptr<const Task> task,
                                             std::shared_ptr<const Dynamics> dynamics, CostFunction cost,
                                             const PlannerOptions& options) {
  check_sizes(options, *task, *dynamics);
  return std::make_unique<FunctionRoller>(std::move(task), std::move(dynamics), std::move(cost), options);
}

}  // namespace mbmf
