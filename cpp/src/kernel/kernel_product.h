// Products of matrices that are kept by rows, on the vectors of the instruction set that includes this file.
//
// Twelve or six rows of the result by two vectors stay in registers, as in a tile of candidates
// (kernel_network.h); nothing is packed, as what is multiplied here is in cache.

#ifndef MBMF_KERNEL_PRODUCT_H_
#define MBMF_KERNEL_PRODUCT_H_

#include "kernel/kernel_math.h"

namespace {

using mbmf::kernel::Factors;
using mbmf::kernel::group_count;
using mbmf::kernel::group_rows;
using mbmf::kernel::Product;

// vectors that need no alignment
typedef float LooseVec __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
inline Vec load_loose(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }

// the first n of a vector, and zeros
inline Vec load_first(const float* p, int n) {
  if (n >= kLanes) return load_loose(p);
  alignas(64) float some[kLanes] = {};
  for (int i = 0; i < n; ++i) some[i] = p[i];
  return load(some);
}

// acc += R rows of a times V vectors of columns of b. Three rows share a pointer: twelve would not fit.
template <int R, int V, bool kAdjacent>
inline __attribute__((always_inline)) void multiply_add(const Factors& f, int row, int col,
                                                        Vec (&acc)[R][V]) {
  const std::ptrdiff_t step = kAdjacent ? 1 : f.a_row;
  const float* a[(R + 2) / 3];
#pragma GCC unroll 4
  for (int i = 0; i < (R + 2) / 3; ++i) a[i] = f.a + (row + 3 * i) * step;
  const float* b = f.b + col;
  for (int k = 0; k < f.inner; ++k) {
    Vec in[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) in[v] = load_loose(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = broadcast(a[r / 3][(r % 3) * step]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[r][v] = fma(x, in[v], acc[r][v]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < (R + 2) / 3; ++i) a[i] += f.a_inner;
    b += f.b_row;
  }
}

template <int R, int V>
void product_part(const Product& p, int row, int col) {
  Vec acc[R][V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) {
    const Vec start = p.start != nullptr ? load_loose(p.start + col + v * kLanes) : Vec{};
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[r][v] = start;
  }
  for (int i = 0; i < p.nfactors; ++i) {
    const Factors& f = p.factors[i];
    if (f.a_row == 1) {
      multiply_add<R, V, true>(f, row, col, acc);
    } else {
      multiply_add<R, V, false>(f, row, col, acc);
    }
  }
  if (p.y != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        const int at = col + v * kLanes;
        const Vec y = load_first(p.y + static_cast<std::int64_t>(row + r) * p.ny + at, p.ny - at);
        acc[r][v] = acc[r][v] * (1.0f - y * y);
      }
    }
  }
  float* out = p.out + row * p.out_row + col;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(out + r * p.out_row + v * kLanes, acc[r][v]);
  }
}

using ProductPart = void (*)(const Product&, int, int);

// the function for `rows` rows, 1 to kRowBlock
template <int V, int R = kRowBlock>
ProductPart product_function(int rows) {
  if constexpr (R > 1) {
    if (rows < R) return product_function<V, R - 1>(rows);
  }
  return product_part<R, V>;
}

void product(const Product* p) {
  constexpr int kLine = 16;  // floats of a cache line
  const int groups = group_count(p->rows, kRowBlock);
  const std::int64_t lines = (p->nahead + kLine - 1) / kLine,
                     parts = groups * ((p->cols + kTile - 1) / kTile);
  std::int64_t part = 0;
  for (int col = 0; col < p->cols; col += kTile) {
    const bool wide = p->cols - col >= kTile;
    for (int g = 0, row = 0; g < groups; ++g) {
      const int rows = group_rows(p->rows, groups, g);
      // a share of the lines with each part: all at once would have to wait for each other
      for (std::int64_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line) {
        __builtin_prefetch(p->ahead + line * kLine, 0, 2);
      }
      ++part;
      (wide ? product_function<2>(rows) : product_function<1>(rows))(*p, row, col);
      row += rows;
    }
  }
}

}  // namespace

#endif  // MBMF_KERNEL_PRODUCT_H_
