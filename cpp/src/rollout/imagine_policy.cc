#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <numbers>
#include <utility>
#include <vector>

#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "mbmf/rollout/rollout.h"
#include "model/observed.h"
#include "model/predictor.h"
#include "physics/stepper.h"
#include "rollout/batch_rows.h"
#include "rollout/watched_run.h"

namespace mbmf {

namespace {

// Episodes that go on together: enough for the model's kernels.
constexpr std::int64_t kGroup = 32;

void check(const Task& task, const Dynamics& dynamics, const GaussianPolicy& policy,
           const ImaginedOptions& options) {
  if (dynamics.nstate() != task.nstate() || dynamics.naction() != task.naction()) {
    throw_invalid("model must be of ", task.nstate(), " states and ", task.naction(), " actions, as task ",
                  task.spec().name, ", got one of ", dynamics.nstate(), " and ", dynamics.naction());
  }
  if (policy.nobservation() != task.nobservation() || policy.naction() != task.naction()) {
    throw_invalid("policy must be of ", task.nobservation(), " observations and ", task.naction(),
                  " actions, as task ", task.spec().name, ", got one of ", policy.nobservation(), " and ",
                  policy.naction());
  }
  if (!task.spec().reward_state.empty()) {
    throw_invalid("reward must be of states, which the model predicts, got one of task ", task.spec().name,
                  ", which reads more (reward_state)");
  }
  if (!ends_are_predicted(task)) {
    throw_invalid(
        "healthy must bound states, which the model predicts, or alive must say when an episode ends"
        " there, got more bounds of task ",
        task.spec().name, " and no alive");
  }
  if (options.max_steps < 1) throw_invalid("max_steps must be at least 1, got ", options.max_steps);
}

class ImaginedEpisodes {
 public:
  ImaginedEpisodes(const Task& task, const Dynamics& dynamics, const GaussianPolicy& policy,
                   const double* starts, std::int64_t count, const ImaginedOptions& options)
      : task_(task),
        predictor_(dynamics),
        policy_(policy),
        starts_(starts),
        options_(options),
        observed_(observed_of(task)),
        healthy_(healthy_states(task)),
        episodes_(static_cast<std::size_t>(count)),
        pool_(static_cast<int>(std::min<std::int64_t>(resolve_nthread(options.nthread), groups()))) {
    for (int i = 0; i < task.naction(); ++i) {
      std_.push_back(std::exp(static_cast<double>(policy.log_std()[static_cast<std::size_t>(i)])));
      log_scale_ -= std::log(std_.back()) + 0.5 * std::log(2 * std::numbers::pi);
    }
    for (std::size_t i = 0; options.keep_hidden && i + 1 < policy.mlp().layers().size(); ++i) {
      widths_.push_back(policy.mlp().layers()[i].rows);
    }
  }

  void run() {
    const auto count = static_cast<std::int64_t>(episodes_.size());
    pool_.parallel_for(groups(), [&](std::int64_t group, int) {
      try {
        run_group(group * kGroup, std::min(count, (group + 1) * kGroup));
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex_);
        thrown_ = std::current_exception();
        stop_ = true;
      }
    });
  }

  void stop() { stop_ = true; }
  std::int64_t steps_done() const { return steps_done_; }

  PolicyBatch take() {
    if (thrown_) std::rethrow_exception(thrown_);
    PolicyBatch all;
    all.hidden.resize(widths_.size());
    for (const PolicyBatch& e : episodes_) {
      append(e.observations, &all.observations);
      append(e.actions, &all.actions);
      append(e.means, &all.means);
      append(e.log_probs, &all.log_probs);
      append(e.rewards, &all.rewards);
      for (std::size_t i = 0; i < widths_.size(); ++i) append(e.hidden[i], &all.hidden[i]);
      append(e.lengths, &all.lengths);
      append(e.terminated, &all.terminated);
      append(e.truncated, &all.truncated);
      append(e.diverged, &all.diverged);
      append(e.final_observations, &all.final_observations);
    }
    return all;
  }

 private:
  std::int64_t groups() const { return (static_cast<std::int64_t>(episodes_.size()) + kGroup - 1) / kGroup; }

