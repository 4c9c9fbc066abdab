// Vectors of eight floats with AVX2 and FMA.

#include <immintrin.h>

#include <cstdint>

namespace {

constexpr int kLanes = 8;     // floats of a vector
constexpr int kRowBlock = 6;  // 12 accumulators, 2 inputs and a weight of 16 registers

typedef float Vec __attribute__((vector_size(32)));
typedef std::int32_t Mask __attribute__((vector_size(32)));
typedef std::uint32_t Word __attribute__((vector_size(32)));

inline Vec broadcast(float x) { return _mm256_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline Vec relu(Vec x) { return _mm256_max_ps(Vec{}, x); }  // the second operand where one is NaN
inline Vec square_root(Vec x) { return _mm256_sqrt_ps(x); }
inline bool any(Mask m) { return _mm256_movemask_epi8((__m256i)m) != 0; }

// the 64-bit products of a constant and each lane, as high and low words
inline void multiply_wide(std::uint32_t constant, Word x, Word* high, Word* low) {
  const __m256i m = _mm256_set1_epi32(static_cast<int>(constant)), v = (__m256i)x;
  const __m256i even = _mm256_mul_epu32(v, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(v, 32), m);
  *high = (Word)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  *low = (Word)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

}  // namespace

#include "kernel/vec_power.h"
