#include <mujoco/mjbatch.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <map>
#include <mutex>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "mbmf/rollout/rollout.h"
#include "physics/mujoco_batch.h"
#include "physics/stepper.h"
#include "rollout/batch_rows.h"
#include "rollout/episode_buffers.h"
#include "rollout/watched_run.h"

namespace mbmf {

namespace {

constexpr int kMostEmptyEpisodes = 100;            // in a row, before the collection gives up
constexpr std::int64_t kMostReserved = 1'000'000;  // steps

// Applies a function to each pair of vectors of two batches.
template <typename Function>
void for_each_pair(const PolicyBatch& from, PolicyBatch* to, const Function& function) {
  function(from.observations, &to->observations);
  function(from.actions, &to->actions);
  function(from.means, &to->means);
  function(from.log_probs, &to->log_probs);
  function(from.rewards, &to->rewards);
  for (std::size_t i = 0; i < from.hidden.size(); ++i) function(from.hidden[i], &to->hidden[i]);
  function(from.states, &to->states);
  function(from.poses, &to->poses);
  function(from.lengths, &to->lengths);
  function(from.terminated, &to->terminated);
  function(from.truncated, &to->truncated);
  function(from.diverged, &to->diverged);
  function(from.final_observations, &to->final_observations);
  function(from.final_states, &to->final_states);
  function(from.final_poses, &to->final_poses);
}

void clear(PolicyBatch* batch) {
  for_each_pair(*batch, batch, [](const auto&, auto* to) { to->clear(); });
}

void check(const Task& task, const GaussianPolicy& policy, const PolicyRolloutOptions& options) {
  if (options.steps < 0) throw_invalid("steps must not be negative, got ", options.steps);
  if (options.episodes < 0) throw_invalid("episodes must not be negative, got ", options.episodes);
  if ((options.steps > 0) == (options.episodes > 0)) {
    throw_invalid("either steps or episodes must be at least 1 and the other 0, got ", options.steps, " and ",
                  options.episodes);
  }
  if (options.max_steps < 1) throw_invalid("max_steps must be at least 1, got ", options.max_steps);
  if (options.start < ResetKind::kDefault || options.start > ResetKind::kControl) {
    throw_invalid("start must be a kind of reset, got ", static_cast<int>(options.start));
  }
  if (options.noise_std && !(*options.noise_std >= 0 && *options.noise_std <= 1e6)) {
    throw_invalid("noise_std must be from 0 to 1e6, got ", *options.noise_std);
  }
  if (policy.nobservation() != task.nobservation() || policy.naction() != task.naction()) {
    throw_invalid("policy must be of ", task.nobservation(), " observations and ", task.naction(),
                  " actions, as task ", task.spec().name, ", got one of ", policy.nobservation(), " and ",
                  policy.naction());
  }
}

// One collection: a few simulations, each of which takes episode after episode until no more are needed.
class PolicyEpisodes {
 public:
  PolicyEpisodes(const Task& task, const GaussianPolicy& policy, const PolicyRolloutOptions& options)
      : task_(task),
        options_(options),
        batch_(make_batch(task.model(), count_simulations(options), count_simulations(options))) {
    const int na = task.naction();
    for (int i = 0; i < na; ++i) {
      const double std =
          options.noise_std ? *options.noise_std : std::exp(static_cast<double>(policy.log_std()[i]));
      std_.push_back(std);
      if (std > 0) log_scale_ -= std::log(std) + 0.5 * std::log(2 * std::numbers::pi);
    }
    with_noise_ = options.noise_std.value_or(1) > 0;
    if (options.keep_hidden) {
      for (std::size_t i = 0; i + 1 < policy.mlp().layers().size(); ++i) {
        widths_.push_back(policy.mlp().layers()[i].rows);
      }
    }
    result_.hidden.resize(widths_.size());
    reserve(&result_, options.steps > 0 ? std::min(options.steps, kMostReserved) + options.max_steps
                                        : std::min(options.episodes, kMostReserved) * options.max_steps);
    for (int sim = 0; sim < mjb_nsim(batch_.get()); ++sim) {
      Runner& runner = runners_.emplace_back(policy);
      runner.episode.hidden.resize(widths_.size());
      reserve(&runner.episode, options.max_steps);
      runner.state.resize(static_cast<std::size_t>(task.nstate()));
      runner.next_state.resize(static_cast<std::size_t>(task.nstate()));
      if (options.keep_poses) runner.pose.resize(static_cast<std::size_t>(pose_size(task)));
      runner.observation.resize(static_cast<std::size_t>(task.nobservation()));
      runner.input.resize(static_cast<std::size_t>(task.nobservation()));
      runner.action.resize(static_cast<std::size_t>(na));
      runner.executed.resize(static_cast<std::size_t>(na));
    }
  }

