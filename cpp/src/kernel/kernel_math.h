// Loads, stores and the activation function, on the vectors of the instruction set that includes this file.
//
// A tile is two vectors of candidates wide.

#ifndef MBMF_KERNEL_MATH_H_
#define MBMF_KERNEL_MATH_H_

#include "kernel/kernel.h"

namespace {

constexpr int kTile = 2 * kLanes;

typedef Vec VecAlias __attribute__((may_alias));
typedef Word WordAlias __attribute__((may_alias));
typedef Mask MaskAlias __attribute__((may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const VecAlias*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<VecAlias*>(p) = v; }
inline Word load_words(const std::uint32_t* p) { return *reinterpret_cast<const WordAlias*>(p); }
inline Mask load_mask(const std::int32_t* p) { return *reinterpret_cast<const MaskAlias*>(p); }
inline void store_mask(std::int32_t* p, Mask m) { *reinterpret_cast<MaskAlias*>(p) = m; }

// tanh within 2e-7 of the exact value relative to it, over all of float32; odd, monotone to rounding, keeps
// NaN. Below 0.625 a polynomial in x^2; above, 1 - 2 / (exp(2x) + 1), which is 1 from 9.02 on.
inline Vec tanh_vec(Vec x) {
  const Vec zero{};
  const Vec size = x < zero ? -x : x;

  // the polynomial: minimax on [0, 0.625]
  const Vec z = x * x;
  Vec p = fma(broadcast(-0.006112582981586456f), z, broadcast(0.021009549498558044f));
  p = fma(p, z, broadcast(-0.05385391414165497f));
  p = fma(p, z, broadcast(0.1333279311656952f));
  p = fma(p, z, broadcast(-0.333333283662796f));
  const Vec small = fma(p * z, x, x);

  // exp(2x) = 2^n 2^f with |f| <= 1/2
  const Vec clamped = size > 9.02f ? broadcast(9.02f) : size;
  const Vec y = clamped * 2.885390081777927f;  // 2 / ln 2
  const Vec shifted = y + 12582912.0f;         // rounds to an integer in the low bits
  const Vec n = shifted - 12582912.0f;
  const Vec f = y - n;
  Vec e = fma(broadcast(0.0001546973071526736f), f, broadcast(0.0013390866806730628f));
  e = fma(e, f, broadcast(0.009618030861020088f));
  e = fma(e, f, broadcast(0.055503569543361664f));
  e = fma(e, f, broadcast(0.24022650718688965f));
  e = fma(e, f, broadcast(0.6931471824645996f));
  e = fma(e, f, broadcast(1.0f));
  const Mask exponent = __builtin_convertvector(n, Mask) << 23;
  const Vec power = (Vec)((Mask)e + exponent);
  const Vec large = 1.0f - 2.0f / (power + 1.0f);

  const Vec big = x < zero ? -large : large;
  return size < 0.625f ? small : (x != x ? x : big);
}

}  // namespace

#endif  // MBMF_KERNEL_MATH_H_
