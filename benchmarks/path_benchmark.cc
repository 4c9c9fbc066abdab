// What following a path costs: plans of the three presets that follow paths beside the same plans without the
// path's terms, in turn. Wanted: at most a tenth more.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <vector>

#include "../tests/cpp/planner_fixture.h"
#include "mbmf/base/isa.h"
#include "mbmf/planning/planner.h"

namespace mbmf {
namespace {

struct PathPreset {
  const char* name;
  int nstate, naction, horizon;
  std::int64_t candidates;
  std::vector<Term> terms;  // beside the path's
  PathCost path;
};

PathCost path_of(int x, int y, int heading, double distance, double forward) {
  PathCost path;
  path.waypoints = {0, 0, 1, 0, 2, 0, 3, 0, 4, 1, 4, 2, 4, 3, 4, 4};
  path.x = x;
  path.y = y;
  path.heading = heading;
  path.distance = distance;
  path.forward = forward;
  path.turn = 0.9;
  path.turn_limit = 1.0471975511965976;
  path.turn_beyond = 20;
  path.last_segment = 5;
  return path;
}

std::vector<PathPreset> presets() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<PathPreset> all = {
      {"swimmer_trajfollow", 16, 2, 5, 5000, {}, path_of(10, 11, 2, 0.7, 200)},
      {"cheetah_trajfollow", 24, 6, 10, 1000, {}, path_of(18, 20, -1, 0, 40)},
      {"ant_trajfollow", 41, 8, 15, 7000, {}, path_of(29, 30, -1, 4, 85)},
  };
  all[0].terms = {{TermKind::kOutside, 2, {3, 4}, {}, {}, {-1.0472, 1.0472}}};
  all[1].terms = {{TermKind::kOutside, 10, {6}, {}, {}, {-kInfinity, 0.2, false, true}},
                  {TermKind::kOutside, 10, {7, 8}, {}, {}, {-kInfinity, 0, false, true}}};
  all[2].terms = {{TermKind::kOutside, 4000, {31}, {}, {}, {0.3, 0.67}}};
  all[2].path.far = 1;
  all[2].path.far_factor = 10;
  return all;
}

// the time is that of plans on the path; counters: of plans without its terms, and the share that it takes
// more
void beside_plain(benchmark::State& state, std::size_t index, int nthread) {
  const PathPreset preset = presets()[index];
  const auto dynamics = fixture::make_dynamics(preset.nstate, preset.naction, {500}, 0.05);
  const PlannerOptions options{preset.horizon, preset.candidates, 0, nthread};
  const auto following = make_planner(
      fixture::make_task(preset.nstate, preset.naction, preset.terms, {}, preset.path), dynamics, options);
  const auto plain =
      make_planner(fixture::make_task(preset.nstate, preset.naction, preset.terms), dynamics, options);
  std::vector<double> start(static_cast<std::size_t>(preset.nstate), 0.0);
  start[static_cast<std::size_t>(preset.path.x)] = 2.8;  // near a corner: some move on, some do not
  const PathStart at{2, {0, 0}};

  const std::vector<double> costs = following->costs(fixture::query_at(start, 0, 0, at));
  const std::vector<double> others = plain->costs(fixture::query_at(start, 0, 0));
  Plan plan = fixture::plan_at(*following, start, 0, 0, at);
  if (plan.cost != *std::min_element(costs.begin(), costs.end()) || costs == others) {
    state.SkipWithError("the plan is not the best candidate, or the path costs nothing");
    return;
  }

  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<double> with, without;
  std::uint64_t step = 0;
  for (auto _ : state) {
    ++step;
    auto begin = Clock::now();
    following->plan(fixture::query_at(start, 0, step, at), nullptr, &plan);
    with.push_back(seconds(begin));
    state.SetIterationTime(with.back());
    begin = Clock::now();
    plain->plan(fixture::query_at(start, 0, step), nullptr, &plan);
    without.push_back(seconds(begin));
  }
  const auto median = [](std::vector<double>& times) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  };
  const double plain_seconds = median(without);
  state.counters["plain_ms"] = 1e3 * plain_seconds;
  state.counters["more_%"] = 100 * (median(with) / plain_seconds - 1);
  state.SetLabel(selected_isa());
}

const int kRegistered = [] {
  for (std::size_t i = 0; i < presets().size(); ++i) {
    for (const int nthread : {1, 2}) {
      const std::string name =
          std::string("plan_path/") + presets()[i].name + "/threads:" + std::to_string(nthread);
      benchmark::RegisterBenchmark(name.c_str(), beside_plain, i, nthread)
          ->Unit(benchmark::kMillisecond)
          ->UseManualTime();
    }
  }
  return 0;
}();

}  // namespace
}  // namespace mbmf
