// Whole episodes: collect_random and collect_mpc.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <numeric>

#include "array_args.h"
#include "mbmf/rollout.h"

namespace mbmf::bindings {

namespace {

// New arrays for the episodes of a collection.
class EpisodeArrays {
 public:
  EpisodeArrays(const Task& task, std::int64_t episodes, int steps) {
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
    return result;
  }

 private:
  py::array_t<double> states_, observations_, rewards_;
  py::array_t<float> actions_;
  py::array_t<std::int32_t> lengths_;
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
    py::gil_scoped_acquire acquire;
    return report(steps);
  }

  // With the GIL held: false if the function said so, or if it or a signal handler raised.
  bool report(std::int64_t steps) {
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (function_.is_none()) return true;
      return !function_(steps).is(py::bool_(false));
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

// Runs `collect(progress)` without the GIL; what Python raised meanwhile goes before what the collection
// throws.
template <typename Collect>
py::dict run(const EpisodeArrays& arrays, const py::object& function, const Collect& collect) {
  PythonProgress progress(function);
  try {
    py::gil_scoped_release release;
    collect([&progress](std::int64_t steps) { return progress(steps); });
  } catch (const Error&) {
    progress.rethrow();
    throw;
  }
  progress.report(arrays.steps());
  progress.rethrow();
  return arrays.dict();
}

}  // namespace

void register_rollout(py::module_& module) {
  module.def(
      "collect_random",
      [](const std::shared_ptr<Task>& task, std::int64_t episodes, int steps, std::uint64_t seed,
         std::uint64_t first_episode, int nthread, const py::object& progress) {
        const EpisodeArrays arrays(*task, episodes, steps);
        return run(arrays, progress, [&](const Progress& report) {
          collect_random(*task, arrays.buffers(), seed, first_episode, nthread, report);
        });
      },
      py::arg("task").none(false), py::arg("episodes"), py::arg("steps"), py::arg("seed"),
      py::arg("first_episode"), py::arg("nthread"), py::arg("progress"),
      "Episodes of random actions, as a dictionary of arrays.");
  module.def(
      "collect_mpc",
      [](const std::shared_ptr<Planner>& planner, std::int64_t episodes, int steps, std::uint64_t seed,
         std::uint64_t first_episode, double action_noise, const py::object& progress) {
        const EpisodeArrays arrays(planner->task(), episodes, steps);
        return run(arrays, progress, [&](const Progress& report) {
          collect_mpc(*planner, arrays.buffers(), seed, first_episode, action_noise, report);
        });
      },
      py::arg("planner").none(false), py::arg("episodes"), py::arg("steps"), py::arg("seed"),
      py::arg("first_episode"), py::arg("action_noise"), py::arg("progress"),
      "Episodes of the planner's actions, as a dictionary of arrays.");
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
