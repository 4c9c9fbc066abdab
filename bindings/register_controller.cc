// The real-time loop, and the simulation that takes the place of a robot.

#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "array_args.h"
#include "gil.h"
#include "mbmf/control/controller.h"
#include "mbmf/control/realtime_simulation.h"
#include "mbmf/control/timing.h"

namespace mbmf::bindings {

namespace {

TimePoint time_point(std::int64_t ns) { return TimePoint(std::chrono::nanoseconds(ns)); }
std::int64_t nanoseconds(TimePoint when) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}

void register_structures(py::module_& module) {
  py::native_enum<PlanMode>(module, "PlanMode", "enum.IntEnum", "How many candidates a plan searches.")
      .value("ANYTIME", PlanMode::kAnytime)
      .value("FIXED", PlanMode::kFixed)
      .value("FITTED", PlanMode::kFitted)
      .finalize();
  py::native_enum<StepKind>(module, "StepKind", "enum.IntEnum", "What a step sent.")
      .value("PLANNED", StepKind::kPlanned)
      .value("HELD", StepKind::kHeld)
      .value("SAFE", StepKind::kSafe)
      .finalize();
  py::native_enum<Fault>(module, "Fault", "enum.IntEnum", "Why a step was not planned.")
      .value("NONE", Fault::kNone)
      .value("NO_STATE", Fault::kNoState)
      .value("STALE_STATE", Fault::kStaleState)
      .value("FUTURE_STATE", Fault::kFutureState)
      .value("BAD_STATE", Fault::kBadState)
      .value("LATE_PLAN", Fault::kLatePlan)
      .value("NO_PLAN", Fault::kNoPlan)
      .finalize();
  module.def(
      "fault_text", [](Fault fault) { return std::string(fault_text(fault)); }, py::arg("fault"),
      "A fault in words.");

  py::class_<ThreadSettings>(module, "ThreadSettings", "What threads ask of the operating system.")
      .def(py::init<>())
      .def_readwrite("priority", &ThreadSettings::priority)
      .def_readwrite("cpus", &ThreadSettings::cpus)
      .def_readwrite("lock_memory", &ThreadSettings::lock_memory);
  py::class_<ControllerOptions>(module, "ControllerOptions",
                                "Settings of a control loop (mbmf/control/controller.h).")
      .def(py::init<>())
      .def_readwrite("period", &ControllerOptions::period)
      .def_readwrite("mode", &ControllerOptions::mode)
      .def_readwrite("share", &ControllerOptions::share)
      .def_readwrite("margin", &ControllerOptions::margin)
      .def_readwrite("phase", &ControllerOptions::phase)
      .def_readwrite("compensate", &ControllerOptions::compensate)
      .def_readwrite("actuation_delay", &ControllerOptions::actuation_delay)
      .def_readwrite("hold_steps", &ControllerOptions::hold_steps)
      .def_readwrite("stale_after", &ControllerOptions::stale_after)
      .def_readwrite("safe_action", &ControllerOptions::safe_action)
      .def_readwrite("episode", &ControllerOptions::episode)
      .def_readwrite("spin", &ControllerOptions::spin)
      .def_readwrite("thread", &ControllerOptions::thread)
      .def_readwrite("history", &ControllerOptions::history);
  py::class_<Quantiles>(module, "Quantiles", "Of durations, in seconds.")
      .def_readonly("count", &Quantiles::count)
      .def_readonly("mean", &Quantiles::mean)
      .def_readonly("p50", &Quantiles::p50)
      .def_readonly("p99", &Quantiles::p99)
      .def_readonly("p999", &Quantiles::p999)
      .def_readonly("max", &Quantiles::max);
  py::class_<ControllerStatistics>(module, "ControllerStatistics", "Counts and times of a control loop.")
      .def_readonly("steps", &ControllerStatistics::steps)
      .def_readonly("planned", &ControllerStatistics::planned)
      .def_readonly("held", &ControllerStatistics::held)
      .def_readonly("safe", &ControllerStatistics::safe)
      .def_readonly("waiting", &ControllerStatistics::waiting)
      .def_readonly("late", &ControllerStatistics::late)
      .def_readonly("skipped", &ControllerStatistics::skipped)
      .def_readonly("stale", &ControllerStatistics::stale)
      .def_readonly("future", &ControllerStatistics::future)
      .def_readonly("bad_state", &ControllerStatistics::bad_state)
      .def_readonly("no_plan", &ControllerStatistics::no_plan)
      .def_readonly("candidates", &ControllerStatistics::candidates)
      .def_readonly("fewest", &ControllerStatistics::fewest)
      .def_readonly("most", &ControllerStatistics::most)
      .def_readonly("period", &ControllerStatistics::period)
      .def_readonly("compute", &ControllerStatistics::compute)
      .def_readonly("jitter", &ControllerStatistics::jitter)
      .def_readonly("age", &ControllerStatistics::age)
      .def_property_readonly("misses", &ControllerStatistics::misses);
  py::class_<StepRecord>(module, "StepRecord", "One step of a control loop.")
      .def_readonly("step", &StepRecord::step)
      .def_readonly("wake_ns", &StepRecord::wake_ns)
      .def_readonly("compute_ns", &StepRecord::compute_ns)
      .def_readonly("age_ns", &StepRecord::age_ns)
      .def_readonly("candidates", &StepRecord::candidates)
      .def_readonly("segment", &StepRecord::segment)
      .def_readonly("kind", &StepRecord::kind)
      .def_readonly("fault", &StepRecord::fault);
}

// one column of the records
template <typename T, typename Get>
py::array_t<T> column(const std::vector<StepRecord>& records, const Get& get) {
  py::array_t<T> array = make_array<T>({records.size()});
  T* out = array.mutable_data();
  for (const StepRecord& record : records) *out++ = static_cast<T>(get(record));
  return array;
}

py::dict columns(const std::vector<StepRecord>& records) {
  py::dict all;
  all["step"] = column<std::int64_t>(records, [](const StepRecord& r) { return r.step; });
  all["wake"] = column<double>(records, [](const StepRecord& r) { return 1e-9 * double(r.wake_ns); });
  all["compute"] = column<double>(records, [](const StepRecord& r) { return 1e-9 * double(r.compute_ns); });
  all["age"] = column<double>(records, [](const StepRecord& r) { return 1e-9 * double(r.age_ns); });
  all["candidates"] = column<std::int64_t>(records, [](const StepRecord& r) { return r.candidates; });
  all["segment"] = column<std::int32_t>(records, [](const StepRecord& r) { return r.segment; });
  all["kind"] = column<std::int8_t>(records, [](const StepRecord& r) { return int(r.kind); });
  all["fault"] = column<std::int8_t>(records, [](const StepRecord& r) { return int(r.fault); });
  return all;
}

py::dict rows(const RealtimeSimulation::Record& r, const Task& task) {
  const int nstate = task.nstate(), naction = task.naction(), nobservation = task.nobservation();
  const auto n = r.rewards.size();
  const auto copy = [](const auto& values, std::initializer_list<Dim> shape) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    py::array_t<T> array = make_array<T>(shape);
    std::copy(values.begin(), values.end(), array.mutable_data());
    return array;
  };
  py::dict all;
  all["states"] = copy(r.states, {n, nstate});
  all["next_states"] = copy(r.next_states, {n, nstate});
  all["observations"] = copy(r.observations, {n, nobservation});
  all["next_observations"] = copy(r.next_observations, {n, nobservation});
  all["actions"] = copy(r.actions, {n, naction});
  all["rewards"] = copy(r.rewards, {n});
  all["terminated"] = copy(r.terminated, {n});
  all["diverged"] = copy(r.diverged, {n});
  all["first"] = copy(r.first, {n});
  all["fresh"] = copy(r.fresh, {n});
  all["action_step"] = copy(r.action_step, {n});
  return all;
}

}  // namespace