  // Episodes first .. last - 1, step by step; those that have ended are left out.
  void run_group(std::int64_t first, std::int64_t last) {
    const int ns = task_.nstate(), na = task_.naction();
    const auto n = static_cast<std::size_t>(last - first);
    std::vector<std::int64_t> live;
    std::vector<double> states(starts_ + first * ns, starts_ + last * ns), executed(n * na), before(n * na);
    std::vector<float> actions(n * na), next(n * ns), input(static_cast<std::size_t>(task_.nobservation())),
        drawn(static_cast<std::size_t>(na));
    PolicyEvaluator evaluator(policy_);
    for (std::int64_t e = first; e < last; ++e) {
      live.push_back(e);
      episode(e).hidden.resize(widths_.size());
    }
    for (int t = 0; t < options_.max_steps && !live.empty() && !stop_; ++t) {
      std::size_t kept = 0;
      for (std::size_t i = 0; i < live.size(); ++i) {
        double* const state = &states[i * ns];
        double* const action = &executed[i * na];
        if (!act(live[i], t, state, &evaluator, &input, &drawn, action)) {
          end(live[i], state, &input, &PolicyBatch::diverged);
          continue;
        }
        if (kept != i) {
          std::copy_n(state, ns, &states[kept * ns]);
          std::copy_n(action, na, &executed[kept * na]);
          std::copy_n(&before[i * na], na, &before[kept * na]);
        }
        for (int k = 0; k < na; ++k) {
          actions[kept * na + static_cast<std::size_t>(k)] = static_cast<float>(action[k]);
        }
        live[kept++] = live[i];
      }
      live.resize(kept);
      if (live.empty()) break;
      predictor_.predict(states.data(), actions.data(), static_cast<std::int64_t>(kept), next.data(), 1);
      kept = 0;
      for (std::size_t i = 0; i < live.size(); ++i) {
        const float* const after = &next[i * ns];
        double* const action = &executed[i * na];
        if (!std::all_of(after, after + ns, [](float x) { return std::isfinite(x); })) {
          drop_step(live[i]);
          end(live[i], &states[i * ns], &input, &PolicyBatch::diverged);
          continue;
        }
        double* const state = &states[kept * ns];
        std::copy_n(after, ns, state);
        const double rate = squared_step(action, t == 0 ? nullptr : &before[i * na], na);
        const bool healthy = within(task_.spec().alive, state) && within(healthy_, state);
        double reward = evaluate(task_.spec().reward, state, action, na, rate);
        if (healthy) reward += task_.spec().healthy_reward;
        episode(live[i]).rewards.push_back(reward);
        ++steps_done_;
        if (!healthy || t + 1 == options_.max_steps) {
          end(live[i], state, &input, healthy ? &PolicyBatch::truncated : &PolicyBatch::terminated);
          continue;
        }
        std::copy_n(action, na, &before[kept * na]);
        live[kept++] = live[i];
      }
      live.resize(kept);
    }
  }

  PolicyBatch& episode(std::int64_t e) { return episodes_[static_cast<std::size_t>(e)]; }

  // Draws the action of a step and records it, without its reward; executed (naction) is it, clipped. False,
  // and no record, if it is not finite.
  bool act(std::int64_t e, int t, const double* state, PolicyEvaluator* evaluator, std::vector<float>* input,
           std::vector<float>* drawn, double* executed) {
    observe(observed_, state, input->data());
    const float* mean = evaluator->mean(input->data());
    const std::uint64_t sequence = options_.first_episode + static_cast<std::uint64_t>(e);
    Draws draws(derive_key(options_.seed, Stream::kImagined, sequence), static_cast<std::uint64_t>(t), 0);
    const int na = task_.naction();
    std::vector<float>& action = *drawn;
    double log_prob = log_scale_;
    for (std::size_t i = 0; i < std_.size(); ++i) {
      action[i] = static_cast<float>(mean[i] + std_[i] * draws.normal());
      if (!std::isfinite(action[i])) return false;
      executed[i] = action[i];
      const double z = (static_cast<double>(action[i]) - static_cast<double>(mean[i])) / std_[i];
      log_prob -= 0.5 * z * z;
    }
    clip_action(executed, na, executed);
    PolicyBatch& record = episode(e);
    append_row(input->data(), task_.nobservation(), &record.observations);
    append_row(action.data(), na, &record.actions);
    append_row(mean, na, &record.means);
    record.log_probs.push_back(log_prob);
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      append_row(evaluator->hidden(static_cast<int>(i)), widths_[i], &record.hidden[i]);
    }
    return true;
  }

  // Takes back the record of a step that led nowhere.
  void drop_step(std::int64_t e) {
    PolicyBatch& record = episode(e);
    const auto shorten = [](auto* rows, int size) {
      rows->resize(rows->size() - static_cast<std::size_t>(size));
    };
    shorten(&record.observations, task_.nobservation());
    shorten(&record.actions, task_.naction());
    shorten(&record.means, task_.naction());
    shorten(&record.log_probs, 1);
    for (std::size_t i = 0; i < widths_.size(); ++i) shorten(&record.hidden[i], widths_[i]);
  }

  void end(std::int64_t e, const double* state, std::vector<float>* input,
           std::vector<std::uint8_t> PolicyBatch::*how) {
    PolicyBatch& record = episode(e);
    (record.*how).push_back(1);
    for (auto* flags : {&record.terminated, &record.truncated, &record.diverged}) flags->resize(1);
    record.lengths.assign(1, static_cast<std::int32_t>(record.rewards.size()));
    observe(observed_, state, input->data());
    record.final_observations = *input;
  }

  const Task& task_;
  Predictor predictor_;
  const GaussianPolicy& policy_;
  const double* starts_;
  const ImaginedOptions& options_;
  std::vector<kernel::Input> observed_;
  std::vector<StateBound> healthy_;
  std::vector<double> std_;
  double log_scale_ = 0;
  std::vector<int> widths_;
  std::vector<PolicyBatch> episodes_;
  ThreadPool pool_;  // made by the caller's thread, which an error in it reaches
  std::atomic<std::int64_t> steps_done_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::exception_ptr thrown_;
};

}  // namespace

PolicyBatch imagine_policy(const Task& task, const Dynamics& dynamics, const GaussianPolicy& policy,
                           const double* starts, std::int64_t count, const ImaginedOptions& options,
                           const Progress& progress) {
  check(task, dynamics, policy, options);
  ImaginedEpisodes episodes(task, dynamics, policy, starts, count, options);
  run_watched([&] { episodes.run(); }, [&] { return episodes.steps_done(); }, [&] { episodes.stop(); },
              progress);
  return episodes.take();
}

}  // namespace mbmf
