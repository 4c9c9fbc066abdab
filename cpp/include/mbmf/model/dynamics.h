// A learned dynamics model: networks (members of an ensemble) that predict the next state from state and
// action.
//
// Normalisation is folded into the first and the last layer. float32, immutable, thread-safe. States that are
// large beside their deviation are kept less a centre, so that nothing is lost to float32 within a model.

#ifndef MBMF_MODEL_DYNAMICS_H_
#define MBMF_MODEL_DYNAMICS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/base/random.h"
#include "mbmf/model/mlp.h"
#include "mbmf/task/known_states.h"

namespace mbmf {

// Mean and standard deviation per dimension, as in training; a zero deviation maps its dimension to 0.
struct Normalization {
  std::vector<double> mean, std;
};

// What the networks see of a state, and what they predict of it.
// kRotation, of the four states of a quaternion (w first) together: the first two columns of its matrix are
// seen; the outputs of the last three are the rotation vector, in its own frame, that turns it.
// kVertical, of the four likewise: the world's z axis in the body's frame, so that the heading is not seen.
// kBody..., of the three states of a vector together: seen, or predicted, in the frame of the only quaternion
// that is seen as a rotation or a vertical, before the step.
enum class StateInput : int {
  kValue = 0,
  kSineCosine = 1,
  kNothing = 2,
  kRotation = 3,
  kVertical = 4,
  kBody = 5
};
enum class StateOutput : int {
  kDifference = 0,
  kValue = 1,
  kRotation = 2,
  kBodyDifference = 3,
  kBodyValue = 4
};

// How many inputs each state gives: 1, 2, 0; the first of a quaternion or a vector those of all of it.
std::vector<int> seen_of_each(const std::vector<StateInput>& input);

// How particles go through an ensemble (Chua et al. 2018, section 5): kExpectation, one for each member, by
// its mean; kTs1, members drawn anew at every step; kTsInf, one member for good. With a variance head, kTs1
// and kTsInf draw the next state.
enum class Propagation : int { kExpectation = 0, kTs1 = 1, kTsInf = 2 };

struct DynamicsSpec {
  int nstate = 0, naction = 0;
  // of each member, all of the same sizes, in normalised space. Inputs: what is seen of the states, in order
  // (a sine before its cosine), then the actions. Outputs: nstate, and with a variance head nstate raw log
  // variances.
  std::vector<std::vector<Layer>> members;
  Activation activation = Activation::kRelu;
  Normalization state;       // an entry for each input that comes from a state
  Normalization action;      // (naction)
  Normalization delta;       // (nstate), of what is predicted
  Normalization whole = {};  // (nstate), of the states: what is not seen keeps its digits by it; or empty
  std::vector<StateInput> input;    // (nstate), or empty: all values
  std::vector<StateOutput> output;  // (nstate), or empty: all differences
  // (nstate) bounds of the log variance in normalised space; both empty: no variance head
  std::vector<double> log_variance_min, log_variance_max;
  int particles = 0;  // of a candidate, a multiple of the members; 0: one for each member
  Propagation propagation = Propagation::kExpectation;
  std::shared_ptr<const KnownStates> known = nullptr;  // what is not predicted, since it is known; or null
  double risk = 0;  // a candidate costs the mean over members plus this times their deviation
};

class Dynamics {
 public:
  // Throws std::invalid_argument on sizes that do not fit, non-finite numbers, and settings that exclude each
  // other.
  explicit Dynamics(DynamicsSpec spec);

  // One network that sees the states as they are and predicts their differences.
  Dynamics(int nstate, int naction, std::vector<Layer> layers, Activation activation,
           const Normalization& state, const Normalization& action, const Normalization& delta);

  int nstate() const { return nstate_; }
  int naction() const { return naction_; }
  int members() const { return static_cast<int>(members_.size()); }
  int particles() const { return particles_; }
  bool is_probabilistic() const { return !low_.empty(); }
  // Whether a candidate is more than one rollout of one network by its mean.
  bool has_particles() const { return particles_ > 1 || is_noisy(); }
  // Whether rollouts draw the next state.
  bool is_noisy() const { return is_probabilistic() && propagation_ != Propagation::kExpectation; }
  double risk() const { return risk_; }
  // What is not predicted, since it is known; or null.
  const std::shared_ptr<const KnownStates>& known() const { return known_; }
  // What state i is kept less of.
  float centre(int i) const { return centre_.empty() ? 0.0f : centre_[static_cast<std::size_t>(i)]; }
  // Of a set of states, those that are predicted together with one of them: whole quaternions and vectors.
  std::vector<int> predicted_with(const std::vector<int>& states) const;
  const Mlp& mlp(int member = 0) const { return members_[static_cast<std::size_t>(member)]; }
  // Multiply-adds counted twice, of one step of a candidate.
  std::int64_t flops() const { return members_.front().flops() * particles_; }

  // states (n, nstate), actions (n, naction) -> next (n, nstate), the mean over the members. nthread as for
  // ThreadPool.
  void predict(const double* states, const float* actions, std::int64_t n, float* next, int nthread) const;

  // Of each member: next and deviation (members, n, nstate), the deviation 0 without a variance head.
  void predict_members(const double* states, const float* actions, std::int64_t n, float* next,
                       float* deviation, int nthread) const;

  // Open-loop prediction by the mean over the members at every step: states (n, nstate), actions (n, horizon,
  // naction) -> out (n, horizon + 1, nstate), whose first row is the start state.
  void open_loop(const double* states, const float* actions, std::int64_t n, int horizon, float* out,
                 int nthread) const;

  // What the particles of one plan draw from.
  struct Noise {
    PhiloxKey key{};
    std::uint32_t first = 0;  // position of the first start
  };
  // The noise of a plan: of the stream kParticle.
  static Noise noise(std::uint64_t seed, std::uint64_t episode, std::uint64_t step);

  // Rollouts as a planner makes them: out (n, particles, horizon + 1, nstate).
  void sample(const double* states, const float* actions, std::int64_t n, int horizon, const Noise& noise,
              float* out, int nthread) const;

  // What a candidate costs whose particles (particles) cost this: the mean over members and the risk.
  double reduce(const double* costs) const;
  // Whose means the risk compares: the members', or, where a particle changes members at every step, the
  // particles themselves.
  int cost_groups() const { return propagation_ == Propagation::kTs1 ? particles_ : members(); }

 private:
  friend class PackedDynamics;

  int nstate_, naction_;
  std::vector<Mlp> members_;
  std::vector<StateInput> input_;
  std::vector<int> output_;                   // (nstate) kernel::OutputKind, or empty: all differences
  int frame_ = -1;                            // first state of the quaternion of body frames, or -1
  std::shared_ptr<const KnownStates> known_;  // or null
  std::vector<float> centre_;                 // (nstate), or empty: all 0
  std::vector<float> low_, high_, scale_;     // (nstate), or empty: kernel::Model
  int particles_;
  Propagation propagation_;
  double risk_;
};

}  // namespace mbmf

#endif  // MBMF_MODEL_DYNAMICS_H_
