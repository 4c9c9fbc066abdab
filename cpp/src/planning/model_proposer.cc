// A policy's sequences through the mean prediction of a learned model, in the vector kernels.

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "mbmf/task/known_states.h"
#include "model/observed.h"
#include "model/packed_dynamics.h"
#include "model/packed_policy.h"
#include "planning/proposer.h"

namespace mbmf {

namespace {

constexpr int kGrain = 4;  // what the kernels take at once where there are few

class ModelProposer : public Proposer {
 public:
  ModelProposer(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics,
                const PlannerOptions& options)
      : task_(std::move(task)),
        dynamics_(std::move(dynamics)),
        horizon_(options.horizon),
        grain_(static_cast<int>(std::min<std::int64_t>(kGrain, options.proposals))),
        table_(select_kernels()),
        packed_(*dynamics_, table_, false),
        noise_(table_, options.horizon, task_->naction(), options.seed) {
    Seen seen = seen_by(options.policy, *task_);
    std::vector<float> centre(static_cast<std::size_t>(task_->nstate()));
    for (int i = 0; i < task_->nstate(); ++i) centre[static_cast<std::size_t>(i)] = dynamics_->centre(i);
    policy_ = std::move(seen.policy);
    actor_.emplace(*policy_, table_, task_->nstate(), std::move(seen.inputs), std::move(centre),
                   ProposalNoise::kUnit);
  }

  int grain() const override { return grain_; }

  void reserve(int nthread) override {
    const auto states = static_cast<std::size_t>(task_->nstate()), steps = static_cast<std::size_t>(horizon_);
    const std::size_t known = static_cast<std::size_t>(task_->known().size()) * (steps + 1);
    threads_.clear();
    threads_.reserve(static_cast<std::size_t>(nthread));
    for (int i = 0; i < nthread; ++i) {
      threads_.push_back({AlignedFloats(packed_.scratch() + actor_->scratch()),
                          AlignedFloats(steps * static_cast<std::size_t>(task_->naction() * table_.tile)),
                          std::vector<float>(states), std::vector<float>(known), std::vector<double>(known)});
    }
  }

  void propose(const PlanQuery& query, std::int64_t first, int count, int thread, float* out) override {
    Thread& t = threads_[static_cast<std::size_t>(thread)];
    noise_.draw(query, first, count, t.actions.data());
    packed_.to_row(query.start, t.state.data());
    const kernel::Known known{task_->known().size(), task_->known().index().data(), t.known.data(), 0};
    if (known.n > 0) {
      task_->known().predict(query.start, horizon_, t.exact.data());
      for (std::size_t i = 0; i < t.known.size(); ++i) {
        const int state = known.state[i % static_cast<std::size_t>(known.n)];
        t.known[i] = static_cast<float>(t.exact[i] - packed_.centre(state));
      }
    }
    kernel::Follow work{};
    work.model = &packed_.model();
    work.actor = &actor_->kernel();
    work.known = known.n > 0 ? &known : nullptr;
    work.state = t.state.data();
    work.horizon = horizon_;
    work.count = count;
    work.actions = t.actions.data();
    table_.follow(&work, t.scratch.data());
    const int size = horizon_ * task_->naction();
    for (int lane = 0; lane < count; ++lane) {
      for (int i = 0; i < size; ++i) *out++ = t.actions.data()[std::int64_t{i} * table_.tile + lane];
    }
  }

 private:
  struct Thread {
    AlignedFloats scratch, actions;
    std::vector<float> state, known;
    std::vector<double> exact;  // what is known, with the centres
  };

  std::shared_ptr<const Task> task_;
  std::shared_ptr<const Dynamics> dynamics_;
  std::shared_ptr<const GaussianPolicy> policy_;  // of what the model predicts
  int horizon_, grain_;
  const kernel::Table& table_;
  PackedDynamics packed_;  // the members without noise
  std::optional<PackedPolicy> actor_;
  ProposalNoise noise_;
  std::vector<Thread> threads_;
};

}  // namespace

std::unique_ptr<Proposer> make_model_proposer(std::shared_ptr<const Task> task,
                                              std::shared_ptr<const Dynamics> dynamics,
                                              const PlannerOptions& options) {
  if (options.policy == nullptr) return nullptr;
  return std::make_unique<ModelProposer>(std::move(task), std::move(dynamics), options);
}

}  // namespace mbmf
