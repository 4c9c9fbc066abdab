#include "mbmf/planning/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <mutex>

#include "allocation_counter.h"
#include "infinity.h"
#include "mbmf/base/error.h"
#include "mbmf/base/isa.h"
#include "planner_fixture.h"

namespace mbmf {
namespace {

using fixture::plan_at;
using fixture::query_at;

// all costs of a plan by plain float64 loops over the sampled actions
std::vector<double> oracle_costs(Planner& planner, const Dynamics& dynamics,
                                 const std::vector<double>& start) {
  const Task& task = planner.task();
  const int horizon = planner.options().horizon, ns = task.nstate(), na = task.naction();
  const auto k_count = planner.options().candidates;
  std::vector<float> actions(static_cast<std::size_t>(k_count * horizon * na));
  planner.sample(2, 3, 0, k_count, actions.data());
  std::vector<double> costs;
  for (std::int64_t k = 0; k < k_count; ++k) {
    std::vector<double> s = start;
    double cost = 0;
    bool dead = false;
    for (int t = 0; t <= horizon; ++t) {
      const float* a = actions.data() + (k * horizon + std::min(t, horizon - 1)) * na;
      dead = dead || !within(task.spec().alive, s.data());
      const std::vector<double> action(a, a + na);
      double step = 0;
      for (int i = 0; t > 0 && t < horizon && i < na; ++i) {
        const double change = static_cast<double>(a[i]) - static_cast<double>(a[i - na]);
        step += change * change;
      }
      if (!dead) cost += evaluate(task.spec().cost, s.data(), action.data(), na, step, t == horizon);
      if (t == horizon) break;
      std::vector<double> x = s;
      x.insert(x.end(), action.begin(), action.end());
      for (std::size_t i = 0; i < dynamics.mlp().layers().size(); ++i) {
        const Layer& layer = dynamics.mlp().layers()[i];
        std::vector<double> y(layer.bias.begin(), layer.bias.end());
        for (int r = 0; r < layer.rows; ++r) {
          for (int c = 0; c < layer.cols; ++c) {
            y[static_cast<std::size_t>(r)] +=
                static_cast<double>(layer.weight[static_cast<std::size_t>(r * layer.cols + c)]) *
                x[static_cast<std::size_t>(c)];
          }
          if (i + 1 < dynamics.mlp().layers().size()) {
            double& v = y[static_cast<std::size_t>(r)];
            v = dynamics.mlp().activation() == Activation::kRelu ? std::fmax(v, 0.0) : std::tanh(v);
          }
        }
        x = y;
      }
      for (int i = 0; i < ns; ++i) s[static_cast<std::size_t>(i)] += x[static_cast<std::size_t>(i)];
    }
    costs.push_back(cost);
  }
  return costs;
}

std::vector<double> middle(const fixture::Preset& preset) {
  std::vector<double> start(static_cast<std::size_t>(preset.nstate));
  for (std::size_t i = 0; i < start.size(); ++i) start[i] = 0.1 * std::sin(static_cast<double>(i));
  for (const StateBound& bound : preset.alive) {
    const double high = std::isinf(bound.bounds.high) ? bound.bounds.low + 0.6 : bound.bounds.high;
    start[static_cast<std::size_t>(bound.index)] = (bound.bounds.low + high) / 2;
  }
  return start;
}

std::vector<Term> every_term() {
  return {{TermKind::kConstant, 0.5, {}, {}, {}, {0, 0}},
          {TermKind::kLinear, -1.0, {0, 2}, {}, {}, {0, 0}},
          {TermKind::kQuadratic, 2.0, {1, 2}, {}, {3, 4}, {0, 0}},
          {TermKind::kAbsolute, 0.7, {3, 1}, {0.2, -0.1}, {}, {0, 0}},
          {TermKind::kDistance, 1.5, {0, 1}, {0.3, 0.3}, {}, {0, 0}},
          {TermKind::kOutside, 3.0, {2, 3}, {}, {}, {-0.05, 0.1, false, true}},
          {TermKind::kAction, 0.25, {}, {}, {}, {0, 0}},
          {TermKind::kLinear, 0.0, {4}, {}, {}, {0, 0}},
          {TermKind::kProduct, 0.8, {0, 3, 5}, {}, {}, {0, 0}},
          {TermKind::kClipped, -1.1, {1, 6}, {}, {}, {-0.1, 0.05}},
          {TermKind::kExcess, 4.0, {4, 6}, {}, {}, {-kInfinity, 0.02}},
          {TermKind::kActionRate, 0.3, {}, {}, {}, {0, 0}},
          {TermKind::kQuadratic, 20.0, {6}, {}, {}, {0, 0}, true}};
}

class PlannerOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }
};

