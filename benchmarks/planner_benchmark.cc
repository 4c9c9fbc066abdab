// Whole plan calls of the four forward presets: time, GFLOP/s by the full formula, share of the multiply-add
// peak, and beside the same plan in Eigen.
//
// The formula counts K * H * 2 * ((nstate + naction) * hidden + hidden * nstate) whatever the planner skips,
// so a share may pass 100 %. Candidates live throughout, except in the runs named "dying".

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <string>

#include "eigen_plan.h"
#include "planner_case.h"

namespace mbmf {
namespace {

void plan_preset(benchmark::State& state, int preset_index, int nthread, bool dying) {
  PlannerCase plan_case(fixture::presets()[static_cast<std::size_t>(preset_index)], nthread, dying);
  if (!plan_case.verified(state)) return;
  const double peak = multiply_add_peak(nthread, 0.3);  // measured anew each time: the machine's speed drifts
  Plan plan;
  std::uint64_t step = 0;
  for (auto _ : state) plan_case.plan(++step, &plan);
  plan_case.count(state, peak);
}

// Whether both have the same costs within 1e-4 of the largest, and with them the same best candidate. Where
// candidates die, one in a hundred may differ: rounding decides who is out.
bool agree(const std::vector<double>& ours, const std::vector<float>& eigen, bool dying) {
  double largest = 0;
  for (const double cost : ours) largest = std::max(largest, std::abs(cost));
  std::size_t different = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (!(std::abs(ours[i] - static_cast<double>(eigen[i])) <= 1e-4 * largest)) ++different;
  }
  return different <= (dying ? ours.size() / 100 : 0);
}

// the time is the planner's; counters: Eigen's, and how many times as fast the planner is
void beside_eigen(benchmark::State& state, int preset_index, int nthread, bool dying) {
  PlannerCase plan_case(fixture::presets()[static_cast<std::size_t>(preset_index)], nthread, dying);
  if (!plan_case.verified(state)) return;
  EigenPlan eigen(plan_case.dynamics, plan_case.preset.cost, plan_case.alive, plan_case.options);
  const std::vector<double> costs = plan_case.costs();
  const std::int64_t chosen = eigen.plan(plan_case.start.data(), 0, 0);
  if (!agree(costs, eigen.costs(), dying) || eigen.costs()[static_cast<std::size_t>(chosen)] >
                                                 *std::min_element(costs.begin(), costs.end()) + 1e-3) {
    state.SkipWithError("Eigen's costs are not the planner's");
    return;
  }

  const double peak = multiply_add_peak(nthread, 0.3);
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<double> ours, theirs;
  Plan plan;
  std::uint64_t step = 0;
  for (auto _ : state) {
    auto begin = Clock::now();
    plan_case.plan(++step, &plan);
    ours.push_back(seconds(begin));
    state.SetIterationTime(ours.back());
    begin = Clock::now();
    eigen.plan(plan_case.start.data(), 0, step);
    theirs.push_back(seconds(begin));
  }
  const auto median = [](std::vector<double>& times) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  };
  const double eigen_seconds = median(theirs);
  plan_case.count(state, peak);
  state.counters["eigen_ms"] = 1e3 * eigen_seconds;
  state.counters["eigen_share"] = plan_case.flops() * 1e-9 / eigen_seconds / peak;
  state.counters["eigen_KiB"] = static_cast<double>(eigen.scratch_bytes()) / 1024;
  state.counters["ratio"] = eigen_seconds / median(ours);
}

const int kRegistered = [] {
  const std::vector<fixture::Preset> presets = fixture::presets();
  for (int i = 0; i < static_cast<int>(presets.size()); ++i) {
    const fixture::Preset& preset = presets[static_cast<std::size_t>(i)];
    for (const int nthread : {1, 2}) {
      for (const bool dying : {false, true}) {
        if (dying && preset.alive.empty()) continue;
        const std::string name =
            std::string(preset.name) + (dying ? "/dying" : "") + "/threads:" + std::to_string(nthread);
        benchmark::RegisterBenchmark(("plan/" + name).c_str(), plan_preset, i, nthread, dying)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime()
            ->MeasureProcessCPUTime();
        benchmark::RegisterBenchmark(("beside_eigen/" + name).c_str(), beside_eigen, i, nthread, dying)
            ->Unit(benchmark::kMillisecond)
            ->UseManualTime();
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace mbmf
