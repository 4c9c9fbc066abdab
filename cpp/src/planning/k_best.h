// The k best of some candidates.

#ifndef MBMF_SRC_PLANNING_K_BEST_H_
#define MBMF_SRC_PLANNING_K_BEST_H_

#include <algorithm>

#include "mbmf/planning/search.h"

namespace mbmf {

// Ties go to the lowest position.
inline bool better(const Scored& a, const Scored& b) {
  return a.cost < b.cost || (a.cost == b.cost && a.position < b.position);
}

// Moves the k best to the front, best first; returns how many there are. Does not allocate.
inline std::int64_t sort_best(Scored* scored, std::int64_t n, std::int64_t k) {
  k = std::min(k, n);
  if (k == 1) {
    std::iter_swap(scored, std::min_element(scored, scored + n, better));
  } else {
    std::partial_sort(scored, scored + k, scored + n, better);
  }
  return k;
}

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_K_BEST_H_
