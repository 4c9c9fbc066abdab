// A candidate's cost has the same bits whatever the others of its tile, and whatever way through the network
// the kernels choose for them.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "kernel/kernel.h"
#include "mlp_fixture.h"
#include "model/packed_mlp.h"
#include "planning/planner_cost.h"

namespace mbmf {
namespace {

constexpr int kStates = 7, kActions = 3, kHorizon = 6;

struct Costs {
  std::vector<float> cost;
  std::vector<std::int32_t> moved;
};

struct Shape {
  std::vector<int> hidden;
  Activation activation;
  bool mortal, on_path;
};

class KernelRollouts : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }
};

INSTANTIATE_TEST_SUITE_P(Isa, KernelRollouts, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

// a network and a cost that reads some of the states
class Candidates {
 public:
  explicit Candidates(const Shape& shape)
      : table_(select_kernels()),
        mlp_(layers(shape.hidden), shape.activation),
        rows_(mlp_),
        cost_(
            {{TermKind::kLinear, -1.0, {0, 2}, {}, {}, {0, 0}},
             {TermKind::kQuadratic, 0.5, {3}, {0.1}, {}, {0, 0}},
             {TermKind::kAction, 0.25, {}, {}, {}, {0, 0}},
             {TermKind::kActionRate, 0.35, {}, {}, {}, {0, 0}},
             {TermKind::kProduct, 2.0, {4, 5}, {}, {}, {0, 0}, true}},
            shape.mortal ? std::vector<StateBound>{{1, {-0.5, 0.6, false, true}}} : std::vector<StateBound>{},
            shape.on_path ? std::optional<PathCost>(path()) : std::nullopt),
        plain_(mlp_, table_, cost_.rows()),
        packed_(mlp_, table_, cost_.rows()),
        actions_(static_cast<std::size_t>(kHorizon * kActions * table_.group)) {
    packed_.use_rows(rows_);
    std::mt19937 generator(4);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (std::size_t i = 0; i < actions_.size(); ++i) actions_.data()[i] = uniform(generator);
    for (int i = 0; i < kStates; ++i) state_.push_back(0.1f * std::sin(static_cast<float>(i)));
    if (cost_.path()) path_ = cost_.path()->from({0, {-0.6, -0.1}});
  }

  // of `count` candidates from `first` on; rows: with Net::row
  Costs roll(int first, int count, bool rows) {
    const kernel::Net& net = rows ? packed_.net() : plain_.net();
    const fixture::PlainModel plain(net, kStates, kActions);
    std::vector<float> base(static_cast<std::size_t>(net.layer->rows));
    // what an earlier call left in its scratch matters to nobody
    AlignedFloats scratch(static_cast<std::size_t>(table_.scratch(&plain.model)));
    std::fill_n(scratch.data(), scratch.size(), NAN);
    table_.base(&plain.model, 0, state_.data(), base.data(), scratch.data());
    const float* const bases = base.data();
    AlignedFloats actions(actions_.size()), costs(static_cast<std::size_t>(table_.group));
    for (int i = 0; i < kHorizon * kActions; ++i) {
      for (int k = first; k < table_.group; ++k) {
        actions.data()[i * table_.group + k - first] = actions_.data()[i * table_.group + k];
      }
    }
    Costs out{{}, std::vector<std::int32_t>(static_cast<std::size_t>(table_.group), -1)};
    kernel::Rollout work{};
    work.model = &plain.model;
    work.horizon = kHorizon;
    work.term = cost_.terms().data();
    work.nterm = static_cast<int>(cost_.terms().size());
    work.reads_action_rate = cost_.reads_action_rate();
    work.alive = cost_.alive().data();
    work.nalive = static_cast<int>(cost_.alive().size());
    work.path = cost_.path() ? &path_ : nullptr;
    work.state = state_.data();
    work.first_base = &bases;
    work.actions = actions.data();
    work.stride = table_.group;
    work.count = count;
    work.cost = costs.data();
    work.moved = out.moved.data();
    table_.rollout(&work, scratch.data());
    out.cost.assign(costs.data(), costs.data() + count);
    out.moved.resize(static_cast<std::size_t>(count));
    return out;
  }

  int tile() const { return table_.tile; }
  int group() const { return table_.group; }

 private:
  static std::vector<Layer> layers(const std::vector<int>& hidden) {
    std::vector<int> widths = {kStates + kActions};
    widths.insert(widths.end(), hidden.begin(), hidden.end());
    widths.push_back(kStates);
    std::vector<Layer> layers = fixture::random_layers(widths, 6);
    for (float& w : layers.back().weight) w *= 0.4f;
    return layers;
  }

  static PathCost path() {
    PathCost path;
    path.waypoints = {0, 0, 1.5, 0, 1.5, 2.5, -5, 2.5};
    path.x = 0;
    path.y = 4;
    path.distance = 3;
    path.forward = 10;
    return path;
  }

  const kernel::Table& table_;
  Mlp mlp_;
  RowMlp rows_;
  PlannerCost cost_;
  PackedMlp plain_, packed_;
  AlignedFloats actions_;
  std::vector<float> state_;
  kernel::Path path_{};
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const std::vector<int>& hidden :
       {std::vector<int>{}, {1}, {33}, {500}, {520}, {20, 37}, {65, 16}, {9, 50, 18}, {31, 1, 45}}) {
    for (const Activation activation : {Activation::kRelu, Activation::kTanh, Activation::kSilu}) {
      all.push_back({hidden, activation, false, false});
    }
  }
  all.push_back({{33}, Activation::kRelu, true, false});
  all.push_back({{20, 37}, Activation::kTanh, true, false});
  all.push_back({{33}, Activation::kRelu, false, true});
  all.push_back({{33}, Activation::kTanh, true, true});
  return all;
}

