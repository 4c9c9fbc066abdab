// Dynamics, and what the core says of itself: instruction set, MuJoCo versions, Philox.

#include <mujoco/mujoco.h>
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "layer_args.h"
#include "mbmf/base/isa.h"
#include "mbmf/base/random.h"
#include "mbmf/model/dynamics.h"

namespace mbmf::bindings {

namespace {

Activation parse_activation(const std::string& name) {
  if (name == "relu") return Activation::kRelu;
  if (name == "tanh") return Activation::kTanh;
  throw_invalid("activation must be \"relu\" or \"tanh\", got \"", name, "\"");
}

Normalization parse_normalization(const py::array& mean, const py::array& std, int size) {
  return {input_vector<double>(mean, "mean", size), input_vector<double>(std, "std", size)};
}

std::string version_text(int version) {
  return std::to_string(version / 1000000) + "." + std::to_string(version / 1000 % 1000) + "." +
         std::to_string(version % 1000);
}

}  // namespace

void register_dynamics(py::module_& module) {
  py::class_<Dynamics, std::shared_ptr<Dynamics>>(module, "Dynamics",
                                                  R"(A learned dynamics model in the C++ core.

next state = state + de-normalised MLP of the normalised state and action, in float32. The normalisation is folded into
the first and the last layer. Immutable.)")
      .def(py::init([](int nstate, int naction, const std::vector<py::array>& weights,
                       const std::vector<py::array>& biases, const std::string& activation,
                       const py::array& state_mean, const py::array& state_std, const py::array& action_mean,
                       const py::array& action_std, const py::array& delta_mean, const py::array& delta_std) {
             return std::make_shared<Dynamics>(nstate, naction, parse_layers(weights, biases),
                                               parse_activation(activation),
                                               parse_normalization(state_mean, state_std, nstate),
                                               parse_normalization(action_mean, action_std, naction),
                                               parse_normalization(delta_mean, delta_std, nstate));
           }),
           py::arg("nstate"), py::arg("naction"), py::arg("weights"), py::arg("biases"),
           py::arg("activation"), py::arg("state_mean"), py::arg("state_std"), py::arg("action_mean"),
           py::arg("action_std"), py::arg("delta_mean"), py::arg("delta_std"))
      .def_property_readonly("nstate", &Dynamics::nstate)
      .def_property_readonly("naction", &Dynamics::naction)
      .def(
          "predict",
          [](const Dynamics& self, const py::array& states, const py::array& actions, int nthread) {
            const float* s = input<float>(states, "states", {"n", self.nstate()});
            const py::ssize_t n = states.shape(0);
            const float* a = input<float>(actions, "actions", {n, self.naction()});
            py::array_t<float> next = make_array<float>({n, self.nstate()});
            float* out = next.mutable_data();
            {
              const ReleaseGil release;
              self.predict(s, a, n, out, nthread);
            }
            return next;
          },
          py::arg("states"), py::arg("actions"), py::arg("nthread") = 0,
          "states float32 (N, nstate), actions float32 (N, naction) -> next states float32 (N, nstate).")
      .def(
          "open_loop",
          [](const Dynamics& self, const py::array& states, const py::array& actions, int nthread) {
            const float* s = input<float>(states, "states", {"n", self.nstate()});
            const py::ssize_t n = states.shape(0);
            const float* a = input<float>(actions, "actions", {n, "horizon", self.naction()});
            const py::ssize_t horizon = actions.shape(1);
            py::array_t<float> predicted = make_array<float>({n, horizon + 1, self.nstate()});
            float* out = predicted.mutable_data();
            {
              const ReleaseGil release;
              self.open_loop(s, a, n, static_cast<int>(horizon), out, nthread);
            }
            return predicted;
          },
          py::arg("states"), py::arg("actions"), py::arg("nthread") = 0,
          "states float32 (N, nstate), actions float32 (N, H, naction) -> states float32 (N, H + 1, nstate), "
          "the first "
          "row being the start.");

  module.def(
      "mujoco_version", [] { return version_text(mjVERSION_HEADER); },
      "The MuJoCo release this was built for.");
  module.def(
      "mujoco_version_loaded", [] { return version_text(mj_version()); },
      "The MuJoCo release in this process.");
  module.def("isa", &selected_isa, "The instruction set that a planner made now would use.");
  module.def("available_isas", &available_isas, "Instruction sets that this machine can run, best first.");
  module.def(
      "philox", [](PhiloxKey key, PhiloxBlock counter) { return philox(key, counter); }, py::arg("key"),
      py::arg("counter"), "One Philox4x32-10 block of 32-bit words.");
  module.def("multiply_add_peak", &multiply_add_peak, py::arg("nthread") = 1, py::arg("seconds") = 0.2,
             py::call_guard<ReleaseGil>(),
             "Multiply-add peak in GFLOP/s: a register-only loop on each of nthread threads.");
}

}  // namespace mbmf::bindings
