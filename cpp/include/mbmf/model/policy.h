// A Gaussian policy: the mean of the action is a tanh MLP of the observation, the deviations are its own.
//
// float32, immutable, thread-safe. An observation's mean is the same bits on any number of threads, alone or
// among others.

#ifndef MBMF_MODEL_POLICY_H_
#define MBMF_MODEL_POLICY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/model/mlp.h"

namespace mbmf {

class Task;

// The observations of a task, by number, that do not follow from its states: no model predicts them, so that
// no policy that sees them can act in one.
std::vector<int> unpredicted_observations(const Task& task);

// Whether a model says where a task's episodes end: alive does, or every bound of healthy is of a state.
bool ends_are_predicted(const Task& task);

class GaussianPolicy {
 public:
  // layers: from observation to mean action, tanh after each but the last. log_std (naction): logarithms of
  // the standard deviations. Throws std::invalid_argument on sizes that do not fit, on non-finite numbers and
  // on a log_std outside [-80, 80].
  GaussianPolicy(std::vector<Layer> layers, std::vector<float> log_std);

  int nobservation() const { return mlp_.ninput(); }
  int naction() const { return mlp_.noutput(); }
  const Mlp& mlp() const { return mlp_; }
  const std::vector<float>& log_std() const { return log_std_; }

  // observations (n, nobservation) -> means (n, naction). nthread as for ThreadPool.
  void mean(const float* observations, std::int64_t n, float* means, int nthread) const;

 private:
  friend class PolicyEvaluator;
  struct Packed;

  Mlp mlp_;
  std::vector<float> log_std_;
  std::shared_ptr<const Packed> packed_;
};

// Evaluates a policy for one observation at a time, without allocating. One per thread; keeps the weights
// alive.
class PolicyEvaluator {
 public:
  explicit PolicyEvaluator(const GaussianPolicy& policy);
  ~PolicyEvaluator();
  PolicyEvaluator(PolicyEvaluator&&) noexcept;
  PolicyEvaluator& operator=(PolicyEvaluator&&) noexcept;

  // observation (nobservation) -> mean (naction), valid until the next call.
  const float* mean(const float* observation);

  // What hidden layer i gave in the last call, tanh included; valid until the next.
  const float* hidden(int i) const;

 private:
  struct Values;

  std::shared_ptr<const GaussianPolicy::Packed> packed_;
  std::unique_ptr<Values> values_;
};

}  // namespace mbmf

#endif  // MBMF_MODEL_POLICY_H_
