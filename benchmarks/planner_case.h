// What the planner's benchmarks share: a plan of a preset's sizes, its check, and counters.

#ifndef MBMF_BENCHMARKS_PLANNER_CASE_H_
#define MBMF_BENCHMARKS_PLANNER_CASE_H_

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "../tests/cpp/planner_fixture.h"
#include "mbmf/base/isa.h"
#include "mbmf/planning/planner.h"

namespace mbmf {

struct PlannerCase {
  fixture::Preset preset;
  std::vector<StateBound> alive;
  std::shared_ptr<const Dynamics> dynamics;
  PlannerOptions options;
  std::unique_ptr<Planner> planner;
  std::vector<double> start;

  // dying: with the preset's bounds and a model that drives candidates out of them; without, everybody lives
  // to the end and the share of the peak says what the kernel does.
  PlannerCase(fixture::Preset preset_in, int nthread, bool dying = false, int hidden = 500)
      : preset(std::move(preset_in)),
        alive(dying ? preset.alive : std::vector<StateBound>{}),
        dynamics(fixture::make_dynamics(preset.nstate, preset.naction, {hidden}, dying ? 0.05 : 0.01)),
        options{preset.horizon, preset.candidates, 0, nthread},
        planner(make_planner(fixture::make_task(preset.nstate, preset.naction, preset.cost, alive), dynamics,
                             options)),
        start(static_cast<std::size_t>(preset.nstate), 0.0) {
    for (const StateBound& bound : preset.alive) {
      start[static_cast<std::size_t>(bound.index)] =
          std::isinf(bound.bounds.high) ? bound.bounds.low + 0.5 : (bound.bounds.low + bound.bounds.high) / 2;
    }
  }

  // Of all candidates' networks, whatever the planner skips.
  double flops() const {
    return static_cast<double>(options.candidates) * options.horizon *
           static_cast<double>(dynamics->mlp().flops());
  }

  std::vector<double> costs() { return planner->costs(fixture::query_at(start, 0, 0)); }

  void plan(std::uint64_t step, Plan* out) { planner->plan(fixture::query_at(start, 0, step), nullptr, out); }

  // Whether the plan at step 0 is the best of all candidates; says so in `state` if not.
  bool verified(benchmark::State& state) {
    Plan best_plan;
    plan(0, &best_plan);
    const std::vector<double> all = costs();
    const auto best = std::min_element(all.begin(), all.end());
    if (best - all.begin() == best_plan.candidate && *best == best_plan.cost) return true;
    state.SkipWithError("the plan is not the best candidate");
    return false;
  }

  // GFLOP/s and share of a peak that was measured just before, from the benchmark's own time; memory.
  void count(benchmark::State& state, double peak) const {
    const auto rate = benchmark::Counter::kIsIterationInvariantRate;
    state.counters["GFLOP/s"] = benchmark::Counter(flops() * 1e-9, rate);
    state.counters["peak_share"] = benchmark::Counter(flops() * 1e-9 / peak, rate);
    state.counters["KiB_per_thread"] = static_cast<double>(planner->scratch_bytes()) / 1024;
    state.SetLabel(selected_isa());
  }
};

}  // namespace mbmf

#endif  // MBMF_BENCHMARKS_PLANNER_CASE_H_
