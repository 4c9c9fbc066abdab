// What the searches share: one file each, and a line in search_registry.cc.

#ifndef MBMF_SRC_PLANNING_SEARCHES_H_
#define MBMF_SRC_PLANNING_SEARCHES_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "mbmf/planning/search.h"

namespace mbmf {

using SearchValues = std::map<std::string, double>;

SearchKind random_shooting_kind();
SearchKind cem_kind();
SearchKind icem_kind();
SearchKind mppi_kind();

inline std::size_t sequence_size(const PlanShape& shape) {
  return static_cast<std::size_t>(shape.horizon) * static_cast<std::size_t>(shape.naction);
}

// "execute" as an option: best 0, mean 1.
SearchOption execute_option(bool mean);
SearchOption rounds_option(int rounds);
// sigma of the candidates; the half width of an action is 1
SearchOption deviation_option(double deviation);

// A sequence (horizon, naction) `steps` later: its first rows go, and zeros, or its last row, come.
void shift_sequence(const float* sequence, const PlanShape& shape, std::uint64_t steps, bool zeros,
                    float* shifted);

// mean <- keep * mean + (1 - keep) * mean of n sequences; spread likewise, of their population variances or
// (`root`) deviations. mean, spread (size); sequences (n, size). Sums in float64, in order.
void refit(const std::vector<const float*>& sequences, std::size_t size, double keep, bool root, float* mean,
           float* spread);

// (horizon, horizon): what makes unit normals over time noise of spectrum 1 / f^exponent (Timmer and Koenig
// 1995, scaled as iCEM does: its deviation is a little above 1). exponent above 0, horizon at least 2.
std::vector<float> colour_matrix(int horizon, double exponent);
SearchOption colour_option(double colour);
// Throws std::invalid_argument where colour has no meaning, or the matrix no room.
std::vector<float> make_colour(const PlanShape& shape, double exponent);

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_SEARCHES_H_
