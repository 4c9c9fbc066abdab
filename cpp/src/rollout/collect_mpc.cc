#include <mujoco/mujoco.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mbmf/base/error.h"
#include "mbmf/physics/simulator.h"
#include "mbmf/rollout/rollout.h"
#include "physics/stepper.h"
#include "rollout/episode_buffers.h"

namespace mbmf {

namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(100);

// starts the simulations' episodes, each a pure function of (the simulator's seed, episode)
void start_episodes(Simulator& simulator, std::uint64_t first_episode) {
  std::vector<std::uint64_t> numbers(static_cast<std::size_t>(simulator.nsim()));
  std::iota(numbers.begin(), numbers.end(), first_episode);
  simulator.start(nullptr, 0, ResetKind::kControl, numbers.data());
  for (int e = 0; e < simulator.nsim(); ++e) {
    if (simulator.diverged()[e]) {
      throw Error("the start of episode " + std::to_string(e) + " is not usable: " + simulator.error(e));
    }
  }
  // as of a state that was set: its accelerations are solved once more, from those of the start
  std::vector<double> rows(numbers.size() * static_cast<std::size_t>(simulator.state_size()));
  simulator.get_state(nullptr, 0, rows.data());
  simulator.set_state(nullptr, 0, rows.data());
}

// copies the simulations' current states, observations and poses to row t of their episodes
void record_states(const Simulator& simulator, const EpisodeBuffers& b, const std::vector<int>& ids, int t) {
  const int nstate = simulator.task().nstate(), nobservation = simulator.task().nobservation();
  for (const int id : ids) {
    const std::size_t row = static_cast<std::size_t>(id) * (static_cast<std::size_t>(b.steps) + 1) + t;
    std::copy_n(simulator.states() + static_cast<std::ptrdiff_t>(id) * nstate, nstate,
                b.states + row * nstate);
    if (b.observations != nullptr) {
      std::copy_n(simulator.observations() + static_cast<std::ptrdiff_t>(id) * nobservation, nobservation,
                  b.observations + row * nobservation);
    }
    if (b.poses != nullptr) {
      std::vector<double> whole(static_cast<std::size_t>(simulator.state_size()));
      simulator.get_state(&id, 1, whole.data());
      mj_extractState(simulator.task().model(), whole.data(), mjSTATE_INTEGRATION,
                      b.poses + row * pose_size(simulator.task()), kPose);
    }
  }
}

// where episodes are on their path as they start
std::vector<PathStart> path_starts(const Simulator& simulator, const EpisodeBuffers& b) {
  std::vector<PathStart> starts(static_cast<std::size_t>(b.episodes));
  const std::optional<PathCost>& path = simulator.task().spec().path;
  if (!path || !path->relative) return starts;
  for (std::size_t e = 0; e < starts.size(); ++e) {
    const double* state = simulator.states() + e * static_cast<std::size_t>(simulator.task().nstate());
    starts[e].origin[0] = state[path->x];
    starts[e].origin[1] = state[path->y];
    if (b.origins != nullptr) std::copy_n(starts[e].origin, 2, b.origins + 2 * e);
  }
  return starts;
}

}  // namespace

int pose_size(const Task& task) { return mj_stateSize(task.model(), kPose); }

