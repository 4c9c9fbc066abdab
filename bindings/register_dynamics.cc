// Dynamics, and what the core says of itself: instruction set, MuJoCo versions, Philox.

#include <mujoco/mujoco.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/base/isa.h"
#include "mbmf/base/random.h"
#include "mbmf/model/dynamics.h"
#include "model_args.h"

namespace mbmf::bindings {

namespace {

// of a prediction, before it is known what they take
constexpr std::int64_t kFirstRows = 1024;

Propagation parse_propagation(const std::string& name) {
  return parse_word<Propagation>("propagate", name,
                                 {{"expectation", Propagation::kExpectation},
                                  {"ts1", Propagation::kTs1},
                                  {"tsinf", Propagation::kTsInf}});
}

std::vector<StateOutput> parse_outputs(const std::vector<std::string>& names) {
  return parse_words<StateOutput>("outputs", names,
                                  {{"difference", StateOutput::kDifference},
                                   {"value", StateOutput::kValue},
                                   {"rotation", StateOutput::kRotation},
                                   {"body_difference", StateOutput::kBodyDifference},
                                   {"body_value", StateOutput::kBodyValue}});
}

std::string version_text(int version) {
  return std::to_string(version / 1000000) + "." + std::to_string(version / 1000 % 1000) + "." +
         std::to_string(version % 1000);
}

}  // namespace

void register_dynamics(py::module_& module) {
  py::class_<Dynamics, std::shared_ptr<Dynamics>>(module, "Dynamics",
                                                  R"(A learned dynamics model in the C++ core.

One network or an ensemble of them (members), in float32. The normalisation is folded into the first and the last
layer. Immutable. States may be float32 or float64: those that are large beside their deviation are kept less a centre,
so that float64 loses nothing.)")
      .def(py::init([](int nstate, int naction, const std::vector<py::array>& weights,
                       const std::vector<py::array>& biases, const std::string& activation,
                       const py::array& state_mean, const py::array& state_std, const py::array& action_mean,
                       const py::array& action_std, const py::array& delta_mean, const py::array& delta_std,
                       const std::optional<std::vector<std::string>>& inputs,
                       const std::optional<std::vector<std::string>>& outputs,
                       const std::optional<py::array>& log_variance_min,
                       const std::optional<py::array>& log_variance_max, int particles,
                       const std::string& propagate, double risk, const std::optional<py::array>& whole_mean,
                       const std::optional<py::array>& whole_std,
                       const std::optional<std::shared_ptr<Task>>& task) {
             DynamicsSpec spec;
             spec.nstate = nstate;
             spec.naction = naction;
             spec.members = parse_members(weights, biases);
             spec.activation = parse_activation(activation);
             spec.state = parse_normalization(state_mean, state_std, "n");
             spec.action = parse_normalization(action_mean, action_std, naction);
             spec.delta = parse_normalization(delta_mean, delta_std, nstate);
             if (inputs) spec.input = parse_inputs(*inputs);
             if (outputs) spec.output = parse_outputs(*outputs);
             if (log_variance_min) {
               spec.log_variance_min = input_vector<double>(*log_variance_min, "log_variance_min", nstate);
             }
             if (log_variance_max) {
               spec.log_variance_max = input_vector<double>(*log_variance_max, "log_variance_max", nstate);
             }
             spec.particles = particles;
             spec.propagation = parse_propagation(propagate);
             spec.risk = risk;
             if (whole_mean.has_value() != whole_std.has_value()) {
               throw py::value_error("whole_mean and whole_std must be given both or not at all");
             }
             if (whole_mean) spec.whole = parse_normalization(*whole_mean, *whole_std, nstate);
             if (task) spec.known = std::shared_ptr<const KnownStates>(*task, &(*task)->known());
             return std::make_shared<Dynamics>(std::move(spec));
           }),
           py::arg("nstate"), py::arg("naction"), py::arg("weights"), py::arg("biases"),
           py::arg("activation"), py::arg("state_mean"), py::arg("state_std"), py::arg("action_mean"),
           py::arg("action_std"), py::arg("delta_mean"), py::arg("delta_std"), py::kw_only(),
           py::arg("inputs") = py::none(), py::arg("outputs") = py::none(),
           py::arg("log_variance_min") = py::none(), py::arg("log_variance_max") = py::none(),
           py::arg("particles") = 0, py::arg("propagate") = "expectation", py::arg("risk") = 0.0,
           py::arg("whole_mean") = py::none(), py::arg("whole_std") = py::none(),
           py::arg("task") = py::none(),
           "whole_mean, whole_std (nstate): of the states themselves, for the digits of those that are "
           "not seen. task: whose known states are not predicted. weights[i] (rows, cols) or, of "
           "several members, (members, rows, cols); biases[i] likewise.")
      .def_property_readonly("nstate", &Dynamics::nstate)
      .def_property_readonly("naction", &Dynamics::naction)
      .def_property_readonly("members", &Dynamics::members)
      .def_property_readonly("particles", &Dynamics::particles, "Of a candidate.")
      .def_property_readonly("is_probabilistic", &Dynamics::is_probabilistic)
      .def(
          "predict",
          [](const Dynamics& self, const py::array& states, const py::array& actions, int nthread) {
            const std::vector<double> s = parse_states(states, self.nstate());
            const py::ssize_t n = states.shape(0);
            const float* a = input<float>(actions, "actions", {n, self.naction()});
            py::array_t<float> next = make_array<float>({n, self.nstate()});
            float* out = next.mutable_data();
            const int nstate = self.nstate(), naction = self.naction();
            in_pieces(n, kFirstRows, [&](std::int64_t first, std::int64_t count) {
              self.predict(s.data() + first * nstate, a + first * naction, count, out + first * nstate,
                           nthread);
            });
            return next;
          },
          py::arg("states"), py::arg("actions"), py::arg("nthread") = 0,
          "states (N, nstate), actions float32 (N, naction) -> next states float32 (N, nstate), the mean "
          "over "
          "members.")
      .def(
          "predict_members",
          [](const Dynamics& self, const py::array& states, const py::array& actions, int nthread) {
            const std::vector<double> s = parse_states(states, self.nstate());
            const py::ssize_t n = states.shape(0);
            const float* a = input<float>(actions, "actions", {n, self.naction()});
            py::array_t<float> next = make_array<float>({self.members(), n, self.nstate()});
            py::array_t<float> deviation = make_array<float>({self.members(), n, self.nstate()});
            float *out = next.mutable_data(), *spread = deviation.mutable_data();
            const int nstate = self.nstate(), naction = self.naction(), members = self.members();
            std::vector<float> some, some_spread;  // (members, count, nstate)
            in_pieces(n, kFirstRows, [&](std::int64_t first, std::int64_t count) {
              const std::int64_t rows = count * nstate;
              some.resize(static_cast<std::size_t>(members * rows));
              some_spread.resize(some.size());
              self.predict_members(s.data() + first * nstate, a + first * naction, count, some.data(),
                                   some_spread.data(), nthread);
              for (int member = 0; member < members; ++member) {
                const std::int64_t to = (member * n + first) * nstate;
                std::copy_n(some.data() + member * rows, rows, out + to);
                std::copy_n(some_spread.data() + member * rows, rows, spread + to);
              }
            });
            return py::make_tuple(next, deviation);
          },
          py::arg("states"), py::arg("actions"), py::arg("nthread") = 0,
          "states (N, nstate), actions float32 (N, naction) -> of each member next states and their "
          "deviations, "
          "float32 (members, N, nstate); deviations of 0 without a variance head.")
      .def(
          "open_loop",
          [](const Dynamics& self, const py::array& states, const py::array& actions, int nthread) {
            const std::vector<double> s = parse_states(states, self.nstate());
            const py::ssize_t n = states.shape(0);
            const float* a = input<float>(actions, "actions", {n, "horizon", self.naction()});
            const py::ssize_t horizon = actions.shape(1);
            py::array_t<float> predicted = make_array<float>({n, horizon + 1, self.nstate()});
            float* out = predicted.mutable_data();
            const int nstate = self.nstate(), naction = self.naction();
            if (n == 0) self.open_loop(s.data(), a, 0, static_cast<int>(horizon), out, nthread);
            in_pieces(n, kFirstRows / std::max<py::ssize_t>(horizon, 1),
                      [&](std::int64_t first, std::int64_t count) {
                        self.open_loop(s.data() + first * nstate, a + first * horizon * naction, count,
                                       static_cast<int>(horizon), out + first * (horizon + 1) * nstate,
                                       nthread);
                      });
            return predicted;
          },
          py::arg("states"), py::arg("actions"), py::arg("nthread") = 0,
          "states (N, nstate), actions float32 (N, H, naction) -> states float32 (N, H + 1, nstate), the "
          "first "
          "row being the start; by the mean over members at every step.")
      .def(
          "sample",
          [](const Dynamics& self, const py::array& states, const py::array& actions, std::uint64_t seed,
             int nthread) {
            const std::vector<double> s = parse_states(states, self.nstate());
            const py::ssize_t n = states.shape(0);
            const float* a = input<float>(actions, "actions", {n, "horizon", self.naction()});
            const py::ssize_t horizon = actions.shape(1);
            py::array_t<float> sampled = make_array<float>({n, self.particles(), horizon + 1, self.nstate()});
            float* out = sampled.mutable_data();
            const Dynamics::Noise noise = Dynamics::noise(seed, 0, 0);
            const int nstate = self.nstate(), naction = self.naction();
            const std::int64_t one = (horizon + 1) * nstate * self.particles();
            const auto piece = [&](std::int64_t first, std::int64_t count) {
              const Dynamics::Noise here{noise.key, noise.first + static_cast<std::uint32_t>(first)};
              self.sample(s.data() + first * nstate, a + first * horizon * naction, count,
                          static_cast<int>(horizon), here, out + first * one, nthread);
            };
            if (n == 0) piece(0, 0);  // which checks the horizon
            in_pieces(n, kFirstRows / std::max<py::ssize_t>(horizon * self.particles(), 1), piece);
            return sampled;
          },
          py::arg("states"), py::arg("actions"), py::arg("seed") = 0, py::arg("nthread") = 0,
          "states (N, nstate), actions float32 (N, H, naction) -> states float32 (N, particles, H + 1, "
          "nstate), "
          "as a planner rolls out its candidates.");

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
