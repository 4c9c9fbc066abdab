// Vectors of four floats on any machine: what the kernels need beyond the compiler's vector operators.

#include <cstdint>

namespace {

constexpr int kLanes = 4;     // floats of a vector
constexpr int kRowBlock = 6;  // 12 accumulators of 16 registers

typedef float Vec __attribute__((vector_size(16)));
typedef std::int32_t Mask __attribute__((vector_size(16)));
typedef std::uint32_t Word __attribute__((vector_size(16)));

inline Vec broadcast(float x) { return Vec{x, x, x, x}; }
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline float fma(float a, float b, float c) { return a * b + c; }
inline Vec relu(Vec x) { return x < 0.0f ? Vec{} : x; }  // keeps NaN
inline Vec square_root(Vec x) {
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
inline bool any(Mask m) { return (m[0] | m[1] | m[2] | m[3]) != 0; }

// the 64-bit products of a constant and each lane, as high and low words
inline void multiply_wide(std::uint32_t constant, Word x, Word* high, Word* low) {
  for (int i = 0; i < kLanes; ++i) {
    const std::uint64_t product = std::uint64_t{constant} * x[i];
    (*high)[i] = static_cast<std::uint32_t>(product >> 32);
    (*low)[i] = static_cast<std::uint32_t>(product);
  }
}

}  // namespace

#include "kernel/vec_power.h"