INSTANTIATE_TEST_SUITE_P(Isa, PlannerOn, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

// the presets' sizes and costs, and a task with every kind of term, against float64 loops
TEST_P(PlannerOn, CostsEqualPlainLoops) {
  std::vector<fixture::Preset> cases = fixture::presets();
  cases.push_back({"every term", 7, 2, 9, 150, every_term(), {{5, {-0.4, 0.4, true, false}}}});
  for (fixture::Preset& preset : cases) {
    preset.candidates = std::min<std::int64_t>(preset.candidates, 150);
    const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost, preset.alive);
    const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {60}, 0.15);
    const auto planner = make_planner(task, dynamics, {preset.horizon, preset.candidates, 11, 1});
    const std::vector<double> start = middle(preset), want = oracle_costs(*planner, *dynamics, start);
    const std::vector<double> got = planner->costs(query_at(start, 2, 3));
    ASSERT_EQ(got.size(), want.size());
    int off = 0;
    double scale = 0;
    for (const double w : want) scale = std::max(scale, std::fabs(w));
    for (std::size_t k = 0; k < want.size(); ++k) {
      // a state within rounding of a bound may fall on either side; that must stay rare
      if (std::fabs(got[k] - want[k]) > 1e-4 * std::fmax(std::fabs(want[k]), 0.1 * scale)) ++off;
    }
    EXPECT_LE(off, preset.alive.empty() ? 0 : 1) << preset.name;
    const Plan plan = plan_at(*planner, start, 2, 3);
    EXPECT_EQ(plan.candidate, std::min_element(want.begin(), want.end()) - want.begin()) << preset.name;
    EXPECT_EQ(plan.cost, got[static_cast<std::size_t>(plan.candidate)]);
  }
}

// of the candidates above some die and some live
TEST_P(PlannerOn, SomeCandidatesDie) {
  const fixture::Preset preset = fixture::presets()[2];
  const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost, preset.alive);
  const auto immortal = fixture::make_task(preset.nstate, preset.naction, preset.cost);
  const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {60}, 0.03);
  const std::vector<double> start = middle(preset);
  const PlannerOptions options{40, 500, 11, 1};
  const std::vector<double> mortal_costs =
      make_planner(task, dynamics, options)->costs(query_at(start, 2, 3));
  const std::vector<double> immortal_costs =
      make_planner(immortal, dynamics, options)->costs(query_at(start, 2, 3));
  ASSERT_EQ(mortal_costs.size(), 500U);
  int same = 0;
  for (std::size_t k = 0; k < 500; ++k) same += mortal_costs[k] == immortal_costs[k];
  EXPECT_GT(same, 0);
  EXPECT_LT(same, 500);
}

TEST_P(PlannerOn, SameBitsAtAnyThreadCount) {
  for (const fixture::Preset& preset : fixture::presets()) {
    const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost, preset.alive);
    const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {64}, 0.1);
    const std::vector<double> start = middle(preset);
    Plan first;
    for (const int nthread : {1, 2, 3, 7}) {
      const auto planner = make_planner(task, dynamics, {preset.horizon, 1003, 5, nthread});
      for (int step = 0; step < 3; ++step) {
        const Plan plan = plan_at(*planner, start, 1, 7);
        if (nthread == 1 && step == 0) first = plan;
        EXPECT_EQ(plan.candidate, first.candidate);
        EXPECT_EQ(plan.cost, first.cost);
        EXPECT_EQ(plan.actions, first.actions);
        EXPECT_EQ(plan.states, first.states);
      }
    }
    // and other numbers elsewhere
    const auto other = make_planner(task, dynamics, {preset.horizon, 1003, 6, 1});
    EXPECT_NE(plan_at(*other, start, 1, 7).actions, first.actions);
    const auto same = make_planner(task, dynamics, {preset.horizon, 1003, 5, 1});
    EXPECT_NE(plan_at(*same, start, 1, 8).actions, first.actions);
    EXPECT_NE(plan_at(*same, start, 2, 7).actions, first.actions);
  }
}

