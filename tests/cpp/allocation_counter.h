// Counts the test program's calls of operator new and of pthread_mutex_lock, in all threads, and makes one of
// the former fail.

#ifndef MBMF_TESTS_ALLOCATION_COUNTER_H_
#define MBMF_TESTS_ALLOCATION_COUNTER_H_

#include <cstddef>

namespace mbmf {

std::size_t allocation_count();
std::size_t allocated_bytes();  // in all, freed ones included
std::size_t lock_count();       // 0 under sanitizers, which take locks of their own

// This thread's allocation after so many more (0: the next) fails, once; less than 0: none does.
void fail_allocation(int after);

}  // namespace mbmf

#endif  // MBMF_TESTS_ALLOCATION_COUNTER_H_
