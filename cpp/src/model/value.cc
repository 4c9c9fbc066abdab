#include "mbmf/model/value.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "model/folded.h"
#include "model/packed_value.h"

namespace mbmf {

Value::Value(ValueSpec spec)
    : nstate_(spec.nstate),
      activation_(spec.activation),
      state_(std::move(spec.state)),
      low_(static_cast<float>(spec.low)),
      high_(static_cast<float>(spec.high)) {
  if (nstate_ < 1) throw_invalid("nstate must be positive, got ", nstate_);
  check_inputs(spec.input, nstate_);
  const int seen = count_seen(spec.input, nstate_);
  check_normalization(state_, seen, "state");
  check_normalization({{spec.mean}, {spec.std}}, 1, "value");
  if (!(std::isfinite(low_) && std::isfinite(high_) && low_ <= high_)) {
    throw_invalid("low and high must be finite in float32, low at most high, got ", spec.low, " and ",
                  spec.high);
  }
  if (spec.layers.empty()) throw_invalid("layers must hold at least one layer, got none");
  if (spec.layers.front().cols != seen) {
    throw_invalid("the first layer must take ", seen, " inputs, got ", spec.layers.front().cols);
  }
  if (spec.layers.back().rows != 1) {
    throw_invalid("the last layer must give one output, got ", spec.layers.back().rows);
  }
  if (std::any_of(spec.input.begin(), spec.input.end(),
                  [](StateInput input) { return input != StateInput::kValue; })) {
    input_ = std::move(spec.input);
  }
  layers_ = Mlp(std::move(spec.layers), activation_).layers();  // sizes and numbers checked
  fold_output(layers_.back(), {spec.mean}, {spec.std});
  packed_ =
      std::make_shared<const PackedValue>(*this, select_kernels(), centres_of(input_, nstate_, state_, {}));
}

struct ValueEvaluator::Impl {
  Impl(std::shared_ptr<const PackedValue> packed_in, int nstate_in)
      : packed(std::move(packed_in)),
        nstate(nstate_in),
        scratch(packed->scratch()),
        rows(static_cast<std::size_t>(packed->table().tile) * static_cast<std::size_t>(nstate)),
        out(static_cast<std::size_t>(packed->table().tile)) {}

  // count at most the table's tile
  void evaluate(const double* states, int count, double* values) {
    for (int i = 0; i < count * nstate; ++i) {
      rows[static_cast<std::size_t>(i)] = static_cast<float>(states[i] - packed->centre(i % nstate));
    }
    packed->table().value(&packed->kernel(), rows.data(), count, out.data(), scratch.data());
    std::copy_n(out.begin(), count, values);
  }

  std::shared_ptr<const PackedValue> packed;
  int nstate;
  AlignedFloats scratch;
  std::vector<float> rows, out;
};

ValueEvaluator::ValueEvaluator(const Value& value)
    : impl_(std::make_unique<Impl>(value.packed_, value.nstate())) {}
ValueEvaluator::~ValueEvaluator() = default;
ValueEvaluator::ValueEvaluator(ValueEvaluator&&) noexcept = default;
ValueEvaluator& ValueEvaluator::operator=(ValueEvaluator&&) noexcept = default;

double ValueEvaluator::evaluate(const double* state) {
  double value = 0;
  impl_->evaluate(state, 1, &value);
  return value;
}

void Value::evaluate(const double* states, std::int64_t n, double* values) const {
  const ValueEvaluator evaluator(*this);
  const std::int64_t tile = packed_->table().tile;
  for (std::int64_t first = 0; first < n; first += tile) {
    const int count = static_cast<int>(std::min(tile, n - first));
    evaluator.impl_->evaluate(states + first * nstate_, count, values + first);
  }
}

PackedValue::PackedValue(const Value& value, const kernel::Table& table, std::vector<float> centre)
    : table_(table), centre_(std::move(centre)) {
  std::vector<Layer> layers = value.layers_;
  const Normalization seen = less_centres(value.input_, value.state_, centre_);
  fold_input(layers.front(), seen.mean, seen.std);
  const Mlp mlp(std::move(layers), value.activation_);
  rows_.emplace(mlp);
  packed_.emplace(mlp, table);
  packed_->use_rows(*rows_);
  net_ = &packed_->net();
  inputs_ = kernel_inputs(value.input_);
  model_.nstate = value.nstate_;
  model_.nmember = 1;
  model_.net = &net_;
  if (!inputs_.empty() || !value.input_.empty()) {
    model_.input = inputs_.data();
    model_.nseen = static_cast<int>(inputs_.size());
  }
  if (!centre_.empty()) model_.centre = centre_.data();
  value_ = {&model_, value.low_, value.high_};
}

std::vector<int> PackedValue::seen() const {
  std::set<int> all;
  if (model_.input == nullptr) {
    for (int i = 0; i < model_.nstate; ++i) all.insert(i);
  }
  for (const kernel::Input& input : inputs_) {
    // a rotation is of four states, a vector of three
    const bool turns = input.kind == kernel::InputKind::kRotation || input.kind == kernel::InputKind::kMatrix;
    const int states = turns ? 4 : (input.kind == kernel::InputKind::kBody ? 3 : 1);
    for (int i = 0; i < states; ++i) all.insert(input.state + i);
  }
  return {all.begin(), all.end()};
}

}  // namespace mbmf
