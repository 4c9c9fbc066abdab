#include "planning/anytime_search.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/pause.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMaxRecords = 4096;

}  // namespace

Nanoseconds monotonic_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void CostEstimate::add(double ns) {
  if (mean_ == 0) {
    mean_ = ns;
    deviation_ = ns / 8;
    return;
  }
  const double x = std::min(ns, 4 * mean_);
  deviation_ += (std::abs(x - mean_) - deviation_) / 8;
  mean_ += (x - mean_) / 8;
}

AnytimeSearch::AnytimeSearch(ThreadPool* pool, std::int64_t candidates, int chunk, int tile)
    : pool_(pool), call_(chunk), threads_(static_cast<std::size_t>(pool->nthread())) {
  const std::int64_t half = std::max(tile / 2, 1);  // one vector of candidates
  const std::int64_t factor = (candidates + half * kMaxRecords - 1) / (half * kMaxRecords);
  unit_ = static_cast<int>(half * factor);
  sizes_ = {1, std::max(tile / unit_, 1), std::max(chunk / unit_, 1)};
  for (Thread& thread : threads_) thread.costs.resize(static_cast<std::size_t>(std::max(unit_, chunk)));
  slots_ = std::vector<Slot>(static_cast<std::size_t>(pool->nslot()));
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].search = this;
    slots_[i].number = static_cast<int>(i);
    slots_[i].record = std::make_unique<Record[]>(static_cast<std::size_t>((candidates + unit_ - 1) / unit_));
  }
}

// what sizes_[size] records take at most, from what was measured; 0 if nothing was
double AnytimeSearch::expected(int thread, int size) const {
  const auto& cost = threads_[static_cast<std::size_t>(thread)].cost;
  const auto at = static_cast<std::size_t>(size);
  double ns = 0;
  for (std::size_t i = 0; i < kSizes; ++i) {
    // fewer records take less, more of them in proportion
    if (!cost[i].known() || (i < at && ns > 0)) continue;
    const double bound = i < at ? cost[i].bound() * sizes_[at] / sizes_[i] : cost[i].bound();
    ns = i > at && ns > 0 ? std::min(ns, bound) : bound;
  }
  return ns;
}

// the largest size that ends before `stop`, or -1
int AnytimeSearch::size_in_time(int thread, Nanoseconds now, Nanoseconds stop) const {
  if (stop == kNever) return kSizes - 1;
  const double left = static_cast<double>(stop - now);
  if (left <= 0) return -1;
  for (int size = kSizes - 1; size > 0; --size) {
    const double ns = expected(thread, size);
    if (ns > 0 && ns <= left) return size;
  }
  return expected(thread, 0) <= left ? 0 : -1;
}

// every record's own best, so that one evaluated twice holds the same both times
void AnytimeSearch::evaluate(Slot& slot, std::int64_t first, std::int64_t count, int thread) {
  float* costs = threads_[static_cast<std::size_t>(thread)].costs.data();
  const std::int64_t begin = first * unit_, end = std::min((first + count) * unit_, slot.candidates);
  std::int64_t record = first;
  BestCandidate best;
  for (std::int64_t done = begin; done < end; done += call_) {
    const int n = static_cast<int>(std::min<std::int64_t>(call_, end - done));
    slot.roll(slot.context, slot.number, done, n, thread, costs);
    for (int i = 0; i < n; ++i) {
      best.take(costs[i], static_cast<std::uint32_t>(done + i));
      const std::int64_t next = done + i + 1;
      if (next % unit_ != 0 && next != end) continue;
      slot.record[static_cast<std::size_t>(record)].cost.store(static_cast<float>(best.cost),
                                                               std::memory_order_relaxed);
      slot.record[static_cast<std::size_t>(record)].candidate.store(best.candidate,
                                                                    std::memory_order_relaxed);
      slot.record[static_cast<std::size_t>(record)].done.store(1, std::memory_order_release);
      best = {};
      ++record;
    }
  }
}

// takes some records and evaluates them; false if there are none, or no time
bool AnytimeSearch::take(Slot& slot, int thread) {
  const Nanoseconds begin = monotonic_now();
  const int size = size_in_time(thread, begin, slot.stop);
  if (size < 0) return false;
  std::int64_t first = slot.next.load(std::memory_order_relaxed), count;
  do {
    if (first >= slot.nrecord) return false;
    count = std::min<std::int64_t>(sizes_[static_cast<std::size_t>(size)], slot.nrecord - first);
  } while (!slot.next.compare_exchange_weak(first, first + count, std::memory_order_relaxed));
  evaluate(slot, first, count, thread);
  if (count == sizes_[static_cast<std::size_t>(size)]) {
    threads_[static_cast<std::size_t>(thread)].cost[static_cast<std::size_t>(size)].add(
        static_cast<double>(monotonic_now() - begin));
  }
  return true;
}

AnytimeSearch::Result AnytimeSearch::run(int number, Roll roll, const void* context, std::int64_t candidates,
                                         Nanoseconds stop) {
  Slot& slot = slots_[static_cast<std::size_t>(number)];
  slot.roll = roll;
  slot.context = context;
  slot.candidates = candidates;
  slot.nrecord = (candidates + unit_ - 1) / unit_;
  slot.stop = stop;
  slot.next.store(0, std::memory_order_relaxed);
  for (std::int64_t i = 0; i < slot.nrecord; ++i) {
    slot.record[static_cast<std::size_t>(i)].done.store(0, std::memory_order_relaxed);
  }
  pool_->open(
      number,
      [](const void* arg, int thread) {
        Slot& s = *static_cast<Slot*>(const_cast<void*>(arg));
        while (s.search->take(s, thread)) {
        }
      },
      &slot);

  // prefix: records done without a gap. A record that stays the first undone one for longer than it should
  // take is evaluated again here.
  Result result;
  std::int64_t prefix = 0;
  Nanoseconds waited_since = monotonic_now();
  bool taking = true;
  for (;;) {
    const std::int64_t before = prefix;
    while (prefix < slot.nrecord &&
           slot.record[static_cast<std::size_t>(prefix)].done.load(std::memory_order_acquire) != 0) {
      const Record& record = slot.record[static_cast<std::size_t>(prefix)];
      result.best.take(record.cost.load(std::memory_order_relaxed),
                       record.candidate.load(std::memory_order_relaxed));
      ++prefix;
    }
    const Nanoseconds now = monotonic_now();
    if (prefix != before) waited_since = now;
    const std::int64_t taken = std::min(slot.next.load(std::memory_order_relaxed), slot.nrecord);
    if (!taking && prefix >= taken && prefix > 0) break;
    const bool in_time = stop == kNever || size_in_time(0, now, stop) >= 0;
    if (!in_time && prefix > 0) {
      // what is in flight may still end in time
      if (now >= stop) break;
      taking = false;
    }
    const double waited = static_cast<double>(now - waited_since);
    const bool overdue = prefix < taken && waited > 3 * expected(0, kSizes - 1);
    if ((overdue && in_time && expected(0, 0) > 0) || (prefix == 0 && !in_time)) {
      evaluate(slot, prefix, 1, 0);
      threads_[0].cost[0].add(static_cast<double>(monotonic_now() - now));
    } else if (taking) {
      taking = take(slot, 0);
    } else {
      pause();
    }
  }
  pool_->close();
  result.done = std::min(prefix * unit_, candidates);
  return result;
}

}  // namespace mbmf
