// A search over candidates that ends before a deadline, whose result is the best of candidates 0 .. n - 1.
//
// Candidates are cut into records of equal size. Threads take some at a time, in order, as long as what they
// take is expected to end in time (by the measured cost), so the records done are a prefix but for those in
// flight. The caller waits for nobody past the deadline: it evaluates again what a thread that lost its CPU
// holds up, and leaves that thread behind in a slot of the pool (ThreadPool::reserve). Since a candidate's
// cost does not depend on its neighbours, the result is that of a search over exactly n candidates. Takes no
// lock and allocates nothing once made.

#ifndef MBMF_SRC_PLANNING_ANYTIME_SEARCH_H_
#define MBMF_SRC_PLANNING_ANYTIME_SEARCH_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "mbmf/base/thread_pool.h"
#include "planning/best_candidate.h"

namespace mbmf {

// Nanoseconds of the monotonic clock (std::chrono::steady_clock).
using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds kNever = std::numeric_limits<Nanoseconds>::max();
Nanoseconds monotonic_now();

// What a piece of work takes: running mean and mean deviation, as of round-trip times in RFC 6298. A single
// measurement counts for at most four times the mean, since it may hold the time that others had the CPU.
class CostEstimate {
 public:
  void add(double ns);
  bool known() const { return mean_ > 0; }
  double mean() const { return mean_; }
  double bound() const { return mean_ + 4 * deviation_; }  // rarely exceeded

 private:
  double mean_ = 0, deviation_ = 0;
};

class AnytimeSearch {
 public:
  // Costs of candidates first .. first + count - 1 by a thread of the pool, from the data of a slot.
  using Roll = void (*)(const void* context, int slot, std::int64_t first, int count, int thread,
                        float* costs);

  // candidates: at most; chunk, tile: candidates of one call, and of the vectors of one call.
  AnytimeSearch(ThreadPool* pool, std::int64_t candidates, int chunk, int tile);
  AnytimeSearch(const AnytimeSearch&) = delete;
  AnytimeSearch& operator=(const AnytimeSearch&) = delete;

  struct Result {
    BestCandidate best;     // its cost is infinite if none is finite
    std::int64_t done = 0;  // candidates searched: 0 .. done - 1
  };

  // Searches candidates 0 .. candidates - 1, at least one record of them, until `stop`. `slot`: of
  // ThreadPool::reserve; what roll reads must stay until the slot is reserved again.
  Result run(int slot, Roll roll, const void* context, std::int64_t candidates, Nanoseconds stop);

  // The fewest candidates of a search, and the time that they take at most, rarely more; 0 before the first.
  int fewest() const { return unit_; }
  double fewest_ns() const { return expected(0, 0); }

 private:
  struct Record {
    std::atomic<float> cost;
    std::atomic<std::uint32_t> candidate;
    std::atomic<std::uint8_t> done;
  };
  static constexpr int kSizes = 3;
  struct alignas(64) Thread {
    std::array<CostEstimate, kSizes> cost;  // of taking sizes_[i] records
    std::vector<float> costs;               // of the candidates of one call
  };
  struct alignas(64) Slot {
    AnytimeSearch* search;
    int number;
    Roll roll;
    const void* context;
    std::int64_t candidates;
    std::int64_t nrecord;
    Nanoseconds stop;
    std::atomic<std::int64_t> next;  // first record that nobody took
    std::unique_ptr<Record[]> record;
  };

  double expected(int thread, int size) const;
  int size_in_time(int thread, Nanoseconds now, Nanoseconds stop) const;
  void evaluate(Slot& slot, std::int64_t first, std::int64_t count, int thread);
  bool take(Slot& slot, int thread);

  ThreadPool* pool_;
  int unit_;                       // candidates of a record
  int call_;                       // candidates of one call of roll, at most
  std::array<int, kSizes> sizes_;  // records taken at once, smallest first
  std::vector<Thread> threads_;
  std::vector<Slot> slots_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_ANYTIME_SEARCH_H_
