// Tasks and models of any size for planner tests and benchmarks; the physics does not matter here.

#ifndef MBMF_TESTS_PLANNER_FIXTURE_H_
#define MBMF_TESTS_PLANNER_FIXTURE_H_

#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "infinity.h"
#include "mbmf/model/dynamics.h"
#include "mbmf/model/policy.h"
#include "mbmf/planning/planner.h"
#include "mbmf/task/task.h"
#include "task_fixture.h"

namespace mbmf::fixture {

// A task of nstate states (all of them the simulation time) and naction motors.
inline std::shared_ptr<const Task> make_task(int nstate, int naction, std::vector<Term> cost,
                                             std::vector<StateBound> alive = {},
                                             std::optional<PathCost> path = {}) {
  std::string xml =
      "<mujoco><worldbody><body><joint name='j' type='slide'/><geom size='.1'/></body></worldbody><actuator>";
  for (int i = 0; i < naction; ++i) xml += "<motor joint='j' ctrlrange='-1 1' ctrllimited='true'/>";
  xml += "</actuator></mujoco>";
  const std::vector<char> mjb = compile(xml);

  TaskSpec spec;
  spec.name = "fixture";
  spec.state.assign(static_cast<std::size_t>(nstate),
                    {Source::kTime, 0, Transform::kIdentity, -kInfinity, kInfinity});
  spec.observation = spec.state;
  spec.reward = {{TermKind::kConstant, 1.0, {}, {}, {}, {0, 0}}};
  spec.cost = std::move(cost);
  spec.alive = std::move(alive);
  spec.path = std::move(path);
  spec.start_qpos = {0};
  spec.start_qvel = {0};
  return Task::load(mjb.data(), mjb.size(), std::move(spec));
}

// A random model whose predictions stay of the size of the states; deltas of about `scale`.
inline std::shared_ptr<const Dynamics> make_dynamics(int nstate, int naction, const std::vector<int>& hidden,
                                                     double scale = 0.1, unsigned seed = 1,
                                                     Activation activation = Activation::kRelu) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<int> widths = {nstate + naction};
  widths.insert(widths.end(), hidden.begin(), hidden.end());
  widths.push_back(nstate);
  std::vector<Layer> layers;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    Layer layer{widths[i + 1], widths[i], {}, {}};
    for (int k = 0; k < layer.rows * layer.cols; ++k) {
      layer.weight.push_back(normal(generator) / std::sqrt(static_cast<float>(layer.cols)));
    }
    layer.bias.assign(static_cast<std::size_t>(layer.rows), 0.0f);
    layers.push_back(std::move(layer));
  }
  auto unit = [](int n, double std) {
    return Normalization{std::vector<double>(static_cast<std::size_t>(n), 0.0),
                         std::vector<double>(static_cast<std::size_t>(n), std)};
  };
  return std::make_shared<Dynamics>(nstate, naction, std::move(layers), activation, unit(nstate, 1.0),
                                    unit(naction, 1.0), unit(nstate, scale));
}

// The four forward presets' sizes and planning costs (paper, section VI-B).
struct Preset {
  const char* name;
  int nstate, naction, horizon;
  std::int64_t candidates;
  std::vector<Term> cost;
  std::vector<StateBound> alive;
};

inline std::vector<Preset> presets() {
  auto linear = [](int index) { return Term{TermKind::kLinear, -1.0, {index}, {}, {}, {0, 0}}; };
  auto action = [](double weight) { return Term{TermKind::kAction, weight, {}, {}, {}, {0, 0}}; };
  auto constant = [](double weight) { return Term{TermKind::kConstant, weight, {}, {}, {}, {0, 0}}; };
  return {
      {"half_cheetah", 24, 6, 20, 1000, {linear(21), action(0.05)}, {}},
      {"swimmer", 16, 2, 20, 5000, {linear(13), action(0.5 / 2500)}, {}},
      {"hopper",
       17,
       3,
       40,
       1000,
       {linear(14), constant(-1), action(0.005 / 40000)},
       {{1, {-0.3, 0.3, true, true}}, {0, {0.7, kInfinity, true, false}}}},
      {"ant", 41, 8, 5, 15000, {linear(38), constant(-0.5), action(0.005 / 22500)}, {{31, {0.3, 1.0}}}},
  };
}