TEST_P(KernelRollouts, AnyNumberTogetherCostsWhatEachDoesAlone) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(testing::PrintToString(shape.hidden) +
                 (shape.activation == Activation::kTanh ? " tanh" : "") + (shape.mortal ? " mortal" : "") +
                 (shape.on_path ? " path" : ""));
    Candidates candidates(shape);
    Costs alone;
    for (int i = 0; i < candidates.group(); ++i) {
      const Costs one = candidates.roll(i, 1, false);
      alone.cost.push_back(one.cost.front());
      alone.moved.push_back(one.moved.front());
      ASSERT_TRUE(std::isfinite(one.cost.front()));
      const Costs by_rows = candidates.roll(i, 1, true);
      ASSERT_EQ(by_rows.cost, one.cost) << i;
      ASSERT_EQ(by_rows.moved, one.moved) << i;
    }
    const int tile = candidates.tile(), group = candidates.group();
    std::vector<int> counts = {
        tile + 1,         tile + 2,  tile + 3, tile + tile / 2, tile + tile / 2 + 1, 2 * tile,
        group - tile / 2, group - 1, group};
    for (int count = 1; count <= tile; ++count) counts.push_back(count);
    for (const int count : counts) {
      for (const bool rows : {false, true}) {
        const Costs all = candidates.roll(0, count, rows);
        ASSERT_EQ(all.cost, std::vector<float>(alone.cost.begin(), alone.cost.begin() + count))
            << count << (rows ? " by rows" : "");
        ASSERT_EQ(all.moved, std::vector<std::int32_t>(alone.moved.begin(), alone.moved.begin() + count));
      }
    }
  }
}

// in the cases above some die, some do not, some move on and some do not
TEST_P(KernelRollouts, TheCasesDiffer) {
  const auto costs = [](bool mortal, bool on_path) {
    Candidates candidates({{33}, Activation::kRelu, mortal, on_path});
    return candidates.roll(0, candidates.group(), true);
  };
  const Costs mortal = costs(true, false), immortal = costs(false, false), on_path = costs(false, true);
  int same = 0, moved = 0;
  for (std::size_t i = 0; i < mortal.cost.size(); ++i) {
    same += mortal.cost[i] == immortal.cost[i];
    moved += on_path.moved[i] != 0;
  }
  EXPECT_GT(same, 0);
  EXPECT_LT(same, static_cast<int>(mortal.cost.size()));
  EXPECT_GT(moved, 0);
  EXPECT_LT(moved, static_cast<int>(mortal.cost.size()));
}

}  // namespace
}  // namespace mbmf
