// GaussianPolicy: from observations to actions.

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/model/policy.h"
#include "model_args.h"

namespace mbmf::bindings {

void register_policy(py::module_& module) {
  py::class_<GaussianPolicy, std::shared_ptr<GaussianPolicy>>(module, "GaussianPolicy",
                                                              R"(A Gaussian policy in the C++ core.

The mean of the action is an MLP of the observation, with tanh between the layers, in float32; the logarithms of the
standard deviations are numbers of their own. Immutable.)")
      .def(py::init([](const std::vector<py::array>& weights, const std::vector<py::array>& biases,
                       const py::array& log_std) {
             return std::make_shared<GaussianPolicy>(parse_layers(weights, biases),
                                                     input_vector<float>(log_std, "log_std"));
           }),
           py::arg("weights"), py::arg("biases"), py::arg("log_std"),
           "weights float32 (rows, cols) and biases float32 (rows,) of each layer, log_std float32 "
           "(naction,).")
      .def_property_readonly("nobservation", &GaussianPolicy::nobservation)
      .def_property_readonly("naction", &GaussianPolicy::naction)
      .def(
          "mean",
          [](const GaussianPolicy& self, const py::array& observations, int nthread) {
            const float* o = input<float>(observations, "observations", {"n", self.nobservation()});
            const py::ssize_t n = observations.shape(0);
            py::array_t<float> means = make_array<float>({n, self.naction()});
            float* out = means.mutable_data();
            const int nobservation = self.nobservation(), naction = self.naction();
            in_pieces(n, 4096, [&](std::int64_t first, std::int64_t count) {
              self.mean(o + first * nobservation, count, out + first * naction, nthread);
            });
            return means;
          },
          py::arg("observations"), py::arg("nthread") = 0,
          "observations float32 (N, nobservation) -> mean actions float32 (N, naction).");
}

}  // namespace mbmf::bindings
