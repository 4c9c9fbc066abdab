// Exported folders.

#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "array_args.h"
#include "gil.h"
#include "mbmf/export/bundle.h"

namespace mbmf::bindings {

void register_bundle(py::module_& module) {
  py::class_<Bundle>(module, "Bundle", "An exported folder, read and checked.")
      .def(py::init([](const std::string& folder) {
             const ReleaseGil release;
             return std::make_unique<Bundle>(Bundle::load(folder));
           }),
           py::arg("folder"))
      .def_property_readonly("task",
                             [](const Bundle& self) { return std::const_pointer_cast<Task>(self.task); })
      .def_property_readonly(
          "dynamics", [](const Bundle& self) { return std::const_pointer_cast<Dynamics>(self.dynamics); })
      .def_property_readonly(
          "value", [](const Bundle& self) { return std::const_pointer_cast<Value>(self.planner.value); })
      .def_property_readonly(
          "policy",
          [](const Bundle& self) { return std::const_pointer_cast<GaussianPolicy>(self.planner.policy); })
      .def_property_readonly("proposals", [](const Bundle& self) { return self.planner.proposals; })
      .def_property_readonly("search", [](const Bundle& self) { return self.planner.search; })
      .def_property_readonly("settings", [](const Bundle& self) { return self.planner.settings; })
      .def_property_readonly("horizon", [](const Bundle& self) { return self.planner.horizon; })
      .def_property_readonly("candidates", [](const Bundle& self) { return self.planner.candidates; })
      .def_property_readonly("seed", [](const Bundle& self) { return self.planner.seed; })
      .def_readonly("period", &Bundle::period)
      .def_readonly("mbmf_version", &Bundle::mbmf_version)
      .def_readonly("mujoco_version", &Bundle::mujoco_version)
      .def_readonly("source", &Bundle::source);
}

}  // namespace mbmf::bindings