// A small robot with a model, and a state that it is in.
struct Robot {
  std::shared_ptr<const Task> task;
  std::shared_ptr<const Dynamics> dynamics;
  std::vector<double> state;
};

inline Robot make_robot(int nstate = 6, int naction = 2) {
  const Term ahead{TermKind::kLinear, -1.0, {0}, {}, {}, {0, 0}};
  return {make_task(nstate, naction, {ahead}), make_dynamics(nstate, naction, {32}, 0.02),
          std::vector<double>(static_cast<std::size_t>(nstate), 0.1)};
}

// Every search, with settings that use all that it can do, for a small robot.
struct SearchCase {
  const char* name;
  const char* search;
  std::int64_t candidates;
  std::map<std::string, double> settings;
  std::int64_t proposals = 0;  // of a policy
};

inline std::vector<SearchCase> search_cases() {
  return {{"random_shooting", "random_shooting", 200, {}},
          {"warm_start", "random_shooting", 200, {{"warm_start", 1}}},
          {"cem", "cem", 60, {{"elites", 12}}},
          {"icem", "icem", 40, {}},
          {"mppi", "mppi", 150, {{"rounds", 2}, {"smoothing", 0.9}, {"colour", 1}}},
          {"warm_start_with_policy", "random_shooting", 100, {{"warm_start", 1}}, 100},
          {"cem_with_policy", "cem", 60, {{"elites", 12}}, 1},
          {"icem_with_policy", "icem", 40, {}, 9},
          {"mppi_with_policy", "mppi", 70, {{"rounds", 2}}, 24}};
}

inline void PrintTo(const SearchCase& search, std::ostream* out) { *out << search.name; }

// A policy of that robot.
inline std::shared_ptr<const GaussianPolicy> make_policy(int nobservation = 6, int naction = 2) {
  const Mlp mlp = make_dynamics(nobservation - 1, 1, {16, 16}, 1, 5)->mlp();
  std::vector<Layer> layers = mlp.layers();
  Layer& last = layers.back();
  last.rows = naction;
  last.weight.resize(static_cast<std::size_t>(naction * last.cols));
  last.bias.resize(static_cast<std::size_t>(naction));
  return std::make_shared<const GaussianPolicy>(std::move(layers),
                                                std::vector<float>(static_cast<std::size_t>(naction), -1.0f));
}

inline PlannerOptions search_options(const SearchCase& search, int nthread) {
  PlannerOptions options{8, search.candidates, 3, nthread, search.search, search.settings};
  options.proposals = search.proposals;
  if (search.proposals > 0) options.policy = make_policy();
  return options;
}

// What a plan from a start at a step of an episode is asked; it points at the start.
inline PlanQuery query_at(const std::vector<double>& start, std::uint64_t episode, std::uint64_t step,
                          const PathStart& at = {}) {
  PlanQuery query;
  query.start = start.data();
  query.episode = episode;
  query.step = step;
  query.at = at;
  return query;
}

// That plan, without a memory.
inline Plan plan_at(Planner& planner, const std::vector<double>& start, std::uint64_t episode,
                    std::uint64_t step, const PathStart& at = {}) {
  Plan plan;
  planner.plan(query_at(start, episode, step, at), nullptr, &plan);
  return plan;
}

inline void set_deadline(PlanQuery* query, std::chrono::nanoseconds from_now) {
  query->deadline = std::chrono::steady_clock::now() + from_now;
}

}  // namespace mbmf::fixture

#endif  // MBMF_TESTS_PLANNER_FIXTURE_H_
