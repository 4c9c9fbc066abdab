// Counter-based random numbers: blocks of Philox4x32-10 per second, and the candidate actions made of them.

#include <benchmark/benchmark.h>

#include <cstdint>

#include "mbmf/base/random.h"

namespace {

// What the numbers must be: the known answers of the Random123 distribution for zero and all-ones input.
bool philox_is_right() {
  constexpr std::uint32_t ones = 0xffffffff;
  return mbmf::philox({0, 0}, {0, 0, 0, 0}) ==
             mbmf::PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8} &&
         mbmf::philox({ones, ones}, {ones, ones, ones, ones}) ==
             mbmf::PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
}

void BM_Philox(benchmark::State& state) {
  if (!philox_is_right()) {
    state.SkipWithError("Philox does not give its known answers");
    return;
  }
  std::uint32_t index = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(mbmf::philox({1, 2}, {0, index++, 3, 4}));
  }
  state.SetItemsProcessed(4 * state.iterations());
  state.SetLabel("items: 32-bit words");
}
BENCHMARK(BM_Philox);

void BM_SymmetricDraws(benchmark::State& state) {
  const mbmf::PhiloxKey key = mbmf::derive_key(0, mbmf::Stream::kPlan, 0);
  constexpr int kActions = 40;  // a horizon of 20 with two actions
  std::uint32_t candidate = 0;
  for (auto _ : state) {
    mbmf::Draws draws(key, 0, candidate++);
    float sum = 0;
    for (int i = 0; i < kActions; i++) {
      sum += draws.symmetric();
    }
    if (!(sum > -kActions && sum < kActions)) {
      state.SkipWithError("an action is out of [-1, 1)");
      return;
    }
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(kActions * state.iterations());
  state.SetLabel("items: actions");
}
BENCHMARK(BM_SymmetricDraws);

void BM_Normal(benchmark::State& state) {
  mbmf::Draws draws(mbmf::derive_key(0, mbmf::Stream::kReset, 0), 0, 0);
  double sum = 0, squares = 0;
  for (auto _ : state) {
    const double x = draws.normal();
    sum += x;
    squares += x * x;
  }
  const double n = static_cast<double>(state.iterations());
  // six standard errors of the mean and of the variance
  if (n > 1000 && (sum * sum > 36 * n || (squares - n) * (squares - n) > 72 * n)) {
    state.SkipWithError("the draws are not N(0, 1)");
    return;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Normal);

}  // namespace
