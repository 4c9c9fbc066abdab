// Passes of a network against float64 loops, with the kernels of every instruction set of this machine.

#include "mbmf/model/network_passes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <vector>

#include "mbmf/base/isa.h"

namespace mbmf {
namespace {

std::vector<float> random_floats(std::int64_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.4f);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = normal(generator);
  return values;
}

// Numbers with a derivative: what the chain rule gives without any of our formulas.
struct Dual {
  double value, slope;
};

// The outputs for one input and their slopes along v; also what the hidden layers give.
std::vector<Dual> oracle(const std::vector<int>& sizes, const std::vector<float>& parameters,
                         const std::vector<double>& v, const float* input, std::vector<double>* hidden) {
  std::vector<Dual> x;
  for (int i = 0; i < sizes.front(); ++i) x.push_back({static_cast<double>(input[i]), 0});
  std::size_t at = 0;
  for (std::size_t layer = 0; layer + 1 < sizes.size(); ++layer) {
    std::vector<Dual> y;
    const std::size_t rows = static_cast<std::size_t>(sizes[layer + 1]), biases = at + rows * x.size();
    for (std::size_t r = 0; r < rows; ++r) {
      Dual sum{static_cast<double>(parameters[biases + r]), v[biases + r]};
      for (const Dual& in : x) {
        const double weight = static_cast<double>(parameters[at]);
        sum.value += weight * in.value;
        sum.slope += weight * in.slope + v[at] * in.value;
        ++at;
      }
      if (layer + 2 < sizes.size()) {
        sum.value = std::tanh(sum.value);
        sum.slope *= 1 - sum.value * sum.value;
        hidden->push_back(sum.value);
      }
      y.push_back(sum);
    }
    at += rows;
    x = y;
  }
  return x;
}

class NetworkPassesOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }
};

INSTANTIATE_TEST_SUITE_P(Isa, NetworkPassesOn, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

// widths that fill no vector, rows that fill no block
TEST_P(NetworkPassesOn, EqualPlainLoops) {
  const std::vector<std::pair<std::vector<int>, int>> cases = {
      {{7, 9, 8, 3}, 487}, {{5, 4, 2}, 1}, {{3, 2}, 240}, {{2, 33, 17, 40}, 30}, {{24, 64, 64, 6}, 2}};
  for (const auto& [sizes, n] : cases) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    std::int64_t count = 0;
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) count += (sizes[i] + 1) * sizes[i + 1];
    const std::size_t nin = static_cast<std::size_t>(sizes.front()),
                      nout = static_cast<std::size_t>(sizes.back());
    const std::vector<float> parameters = random_floats(count, 1), x = random_floats(n * sizes.front(), 2);
    const std::vector<float> u = random_floats(n * sizes.back(), 3), v = random_floats(count, 4);
    std::vector<float> w = random_floats(sizes.back(), 5);
    for (float& weight : w) weight = 1 + std::abs(weight);
    const NetworkPasses network(sizes, parameters.data());
    ASSERT_EQ(network.nparameter(), count);

    std::vector<float> outputs(static_cast<std::size_t>(n) * nout, NAN);
    std::vector<std::vector<float>> hidden;
    std::vector<float*> to;
    for (std::size_t i = 1; i + 1 < sizes.size(); ++i) hidden.emplace_back(n * sizes[i], NAN);
    for (std::vector<float>& layer : hidden) to.push_back(layer.data());
    network.forward(n, x.data(), outputs.data(), to, 1);
    std::vector<float> alone(outputs.size(), NAN);
    network.forward(n, x.data(), alone.data(), {}, 2);
    EXPECT_EQ(outputs, alone);

    // J v at each row; J' u and J' W J v need all of J
    const std::vector<double> direction(v.begin(), v.end());
    std::vector<double> changes;
    for (int row = 0; row < n; ++row) {
      std::vector<double> activations;
      const std::vector<Dual> y =
          oracle(sizes, parameters, direction, x.data() + static_cast<std::size_t>(row) * nin, &activations);
      std::size_t at = 0;
      for (std::size_t i = 0; i < hidden.size(); ++i) {
        const std::size_t width = static_cast<std::size_t>(sizes[i + 1]);
        for (std::size_t k = 0; k < width; ++k) {
          ASSERT_NEAR(hidden[i][static_cast<std::size_t>(row) * width + k], activations[at++], 2e-6);
        }
      }
      for (std::size_t k = 0; k < nout; ++k) {
        ASSERT_NEAR(outputs[static_cast<std::size_t>(row) * nout + k], y[k].value, 1e-5);
        changes.push_back(y[k].slope * static_cast<double>(w[k]));
      }
    }
    PassRows rows{n, x.data(), {to.begin(), to.end()}};
    std::vector<double> gradient(static_cast<std::size_t>(count), NAN), product(gradient);
    network.gradient(rows, u.data(), gradient.data(), 1);
    network.gauss_newton(rows, v.data(), w.data(), product.data(), 2);
    double largest = 0;
    std::vector<double> want_gradient, want_product;
    for (std::int64_t p = 0; p < count; ++p) {
      std::vector<double> one(static_cast<std::size_t>(count), 0.0), ignored;
      one[static_cast<std::size_t>(p)] = 1;
      double by_u = 0, by_change = 0;
      for (int row = 0; row < n; ++row) {
        const std::vector<Dual> y =
            oracle(sizes, parameters, one, x.data() + static_cast<std::size_t>(row) * nin, &ignored);
        for (std::size_t k = 0; k < nout; ++k) {
          const std::size_t at = static_cast<std::size_t>(row) * nout + k;
          by_u += y[k].slope * static_cast<double>(u[at]);
          by_change += y[k].slope * changes[at];
        }
      }
      want_gradient.push_back(by_u);
      want_product.push_back(by_change);
      largest = std::max({largest, std::abs(by_u), std::abs(by_change)});
    }
    for (std::size_t p = 0; p < gradient.size(); ++p) {
      ASSERT_NEAR(gradient[p], want_gradient[p], 2e-6 * largest) << p;
      ASSERT_NEAR(product[p], want_product[p], 2e-6 * largest) << p;
    }
  }
}

TEST(NetworkPasses, RefusesSizesThatAreNone) {
  const float parameters[2] = {1, 1};
  EXPECT_THROW(NetworkPasses({3}, parameters), std::invalid_argument);
  EXPECT_THROW(NetworkPasses({1, 0, 1}, parameters), std::invalid_argument);
}

}  // namespace
}  // namespace mbmf
