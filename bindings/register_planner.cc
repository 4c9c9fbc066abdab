// The planners: through a learned model, and through MuJoCo.

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "array_args.h"
#include "mbmf/planning/planner.h"
#include "mbmf/planning/simulator_shooting.h"

namespace mbmf::bindings {

namespace {

template <typename T>
py::array_t<T> copy_array(const std::vector<T>& values, std::initializer_list<Dim> shape) {
  py::array_t<T> array = make_array<T>(shape);
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

// where each of n plans begins on its path
std::vector<PathStart> path_starts(const py::object& segments, const py::object& origins, py::ssize_t n) {
  std::vector<PathStart> at(static_cast<std::size_t>(n));
  const auto as_array = [](const py::object& object, const char* name) {
    if (!py::isinstance<py::array>(object)) {
      throw_invalid(name, " must be an array or None, got ", std::string(py::str(py::type::of(object))));
    }
    return py::reinterpret_borrow<py::array>(object);
  };
  if (!segments.is_none()) {
    const std::int32_t* s = input<std::int32_t>(as_array(segments, "segments"), "segments", {n});
    for (std::size_t i = 0; i < at.size(); ++i) at[i].segment = s[i];
  }
  if (!origins.is_none()) {
    const double* o = input<double>(as_array(origins, "origins"), "origins", {n, 2});
    for (std::size_t i = 0; i < at.size(); ++i) std::copy_n(o + 2 * i, 2, at[i].origin);
  }
  return at;
}

}  // namespace

void register_planner(py::module_& module) {
  py::class_<Planner, std::shared_ptr<Planner>>(module, "Planner",
                                                "A search over random candidates; a plan is a pure function "
                                                "of (model, task, start, seed, episode, step).")
      .def_property_readonly("start_size", &Planner::start_size)
      .def(
          "plan",
          [](Planner& self, const py::array& state, std::uint64_t episode, std::uint64_t step, int segment,
             const std::array<double, 2>& origin) {
            const PathStart at{segment, {origin[0], origin[1]}};
            const int nstate = self.task().nstate(), naction = self.task().naction();
            const int horizon = self.options().horizon;
            const double* s = input<double>(state, "state", {self.start_size()});
            Plan plan;
            {
              py::gil_scoped_release release;
              self.plan(s, episode, step, at, &plan);
            }
            return py::make_tuple(plan.candidate, plan.cost, copy_array(plan.actions, {horizon, naction}),
                                  copy_array(plan.states, {horizon + 1, nstate}), plan.moved, plan.segment);
          },
          py::arg("state"), py::arg("episode"), py::arg("step"), py::arg("segment") = 0,
          py::arg("origin") = std::array<double, 2>{0, 0},
          "state float64 (start_size,) -> (candidate, cost, actions float32 (H, naction), states float32 (H "
          "+ 1, nstate), moved, segment of the next plan).")
      .def(
          "plan_within",
          [](Planner& self, const py::array& state, std::uint64_t episode, std::uint64_t step,
             std::optional<std::int64_t> deadline, std::int64_t candidates,
             const std::optional<py::array>& warm, bool predict, int segment,
             const std::array<double, 2>& origin) {
            const int nstate = self.task().nstate(), naction = self.task().naction();
            const int horizon = self.options().horizon;
            const double* s = input<double>(state, "state", {self.start_size()});
            PlanLimits limits;
            if (deadline) {
              limits.deadline = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(*deadline));
            }
            limits.candidates = candidates;
            if (warm) limits.warm = input<float>(*warm, "warm", {horizon, naction});
            limits.predict = predict;
            limits.at = {segment, {origin[0], origin[1]}};
            Plan plan;
            {
              py::gil_scoped_release release;
              self.plan(s, episode, step, limits, &plan);
            }
            return py::make_tuple(plan.candidate, plan.cost, copy_array(plan.actions, {horizon, naction}),
                                  copy_array(plan.states, {predict ? horizon + 1 : 0, nstate}),
                                  plan.candidates_done, plan.moved, plan.segment);
          },
          py::arg("state"), py::arg("episode"), py::arg("step"), py::arg("deadline") = py::none(),
          py::arg("candidates") = 0, py::arg("warm") = py::none(), py::arg("predict") = true,
          py::arg("segment") = 0, py::arg("origin") = std::array<double, 2>{0, 0},
          "plan within limits: deadline in nanoseconds of the monotonic clock, candidates at most (0: all), "
          "warm float32 (H, naction) in the place of candidate 0. -> (candidate, cost, actions, states or "
          "none, candidates done, moved, segment of the next plan).")
      .def(
          "plan_batch",
          [](Planner& self, const py::array& states, const py::array& episodes, const py::array& steps,
             const py::object& segments, const py::object& origins) {
            const int naction = self.task().naction();
            const double* s = input<double>(states, "states", {"n", self.start_size()});
            const py::ssize_t n = states.shape(0);
            const std::uint64_t* e = input<std::uint64_t>(episodes, "episodes", {n});
            const std::uint64_t* t = input<std::uint64_t>(steps, "steps", {n});
            const std::vector<PathStart> at = path_starts(segments, origins, n);
            py::array_t<float> actions = make_array<float>({n, naction});
            py::array_t<double> costs = make_array<double>({n});
            float* actions_out = actions.mutable_data();
            double* costs_out = costs.mutable_data();
            {
              py::gil_scoped_release release;
              self.plan_batch(s, e, t, at.data(), n, actions_out, costs_out, nullptr);
            }
            return py::make_tuple(actions, costs);
          },
          py::arg("states"), py::arg("episodes"), py::arg("steps"), py::arg("segments") = py::none(),
          py::arg("origins") = py::none(),
          "states float64 (n, start_size), episodes and steps uint64 (n,), segments int32 (n,) and origins "
          "float64 (n, 2) or None -> first actions float32 (n, naction) and costs float64 (n,).")
      .def(
          "sample",
          [](const Planner& self, std::uint64_t episode, std::uint64_t step, std::int64_t first,
             std::int64_t count) {
            if (count < 0) throw_invalid("count must not be negative, got ", count);
            py::array_t<float> actions =
                make_array<float>({count, self.options().horizon, self.task().naction()});
            self.sample(episode, step, first, count, actions.mutable_data());
            return actions;
          },
          py::arg("episode"), py::arg("step"), py::arg("first"), py::arg("count"),
          "The actions of some candidates: float32 (count, H, naction).")
      .def(
          "costs",
          [](Planner& self, const py::array& state, std::uint64_t episode, std::uint64_t step, int segment,
             const std::array<double, 2>& origin) {
            const PathStart at{segment, {origin[0], origin[1]}};
            const double* s = input<double>(state, "state", {self.start_size()});
            py::array_t<double> costs = make_array<double>({self.options().candidates});
            double* out = costs.mutable_data();
            {
              py::gil_scoped_release release;
              self.costs(s, episode, step, at, out);
            }
            return costs;
          },
          py::arg("state"), py::arg("episode"), py::arg("step"), py::arg("segment") = 0,
          py::arg("origin") = std::array<double, 2>{0, 0}, "The costs of all candidates: float64 (K,).")
      .def(
          "set_task", [](Planner& self, const std::shared_ptr<Task>& task) { self.set_task(task); },
          py::arg("task").none(false), "Goes on with another task of the same robot and state.");