void collect_mpc(Planner& planner, const EpisodeBuffers& buffers, std::uint64_t seed,
                 std::uint64_t first_episode, double action_noise, const Progress& progress) {
  check_and_clear(planner.task(), buffers);
  if (!(action_noise >= 0 && action_noise < 1e6)) {
    throw_invalid("action_noise must be in [0, 1e6), got ", action_noise);
  }
  if (buffers.episodes > 1'000'000) throw_invalid("episodes must be at most 1000000, got ", buffers.episodes);
  const Task& task = planner.task();
  const int na = task.naction(), nstate = task.nstate();
  const int episodes = static_cast<int>(buffers.episodes);

  // all episodes advance together: their plans share the planner's threads, so every core is busy to the end
  Simulator simulator(planner.shared_task(), episodes, planner.options().nthread, seed);
  start_episodes(simulator, first_episode);
  std::vector<int> live(static_cast<std::size_t>(episodes));
  for (int e = 0; e < episodes; ++e) live[static_cast<std::size_t>(e)] = e;
  record_states(simulator, buffers, live, 0);
  std::vector<PathStart> on_path = path_starts(simulator, buffers);

  std::vector<double> starts, executed;
  const std::size_t start_size = static_cast<std::size_t>(planner.start_size());
  std::vector<PlanMemory> memory(live.size(), planner.make_memory());  // of each episode
  std::vector<PlanMemory*> memories;                                   // of the live ones
  std::vector<PlanQuery> queries;
  std::vector<Plan> plans(live.size());
  std::vector<std::uint8_t> found(live.size());
  std::int64_t done = 0;
  auto reported = std::chrono::steady_clock::now();
  for (int t = 0; t < buffers.steps && !live.empty(); ++t) {
    // plan for every live episode
    starts.resize(live.size() * start_size);
    if (planner.starts_from_row()) {
      simulator.get_state(live.data(), static_cast<int>(live.size()), starts.data());
    } else {
      for (std::size_t i = 0; i < live.size(); ++i) {
        std::copy_n(simulator.states() + static_cast<std::ptrdiff_t>(live[i]) * nstate, nstate,
                    starts.data() + i * start_size);
      }
    }
    queries.clear();
    memories.clear();
    for (std::size_t i = 0; i < live.size(); ++i) {
      PlanQuery& query = queries.emplace_back();
      query.start = starts.data() + i * start_size;
      query.episode = first_episode + static_cast<std::uint64_t>(live[i]);
      query.step = static_cast<std::uint64_t>(t);
      query.at = on_path[static_cast<std::size_t>(live[i])];
      query.predict = false;
      memories.push_back(&memory[static_cast<std::size_t>(live[i])]);
    }
    const auto n = static_cast<std::int64_t>(live.size());
    planner.plan_batch(queries.data(), n, memories.data(), plans.data(), found.data());

    // an episode without a plan ends here and keeps what it has
    std::size_t kept = 0;
    for (std::size_t i = 0; i < live.size(); ++i) {
      if (!found[i]) {
        buffers.diverged[live[i]] = 1;
        continue;
      }
      live[kept] = live[i];
      queries[kept] = queries[i];
      if (kept != i) std::swap(plans[kept], plans[i]);
      ++kept;
    }
    live.resize(kept);
    if (live.empty()) break;

    // execute with noise, store without
    executed.clear();
    for (std::size_t i = 0; i < live.size(); ++i) {
      Draws draws(derive_key(seed, Stream::kActionNoise, queries[i].episode), queries[i].step, 0);
      for (int k = 0; k < na; ++k) {
        const double noise = action_noise > 0 ? action_noise * draws.normal() : 0.0;
        executed.push_back(static_cast<double>(plans[i].actions[static_cast<std::size_t>(k)]) + noise);
      }
    }
    simulator.step(live.data(), static_cast<int>(live.size()), executed.data());

    // the failing step of a diverged simulation is not part of its episode
    std::vector<int> next;
    for (std::size_t i = 0; i < live.size(); ++i) {
      const int id = live[i];
      if (simulator.diverged()[id]) {
        buffers.diverged[id] = 1;
        continue;
      }
      const std::size_t row = static_cast<std::size_t>(id) * buffers.steps + t;
      std::copy_n(plans[i].actions.data(), na, buffers.actions + row * na);
      buffers.rewards[row] = simulator.rewards()[id];
      buffers.lengths[id] = t + 1;
      record_states(simulator, buffers, {id}, t + 1);
      buffers.terminated[id] = simulator.terminated()[id];
      on_path[static_cast<std::size_t>(id)].segment = plans[i].segment;
      if (buffers.segments != nullptr) {
        buffers
            .segments[static_cast<std::size_t>(id) * (static_cast<std::size_t>(buffers.steps) + 1) + t + 1] =
            plans[i].segment;
      }
      const bool arrived = task.spec().path && plans[i].segment > task.spec().path->last_segment;
      if (!simulator.terminated()[id] && !arrived) next.push_back(id);
      ++done;
    }
    live = std::move(next);

    const auto now = std::chrono::steady_clock::now();
    if (progress && now - reported >= kProgressInterval) {
      if (!progress(done)) throw Error("the collection was stopped");
      reported = now;
    }
  }
  if (progress && !progress(done)) throw Error("the collection was stopped");
}

}  // namespace mbmf
