// A learned dynamics model: next state = state + f(state, action), f an MLP.
//
// Normalisation is folded into the first and the last layer, so f sees raw states and gives raw differences.
// float32, immutable, thread-safe.

#ifndef MBMF_MODEL_DYNAMICS_H_
#define MBMF_MODEL_DYNAMICS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/model/mlp.h"

namespace mbmf {

// Mean and standard deviation per dimension, as in training; a zero deviation maps its dimension to 0.
struct Normalization {
  std::vector<double> mean, std;
};

class Dynamics {
 public:
  // layers: weights and biases in the normalised space, input (state, action), output the state difference.
  // Throws std::invalid_argument on sizes that do not fit and on non-finite numbers.
  Dynamics(int nstate, int naction, std::vector<Layer> layers, Activation activation,
           const Normalization& state, const Normalization& action, const Normalization& delta);

  int nstate() const { return nstate_; }
  int naction() const { return naction_; }
  const Mlp& mlp() const { return mlp_; }

  // states (n, nstate), actions (n, naction) -> next (n, nstate). nthread as for ThreadPool.
  void predict(const float* states, const float* actions, std::int64_t n, float* next, int nthread) const;

  // Open-loop prediction: states (n, nstate), actions (n, horizon, naction) -> out (n, horizon + 1, nstate),
  // whose first row is the start state.
  void open_loop(const float* states, const float* actions, std::int64_t n, int horizon, float* out,
                 int nthread) const;

 private:
  int nstate_, naction_;
  Mlp mlp_;
};

}  // namespace mbmf

#endif  // MBMF_MODEL_DYNAMICS_H_
