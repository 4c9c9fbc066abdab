// The extension module mbmf._core: checks and converts arguments, releases the GIL, calls the C++ library.

#include <pybind11/pybind11.h>

#include <thread>

#include "gil.h"
#include "mbmf/base/error.h"

namespace mbmf::bindings {

namespace py = pybind11;

void register_task(py::module_& module);
void register_simulator(py::module_& module);
void register_dynamics(py::module_& module);
void register_value(py::module_& module);
void register_planner(py::module_& module);
void register_controller(py::module_& module);
void register_bundle(py::module_& module);
void register_policy(py::module_& module);
void register_passes(py::module_& module);
void register_rollout(py::module_& module);

}  // namespace mbmf::bindings

PYBIND11_MODULE(_core, module) {
  using namespace mbmf::bindings;
  module.doc() = "The C++ core of mbmf: tasks, batched MuJoCo simulation, learned dynamics and planning.";
  pybind11::register_exception<mbmf::Error>(module, "Error", PyExc_RuntimeError);
  register_task(module);
  register_simulator(module);
  register_dynamics(module);
  register_value(module);
  register_policy(module);
  register_passes(module);
  register_planner(module);
  register_controller(module);
  register_bundle(module);
  register_rollout(module);
  // Python calls it once the program is over and its other threads, but for the daemons, are joined
  pybind11::module_::import("atexit").attr("register")(pybind11::cpp_function([] {
    ending().by = std::this_thread::get_id();
    ending().begun.store(true);
  }));
}
