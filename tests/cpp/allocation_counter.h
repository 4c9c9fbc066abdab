// Counts the test program's calls of operator new, in all threads.

#ifndef MBMF_TESTS_ALLOCATION_COUNTER_H_
#define MBMF_TESTS_ALLOCATION_COUNTER_H_

#include <cstddef>

namespace mbmf {

std::size_t allocation_count();
std::size_t allocated_bytes();  // in all, freed ones included

}  // namespace mbmf

#endif  // MBMF_TESTS_ALLOCATION_COUNTER_H_
