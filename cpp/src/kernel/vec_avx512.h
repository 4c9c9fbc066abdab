// Vectors of sixteen floats with AVX-512 (F, DQ, BW, VL).

#include <immintrin.h>

#include <cstdint>

namespace {

constexpr int kLanes = 16;  // floats of a vector
// 24 accumulators and 2 inputs of 32 registers, weights broadcast from memory; 13 and 14 are no faster
constexpr int kRowBlock = 12;

typedef float Vec __attribute__((vector_size(64)));
typedef std::int32_t Mask __attribute__((vector_size(64)));
typedef std::uint32_t Word __attribute__((vector_size(64)));

inline Vec broadcast(float x) { return _mm512_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline Vec relu(Vec x) { return _mm512_max_ps(Vec{}, x); }  // the second operand where one is NaN
inline Vec square_root(Vec x) { return _mm512_sqrt_ps(x); }
// y as n + f, |f| <= 1/2: returns n, an integer
inline Vec split_power(Vec y, Vec* f) {
  const Vec n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  *f = y - n;
  return n;
}
inline Vec times_power(Vec p, Vec n) {
  return _mm512_scalef_ps(p, n);
}  // p 2^n, 0 and infinity beyond the range
inline bool any(Mask m) { return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0; }

// the 64-bit products of a constant and each lane, as high and low words
inline void multiply_wide(std::uint32_t constant, Word x, Word* high, Word* low) {
  const __m512i m = _mm512_set1_epi32(static_cast<int>(constant)), v = (__m512i)x;
  const __m512i even = _mm512_mul_epu32(v, m), odd = _mm512_mul_epu32(_mm512_srli_epi64(v, 32), m);
  *high = (Word)_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
  *low = (Word)_mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

}  // namespace