// a candidate's cost is the same whatever tile and neighbours it has
TEST_P(PlannerOn, CostsDoNotDependOnTheNumberOfCandidates) {
  for (const fixture::Preset& preset : {fixture::presets()[0], fixture::presets()[2]}) {
    const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost, preset.alive);
    const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {64}, 0.15);
    const std::vector<double> start = middle(preset);
    const auto costs_of = [&](std::int64_t count, int nthread) {
      return make_planner(task, dynamics, {preset.horizon, count, 5, nthread})->costs(query_at(start, 0, 0));
    };
    const std::vector<double> all = costs_of(300, 1);
    for (const int count : {1, 5, 31, 33, 129, 299}) {
      const std::vector<double> some = costs_of(count, 2);
      ASSERT_EQ(some.size(), static_cast<std::size_t>(count));
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << count;
    }
  }
}

TEST_P(PlannerOn, BatchEqualsOneByOne) {
  const fixture::Preset preset = fixture::presets()[0];
  const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost);
  const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {64}, 0.1);
  const auto planner = make_planner(task, dynamics, {10, 100, 5, 3});
  constexpr int kCount = 70;
  std::vector<double> states(static_cast<std::size_t>(kCount * preset.nstate));
  for (std::size_t i = 0; i < states.size(); ++i) states[i] = std::cos(static_cast<double>(i));
  std::vector<PlanQuery> queries(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    queries[i].start = states.data() + i * preset.nstate;
    queries[i].episode = i / 7;
    queries[i].step = i;
  }
  std::vector<Plan> plans(kCount);
  planner->plan_batch(queries.data(), kCount, nullptr, plans.data());
  for (std::size_t i = 0; i < kCount; ++i) {
    Plan plan;
    planner->plan(queries[i], nullptr, &plan);
    EXPECT_EQ(plan.cost, plans[i].cost);
    EXPECT_EQ(plan.actions, plans[i].actions);
    EXPECT_EQ(plan.states, plans[i].states);
    EXPECT_EQ(plan.candidate, plans[i].candidate);
  }
}

// the predicted states are those of an open-loop prediction with the plan's actions, bit for bit
TEST_P(PlannerOn, PredictedStatesAreTheModels) {
  const fixture::Preset preset = fixture::presets()[0];
  const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost);
  for (const std::vector<int>& hidden : {std::vector<int>{}, {64}, {500}, {9, 530}}) {
    for (const Activation activation : {Activation::kRelu, Activation::kTanh}) {
      const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, hidden, 0.1, 1, activation);
      const auto planner = make_planner(task, dynamics, {10, 100, 5, 1});
      const std::vector<double> start = middle(preset);
      const Plan plan = plan_at(*planner, start, 0, 0);
      std::vector<float> want(plan.states.size());
      dynamics->open_loop(start.data(), plan.actions.data(), 1, 10, want.data(), 1);
      EXPECT_EQ(plan.states, want);
    }
  }
}

// 1.5 MB would be needed for the states of one candidate in eight at K = 15000; and a horizon of 200 needs no
// more
// the actions of one call of the kernels grow with the horizon, and nothing with the candidates
TEST(Planner, ScratchIsSmallAtAnyHorizonAndCandidates) {
  for (const auto& [horizon, candidates] :
       {std::pair{5, 15000}, std::pair{5, 15'000'000}, std::pair{200, 15000}}) {
    const fixture::Preset preset = fixture::presets()[3];
    const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost, preset.alive);
    const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {500}, 0.01);
    const std::size_t before = allocated_bytes();
    const auto planner = make_planner(task, dynamics, {horizon, candidates, 0, 1});
    const std::size_t most = 128 * sizeof(float) * static_cast<std::size_t>(horizon * preset.naction);
    EXPECT_LT(allocated_bytes() - before, (std::size_t{1} << 20) + 2 * most);
  }
}

