// A learned value: what a state is worth once a plan has ended there.
//
// A network whose only output is the expected sum of negative planning costs from a state on, discounted per
// control step. It ends a planner's horizon (PlannerOptions::value): a candidate costs that much less.

#ifndef MBMF_MODEL_VALUE_H_
#define MBMF_MODEL_VALUE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/model/dynamics.h"
#include "mbmf/model/mlp.h"

namespace mbmf {

class PackedValue;

struct ValueSpec {
  int nstate = 0;
  std::vector<Layer> layers;  // in normalised space: what is seen of the states, in order -> one output
  Activation activation = Activation::kSilu;
  Normalization state;            // an entry for each input
  std::vector<StateInput> input;  // (nstate), or empty: all values
  double mean = 0, std = 1;       // of the output
  double low = 0, high = 0;       // values are clipped to these
};

// float32, immutable, thread-safe.
class Value {
 public:
  // Throws std::invalid_argument on sizes that do not fit, numbers that are not finite, and high below low.
  explicit Value(ValueSpec spec);

  int nstate() const { return nstate_; }
  double low() const { return low_; }
  double high() const { return high_; }

  // states (n, nstate) -> values (n); low where the network gives no finite number.
  void evaluate(const double* states, std::int64_t n, double* values) const;

 private:
  friend class PackedValue;
  friend class ValueEvaluator;

  int nstate_;
  std::vector<Layer> layers_;  // the output's normalisation is folded in
  Activation activation_;
  Normalization state_;
  std::vector<StateInput> input_;  // empty: all values
  float low_, high_;
  std::shared_ptr<const PackedValue> packed_;
};

// Evaluates a value for one state at a time, without allocating. One per thread; keeps the weights alive.
class ValueEvaluator {
 public:
  explicit ValueEvaluator(const Value& value);
  ~ValueEvaluator();
  ValueEvaluator(ValueEvaluator&&) noexcept;
  ValueEvaluator& operator=(ValueEvaluator&&) noexcept;

  // state (nstate); as Value::evaluate.
  double evaluate(const double* state);

 private:
  friend class Value;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_MODEL_VALUE_H_
