#ifndef MBMF_TESTS_INFINITY_H_
#define MBMF_TESTS_INFINITY_H_

#include <limits>

namespace mbmf {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace mbmf

#endif  // MBMF_TESTS_INFINITY_H_