TEST(Planner, PlansWithoutAllocatingOrLocking) {
  const fixture::Preset preset = fixture::presets()[0];
  const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost);
  const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {500}, 0.01);
  const auto planner = make_planner(task, dynamics, {preset.horizon, preset.candidates, 0, 2});
  const std::vector<double> start = middle(preset);
  Plan plan;
  planner->plan(query_at(start, 0, 0), nullptr, &plan);
  const std::size_t before = allocation_count(), locks_before = lock_count();
  for (std::uint64_t step = 1; step < 20; ++step) planner->plan(query_at(start, 0, step), nullptr, &plan);
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(lock_count(), locks_before);
  auto* probe = new int(1);  // the counter counts
  EXPECT_GT(allocation_count(), before);
  delete probe;
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  EXPECT_GT(lock_count(), locks_before);
#endif
}

TEST(Planner, NonFiniteCandidatesNeverWin) {
  // a steep model: some candidates overflow within the horizon, others do not
  const auto task = fixture::make_task(2, 1, {{TermKind::kLinear, -1.0, {0}, {}, {}, {0, 0}}});
  std::vector<Layer> layers = {{1, 3, {0, 0, 1}, {0}}, {2, 1, {1, 0}, {0, 0}}};
  layers[1].weight = {3e38f, 0};
  const Normalization two{{0, 0}, {1, 1}}, one{{0}, {1}};
  const auto dynamics = std::make_shared<Dynamics>(2, 1, layers, Activation::kRelu, two, one, two);
  const auto planner = make_planner(task, dynamics, {4, 200, 0, 2});
  const std::vector<double> start = {0, 0};
  const std::vector<double> costs = planner->costs(query_at(start, 0, 0));
  ASSERT_EQ(costs.size(), 200U);
  const auto bad = std::count_if(costs.begin(), costs.end(), [](double c) { return !std::isfinite(c); });
  ASSERT_GT(bad, 0);
  ASSERT_LT(bad, 200);
  Plan plan = plan_at(*planner, start, 0, 0);
  EXPECT_TRUE(std::isfinite(plan.cost));

  // nothing finite is left when the start is huge
  const std::vector<double> huge = {3e38, 3e38};
  EXPECT_THROW(planner->plan(query_at(huge, 0, 0), nullptr, &plan), Error);
  EXPECT_FALSE(planner->try_plan(query_at(huge, 0, 0), nullptr, &plan));
  planner->plan(query_at(start, 0, 0), nullptr, &plan);  // and the planner is usable afterwards
}

TEST(Planner, RefusesBadInput) {
  const auto task = fixture::make_task(3, 1, {{TermKind::kConstant, 1, {}, {}, {}, {0, 0}}});
  const auto dynamics = fixture::make_dynamics(3, 1, {4});
  auto make = [&](int horizon, std::int64_t candidates) {
    make_planner(task, dynamics, {horizon, candidates, 0, 1});
  };
  EXPECT_THROW(make(0, 10), std::invalid_argument);
  EXPECT_THROW(make(10001, 10), std::invalid_argument);
  EXPECT_THROW(make(1, 0), std::invalid_argument);
  EXPECT_THROW(make(1, std::int64_t{1} << 40), std::invalid_argument);
  EXPECT_THROW(make_planner(task, fixture::make_dynamics(4, 1, {4}), PlannerOptions{}),
               std::invalid_argument);
  const auto planner = make_planner(task, dynamics, {2, 10, 0, 1});
  Plan plan;
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
    const std::vector<double> state = {0, bad, 0};
    EXPECT_THROW(planner->plan(query_at(state, 0, 0), nullptr, &plan), std::invalid_argument);
  }
}

}  // namespace
}  // namespace mbmf
