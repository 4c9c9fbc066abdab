#include <mujoco/mjbatch.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "mbmf/rollout/rollout.h"
#include "physics/mujoco_batch.h"
#include "physics/stepper.h"
#include "rollout/episode_buffers.h"
#include "rollout/watched_run.h"

namespace mbmf {

namespace {

// One collection: a few simulations, each of which takes episode after episode until none is left.
class RandomEpisodes {
 public:
  RandomEpisodes(const Task& task, const EpisodeBuffers& buffers, std::uint64_t seed,
                 std::uint64_t first_episode, int nthread)
      : task_(task),
        buffers_(buffers),
        seed_(seed),
        first_episode_(first_episode),
        nsim_(static_cast<int>(std::min<std::int64_t>(resolve_nthread(nthread), buffers.episodes))),
        batch_(make_batch(task.model(), nsim_, nsim_)),
        episode_(static_cast<std::size_t>(nsim_), buffers.episodes),
        action_(static_cast<std::size_t>(nsim_) * task.naction()) {}

  // Runs all episodes, on the batch's threads including the caller's.
  void run() {
    while (apply(batch_, nullptr, 0, run_one, this, 0) > 0 && !stop_) {
      // an error in MuJoCo ended the simulation in the middle of an episode: that episode diverged, the
      // others go on
      for (int sim = 0; sim < nsim_; ++sim) {
        if (mjb_status(batch_.get())[sim] != 0) buffers_.diverged[episode_[sim]] = 1;
      }
    }
  }

  void stop() { stop_ = true; }
  std::int64_t steps_done() const { return steps_done_.load(std::memory_order_relaxed); }

 private:
  // what mjb_apply runs: nothing with a destructor is alive while MuJoCo runs
  static void run_one(const mjModel*, mjData* d, int sim, void* arg) {
    RandomEpisodes& self = *static_cast<RandomEpisodes*>(arg);
    while (!self.stop_) {
      const std::int64_t episode = self.next_.fetch_add(1, std::memory_order_relaxed);
      if (episode >= self.buffers_.episodes) return;
      self.episode_[sim] = episode;
      self.run_episode(d, episode, &self.action_[static_cast<std::size_t>(sim) * self.task_.naction()]);
    }
  }

  void observe(const mjData* d, std::int64_t episode, int t) {
    const std::size_t row = static_cast<std::size_t>(episode) * (buffers_.steps + 1) + t;
    task_.read(task_.spec().state, d, buffers_.states + row * task_.nstate());
    if (buffers_.observations != nullptr) {
      task_.read(task_.spec().observation, d, buffers_.observations + row * task_.nobservation());
    }
  }

  void run_episode(mjData* d, std::int64_t episode, double* action) {
    const std::uint64_t sequence = first_episode_ + static_cast<std::uint64_t>(episode);
    const PhiloxKey key = derive_key(seed_, Stream::kRandomAction, sequence);
    Failure failure;
    if (!begin(task_, d, ResetKind::kRandom, Draws(derive_key(seed_, Stream::kReset, sequence), 0, 0),
               &failure)) {
      buffers_.diverged[episode] = 1;
      return;
    }
    observe(d, episode, 0);
    const int na = task_.naction();
    for (int t = 0; t < buffers_.steps && !stop_; ++t) {
      const std::size_t row = static_cast<std::size_t>(episode) * buffers_.steps + t;
      float* stored = buffers_.actions + row * na;
      Draws draws(key, static_cast<std::uint64_t>(t), 0);
      for (int i = 0; i < na; ++i) action[i] = stored[i] = draws.symmetric();
      if (!advance(task_, d, action, &failure)) {
        std::fill_n(stored, na, 0.0f);
        buffers_.diverged[episode] = 1;
        break;
      }
      observe(d, episode, t + 1);
      const double* state = buffers_.states + (row + static_cast<std::size_t>(episode) + 1) * task_.nstate();
      buffers_.rewards[row] = task_.reward(d, state, action);
      buffers_.lengths[episode] = t + 1;
      steps_done_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  const Task& task_;
  const EpisodeBuffers& buffers_;
  std::uint64_t seed_, first_episode_;
  int nsim_;
  Batch batch_;
  std::vector<std::int64_t> episode_;  // that each simulation runs
  std::vector<double> action_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> steps_done_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace

void collect_random(const Task& task, const EpisodeBuffers& buffers, std::uint64_t seed,
                    std::uint64_t first_episode, int nthread, const Progress& progress) {
  check_and_clear(task, buffers);
  RandomEpisodes episodes(task, buffers, seed, first_episode, nthread);

  run_watched([&] { episodes.run(); }, [&] { return episodes.steps_done(); }, [&] { episodes.stop(); },
              progress);
}

}  // namespace mbmf
