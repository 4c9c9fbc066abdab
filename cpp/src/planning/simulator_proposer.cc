// A policy's sequences through MuJoCo itself, whose starts are integration-state rows.

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "model/packed_mlp.h"
#include "physics/mujoco_batch.h"
#include "physics/stepper.h"
#include "planning/proposer.h"

namespace mbmf {

namespace {

class SimulatorProposer : public Proposer {
 public:
  SimulatorProposer(std::shared_ptr<const Task> task, const PlannerOptions& options)
      : task_(std::move(task)),
        policy_(options.policy),
        horizon_(options.horizon),
        table_(select_kernels()),
        noise_(table_, options.horizon, task_->naction(), options.seed) {
    deviation_.reserve(policy_->log_std().size());
    for (const float log_std : policy_->log_std()) {
      deviation_.push_back(std::exp(log_std) * ProposalNoise::kUnit);
    }
  }

  int grain() const override { return 1; }

  void reserve(int nthread) override {
    const auto rows = static_cast<std::size_t>(horizon_) * task_->naction() * table_.tile;
    threads_.clear();
    threads_.reserve(static_cast<std::size_t>(nthread));
    for (int i = 0; i < nthread; ++i) {
      threads_.push_back({make_batch(task_->model(), 1, 1), PolicyEvaluator(*policy_), AlignedFloats(rows),
                          std::vector<double>(static_cast<std::size_t>(task_->nobservation())),
                          std::vector<double>(static_cast<std::size_t>(task_->naction())),
                          std::vector<float>(static_cast<std::size_t>(task_->nobservation()))});
    }
  }

  void propose(const PlanQuery& query, std::int64_t first, int count, int thread, float* out) override {
    Thread& t = threads_[static_cast<std::size_t>(thread)];
    const int size = horizon_ * task_->naction();
    for (int k = 0; k < count; ++k, out += size) {
      noise_.draw(query, first + k, 1, t.noise.data());
      Call call{this,           &t, query.start, t.observation.data(), t.action.data(), t.input.data(),
                t.noise.data(), out};
      if (apply(t.batch, nullptr, 0, run_one, &call, 0) > 0) {
        std::fill_n(out, size, std::numeric_limits<float>::quiet_NaN());
      }
    }
  }

 private:
  struct Thread {
    Batch batch;
    PolicyEvaluator evaluator;
    AlignedFloats noise;
    std::vector<double> observation, action;
    std::vector<float> input;
  };
  // One sequence in MuJoCo. Runs inside mjb_apply: holds no destructor.
  struct Call {
    const SimulatorProposer* proposer;
    Thread* thread;
    const double* start;
    double *observation, *action;
    float* input;
    const float* noise;
    float* out;
  };

  static void run_one(const mjModel*, mjData* d, int, void* arg) {
    Call& call = *static_cast<Call*>(arg);
    const SimulatorProposer& self = *call.proposer;
    const Task& task = *self.task_;
    const int na = task.naction(), nobservation = task.nobservation();
    const int size = self.horizon_ * na;
    mj_setState(task.model(), d, call.start, mjSTATE_INTEGRATION);
    task.refresh(d);
    Failure failure;
    for (int t = 0; t < self.horizon_; ++t) {
      task.read(task.spec().observation, d, call.observation);
      for (int i = 0; i < nobservation; ++i) call.input[i] = static_cast<float>(call.observation[i]);
      const float* mean = call.thread->evaluator.mean(call.input);
      for (int a = 0; a < na; ++a) {
        const int at = t * na + a;
        float action = mean[a] + self.deviation_[static_cast<std::size_t>(a)] *
                                     call.noise[std::int64_t{at} * self.table_.tile];
        action = action > 1 ? 1 : action;  // not std::clamp: what is not a number stays
        action = action < -1 ? -1 : action;
        call.out[at] = action;
        call.action[a] = static_cast<double>(action);
      }
      if (t + 1 < self.horizon_ && !advance(task, d, call.action, &failure)) {
        std::fill(call.out + (t + 1) * na, call.out + size, std::numeric_limits<float>::quiet_NaN());
        return;
      }
    }
  }

  std::shared_ptr<const Task> task_;
  std::shared_ptr<const GaussianPolicy> policy_;
  int horizon_;
  const kernel::Table& table_;
  ProposalNoise noise_;
  std::vector<float> deviation_;  // of a unit of noise
  std::vector<Thread> threads_;
};

}  // namespace

std::unique_ptr<Proposer> make_simulator_proposer(std::shared_ptr<const Task> task,
                                                  const PlannerOptions& options) {
  if (options.policy == nullptr) return nullptr;
  return std::make_unique<SimulatorProposer>(std::move(task), options);
}

}  // namespace mbmf
