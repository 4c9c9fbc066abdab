// Sweeps of the half cheetah's plan (K 1000, H 20, 500 hidden units, 1 thread), over one thing at a time.

#include <benchmark/benchmark.h>

#include <string>

#include "planner_case.h"

namespace mbmf {
namespace {

struct Sizes {
  std::int64_t candidates = 1000;
  int horizon = 20, hidden = 500, nthread = 1;
};

void plan_sizes(benchmark::State& state, const Sizes& sizes) {
  fixture::Preset preset = fixture::presets().front();
  preset.candidates = sizes.candidates;
  preset.horizon = sizes.horizon;
  PlannerCase plan_case(preset, sizes.nthread, false, sizes.hidden);
  if (!plan_case.verified(state)) return;
  const double peak = multiply_add_peak(sizes.nthread, 0.1);
  Plan plan;
  std::uint64_t step = 0;
  for (auto _ : state) plan_case.plan(++step, &plan);
  plan_case.count(state, peak);
}

const int kRegistered = [] {
  const auto add = [](const char* what, std::int64_t value, const Sizes& sizes) {
    const std::string name = std::string("sweep/") + what + ":" + std::to_string(value);
    benchmark::RegisterBenchmark(name.c_str(), plan_sizes, sizes)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  for (const int n : {1, 2, 4}) add("threads", n, {.nthread = n});
  for (const std::int64_t K : {100, 300, 1000, 3000, 10000}) add("K", K, {.candidates = K});
  for (const int H : {1, 5, 10, 20, 50, 200}) add("H", H, {.horizon = H});
  for (const int width : {32, 64, 128, 250, 500, 1000, 2000}) add("width", width, {.hidden = width});
  return 0;
}();

}  // namespace
}  // namespace mbmf
