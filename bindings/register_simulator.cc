// Simulator: many MuJoCo simulations of one task.

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "array_args.h"
#include "gil.h"
#include "mbmf/physics/simulator.h"

namespace mbmf::bindings {

namespace {

// The simulations of a call: None is all of them.
struct Ids {
  Ids(const py::object& ids, const Simulator& simulator) : count(simulator.nsim()) {
    if (ids.is_none()) return;
    if (!py::isinstance<py::array>(ids)) throw_invalid("ids must be an int32 array or None");
    const py::array array = py::reinterpret_borrow<py::array>(ids);
    data = input<std::int32_t>(array, "ids", {"nid"});
    count = static_cast<int>(array.size());
  }

  const int* data = nullptr;
  int count;
};

template <typename T>
py::array rows(const py::object& self, const T* data, int width,
               const py::dtype& dtype = py::dtype::of<T>()) {
  const Simulator& simulator = self.cast<const Simulator&>();
  if (width == 0) return view(data, {simulator.nsim()}, self, dtype);
  return view(data, {simulator.nsim(), width}, self, dtype);
}

void reset(Simulator& self, const py::object& ids, ResetKind kind) {
  const Ids sims(ids, self);
  const ReleaseGil release;
  self.reset(sims.data, sims.count, kind);
}

void start(Simulator& self, const py::object& ids, ResetKind kind, const py::array& episodes) {
  const Ids sims(ids, self);
  const std::uint64_t* numbers = input<std::uint64_t>(episodes, "episodes", {sims.count});
  const ReleaseGil release;
  self.start(sims.data, sims.count, kind, numbers);
}

void step(Simulator& self, const py::object& ids, const py::array& actions) {
  const Ids sims(ids, self);
  const double* a = input<double>(actions, "actions", {sims.count, self.task().naction()});
  const ReleaseGil release;
  self.step(sims.data, sims.count, a);
}

py::array_t<double> get_state(const Simulator& self, const py::object& ids) {
  const Ids sims(ids, self);
  py::array_t<double> states = make_array<double>({sims.count, self.state_size()});
  self.get_state(sims.data, sims.count, states.mutable_data());
  return states;
}

void set_state(Simulator& self, const py::object& ids, const py::array& states) {
  const Ids sims(ids, self);
  const double* s = input<double>(states, "rows", {sims.count, self.state_size()});
  const ReleaseGil release;
  self.set_state(sims.data, sims.count, s);
}

void reseed_each(Simulator& self, const py::object& ids, const py::array& seeds) {
  const Ids sims(ids, self);
  self.reseed_each(sims.data, sims.count, input<std::uint64_t>(seeds, "seeds", {sims.count}));
}

py::array_t<std::uint64_t> draws(const Simulator& self) {
  py::array_t<std::uint64_t> rows = make_array<std::uint64_t>({self.nsim(), 3});
  std::uint64_t* row = rows.mutable_data();
  for (const StartDraws& each : self.draws()) {
    *row++ = each.seed;
    *row++ = each.sequence;
    *row++ = each.resets;
  }
  return rows;
}

void set_draws(Simulator& self, const py::array& rows) {
  const std::uint64_t* row = input<std::uint64_t>(rows, "draws", {self.nsim(), 3});
  std::vector<StartDraws> draws;
  for (int sim = 0; sim < self.nsim(); ++sim, row += 3) draws.push_back({row[0], row[1], row[2]});
  self.set_draws(std::move(draws));
}

}  // namespace

void register_simulator(py::module_& module) {
  py::class_<Simulator, std::shared_ptr<Simulator>>(
      module, "Simulator",
      "Many MuJoCo simulations of one task. Not to be used from several threads at once.")
      .def(py::init([](const std::shared_ptr<Task>& task, int nsim, int nthread, std::uint64_t seed) {
             const ReleaseGil release;
             return std::make_shared<Simulator>(task, nsim, nthread, seed);
           }),
           py::arg("task").none(false), py::arg("nsim"), py::arg("nthread"), py::arg("seed"))
      .def_property_readonly("nsim", &Simulator::nsim)
      .def_property_readonly("nthread", &Simulator::nthread)
      .def_property_readonly("state_size", &Simulator::state_size)
      .def_property_readonly("seed", &Simulator::seed)
      .def_property(
          "draws", &draws, &set_draws,
          "What start states are drawn from: seed, sequence and resets of each simulation, uint64 (nsim, 3).")
      .def("reseed", &Simulator::reseed, py::arg("seed"))
      .def("reseed_each", &reseed_each, py::arg("ids"), py::arg("seeds"),
           "Simulations draw start states as the only one of a simulator with their seed: uint64 (nid,).")
      .def("reset", &reset, py::arg("ids"), py::arg("kind"))
      .def("start", &start, py::arg("ids"), py::arg("kind"), py::arg("episodes"),
           "Starts simulations as the episodes of these numbers: uint64 (nid,).")
      .def("step", &step, py::arg("ids"), py::arg("actions"), "actions: float64 (nid, naction).")
      .def("get_state", &get_state, py::arg("ids"), "float64 (nid, state_size).")
      .def("set_state", &set_state, py::arg("ids"), py::arg("rows"))
      .def("error", &Simulator::error, py::arg("sim"))
      // live views: they keep the simulator alive, and show each call's results
      .def_property_readonly("states",
                             [](const py::object& self) {
                               const Simulator& simulator = self.cast<const Simulator&>();
                               return rows(self, simulator.states(), simulator.task().nstate());
                             })
      .def_property_readonly("observations",
                             [](const py::object& self) {
                               const Simulator& simulator = self.cast<const Simulator&>();
                               return rows(self, simulator.observations(), simulator.task().nobservation());
                             })
      .def_property_readonly(
          "rewards",
          [](const py::object& self) { return rows(self, self.cast<const Simulator&>().rewards(), 0); })
      .def_property_readonly("terminated",
                             [](const py::object& self) {
                               return rows(self, self.cast<const Simulator&>().terminated(), 0,
                                           py::dtype("bool"));
                             })
      .def_property_readonly("diverged", [](const py::object& self) {
        return rows(self, self.cast<const Simulator&>().diverged(), 0, py::dtype("bool"));
      });
}

}  // namespace mbmf::bindings
