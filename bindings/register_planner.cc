// The planner, its memories, and what searches there are.

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/planning/planner.h"
#include "python_search.h"

namespace mbmf::bindings {

namespace {

template <typename T>
py::array_t<T> copy_array(const std::vector<T>& values, std::initializer_list<Dim> shape) {
  py::array_t<T> array = make_array<T>(shape);
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

py::array as_array(const py::object& object, const char* name) {
  if (!py::isinstance<py::array>(object)) {
    throw_invalid(name, " must be an array or None, got ", std::string(py::str(py::type::of(object))));
  }
  return py::reinterpret_borrow<py::array>(object);
}

// where each of n plans begins on its path
std::vector<PathStart> path_starts(const py::object& segments, const py::object& origins, py::ssize_t n) {
  std::vector<PathStart> at(static_cast<std::size_t>(n));
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

// Copies of the memories that plans read and write: while they are made without the GIL, another thread may
// write the caller's. Each memory has one copy, however often it is given.
class Memories {
 public:
  explicit Memories(const std::optional<PlanMemory*>& given) {
    if (given && *given != nullptr) take(*given);
  }
  explicit Memories(const std::optional<std::vector<PlanMemory*>>& given) {
    if (!given) return;
    for (PlanMemory* memory : *given) take(memory);
  }

  PlanMemory* one() const { return copies_.empty() ? nullptr : copies_.front(); }
  PlanMemory* const* all() const { return copies_.empty() ? nullptr : copies_.data(); }

  // what the plans left, to the caller's
  void write() {
    for (auto& [memory, copy] : of_) *memory = std::move(*copy);
  }

 private:
  void take(PlanMemory* memory) {
    if (memory == nullptr) {  // None: that plan has none
      copies_.push_back(nullptr);
      return;
    }
    auto& copy = of_[memory];
    if (!copy) copy = std::make_unique<PlanMemory>(*memory);
    copies_.push_back(copy.get());
  }

  std::map<PlanMemory*, std::unique_ptr<PlanMemory>> of_;
  std::vector<PlanMemory*> copies_;
};

// the costs of candidates by a Python function of arrays
CostFunction cost_function(const py::object& function, int horizon, int nstate, int naction) {
  // shared, so that a copy of the function needs no GIL
  const auto held = std::shared_ptr<py::object>(new py::object(function), [](py::object* object) {
    const AcquireGil acquire;
    delete object;
  });
  return [=](const float* states, const float* actions, std::int64_t n, double* costs) {
    const AcquireGil acquire;
    py::array_t<float> s = make_array<float>({n, horizon + 1, nstate});
    py::array_t<float> a = make_array<float>({n, horizon, naction});
    std::copy_n(states, s.size(), s.mutable_data());
    std::copy_n(actions, a.size(), a.mutable_data());
    const py::object result = call_back(*held, s, a);
    const double* values = input<double>(as_array(result, "the costs"), "the costs", {n});
    std::copy_n(values, n, costs);
  };
}

std::unique_ptr<Planner> make(const std::shared_ptr<Task>& task, const std::shared_ptr<Dynamics>& dynamics,
                              const py::object& search, const PlannerOptions& options,
                              const py::object& cost) {
  std::unique_ptr<Search> own;
  if (!py::isinstance<py::str>(search))
    own = std::make_unique<PythonSearch>(search, options, task->naction());
  if (dynamics == nullptr) return make_simulator_planner(task, options, std::move(own));
  if (cost.is_none()) return make_planner(task, dynamics, options, std::move(own));
  const int nstate = task->nstate(), naction = task->naction();
  return make_planner(task, dynamics, cost_function(cost, options.horizon, nstate, naction), options,
                      std::move(own));
}

PlanQuery query_of(const Planner& planner, const py::array& state, std::uint64_t episode, std::uint64_t step,
                   int segment, const std::array<double, 2>& origin) {
  PlanQuery query;
  query.start = input<double>(state, "state", {planner.start_size()});
  query.episode = episode;
  query.step = step;
  query.at = {segment, {origin[0], origin[1]}};
  return query;
}

py::tuple tuple_of(const Planner& planner, const Plan& plan) {
  const int horizon = planner.options().horizon;
  const py::ssize_t states = plan.states.empty() ? 0 : horizon + 1;
  return py::make_tuple(plan.candidate, plan.cost,
                        copy_array(plan.actions, {horizon, planner.task().naction()}),
                        copy_array(plan.states, {states, planner.task().nstate()}), plan.candidates_done,
                        plan.moved, plan.segment, plan.rounds_done, plan.proposals_done);
}

template <std::vector<float> PlanMemory::*kField, typename Class>
void def_rows(Class& memory, const char* name, const char* doc) {
  memory.def_property(
      name,
      [](const PlanMemory& self) {
        const py::ssize_t rows = self.horizon, columns = self.naction;
        const auto size = static_cast<py::ssize_t>((self.*kField).size());
        if (kField == &PlanMemory::executed) return copy_array(self.*kField, {size});
        if (kField == &PlanMemory::kept) {
          return copy_array(self.*kField, {rows * columns == 0 ? 0 : size / (rows * columns), rows, columns});
        }
        return copy_array(self.*kField, {size == 0 ? 0 : rows, columns});
      },
      [name](PlanMemory& self, const py::array& values) {
        if (!py::dtype::of<float>().equal(values.dtype()) || (values.flags() & py::array::c_style) == 0) {
          throw_invalid(name, " must be a C-contiguous float32 array, got ",
                        std::string(py::str(values.dtype())));
        }
        const float* begin = static_cast<const float*>(values.data());
        (self.*kField).assign(begin, begin + values.size());
      },
      doc);
}

void register_memory(py::module_& module) {
  py::class_<PlanMemory> memory(module, "PlanMemory",
                                "What one plan leaves for the next of its episode; an empty one begins an "
                                "episode. May be copied, stored and given again.");
  memory.def(py::init<>())
      .def("__copy__", [](const PlanMemory& self) { return PlanMemory(self); })
      .def("__deepcopy__", [](const PlanMemory& self, const py::dict&) { return PlanMemory(self); })
      .def_readwrite("search", &PlanMemory::search, "Of the planner that wrote it.")
      .def_readwrite("task", &PlanMemory::task)
      .def_readwrite("horizon", &PlanMemory::horizon)
      .def_readwrite("naction", &PlanMemory::naction)
      .def_readwrite("filled", &PlanMemory::filled, "Whether a plan wrote it.")
      .def_readwrite("step", &PlanMemory::step, "Of that plan.")
      .def_readwrite("segment", &PlanMemory::segment, "On a path, where the next plan begins.");
  def_rows<&PlanMemory::mean>(memory, "mean", "float32 (H, naction)");
  def_rows<&PlanMemory::deviation>(memory, "deviation", "float32 (H, naction)");
  def_rows<&PlanMemory::kept>(memory, "kept", "sequences, float32 (any, H, naction)");
  def_rows<&PlanMemory::executed>(memory, "executed", "the action, float32 (naction,)");
}

py::list kinds() {
  py::list all;
  for (const SearchKind& kind : search_kinds()) {
    py::list options;
    for (const SearchOption& o : kind.options) {
      py::dict option;
      option["name"] = o.name;
      option["value"] = o.value;
      option["low"] = o.low;
      option["high"] = o.high;
      option["whole"] = o.whole;
      option["low_open"] = o.low_open;
      option["words"] = o.words;
      option["meaning"] = o.meaning;
      options.append(option);
    }
    py::dict entry;
    entry["name"] = kind.name;
    entry["meaning"] = kind.meaning;
    entry["candidates"] = kind.candidates;
    entry["most_candidates"] = kind.most_candidates;
    entry["options"] = options;
    all.append(entry);
  }
  return all;
}

}  // namespace

void register_planner(py::module_& module) {
  register_memory(module);
  module.def("search_kinds", &kinds, "The searches, their options and defaults, as dictionaries.");

  module.def(
      "check_search",
      [](const Task& task, const std::string& search, int horizon, std::int64_t candidates,
         const std::map<std::string, double>& settings) {
        check_search(task, PlannerOptions{horizon, candidates, 0, 1, search, settings});
      },
      py::arg("task"), py::arg("search"), py::arg("horizon"), py::arg("candidates"), py::arg("settings"),
      "Raises ValueError on a search that cannot be for a task.");

  py::class_<Planner, std::shared_ptr<Planner>>(
      module, "Planner",
      "A search over action sequences; a plan is a pure function of "
      "(model, task, seed, start, episode, step, memory).")
      .def(
          py::init([](const std::shared_ptr<Task>& task,
                      const std::optional<std::shared_ptr<Dynamics>>& dynamics, const py::object& search,
                      int horizon, std::int64_t candidates, std::uint64_t seed, int nthread,
                      const std::map<std::string, double>& settings, const py::object& cost,
                      const std::optional<std::shared_ptr<Value>>& value,
                      const std::optional<std::shared_ptr<GaussianPolicy>>& policy, std::int64_t proposals) {
            PlannerOptions options{horizon,
                                   candidates,
                                   seed,
                                   nthread,
                                   "",
                                   settings,
                                   value.value_or(nullptr),
                                   policy.value_or(nullptr),
                                   proposals};
            options.search = py::isinstance<py::str>(search) ? search.cast<std::string>() : "own";
            std::unique_ptr<Planner> planner = make(task, dynamics.value_or(nullptr), search, options, cost);
            planner->set_check(&check_signals);
            return planner;
          }),
          py::arg("task").none(false), py::arg("dynamics"), py::arg("search"), py::arg("horizon"),
          py::arg("candidates"), py::arg("seed") = 0, py::arg("nthread") = 0,
          py::arg("settings") = std::map<std::string, double>{}, py::arg("cost") = py::none(),
          py::arg("value") = py::none(), py::arg("policy") = py::none(), py::arg("proposals") = 0,
          "dynamics None: through the simulator. search: a name, or an object as mbmf.planning.own makes it. "
          "cost: a function (states float32 (n, H + 1, nstate), actions float32 (n, H, naction)) -> float64 "
          "(n,). value: of a candidate's last state, which it costs less. policy: whose actions in the model "
          "are so many of the first round's candidates.")
      .def_property_readonly("proposals_left_out", &Planner::proposals_left_out,
                             "Of the policy, of all plans so far: those that were not finite.")
      .def_property_readonly("start_size", &Planner::start_size)
      .def_property_readonly("most_candidates", &Planner::most_candidates, "Of a plan, over all rounds.")
      .def_property_readonly("scratch_bytes", &Planner::scratch_bytes,
                             "Bytes of working memory of a thread, with all that the threads share.")
      .def("make_memory", &Planner::make_memory, "An empty memory.")
      .def(
          "plan",
          [](Planner& self, const py::array& state, std::uint64_t episode, std::uint64_t step, int segment,
             const std::array<double, 2>& origin, std::optional<std::int64_t> deadline,
             std::int64_t candidates, bool predict, std::optional<PlanMemory*> memory) {
            PlanQuery query = query_of(self, state, episode, step, segment, origin);
            if (deadline) {
              query.deadline = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(*deadline));
            }
            query.candidates = candidates;
            query.predict = predict;
            Plan plan;
            Memories memories(memory);
            {
              const ReleaseGil release;
              self.plan(query, memories.one(), &plan);
            }
            memories.write();
            return tuple_of(self, plan);
          },
          py::arg("state"), py::arg("episode"), py::arg("step"), py::arg("segment") = 0,
          py::arg("origin") = std::array<double, 2>{0, 0}, py::arg("deadline") = py::none(),
          py::arg("candidates") = 0, py::arg("predict") = true, py::arg("memory") = py::none(),
          "state float64 (start_size,), deadline in nanoseconds of the monotonic clock, candidates at most "
          "in "
          "all (0: all), memory read and written -> (candidate, cost, actions float32 (H, naction), states "
          "float32 (H + 1, nstate) or none, candidates done, moved, segment of the next plan, rounds done, "
          "proposals done).")
      .def(
          "plan_batch",
          [](Planner& self, const py::array& states, const py::array& episodes, const py::array& steps,
             const py::object& segments, const py::object& origins,
             const std::optional<std::vector<PlanMemory*>>& memories) {
            const int naction = self.task().naction();
            const double* s = input<double>(states, "states", {"n", self.start_size()});
            const py::ssize_t n = states.shape(0);
            const std::uint64_t* e = input<std::uint64_t>(episodes, "episodes", {n});
            const std::uint64_t* t = input<std::uint64_t>(steps, "steps", {n});
            const std::vector<PathStart> at = path_starts(segments, origins, n);
            if (memories && static_cast<py::ssize_t>(memories->size()) != n) {
              throw_invalid("memories must be one for each of the ", n, " states, got ", memories->size());
            }
            std::vector<PlanQuery> queries(static_cast<std::size_t>(n));
            for (std::size_t i = 0; i < queries.size(); ++i) {
              queries[i].start = s + i * static_cast<std::size_t>(self.start_size());
              queries[i].episode = e[i];
              queries[i].step = t[i];
              queries[i].at = at[i];
              queries[i].predict = false;
            }
            std::vector<Plan> plans(queries.size());
            Memories copies(memories);
            {
              const ReleaseGil release;
              self.plan_batch(queries.data(), n, copies.all(), plans.data());
            }
            copies.write();
            py::array_t<float> actions = make_array<float>({n, naction});
            py::array_t<double> costs = make_array<double>({n});
            py::array_t<std::int32_t> next = make_array<std::int32_t>({n});
            for (std::size_t i = 0; i < plans.size(); ++i) {
              std::copy_n(plans[i].actions.begin(), naction,
                          actions.mutable_data() + static_cast<py::ssize_t>(i) * naction);
              costs.mutable_data()[i] = plans[i].cost;
              next.mutable_data()[i] = plans[i].segment;
            }
            return py::make_tuple(actions, costs, next);
          },
          py::arg("states"), py::arg("episodes"), py::arg("steps"), py::arg("segments") = py::none(),
          py::arg("origins") = py::none(), py::arg("memories") = py::none(),
          "states float64 (n, start_size), episodes and steps uint64 (n,), segments int32 (n,) and origins "
          "float64 (n, 2) or None, memories (n) or None -> first actions float32 (n, naction), costs float64 "
          "(n,), segments of the next plans int32 (n,).")
      .def(
          "trace",
          [](Planner& self, const py::array& state, std::uint64_t episode, std::uint64_t step, int segment,
             const std::array<double, 2>& origin, std::int64_t candidates,
             std::optional<PlanMemory*> memory) {
            PlanQuery query = query_of(self, state, episode, step, segment, origin);
            query.candidates = candidates;
            Plan plan;
            std::vector<RoundTrace> traces;
            Memories memories(memory);
            {
              const ReleaseGil release;
              traces = self.trace(query, memories.one(), &plan);
            }
            memories.write();
            const int horizon = self.options().horizon, naction = self.task().naction();
            py::list rounds;
            for (const RoundTrace& trace : traces) {
              const auto n = trace.costs.size();
              const auto rows = [&](const std::vector<float>& values) {
                return copy_array(values, {values.empty() ? 0 : horizon, naction});
              };
              rounds.append(py::make_tuple(copy_array(trace.sequences, {n, horizon, naction}),
                                           copy_array(trace.costs, {n}), rows(trace.mean),
                                           rows(trace.deviation)));
            }
            return py::make_tuple(tuple_of(self, plan), rounds);
          },
          py::arg("state"), py::arg("episode"), py::arg("step"), py::arg("segment") = 0,
          py::arg("origin") = std::array<double, 2>{0, 0}, py::arg("candidates") = 0,
          py::arg("memory") = py::none(),
          "A plan and its rounds: (plan, [(sequences float32 (n, H, naction), costs float64 (n,), mean and "
          "deviation after the round float32 (H, naction) or none)]).")
      .def(
          "roll",
          [](Planner& self, const py::array& state, const py::array& sequences, int segment,
             const std::array<double, 2>& origin) {
            const PlanQuery query = query_of(self, state, 0, 0, segment, origin);
            const float* values =
                input<float>(sequences, "sequences", {"n", self.options().horizon, self.task().naction()});
            const py::ssize_t n = sequences.shape(0);
            py::array_t<double> costs = make_array<double>({n});
            double* out = costs.mutable_data();
            {
              // all at once: a sequence's noise is of its position; the planner's check hears Ctrl-C
              const ReleaseGil release;
              self.roll(query, values, n, out);
            }
            return costs;
          },
          py::arg("state"), py::arg("sequences"), py::arg("segment") = 0,
          py::arg("origin") = std::array<double, 2>{0, 0},
          "The costs of action sequences float32 (n, H, naction) from a state: float64 (n,).")
      .def(
          "sample",
          [](Planner& self, std::uint64_t episode, std::uint64_t step, std::int64_t first,
             std::int64_t count) {
            if (count < 0) throw_invalid("count must not be negative, got ", count);
            py::array_t<float> actions =
                make_array<float>({count, self.options().horizon, self.task().naction()});
            const std::int64_t size = std::int64_t{self.options().horizon} * self.task().naction();
            float* out = actions.mutable_data();
            in_pieces(count, 4096, [&](std::int64_t begin, std::int64_t n) {
              self.sample(episode, step, first + begin, n, out + begin * size);
            });
            return actions;
          },
          py::arg("episode"), py::arg("step"), py::arg("first"), py::arg("count"),
          "The actions of some candidates of an episode's first plan: float32 (count, H, naction).")
      .def(
          "costs",
          [](Planner& self, const py::array& state, std::uint64_t episode, std::uint64_t step, int segment,
             const std::array<double, 2>& origin) {
            const PlanQuery query = query_of(self, state, episode, step, segment, origin);
            std::vector<double> costs;
            {
              const ReleaseGil release;
              costs = self.costs(query);
            }
            const auto n = costs.size();
            return take_array(std::move(costs), {n});
          },
          py::arg("state"), py::arg("episode"), py::arg("step"), py::arg("segment") = 0,
          py::arg("origin") = std::array<double, 2>{0, 0},
          "The costs of the first round's candidates of an episode's first plan: float64 (K,).")
      .def_property_readonly(
          "times",
          [](const Planner& self) {
            const PlanTimes& t = self.times();
            return std::array<std::int64_t, 4>{t.total, t.rounds, t.proposing, t.predicting};
          },
          "Of the last plan, nanoseconds: in all; drawing and rolling candidates; of that drawing, summed "
          "over "
          "the threads; predicting the plan's states.")
      .def(
          "shortest_plan",
          [](Planner& self, const py::array& state) {
            const double* s = input<double>(state, "state", {self.start_size()});
            const ReleaseGil release;
            return self.shortest_plan(s);
          },
          py::arg("state"), "Seconds that a plan with a deadline takes at least, measured.")
      .def(
          "set_task", [](Planner& self, const std::shared_ptr<Task>& task) { self.set_task(task); },
          py::arg("task").none(false), "Goes on with another task of the same robot and state.");
}

}  // namespace mbmf::bindings
