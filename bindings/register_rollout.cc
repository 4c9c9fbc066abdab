// Whole episodes: collect_random, collect_mpc and collect_policy.

#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/rollout/rollout.h"

namespace mbmf::bindings {

namespace {

// New arrays for the episodes of a collection.
class EpisodeArrays {
 public:
  EpisodeArrays(const Task& task, std::int64_t episodes, int steps, bool on_path = false,
                bool with_poses = false) {
    if (episodes < 1) throw_invalid("episodes must be at least 1, got ", episodes);
    if (steps < 1) throw_invalid("steps must be at least 1, got ", steps);
    const std::int64_t points = std::int64_t{steps} + 1;
    states_ = make_array<double>({episodes, points, task.nstate()});
    if (!task.observes_state()) observations_ = make_array<double>({episodes, points, task.nobservation()});
    actions_ = make_array<float>({episodes, steps, task.naction()});
    rewards_ = make_array<double>({episodes, steps});
    lengths_ = make_array<std::int32_t>({episodes});
    terminated_ = make_array<std::uint8_t>({episodes});
    diverged_ = make_array<std::uint8_t>({episodes});
    buffers_ = {episodes,
                steps,
                states_.mutable_data(),
                task.observes_state() ? nullptr : observations_.mutable_data(),
                actions_.mutable_data(),
                rewards_.mutable_data(),
                lengths_.mutable_data(),
                terminated_.mutable_data(),
                diverged_.mutable_data()};
    if (with_poses) {
      poses_ = make_array<double>({episodes, points, pose_size(task)});
      buffers_.poses = poses_.mutable_data();
    }
    if (!on_path) return;
    segments_ = make_array<std::int32_t>({episodes, points});
    origins_ = make_array<double>({episodes, 2});
    buffers_.segments = segments_.mutable_data();
    buffers_.origins = origins_.mutable_data();
  }

  const EpisodeBuffers& buffers() const { return buffers_; }
  std::int64_t steps() const {
    return std::accumulate(buffers_.lengths, buffers_.lengths + buffers_.episodes, std::int64_t{0});
  }

  py::dict dict() const {
    py::dict result;
    result["states"] = states_;
    result["observations"] = buffers_.observations ? py::object(observations_) : py::none();
    result["actions"] = actions_;
    result["rewards"] = rewards_;
    result["lengths"] = lengths_;
    result["terminated"] = terminated_.attr("view")("bool");
    result["diverged"] = diverged_.attr("view")("bool");
    if (buffers_.poses != nullptr) result["poses"] = poses_;
    if (buffers_.segments != nullptr) {
      result["segments"] = segments_;
      result["origins"] = origins_;
    }
    return result;
  }

 private:
  py::array_t<double> states_, observations_, rewards_, origins_, poses_;
  py::array_t<float> actions_;
  py::array_t<std::int32_t> lengths_, segments_;
  py::array_t<std::uint8_t> terminated_, diverged_;
  EpisodeBuffers buffers_{};
};

// Reports to a Python function and lets Ctrl-C through, without taking the GIL more than ten times a second.
class PythonProgress {
 public:
  explicit PythonProgress(const py::object& function) : function_(function) {}

  bool operator()(std::int64_t steps) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return true;
    last_ = now;
    const AcquireGil acquire;
    return report(steps);
  }

  // With the GIL held: false if the function said so, or if it or a signal handler raised.
  bool report(std::int64_t steps) {
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (function_.is_none()) return true;
      return !call_back(function_, steps).is(py::bool_(false));
    } catch (...) {
      raised_ = std::current_exception();
      return false;
    }
  }

  // Raises again what the function raised.
  void rethrow() const {
    if (raised_) std::rethrow_exception(raised_);
  }

 private:
  const py::object& function_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::exception_ptr raised_;
};

// Runs `collect(progress)`, which returns the steps done, without the GIL; what Python raised meanwhile goes
// before what the collection throws.
template <typename Collect>
void run(const py::object& function, const Collect& collect) {
  PythonProgress progress(function);
  std::int64_t steps = 0;
  try {
    const ReleaseGil release;
    steps = collect([&progress](std::int64_t done) { return progress(done); });
  } catch (const Error&) {
    progress.rethrow();
    throw;
  }
  progress.report(steps);
  progress.rethrow();
}

