// NetworkPasses: a network over many inputs, and products with its Jacobian.

#include <pybind11/stl.h>

#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/model/network_passes.h"

namespace mbmf::bindings {

namespace {

PassRows parse_rows(const NetworkPasses& network, const py::array& inputs,
                    const std::vector<py::array>& hidden) {
  const std::vector<int>& sizes = network.sizes();
  PassRows rows{0, input<float>(inputs, "inputs", {"n", sizes.front()}), {}};
  rows.n = inputs.shape(0);
  if (hidden.size() + 2 != sizes.size()) {
    throw_invalid("hidden must be ", sizes.size() - 2, " arrays, one of each hidden layer, got ",
                  hidden.size());
  }
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    rows.hidden.push_back(input<float>(hidden[i], "hidden", {rows.n, sizes[i + 1]}));
  }
  return rows;
}

}  // namespace

void register_passes(py::module_& module) {
  py::class_<NetworkPasses>(module, "NetworkPasses",
                            R"(Passes of a tanh network over many inputs, on several threads.

Parameters are one vector, layer by layer the weights (rows, cols) by rows and the biases (rows). Immutable.)")
      .def(py::init([](const std::vector<int>& sizes, const py::array& parameters) {
             const float* p = input<float>(parameters, "parameters", {"nparameter"});
             std::int64_t n = 0;
             for (std::size_t i = 0; i + 1 < sizes.size(); ++i)
               n += (std::int64_t{sizes[i]} + 1) * sizes[i + 1];
             if (parameters.size() != n) throw_invalid("parameters must be ", n, ", got ", parameters.size());
             return NetworkPasses(sizes, p);
           }),
           py::arg("sizes"), py::arg("parameters"),
           "sizes of the inputs, the hidden layers and the outputs; parameters float32 (nparameter,).")
      .def_property_readonly("nparameter", &NetworkPasses::nparameter)
      .def(
          "forward",
          [](const NetworkPasses& self, const py::array& inputs, bool keep_hidden, int nthread) {
            const float* x = input<float>(inputs, "inputs", {"n", self.sizes().front()});
            const py::ssize_t n = inputs.shape(0);
            py::array_t<float> outputs = make_array<float>({n, self.sizes().back()});
            float* out = outputs.mutable_data();
            std::vector<py::array_t<float>> hidden;
            std::vector<float*> to;
            for (std::size_t i = 1; keep_hidden && i + 1 < self.sizes().size(); ++i) {
              to.push_back(hidden.emplace_back(make_array<float>({n, self.sizes()[i]})).mutable_data());
            }
            {
              const ReleaseGil release;
              self.forward(n, x, out, to, nthread);
            }
            return std::make_pair(outputs, hidden);
          },
          py::arg("inputs"), py::arg("keep_hidden") = false, py::arg("nthread") = 0,
          "inputs float32 (n, ninput) -> outputs (n, noutput), and what each hidden layer gives (n, width), "
          "if "
          "wanted.")
      .def(
          "gradient",
          [](const NetworkPasses& self, const py::array& inputs, const std::vector<py::array>& hidden,
             const py::array& u, int nthread) {
            const PassRows rows = parse_rows(self, inputs, hidden);
            const float* upstream = input<float>(u, "u", {rows.n, self.sizes().back()});
            py::array_t<double> result = make_array<double>({self.nparameter()});
            double* out = result.mutable_data();
            const ReleaseGil release;
            self.gradient(rows, upstream, out, nthread);
            return result;
          },
          py::arg("inputs"), py::arg("hidden"), py::arg("u"), py::arg("nthread") = 0,
          "J' u float64 (nparameter,), the gradient of sum(outputs * u), for u float32 (n, noutput).")
      .def(
          "gauss_newton",
          [](const NetworkPasses& self, const py::array& inputs, const std::vector<py::array>& hidden,
             const py::array& v, const py::array& w, int nthread) {
            const PassRows rows = parse_rows(self, inputs, hidden);
            const float* direction = input<float>(v, "v", {self.nparameter()});
            const float* weights = input<float>(w, "w", {self.sizes().back()});
            py::array_t<double> result = make_array<double>({self.nparameter()});
            double* out = result.mutable_data();
            const ReleaseGil release;
            self.gauss_newton(rows, direction, weights, out, nthread);
            return result;
          },
          py::arg("inputs"), py::arg("hidden"), py::arg("v"), py::arg("w"), py::arg("nthread") = 0,
          "J' diag(w) J v float64 (nparameter,), for v float32 (nparameter,) and w float32 (noutput,).");
}

}  // namespace mbmf::bindings