  py::class_<RandomShooting, Planner, std::shared_ptr<RandomShooting>>(
      module, "RandomShooting", "Rolls candidates through a learned model; a start is a state (nstate,).")
      .def(py::init([](const std::shared_ptr<Task>& task, const std::shared_ptr<Dynamics>& dynamics,
                       int horizon, std::int64_t candidates, std::uint64_t seed, int nthread) {
             return std::make_shared<RandomShooting>(task, dynamics,
                                                     PlannerOptions{horizon, candidates, seed, nthread});
           }),
           py::arg("task").none(false), py::arg("dynamics").none(false), py::arg("horizon"),
           py::arg("candidates"), py::arg("seed") = 0, py::arg("nthread") = 0)
      .def_property_readonly("scratch_bytes", &RandomShooting::scratch_bytes,
                             "Bytes of working memory of a thread, with all that the threads share.")
      .def(
          "shortest_plan",
          [](RandomShooting& self, const py::array& state) {
            const double* s = input<double>(state, "state", {self.start_size()});
            const py::gil_scoped_release release;
            return self.shortest_plan(s);
          },
          py::arg("state"), "Seconds that a plan with a deadline takes at least, measured.");

  py::class_<SimulatorShooting, Planner, std::shared_ptr<SimulatorShooting>>(
      module, "SimulatorShooting",
      "Rolls candidates through MuJoCo itself; a start is an integration-state row (state_size,).")
      .def(py::init([](const std::shared_ptr<Task>& task, int horizon, std::int64_t candidates,
                       std::uint64_t seed, int nthread) {
             return std::make_shared<SimulatorShooting>(task,
                                                        PlannerOptions{horizon, candidates, seed, nthread});
           }),
           py::arg("task").none(false), py::arg("horizon"), py::arg("candidates"), py::arg("seed") = 0,
           py::arg("nthread") = 0);
}

}  // namespace mbmf::bindings