py::array flags(std::vector<std::uint8_t>&& values) {
  const std::size_t count = values.size();
  return take_array(std::move(values), {count}).attr("view")("bool");
}

py::dict policy_dict(const Task& task, const GaussianPolicy& policy, const PolicyRolloutOptions& options,
                     PolicyBatch&& batch) {
  const std::int64_t n = batch.nsteps(), episodes = static_cast<std::int64_t>(batch.lengths.size());
  py::dict result;
  result["observations"] = take_array(std::move(batch.observations), {n, policy.nobservation()});
  result["actions"] = take_array(std::move(batch.actions), {n, policy.naction()});
  result["means"] = take_array(std::move(batch.means), {n, policy.naction()});
  result["rewards"] = take_array(std::move(batch.rewards), {n});
  result["lengths"] = take_array(std::move(batch.lengths), {episodes});
  result["terminated"] = flags(std::move(batch.terminated));
  result["truncated"] = flags(std::move(batch.truncated));
  result["diverged"] = flags(std::move(batch.diverged));
  result["final_observations"] =
      take_array(std::move(batch.final_observations), {episodes, policy.nobservation()});
  for (const char* name : {"log_probs", "hidden", "states", "final_states", "poses", "final_poses"}) {
    result[name] = py::none();
  }
  if (options.noise_std.value_or(1) > 0) result["log_probs"] = take_array(std::move(batch.log_probs), {n});
  if (options.keep_hidden) {
    py::list hidden;
    for (std::size_t i = 0; i < batch.hidden.size(); ++i) {
      hidden.append(take_array(std::move(batch.hidden[i]), {n, policy.mlp().layers()[i].rows}));
    }
    result["hidden"] = py::tuple(hidden);
  }
  if (options.keep_states) {
    result["states"] = take_array(std::move(batch.states), {n, task.nstate()});
    result["final_states"] = take_array(std::move(batch.final_states), {episodes, task.nstate()});
  }
  if (options.keep_poses) {
    result["poses"] = take_array(std::move(batch.poses), {n, pose_size(task)});
    result["final_poses"] = take_array(std::move(batch.final_poses), {episodes, pose_size(task)});
  }
  return result;
}

}  // namespace

