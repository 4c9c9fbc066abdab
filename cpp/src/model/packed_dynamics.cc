#include "model/packed_dynamics.h"

#include <numeric>
#include <utility>

#include "model/folded.h"

namespace mbmf {

namespace {

// a network without its variance head
Mlp means_only(const Mlp& mlp, int nstate) {
  std::vector<Layer> layers = mlp.layers();
  Layer& last = layers.back();
  last.rows = nstate;
  last.weight.resize(static_cast<std::size_t>(nstate) * static_cast<std::size_t>(last.cols));
  last.bias.resize(static_cast<std::size_t>(nstate));
  return {std::move(layers), mlp.activation()};
}

}  // namespace

PackedDynamics::PackedDynamics(const Dynamics& dynamics, const kernel::Table& table, bool with_head,
                               const std::vector<int>& last_rows)
    : dynamics_(dynamics), table_(table) {
  const bool head = with_head && dynamics.is_probabilistic();
  std::vector<int> rows = last_rows;
  if (head) {
    for (const int row : last_rows) rows.push_back(dynamics.nstate() + row);
  }
  for (const Mlp& member : dynamics.members_) {
    const bool drops = dynamics.is_probabilistic() && !head;
    const Mlp mlp = drops ? means_only(member, dynamics.nstate()) : member;
    rows_.emplace_back(mlp);
    packed_.emplace_back(mlp, table, rows);
    packed_.back().use_rows(rows_.back());
    nets_.push_back(&packed_.back().net());
  }
  inputs_ = kernel_inputs(dynamics.input_);
  model_.nstate = dynamics.nstate();
  model_.naction = dynamics.naction();
  model_.nmember = dynamics.members();
  model_.net = nets_.data();
  if (!dynamics.input_.empty()) {
    model_.nseen = static_cast<int>(inputs_.size());
    if (inputs_.empty()) inputs_.push_back({});  // seen as nothing: null would say, as they are
    model_.input = inputs_.data();
  }
  if (!dynamics.output_.empty()) model_.output = dynamics.output_.data();
  model_.frame = dynamics.frame_;
  if (!dynamics.centre_.empty()) model_.centre = dynamics.centre_.data();
  if (head) {
    model_.low = dynamics.low_.data();
    model_.high = dynamics.high_.data();
    model_.scale = dynamics.scale_.data();
  }
}

void PackedDynamics::to_row(const double* state, float* row) const {
  for (int i = 0; i < model_.nstate; ++i) row[i] = static_cast<float>(state[i] - centre(i));
}

void PackedDynamics::from_rows(float* rows, std::int64_t n) const {
  if (model_.centre == nullptr) return;
  for (std::int64_t row = 0; row < n; ++row) {
    for (int i = 0; i < model_.nstate; ++i) {
      float& x = rows[row * model_.nstate + i];
      x = static_cast<float>(static_cast<double>(x) + centre(i));
    }
  }
}

void PackedDynamics::draw_members(const PhiloxKey& key, int horizon, std::int32_t* members) const {
  const int count = dynamics_.particles(), nmember = dynamics_.members();
  for (int time = 0; time < horizon; ++time) {
    std::int32_t* row = members + static_cast<std::ptrdiff_t>(time) * count;
    std::iota(row, row + count, 0);
    if (dynamics_.propagation_ == Propagation::kTs1) {
      // steps from 2^32 on are nobody's noise
      Draws draws(key, (std::uint64_t{1} << 32) | static_cast<std::uint32_t>(time), 0);
      for (int i = count - 1; i > 0; --i) {
        const std::uint64_t choices = static_cast<std::uint64_t>(i) + 1;
        std::swap(row[i], row[(draws.word() * choices) >> 32]);
      }
    }
    for (int i = 0; i < count; ++i) row[i] %= nmember;
  }
}

}  // namespace mbmf
