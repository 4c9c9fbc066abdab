// Vectors of four floats with NEON on AArch64.

#include <arm_neon.h>

#include <cstdint>

namespace {

constexpr int kLanes = 4;      // floats of a vector
constexpr int kRowBlock = 12;  // 24 accumulators of 32 registers

typedef float Vec __attribute__((vector_size(16)));
typedef std::int32_t Mask __attribute__((vector_size(16)));
typedef std::uint32_t Word __attribute__((vector_size(16)));

inline Vec broadcast(float x) { return (Vec)vdupq_n_f32(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline Vec relu(Vec x) { return (Vec)vmaxq_f32(vdupq_n_f32(0.0f), (float32x4_t)x); }  // keeps NaN
inline Vec square_root(Vec x) { return (Vec)vsqrtq_f32((float32x4_t)x); }
inline bool any(Mask m) { return vmaxvq_u32((uint32x4_t)m) != 0; }

// the 64-bit products of a constant and each lane, as high and low words
inline void multiply_wide(std::uint32_t constant, Word x, Word* high, Word* low) {
  const uint32x2_t m = vdup_n_u32(constant);
  const uint64x2_t first = vmull_u32(vget_low_u32((uint32x4_t)x), m);
  const uint64x2_t second = vmull_u32(vget_high_u32((uint32x4_t)x), m);
  *high = (Word)vcombine_u32(vshrn_n_u64(first, 32), vshrn_n_u64(second, 32));
  *low = (Word)vcombine_u32(vmovn_u64(first), vmovn_u64(second));
}

}  // namespace

#include "kernel/vec_power.h"