void register_rollout(py::module_& module) {
  module.def(
      "collect_random",
      [](const std::shared_ptr<Task>& task, std::int64_t episodes, int steps, std::uint64_t seed,
         std::uint64_t first_episode, int nthread, const py::object& progress) {
        const EpisodeArrays arrays(*task, episodes, steps);
        run(progress, [&](const Progress& report) {
          collect_random(*task, arrays.buffers(), seed, first_episode, nthread, report);
          return arrays.steps();
        });
        return arrays.dict();
      },
      py::arg("task").none(false), py::arg("episodes"), py::arg("steps"), py::arg("seed"),
      py::arg("first_episode"), py::arg("nthread"), py::arg("progress"),
      "Episodes of random actions, as a dictionary of arrays.");
  module.def(
      "collect_mpc",
      [](const std::shared_ptr<Planner>& planner, std::int64_t episodes, int steps, std::uint64_t seed,
         std::uint64_t first_episode, double action_noise, bool keep_poses, const py::object& progress) {
        const EpisodeArrays arrays(planner->task(), episodes, steps, planner->task().spec().path.has_value(),
                                   keep_poses);
        run(progress, [&](const Progress& report) {
          collect_mpc(*planner, arrays.buffers(), seed, first_episode, action_noise, report);
          return arrays.steps();
        });
        return arrays.dict();
      },
      py::arg("planner").none(false), py::arg("episodes"), py::arg("steps"), py::arg("seed"),
      py::arg("first_episode"), py::arg("action_noise"), py::arg("keep_poses"), py::arg("progress"),
      "Episodes of the planner's actions, as a dictionary of arrays.");
  module.def(
      "collect_policy",
      [](const std::shared_ptr<Task>& task, const std::shared_ptr<GaussianPolicy>& policy, std::int64_t steps,
         std::int64_t episodes, int max_steps, std::uint64_t seed, std::uint64_t first_episode, int nthread,
         ResetKind start, std::optional<double> noise_std, bool keep_hidden, bool keep_states,
         bool keep_poses, const py::object& progress) {
        const PolicyRolloutOptions options{steps, episodes,  max_steps,   seed,        first_episode, nthread,
                                           start, noise_std, keep_hidden, keep_states, keep_poses};
        PolicyBatch batch;
        run(progress, [&](const Progress& report) {
          batch = collect_policy(*task, *policy, options, report);
          return batch.nsteps();
        });
        return policy_dict(*task, *policy, options, std::move(batch));
      },
      py::arg("task").none(false), py::arg("policy").none(false), py::arg("steps"), py::arg("episodes"),
      py::arg("max_steps"), py::arg("seed"), py::arg("first_episode"), py::arg("nthread"), py::arg("start"),
      py::arg("noise_std"), py::arg("keep_hidden"), py::arg("keep_states"), py::arg("keep_poses"),
      py::arg("progress"), "Episodes of a policy's actions, end to end, as a dictionary of arrays.");
  module.def(
      "imagine_policy",
      [](const std::shared_ptr<Task>& task, const std::shared_ptr<Dynamics>& dynamics,
         const std::shared_ptr<GaussianPolicy>& policy, const py::array& starts, int max_steps,
         std::uint64_t seed, std::uint64_t first_episode, int nthread, bool keep_hidden,
         const py::object& progress) {
        const double* s = input<double>(starts, "starts", {"n", task->nstate()});
        const ImaginedOptions options{max_steps, seed, first_episode, nthread, keep_hidden};
        PolicyBatch batch;
        run(progress, [&](const Progress& report) {
          batch = imagine_policy(*task, *dynamics, *policy, s, starts.shape(0), options, report);
          return batch.nsteps();
        });
        PolicyRolloutOptions kept;
        kept.keep_hidden = keep_hidden;
        return policy_dict(*task, *policy, kept, std::move(batch));
      },
      py::arg("task").none(false), py::arg("dynamics").none(false), py::arg("policy").none(false),
      py::arg("starts"), py::arg("max_steps"), py::arg("seed"), py::arg("first_episode"), py::arg("nthread"),
      py::arg("keep_hidden"), py::arg("progress"),
      "Episodes of a policy's actions through a learned model, from starts float64 (n, nstate), as a "
      "dictionary of arrays like collect_policy's.");
  module.def(
      "discounted_sums",
      [](const py::array& values, const py::array& lengths, double factor) {
        const double* v = input<double>(values, "values", {"n"});
        const std::int32_t* l = input<std::int32_t>(lengths, "lengths", {"nepisode"});
        std::int64_t total = 0;
        for (py::ssize_t i = 0; i < lengths.size(); ++i) {
          if (l[i] < 0) throw_invalid("lengths must not be negative, got ", l[i]);
          total += l[i];
        }
        if (total != values.size()) throw_invalid("lengths must add up to ", values.size(), ", got ", total);
        py::array_t<double> sums = make_array<double>({values.size()});
        discounted_sums(v, l, lengths.size(), factor, sums.mutable_data());
        return sums;
      },
      py::arg("values"), py::arg("lengths"), py::arg("factor"),
      "Sums over l of factor^l values[t + l], to the end of the step's episode: values float64 (n,), lengths "
      "int32 (nepisode,) -> float64 (n,).");
  module.def(
      "action_noise",
      [](std::uint64_t seed, std::uint64_t episode, std::uint64_t step, int naction) {
        py::array_t<double> noise = make_array<double>({naction});
        Draws draws(derive_key(seed, Stream::kActionNoise, episode), step, 0);
        std::generate_n(noise.mutable_data(), naction, [&draws] { return draws.normal(); });
        return noise;
      },
      py::arg("seed"), py::arg("episode"), py::arg("step"), py::arg("naction"),
      "The N(0, 1) that collect_mpc scales and adds to the action of a step: float64 (naction,).");
}

}  // namespace mbmf::bindings
