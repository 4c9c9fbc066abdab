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

// 2^y for y in [-126, 127]: 2^n 2^f with |f| <= 1/2, a polynomial in f (minimax)
inline Vec exp2_vec(Vec y) {
  const Vec shifted = y + 12582912.0f;  // rounds to an integer in the low bits
  const Vec n = shifted - 12582912.0f;
  const Vec f = y - n;
  Vec e = fma(broadcast(0.0001546973071526736f), f, broadcast(0.0013390866806730628f));
  e = fma(e, f, broadcast(0.009618030861020088f));
  e = fma(e, f, broadcast(0.055503569543361664f));
  e = fma(e, f, broadcast(0.24022650718688965f));
  e = fma(e, f, broadcast(0.6931471824645996f));
  e = fma(e, f, broadcast(1.0f));
  const Mask exponent = __builtin_convertvector(n, Mask) << 23;
  return (Vec)((Mask)e + exponent);
}

// exp(-x), at most infinity or 2^127 and at least 0 or 2^-126, as the instruction set has it: 2^n times a
// polynomial in f (minimax, 1e-7). Infinite x may give NaN.
inline Vec exp_minus(Vec x) {
  Vec f;
  const Vec n = split_power(x * -1.4426950408889634f, &f);
  Vec e = fma(broadcast(0.0013276472454890609f), f, broadcast(0.009675540961325169f));
  e = fma(e, f, broadcast(0.05550713092088699f));
  e = fma(e, f, broadcast(0.24022120237350464f));
  e = fma(e, f, broadcast(0.6931469440460205f));
  e = fma(e, f, broadcast(1.0f));
  return times_power(e, n);
}

// x / (1 + exp(-x)) within 1e-7 (3 + |x|) of the exact value relative to it; keeps NaN
inline Vec silu_vec(Vec x) { return x / (1.0f + exp_minus(x)); }

// Sine and cosine, within 1.2e-7 for |x| < 8000 and worse with |x| beyond; NaN where x is not finite. x less
// a multiple of a quarter turn, whose parts are exact products, is in [-pi/4, pi/4]; there polynomials
// (minimax).
inline void sine_cosine(Vec x, Vec* sine, Vec* cosine) {
  const Vec shifted = x * 0.6366197723675814f + 12582912.0f;  // quarter turns, an integer in the low bits
  const Vec turns = shifted - 12582912.0f;
  Vec r = fma(turns, broadcast(-1.5703125f), x);
  r = fma(turns, broadcast(-4.837512969970703e-4f), r);
  r = fma(turns, broadcast(-7.54978995489188e-8f), r);
  const Vec z = r * r;
  Vec s = fma(broadcast(-0.0001951729936990887f), z, broadcast(0.008332177996635437f));
  s = fma(s, z, broadcast(-0.16666655242443085f));
  s = fma(s * z, r, r);
  Vec c = fma(broadcast(2.4438451873720624e-05f), z, broadcast(-0.001388736767694354f));
  c = fma(c, z, broadcast(0.04166664555668831f));
  c = fma(c * z, z, fma(broadcast(-0.5f), z, broadcast(1.0f)));
  const Mask quarter = (Mask)shifted;
  const Mask odd = (quarter & 1) != 0, half = (quarter & 2) != 0, cosine_half = ((quarter + 1) & 2) != 0;
  const Vec first = odd ? c : s, second = odd ? s : c;
  *sine = half ? -first : first;
  *cosine = cosine_half ? -second : second;
}

// The angle in [0, pi / 2] whose sine and cosine are as y and x, neither below 0; within 2e-7. NaN where both
// are 0.
inline Vec arc(Vec y, Vec x) {
  const Mask steep = y > x;
  const Vec a = steep ? x / y : y / x;
  const Vec z = a * a;
  // a polynomial in a^2 (Chebyshev points on [0, 1])
  Vec p = fma(broadcast(-0.0017011701129376888f), z, broadcast(0.010487649589776993f));
  p = fma(p, z, broadcast(-0.03035186603665352f));
  p = fma(p, z, broadcast(0.05708955600857735f));
  p = fma(p, z, broadcast(-0.08349724858999252f));
  p = fma(p, z, broadcast(0.1093234121799469f));
  p = fma(p, z, broadcast(-0.1426001638174057f));
  p = fma(p, z, broadcast(0.1999807506799698f));
  p = fma(p, z, broadcast(-0.33333277702331543f));
  p = fma(p, z, broadcast(1.0f));
  return steep ? 1.5707963267948966f - a * p : a * p;
}

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

  const Vec clamped = size > 9.02f ? broadcast(9.02f) : size;
  const Vec power = exp2_vec(clamped * 2.885390081777927f);  // exp(2x): 2 / ln 2
  const Vec large = 1.0f - 2.0f / (power + 1.0f);

  const Vec big = x < zero ? -large : large;
  return size < 0.625f ? small : (x != x ? x : big);
}

}  // namespace

#endif  // MBMF_KERNEL_MATH_H_
