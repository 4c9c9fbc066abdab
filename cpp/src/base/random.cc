#include "mbmf/base/random.h"

#include <cmath>
#include <numbers>

namespace mbmf {

PhiloxBlock philox(PhiloxKey key, PhiloxBlock c) {
  constexpr std::uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{kMultiplier0} * c[0];
    const std::uint64_t p1 = std::uint64_t{kMultiplier1} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return c;
}

PhiloxKey derive_key(std::uint64_t seed, Stream stream, std::uint64_t sequence) {
  const PhiloxBlock block = philox({static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
                                   {static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(sequence),
                                    static_cast<std::uint32_t>(sequence >> 32), 0x6d626d66});
  return {block[0], block[1]};
}

PhiloxBlock draw_block(PhiloxKey key, std::uint64_t step, std::uint32_t index, std::uint32_t block) {
  return philox(key,
                {block, index, static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)});
}

std::uint32_t Draws::word() {
  if (next_ % 4 == 0) block_ = draw_block(key_, step_, index_, next_ / 4);
  return block_[next_++ % 4];
}

double Draws::uniform() {
  const std::uint64_t high = word() >> 5, low = word() >> 6;  // 27 + 26 bits
  return static_cast<double>((high << 26) | low) * 0x1p-53;
}

double Draws::normal() {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));  // 1 - u is never 0
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace mbmf
