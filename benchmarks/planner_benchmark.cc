// Whole plan calls of the four forward presets: time, GFLOP/s by the full formula, share of the multiply-add
// peak.
//
// The formula counts K * H * 2 * ((nstate + naction) * hidden + hidden * nstate) whatever the planner skips,
// so a share may pass 100 %. Candidates live throughout, except in the runs named "dying".

#include <benchmark/benchmark.h>

#include <cmath>

#include "../tests/cpp/planner_fixture.h"
#include "mbmf/isa.h"
#include "mbmf/planner.h"

namespace mbmf {
namespace {

// measured anew before each benchmark: the machine's speed drifts
double peak(int nthread) { return multiply_add_peak(nthread, 0.3); }

void plan_preset(benchmark::State& state, int preset_index, int nthread, bool dying) {
  const fixture::Preset preset = fixture::presets()[static_cast<std::size_t>(preset_index)];
  // without a way out everybody lives to the end and the share says what the kernel does
  const auto task = fixture::make_task(preset.nstate, preset.naction, preset.cost,
                                       dying ? preset.alive : std::vector<StateBound>{});
  const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {500}, dying ? 0.05 : 0.01);
  RandomShooting planner(task, dynamics, {preset.horizon, preset.candidates, 0, nthread});
  std::vector<double> start(static_cast<std::size_t>(preset.nstate), 0.0);
  for (const StateBound& bound : preset.alive) {
    start[static_cast<std::size_t>(bound.index)] =
        std::isinf(bound.bounds.high) ? bound.bounds.low + 0.5 : (bound.bounds.low + bound.bounds.high) / 2;
  }

  // verified once: the plan's cost is the smallest of all costs
  Plan plan;
  planner.plan(start.data(), 0, 0, &plan);
  std::vector<double> costs(static_cast<std::size_t>(preset.candidates));
  planner.costs(start.data(), 0, 0, costs.data());
  const auto best = std::min_element(costs.begin(), costs.end());
  if (best - costs.begin() != plan.candidate || *best != plan.cost) {
    state.SkipWithError("the plan is not the best candidate");
    return;
  }

  const double gflops = peak(nthread);
  std::uint64_t step = 0;
  for (auto _ : state) planner.plan(start.data(), 0, ++step, &plan);
  const double flops =
      static_cast<double>(preset.candidates) * preset.horizon * static_cast<double>(dynamics->mlp().flops());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_share"] =
      benchmark::Counter(flops * 1e-9 / gflops, benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(selected_isa());
}

const int kRegistered = [] {
  const std::vector<fixture::Preset> presets = fixture::presets();
  for (int i = 0; i < static_cast<int>(presets.size()); ++i) {
    const fixture::Preset& preset = presets[static_cast<std::size_t>(i)];
    for (const int nthread : {1, 2}) {
      for (const bool dying : {false, true}) {
        if (dying && preset.alive.empty()) continue;
        const std::string name = std::string("plan/") + preset.name + (dying ? "/dying" : "") +
                                 "/threads:" + std::to_string(nthread);
        benchmark::RegisterBenchmark(name.c_str(), plan_preset, i, nthread, dying)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime()
            ->MeasureProcessCPUTime();
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace mbmf