  // Runs all episodes, on the batch's threads including the caller's.
  void run() {
    while (!stop_) {
      const int failed = apply(batch_, nullptr, 0, run_one, this, 0);
      // an error in MuJoCo ended the simulation in the middle of an episode: that episode diverged, the
      // others go on
      for (int sim = 0; failed > 0 && sim < mjb_nsim(batch_.get()); ++sim) {
        if (mjb_status(batch_.get())[sim] == 0) continue;
        Runner& runner = runners_[static_cast<std::size_t>(sim)];
        if (!runner.busy) {
          fail(std::make_exception_ptr(Error(std::string("MuJoCo failed: ") + mjb_error(batch_.get(), sim))));
          return;
        }
        runner.episode.diverged.push_back(1);
        finish(&runner);
      }
    }
  }

  void stop() { stop_ = true; }

  // Without what was done ahead.
  std::int64_t steps_done() const {
    return options_.steps > 0 ? std::min<std::int64_t>(steps_done_, options_.steps) : steps_done_.load();
  }

  // The result once all have run. Throws what went wrong.
  PolicyBatch take() {
    if (thrown_) std::rethrow_exception(thrown_);
    return std::move(result_);
  }

 private:
  // What a simulation works on.
  struct Runner {
    explicit Runner(const GaussianPolicy& policy) : evaluator(policy) {}

    PolicyEvaluator evaluator;
    std::int64_t number = 0;  // of the episode
    bool busy = false;
    PolicyBatch episode;  // so far
    std::vector<double> state, next_state, pose, observation, executed;
    std::vector<float> input, action;
  };

  static int count_simulations(const PolicyRolloutOptions& options) {
    const std::int64_t most = options.steps > 0 ? options.steps : options.episodes;
    return static_cast<int>(std::min<std::int64_t>(resolve_nthread(options.nthread), most));
  }

  void reserve(PolicyBatch* batch, std::int64_t steps) const {
    const std::size_t n = static_cast<std::size_t>(std::min(steps, kMostReserved));
    batch->observations.reserve(n * task_.nobservation());
    batch->actions.reserve(n * task_.naction());
    batch->means.reserve(n * task_.naction());
    if (with_noise_) batch->log_probs.reserve(n);
    batch->rewards.reserve(n);
    for (std::size_t i = 0; i < widths_.size(); ++i) batch->hidden[i].reserve(n * widths_[i]);
    if (options_.keep_states) batch->states.reserve(n * task_.nstate());
    if (options_.keep_poses) batch->poses.reserve(n * pose_size(task_));
  }

  // ---- running an episode: nothing with a destructor is alive while MuJoCo runs

