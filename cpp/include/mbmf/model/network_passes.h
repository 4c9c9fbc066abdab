// Passes of a tanh network over many inputs: its outputs, and products with its Jacobian. Optimising a policy
// takes them again and again over the same inputs.

#ifndef MBMF_MODEL_NETWORK_PASSES_H_
#define MBMF_MODEL_NETWORK_PASSES_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace mbmf {

// Inputs (n, ninput), and what each hidden layer gives for them (n, width).
struct PassRows {
  std::int64_t n;
  const float* inputs;
  std::vector<const float*> hidden;
};

// A network at some parameters. Immutable; threads may share it. Parameters, and what has their shape, are
// one vector (nparameter): layer by layer the weights (rows, cols) by rows and the biases (rows).
//
// Sums over rows are the same bits on any number of threads: blocks of a fixed size are added up in order, in
// float64.
class NetworkPasses {
 public:
  // sizes: of the inputs, the hidden layers, the outputs. Throws std::invalid_argument on fewer than two, or
  // one that is not positive.
  NetworkPasses(std::vector<int> sizes, const float* parameters);
  ~NetworkPasses();
  NetworkPasses(NetworkPasses&&) noexcept;
  NetworkPasses& operator=(NetworkPasses&&) noexcept;

  const std::vector<int>& sizes() const { return sizes_; }
  std::int64_t nparameter() const { return nparameter_; }

  // Inputs (n, ninput) -> outputs (n, noutput) and, unless empty, each hidden layer's (n, width).
  void forward(std::int64_t n, const float* inputs, float* outputs, const std::vector<float*>& hidden,
               int nthread) const;

  // J' u (nparameter), the gradient of sum(outputs * u), for u (n, noutput).
  void gradient(const PassRows& rows, const float* u, double* result, int nthread) const;

  // J' diag(w) J v (nparameter), for v (nparameter) and weights w (noutput) of the outputs.
  void gauss_newton(const PassRows& rows, const float* v, const float* w, double* result, int nthread) const;

 private:
  struct Packed;
  class Block;
  template <typename Part>
  void sum_blocks(const PassRows& rows, double* result, int nthread, const Part& part) const;

  std::vector<int> sizes_;
  std::int64_t nparameter_ = 0;
  std::unique_ptr<const Packed> packed_;
};

}  // namespace mbmf

#endif  // MBMF_MODEL_NETWORK_PASSES_H_
