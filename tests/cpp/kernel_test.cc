// The vector kernels of every instruction set of this machine against plain float64 loops.

#include "kernel/kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "base/cpu.h"
#include "mbmf/base/random.h"
#include "mlp_fixture.h"
#include "model/packed_mlp.h"

namespace mbmf {
namespace {

using fixture::random_layers;

std::vector<double> oracle(const Mlp& mlp, const float* in) {
  std::vector<double> x(in, in + mlp.ninput());
  for (std::size_t i = 0; i < mlp.layers().size(); ++i) {
    const Layer& layer = mlp.layers()[i];
    std::vector<double> y(static_cast<std::size_t>(layer.rows));
    for (int r = 0; r < layer.rows; ++r) {
      double sum = layer.bias[static_cast<std::size_t>(r)];
      for (int k = 0; k < layer.cols; ++k) {
        sum += static_cast<double>(layer.weight[static_cast<std::size_t>(r * layer.cols + k)]) *
               x[static_cast<std::size_t>(k)];
      }
      if (i + 1 < mlp.layers().size())
        sum = mlp.activation() == Activation::kRelu   ? std::fmax(sum, 0.0)
              : mlp.activation() == Activation::kTanh ? std::tanh(sum)
                                                      : sum / (1 + std::exp(-sum));
      y[static_cast<std::size_t>(r)] = sum;
    }
    x = y;
  }
  return x;
}

class Kernels : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { setenv("MBMF_FORCE_ISA", GetParam().c_str(), 1); }
  void TearDown() override { unsetenv("MBMF_FORCE_ISA"); }
  const kernel::Table& table() { return select_kernels(); }
};

INSTANTIATE_TEST_SUITE_P(Isa, Kernels, testing::ValuesIn(available_isas()),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(Kernels, ForcedTableIsUsed) { EXPECT_EQ(GetParam(), table().name); }

// every number of rows that a group can have, nets of no, one and more hidden layers, widths that fill no
// vector
TEST_P(Kernels, ForwardEqualsPlainLoops) {
  std::vector<std::vector<int>> shapes = {{3, 2},        {1, 1, 1},      {18, 500, 16},         {30, 500, 24},
                                          {49, 500, 41}, {7, 33, 64, 5}, {20, 100, 101, 99, 17}};
  for (int rows = 1; rows <= 30; ++rows) shapes.push_back({5, 2 * rows + 1, rows});
  for (const Activation activation : {Activation::kRelu, Activation::kTanh, Activation::kSilu}) {
    for (const std::vector<int>& shape : shapes) {
      const Mlp mlp(random_layers(shape, 3), activation);
      const PackedMlp packed(mlp, table());
      const fixture::PlainModel plain(packed.net());
      AlignedFloats scratch(static_cast<std::size_t>(table().scratch(&plain.model)));
      for (const int n : {1, table().tile / 2, table().tile / 2 + 1, table().tile}) {
        std::mt19937 generator(n);
        std::normal_distribution<float> normal;
        std::vector<float> in(static_cast<std::size_t>(n * shape.front()));
        for (float& x : in) x = normal(generator);
        std::vector<float> out(static_cast<std::size_t>(n * shape.back()), NAN);
        table().forward(&packed.net(), in.data(), n, out.data(), scratch.data());
        for (int i = 0; i < n; ++i) {
          const std::vector<double> want = oracle(mlp, in.data() + i * shape.front());
          for (int k = 0; k < shape.back(); ++k) {
            ASSERT_NEAR(out[static_cast<std::size_t>(i * shape.back() + k)],
                        want[static_cast<std::size_t>(k)], 2e-5)
                << "row " << k << " of " << shape.back() << ", input " << i << " of " << n;
          }
        }
      }
    }
  }
}

// a lane's bits do not depend on how many lanes are in use
TEST_P(Kernels, LanesDoNotDependOnEachOther) {
  const Mlp mlp(random_layers({30, 500, 24}, 5), Activation::kRelu);
  const PackedMlp packed(mlp, table());
  const fixture::PlainModel plain(packed.net());
  AlignedFloats scratch(static_cast<std::size_t>(table().scratch(&plain.model)));
  std::vector<float> in(static_cast<std::size_t>(table().tile * 30));
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  for (float& x : in) x = normal(generator);
  std::vector<float> all(static_cast<std::size_t>(table().tile * 24)), one(24);
  table().forward(&packed.net(), in.data(), table().tile, all.data(), scratch.data());
  for (int i = 0; i < table().tile; ++i) {
    table().forward(&packed.net(), in.data() + i * 30, 1, one.data(), scratch.data());
    for (int k = 0; k < 24; ++k)
      ASSERT_EQ(one[static_cast<std::size_t>(k)], all[static_cast<std::size_t>(i * 24 + k)]);
  }
}

// the first-layer base plus the actions' part has the bits of the whole layer
TEST_P(Kernels, BaseIsTheLayersFirstPart) {
  const Mlp mlp(random_layers({30, 500}, 5), Activation::kRelu);
  const PackedMlp packed(mlp, table());
  const fixture::PlainModel plain(packed.net());
  AlignedFloats scratch(static_cast<std::size_t>(table().scratch(&plain.model)));
  std::vector<float> in(30), base(500), out(500);
  for (int i = 0; i < 30; ++i) in[static_cast<std::size_t>(i)] = std::sin(static_cast<float>(i));
  table().base(&plain.model, 0, in.data(), base.data(), scratch.data());
  table().forward(&packed.net(), in.data(), 1, out.data(), scratch.data());
  EXPECT_EQ(base, out);
}

// the bound that tanh_vec states, over the range where it is not yet 1 and beyond, both signs
TEST_P(Kernels, TanhWithinItsBound) {
  std::vector<float> values = {0.0f,  -0.0f, 1e-30f, 0.625f,  std::nextafter(0.625f, 0.0f),
                               9.02f, 20.0f, 3e38f,  INFINITY};
  for (float x = 1e-8f; x < 12; x *= 1.00005f) values.push_back(x);
  const std::size_t count = values.size();
  for (std::size_t i = 0; i < count; ++i) values.push_back(-values[i]);
  AlignedFloats out((values.size() + 63) / 64 * 64);
  std::copy(values.begin(), values.end(), out.data());
  table().tanh(out.data(), static_cast<int>(out.size()));
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double want = std::tanh(static_cast<double>(values[i])), got = out.data()[i];
    ASSERT_LE(std::fabs(got), 1.0) << values[i];
    if (want != 0) worst = std::fmax(worst, std::fabs(got - want) / std::fabs(want));
    if (want == 0) {
      ASSERT_EQ(got, 0) << values[i];
    }
  }
  EXPECT_LT(worst, 2e-7);
  out.data()[0] = NAN;
  table().tanh(out.data(), table().tile);
  EXPECT_TRUE(std::isnan(out.data()[0]));
}

// what silu_vec and sine_cosine state
TEST_P(Kernels, SiluSineAndCosineWithinTheirBounds) {
  std::vector<float> values = {0.0f, -0.0f, 1e-30f, 100.0f, 7999.0f, INFINITY};
  for (float x = 1e-6f; x < 8000; x *= 1.0003f) values.push_back(x);
  const std::size_t count = values.size();
  for (std::size_t i = 0; i < count; ++i) values.push_back(-values[i]);
  AlignedFloats in((values.size() + 63) / 64 * 64), silu(in.size()), sine(in.size()), cosine(in.size());
  std::copy(values.begin(), values.end(), in.data());
  std::copy(values.begin(), values.end(), silu.data());
  table().silu(silu.data(), static_cast<int>(silu.size()));
  table().sine_cosine(in.data(), static_cast<int>(in.size()), sine.data(), cosine.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = values[i];
    if (std::isinf(x)) {
      EXPECT_TRUE(std::isnan(sine.data()[i]) && std::isnan(cosine.data()[i])) << x;
      EXPECT_FALSE(x > 0 && std::isfinite(silu.data()[i])) << silu.data()[i];
      continue;
    }
    const double want = x / (1 + std::exp(-x));
    ASSERT_NEAR(silu.data()[i], want, 1e-7 * (3 + std::fabs(x)) * std::fabs(want) + 1e-33) << x;
    ASSERT_NEAR(sine.data()[i], std::sin(x), 1.2e-7) << x;
    ASSERT_NEAR(cosine.data()[i], std::cos(x), 1.2e-7) << x;
  }
  silu.data()[0] = NAN;
  table().silu(silu.data(), table().tile);
  EXPECT_TRUE(std::isnan(silu.data()[0]));
}

TEST_P(Kernels, NanReachesTheOutput) {
  for (const Activation activation : {Activation::kRelu, Activation::kTanh, Activation::kSilu}) {
    const Mlp mlp(random_layers({4, 40, 3}, 2), activation);
    const PackedMlp packed(mlp, table());
    const fixture::PlainModel plain(packed.net());
    AlignedFloats scratch(static_cast<std::size_t>(table().scratch(&plain.model)));
    for (const float bad : {NAN, -NAN}) {
      const std::vector<float> in = {0, bad, 0, 0};
      std::vector<float> out(3);
      table().forward(&packed.net(), in.data(), 1, out.data(), scratch.data());
      for (const float x : out) EXPECT_TRUE(std::isnan(x));
    }
  }
}

TEST(Isa, RefusesUnknownNames) {
  setenv("MBMF_FORCE_ISA", "sse9", 1);
  try {
    select_kernels();
    FAIL() << "an unknown name was taken";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("MBMF_FORCE_ISA must be one of "), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("portable"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("got sse9"), std::string::npos);
  }
  unsetenv("MBMF_FORCE_ISA");
}

}  // namespace
}  // namespace mbmf