  static void run_one(const mjModel*, mjData* d, int sim, void* arg) {
    PolicyEpisodes& self = *static_cast<PolicyEpisodes*>(arg);
    Runner& runner = self.runners_[static_cast<std::size_t>(sim)];
    const PolicyRolloutOptions& options = self.options_;
    while (!self.stop_) {
      // the steps done so far are of episodes before the one that would come next: it is not needed once they
      // are enough
      if (options.steps > 0 && self.steps_done_ >= options.steps) return;
      runner.number = self.next_.fetch_add(1);
      if (options.episodes > 0 && runner.number >= options.episodes) return;
      runner.busy = true;
      clear(&runner.episode);
      try {
        if (self.run_episode(d, &runner)) self.finish(&runner);
      } catch (...) {
        self.fail(std::current_exception());
      }
      runner.busy = false;
    }
  }

  // False if the collection was stopped meanwhile.
  bool run_episode(mjData* d, Runner* r) {
    const std::uint64_t sequence = options_.first_episode + static_cast<std::uint64_t>(r->number);
    const PhiloxKey key = derive_key(options_.seed, Stream::kPolicy, sequence);
    const Draws start(derive_key(options_.seed, Stream::kReset, sequence), 0, 0);
    const int ns = task_.nstate();
    Failure failure;
    if (!begin(task_, d, options_.start, start, &failure)) {
      std::fill(r->input.begin(), r->input.end(), 0.0f);
      std::fill(r->state.begin(), r->state.end(), 0.0);
      std::fill(r->pose.begin(), r->pose.end(), 0.0);
      r->episode.diverged.push_back(1);
      return true;
    }
    task_.read(task_.spec().state, d, r->state.data());
    read_pose(d, r);
    observe(d, r);
    for (int t = 0; t < options_.max_steps; ++t) {
      if (stop_) return false;
      const float* mean = r->evaluator.mean(r->input.data());
      if (!act(mean, Draws(key, static_cast<std::uint64_t>(t), 0), r) ||
          !advance(task_, d, r->executed.data(), &failure)) {
        r->episode.diverged.push_back(1);
        return true;
      }
      task_.read(task_.spec().state, d, r->next_state.data());
      record(mean, task_.reward(d, r->next_state.data(), r->executed.data()), r);
      std::copy_n(r->next_state.data(), ns, r->state.data());
      read_pose(d, r);
      observe(d, r);
      steps_done_.fetch_add(1);
      if (!task_.healthy(d)) {
        r->episode.terminated.push_back(1);
        return true;
      }
    }
    r->episode.truncated.push_back(1);
    return true;
  }

  void read_pose(const mjData* d, Runner* r) const {
    if (options_.keep_poses) mj_getState(task_.model(), d, r->pose.data(), kPose);
  }

  // The policy's input from d, whose state has been read.
  void observe(const mjData* d, Runner* r) const {
    const double* observation = r->state.data();
    if (!task_.observes_state()) {
      task_.read(task_.spec().observation, d, r->observation.data());
      observation = r->observation.data();
    }
    for (std::size_t i = 0; i < r->input.size(); ++i) r->input[i] = static_cast<float>(observation[i]);
  }

  // The action, and as it is executed. False if it is not finite.
  bool act(const float* mean, Draws draws, Runner* r) const {
    for (std::size_t i = 0; i < std_.size(); ++i) {
      r->action[i] = with_noise_ ? static_cast<float>(mean[i] + std_[i] * draws.normal()) : mean[i];
      if (!std::isfinite(r->action[i])) return false;
      r->executed[i] = r->action[i];
    }
    clip_action(r->executed.data(), static_cast<int>(std_.size()), r->executed.data());
    return true;
  }

  // Adds the step that was done to the episode.
  void record(const float* mean, double reward, Runner* r) const {
    PolicyBatch& e = r->episode;
    const int na = task_.naction();
    append_row(r->input.data(), task_.nobservation(), &e.observations);
    append_row(r->action.data(), na, &e.actions);
    append_row(mean, na, &e.means);
    e.rewards.push_back(reward);
    if (options_.keep_states) append_row(r->state.data(), task_.nstate(), &e.states);
    append(r->pose, &e.poses);
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      append_row(r->evaluator.hidden(static_cast<int>(i)), widths_[i], &e.hidden[i]);
    }
    if (!with_noise_) return;
    double log_prob = log_scale_;
    for (int i = 0; i < na; ++i) {
      const double z = (static_cast<double>(r->action[i]) - static_cast<double>(mean[i])) / std_[i];
      log_prob -= 0.5 * z * z;
    }
    e.log_probs.push_back(log_prob);
  }

