// What a state is worth after a plan's end.

#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/model/value.h"
#include "model_args.h"

namespace mbmf::bindings {

void register_value(py::module_& module) {
  py::class_<Value, std::shared_ptr<Value>>(module, "Value",
                                            "A learned value in the C++ core, in float32: immutable.")
      .def(py::init(
               [](int nstate, const std::vector<py::array>& weights, const std::vector<py::array>& biases,
                  const std::string& activation, const py::array& state_mean, const py::array& state_std,
                  const std::vector<std::string>& inputs, double mean, double std, double low, double high) {
                 ValueSpec spec;
                 spec.nstate = nstate;
                 spec.layers = parse_layers(weights, biases);
                 spec.activation = parse_activation(activation);
                 spec.state = parse_normalization(state_mean, state_std, "n");
                 spec.input = parse_inputs(inputs);
                 spec.mean = mean;
                 spec.std = std;
                 spec.low = low;
                 spec.high = high;
                 return std::make_shared<Value>(std::move(spec));
               }),
           py::arg("nstate"), py::arg("weights"), py::arg("biases"), py::arg("activation"),
           py::arg("state_mean"), py::arg("state_std"), py::arg("inputs"), py::arg("mean"), py::arg("std"),
           py::arg("low"), py::arg("high"), "weights[i] (rows, cols), biases[i] (rows,).")
      .def_property_readonly("nstate", &Value::nstate)
      .def_property_readonly("low", &Value::low)
      .def_property_readonly("high", &Value::high)
      .def(
          "evaluate",
          [](const Value& self, const py::array& states) {
            const std::vector<double> s = parse_states(states, self.nstate());
            const py::ssize_t n = states.shape(0);
            py::array_t<double> out = make_array<double>({n});
            double* values = out.mutable_data();
            in_pieces(n, 4096, [&](std::int64_t first, std::int64_t count) {
              self.evaluate(s.data() + first * self.nstate(), count, values + first);
            });
            return out;
          },
          py::arg("states"), "states (N, nstate) -> values float64 (N,).");
}

}  // namespace mbmf::bindings
