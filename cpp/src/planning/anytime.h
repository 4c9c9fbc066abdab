// A round of candidates on all threads, which ends before a deadline: what was rolled is positions 0 .. n
// - 1.
//
// Candidates are cut into records of equal size. Threads take some at a time, in order, as long as what they
// take is expected to end in time (by the measured cost), so the records done are a prefix but for those in
// flight. The caller waits for nobody past the deadline: it evaluates again what a thread that lost its CPU
// holds up, and leaves that thread behind in a slot of the pool (ThreadPool::reserve). Since a candidate's
// cost does not depend on its neighbours, the result is that of a round of exactly n candidates. Takes no
// lock and allocates nothing once made.

#ifndef MBMF_SRC_PLANNING_ANYTIME_H_
#define MBMF_SRC_PLANNING_ANYTIME_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "mbmf/base/thread_pool.h"
#include "mbmf/planning/search.h"
#include "planning/roller.h"

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

class AnytimeRound {
 public:
  // Costs of positions first .. first + count - 1 of a job by a thread of the pool, from the data of a slot.
  using Roll = void (*)(const void* context, int slot, int job, std::int64_t first, int count, int thread,
                        double* costs);

  // most: candidates of a job, at most; keep: of the best of a record, at most, 0: all.
  AnytimeRound(ThreadPool* pool, const Grain& grain, std::int64_t most, std::int64_t keep);
  AnytimeRound(const AnytimeRound&) = delete;
  AnytimeRound& operator=(const AnytimeRound&) = delete;

  // Called on the caller's thread about twenty times a second while a round runs; what it throws ends the
  // round.
  void set_check(std::function<void()> check) { check_ = std::move(check); }

  // Makes room for so many jobs a round; 1 at first.
  void reserve(int njob);

  // Rolls candidates 0 .. count - 1 of each job until `stop`; at least one record of them all if `must`.
  // `slot`: of ThreadPool::reserve; what `roll` reads must stay until the slot is reserved again. What `roll`
  // throws on the caller's thread comes out.
  void run(int slot, Roll roll, const void* context, const std::int64_t* counts, int njob, std::int64_t keep,
           Nanoseconds stop, bool must);

  // Of the slot's last run: how many of a job's candidates were rolled; and of those with a finite cost the
  // `keep` best of each record, record by record, or all in order. Returns how many: at most `room()`.
  std::int64_t done(int slot, int job) const;
  std::int64_t scored(int slot, int job, Scored* out) const;
  std::int64_t room() const { return most_records_ * per_record_; }

  // The fewest candidates of a round.
  int fewest() const { return unit_; }

 private:
  struct Entry {
    std::atomic<double> cost;
    std::atomic<std::uint32_t> position;
  };
  struct Record {
    std::atomic<std::int32_t> size;  // entries; below 0: not done
  };
  static constexpr int kSizes = 3;
  struct alignas(64) Thread {
    std::array<CostEstimate, kSizes> cost;  // of taking sizes_[i] records
    std::vector<double> costs;              // of the candidates of one call
    std::vector<Scored> record;             // of one record
  };
  struct alignas(64) Slot {
    AnytimeRound* round;
    int number;
    Roll roll;
    const void* context;
    std::int64_t keep;
    std::vector<std::int64_t> counts, first;  // by job: candidates; first record, and one past the last
    int njob;
    std::int64_t grain;  // records taken at once, at most
    Nanoseconds stop;
    std::atomic<std::int64_t> next;  // first record that nobody took
    std::unique_ptr<Record[]> record;
    std::unique_ptr<Entry[]> entry;  // per_record_ of each
    std::int64_t prefix;             // records done without a gap, after the run

    std::int64_t nrecord() const { return first[static_cast<std::size_t>(njob)]; }
  };

  double expected(int thread, int size) const;
  int size_in_time(int thread, Nanoseconds now, Nanoseconds stop) const;
  void keep_record(Slot& slot, std::int64_t record, Thread& thread);
  void evaluate(Slot& slot, std::int64_t first, std::int64_t count, int thread);
  bool take(Slot& slot, int thread);
  void wait_for_prefix(Slot& slot, bool must);

  ThreadPool* pool_;
  std::function<void()> check_;
  int unit_;  // candidates of a record
  int call_;  // candidates of one call of roll, at most
  std::int64_t most_records_;
  std::int64_t per_record_;        // entries
  std::array<int, kSizes> sizes_;  // records taken at once, smallest first
  std::vector<Thread> threads_;
  std::vector<Slot> slots_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_ANYTIME_H_