  // ---- keeping episodes in order

  // Takes over a finished episode: into the result if all before it are there, else until they are.
  void finish(Runner* r) noexcept {
    r->busy = false;
    PolicyBatch& e = r->episode;
    try {
      e.lengths.assign(1, static_cast<std::int32_t>(e.rewards.size()));
      for (auto* flags : {&e.terminated, &e.truncated, &e.diverged}) flags->resize(1);
      e.final_observations = r->input;
      if (options_.keep_states) e.final_states = r->state;
      e.final_poses = r->pose;
      const std::lock_guard<std::mutex> lock(mutex_);
      if (r->number != ndone_) {
        waiting_.emplace(r->number, e);
        return;
      }
      add(e);
      for (auto next = waiting_.find(ndone_); next != waiting_.end(); next = waiting_.find(ndone_)) {
        add(next->second);
        waiting_.erase(next);
      }
    } catch (...) {
      fail(std::current_exception());
    }
  }

  // Stops everything; `take` throws the exception, which must not leave through MuJoCo.
  void fail(std::exception_ptr exception) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    thrown_ = std::move(exception);
    stop_ = true;
  }

  void add(const PolicyBatch& episode) {
    ++ndone_;
    if (stop_) return;
    for_each_pair(episode, &result_, [](const auto& from, auto* to) { append(from, to); });
    // never set to false: `stop` may have been called meanwhile
    if (options_.steps > 0 ? result_.nsteps() >= options_.steps : ndone_ == options_.episodes) stop_ = true;
    nempty_ = episode.nsteps() > 0 ? 0 : nempty_ + 1;
    if (options_.steps > 0 && nempty_ == kMostEmptyEpisodes) {
      // kept, not thrown: this runs inside mjb_apply
      thrown_ = std::make_exception_ptr(Error("the simulation diverges in the first step: " +
                                              std::to_string(nempty_) + " episodes in a row have no steps"));
      stop_ = true;
    }
  }

  const Task& task_;
  const PolicyRolloutOptions& options_;
  Batch batch_;
  std::vector<double> std_;
  double log_scale_ = 0;  // log-probability of the mean
  bool with_noise_;
  std::vector<int> widths_;  // of the hidden layers that are kept
  std::vector<Runner> runners_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> steps_done_{0};
  std::atomic<bool> stop_{false};

  std::mutex mutex_;  // for what is below
  PolicyBatch result_;
  std::map<std::int64_t, PolicyBatch> waiting_;  // finished before an earlier one
  std::int64_t ndone_ = 0;
  int nempty_ = 0;
  std::exception_ptr thrown_;
};

}  // namespace

void discounted_sums(const double* values, const std::int32_t* lengths, std::int64_t nepisode, double factor,
                     double* sums) {
  std::int64_t first = 0;
  for (std::int64_t episode = 0; episode < nepisode; ++episode) {
    double after = 0;
    for (std::int64_t t = first + lengths[episode] - 1; t >= first; --t) {
      after = values[t] + factor * after;
      sums[t] = after;
    }
    first += lengths[episode];
  }
}

PolicyBatch collect_policy(const Task& task, const GaussianPolicy& policy,
                           const PolicyRolloutOptions& options, const Progress& progress) {
  check(task, policy, options);
  PolicyEpisodes episodes(task, policy, options);
  run_watched([&] { episodes.run(); }, [&] { return episodes.steps_done(); }, [&] { episodes.stop(); },
              progress);
  return episodes.take();
}

}  // namespace mbmf