void register_controller(py::module_& module) {
  register_structures(module);
  py::class_<Controller, std::shared_ptr<Controller>>(module, "Controller",
                                                      "A real-time control loop in a thread of its own.")
      .def(py::init([](const std::shared_ptr<Task>& task, const std::shared_ptr<Dynamics>& dynamics,
                       const std::string& search, int horizon, std::int64_t candidates, std::uint64_t seed,
                       int nthread, const std::map<std::string, double>& settings,
                       const ControllerOptions& options, const std::optional<std::shared_ptr<Value>>& value,
                       const std::optional<std::shared_ptr<GaussianPolicy>>& policy, std::int64_t proposals) {
             const PlannerOptions planner{horizon,
                                          candidates,
                                          seed,
                                          nthread,
                                          search,
                                          settings,
                                          value.value_or(nullptr),
                                          policy.value_or(nullptr),
                                          proposals};
             const ReleaseGil release;
             return std::make_shared<Controller>(task, dynamics, planner, options);
           }),
           py::arg("task").none(false), py::arg("dynamics").none(false), py::arg("search"),
           py::arg("horizon"), py::arg("candidates"), py::arg("seed"), py::arg("nthread"),
           py::arg("settings"), py::arg("options"), py::arg("value") = py::none(),
           py::arg("policy") = py::none(), py::arg("proposals") = 0)
      .def_property_readonly("options", &Controller::options)
      .def_property_readonly("shortest_period", &Controller::shortest_period)
      .def_property_readonly("running", &Controller::running)
      .def_property_readonly("notes", &Controller::notes)
      .def(
          "start",
          [](Controller& self, std::optional<std::int64_t> first) {
            const ReleaseGil release;
            self.start(first ? time_point(*first) : std::chrono::steady_clock::now());
          },
          py::arg("first") = py::none(), "Tick 0 in nanoseconds of the monotonic clock; now if not given.")
      .def("stop", &Controller::stop, py::call_guard<ReleaseGil>())
      .def(
          "put_state",
          [](Controller& self, const py::array& state, std::optional<std::int64_t> when) {
            const double* s = input<double>(state, "state", {self.task().nstate()});
            self.put_state(s, when ? time_point(*when) : std::chrono::steady_clock::now());
          },
          py::arg("state"), py::arg("when") = py::none(),
          "The latest state, float64 (nstate,), and when it was measured, in nanoseconds of the monotonic "
          "clock.")
      .def(
          "get_action",
          [](Controller& self) {
            ActionMessage message;
            const bool fresh = self.get_action(&message);
            py::array_t<double> action = make_array<double>({self.task().naction()});
            std::copy(message.action.begin(), message.action.end(), action.mutable_data());
            return py::make_tuple(action, message.step, nanoseconds(message.from), message.kind,
                                  message.fault, fresh);
          },
          "The latest action: (action float64 (naction,), tick, its time in nanoseconds, kind, fault, "
          "whether "
          "it is new since the last call).")
      .def(
          "set_path",
          [](Controller& self, const Task& task) {
            if (!task.spec().path)
              throw_invalid("task must be one that follows a path, got ", task.spec().name);
            self.set_path(*task.spec().path);
          },
          py::arg("task"), "Goes on along another task's path, from the next step on.")
      .def("statistics", &Controller::statistics)
      .def("status", &Controller::status, "The last step.")
      .def(
          "records", [](const Controller& self) { return columns(self.records()); },
          "The last steps as arrays by name; after stop.");

  module.def(
      "measure_wakes",
      [](std::int64_t count, double period, double spin, const ThreadSettings& settings) {
        std::vector<std::int64_t> late;
        std::vector<std::string> notes;
        {
          const ReleaseGil release;
          notes = measure_wakes(count, period, spin, settings, &late);
        }
        return py::make_tuple(take_array(std::move(late), {count}), notes);
      },
      py::arg("count"), py::arg("period"), py::arg("spin"), py::arg("settings"),
      "How late a loop wakes that does nothing but wait: int64 (count,) nanoseconds, and what was refused.");
  module.def(
      "measure_deadlines",
      [](Planner& planner, const py::array& state, const py::array& seconds, const ThreadSettings& settings) {
        const double* s = input<double>(state, "state", {planner.start_size()});
        const std::vector<double> budgets = input_vector<double>(seconds, "seconds");
        DeadlineTimes times;
        {
          const ReleaseGil release;
          times = measure_deadlines(planner, s, budgets, settings);
        }
        const auto n = budgets.size();
        return py::make_tuple(take_array(std::move(times.late_ns), {n}),
                              take_array(std::move(times.candidates), {n}), times.refused);
      },
      py::arg("planner").none(false), py::arg("state"), py::arg("seconds"), py::arg("settings"),
      "How long after their deadlines plans return: int64 (n,) nanoseconds, below 0 for before them, int64 "
      "(n,) candidates, and what was refused.");

  py::class_<RealtimeSimulation, std::shared_ptr<RealtimeSimulation>>(
      module, "RealtimeSimulation", "A simulation that steps in real time in a thread of its own.")
      .def(py::init([](const std::shared_ptr<Task>& task, std::int64_t steps, int episode_steps,
                       std::uint64_t seed, std::uint64_t first_episode) {
             return std::make_shared<RealtimeSimulation>(
                 task, RealtimeSimulationOptions{steps, episode_steps, seed, first_episode});
           }),
           py::arg("task").none(false), py::arg("steps"), py::arg("episode_steps"), py::arg("seed") = 0,
           py::arg("first_episode") = 0)
      .def(
          "start",
          [](RealtimeSimulation& self, const std::shared_ptr<Controller>& controller, std::int64_t first) {
            self.start(controller.get(), time_point(first));
          },
          py::arg("controller").none(false), py::arg("first"), py::keep_alive<1, 2>(),
          "Tick 0 in nanoseconds of the monotonic clock.")
      .def_property_readonly("finished", &RealtimeSimulation::finished)
      .def_property_readonly("done", &RealtimeSimulation::done, "Steps so far.")
      .def_property_readonly("overruns",
                             [](const RealtimeSimulation& self) { return self.record().overruns; })
      .def(
          "latest",
          [](RealtimeSimulation& self) {
            py::array_t<double> row = make_array<double>({self.state_size()});
            self.latest(row.mutable_data());
            return row;
          },
          "MuJoCo's integration-state row before the latest step, for a viewer.")
      .def("stop", &RealtimeSimulation::stop, py::call_guard<ReleaseGil>())
      .def(
          "record", [](const RealtimeSimulation& self) { return rows(self.record(), self.task()); },
          "What happened, as arrays by name, one row per step; once it is finished.");
}

}  // namespace mbmf::bindings
