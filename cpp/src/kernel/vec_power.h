// Powers of two on vectors of instruction sets that have none: included by their headers.

#ifndef MBMF_KERNEL_VEC_POWER_H_
#define MBMF_KERNEL_VEC_POWER_H_

namespace {

// y as n + f, |f| <= 1/2: returns n, an integer; y beyond [-126, 127] counts as the nearest bound
inline Vec split_power(Vec y, Vec* f) {
  y = y < 127.0f ? y : broadcast(127.0f);
  y = y > -126.0f ? y : broadcast(-126.0f);
  const Vec n = (y + 12582912.0f) - 12582912.0f;  // rounds to an integer
  *f = y - n;
  return n;
}

// p 2^n, p near 1
inline Vec times_power(Vec p, Vec n) { return (Vec)((Mask)p + (__builtin_convertvector(n, Mask) << 23)); }

}  // namespace

#endif  // MBMF_KERNEL_VEC_POWER_H_
