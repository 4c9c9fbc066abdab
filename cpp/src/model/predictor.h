// Predictions of a learned model, packed once for many of them.

#ifndef MBMF_SRC_MODEL_PREDICTOR_H_
#define MBMF_SRC_MODEL_PREDICTOR_H_

#include <cstdint>

#include "kernel/kernel.h"
#include "mbmf/model/dynamics.h"
#include "model/packed_dynamics.h"

namespace mbmf {

// Of a model that lives as long. Thread-safe.
class Predictor {
 public:
  explicit Predictor(const Dynamics& dynamics);

  // As those of Dynamics.
  void predict(const double* states, const float* actions, std::int64_t n, float* next, int nthread) const;
  void open_loop(const double* states, const float* actions, std::int64_t n, int horizon, float* out,
                 int nthread) const;

 private:
  const Dynamics& dynamics_;
  const kernel::Table& table_;
  PackedDynamics packed_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_PREDICTOR_H_
