#include "planning/anytime.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/pause.h"
#include "planning/k_best.h"

namespace mbmf {

namespace {

constexpr std::int64_t kMaxRecords = 4096;
constexpr Nanoseconds kCheckInterval = 50'000'000;

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

AnytimeRound::AnytimeRound(ThreadPool* pool, const Grain& grain, std::int64_t most, std::int64_t keep)
    : pool_(pool), call_(grain.chunk), threads_(static_cast<std::size_t>(pool->nthread())) {
  const std::int64_t smallest = grain.unit;
  const std::int64_t factor = (most + smallest * kMaxRecords - 1) / (smallest * kMaxRecords);
  unit_ = static_cast<int>(smallest * factor);
  most_records_ = (most + unit_ - 1) / unit_;
  per_record_ = keep == 0 ? unit_ : std::min<std::int64_t>(keep, unit_);
  sizes_ = {1, std::max(grain.tile / unit_, 1), std::max(grain.chunk / unit_, 1)};
  for (Thread& thread : threads_) {
    thread.costs.resize(static_cast<std::size_t>(std::max(unit_, grain.chunk)));
    thread.record.reserve(static_cast<std::size_t>(unit_));
  }
  slots_ = std::vector<Slot>(static_cast<std::size_t>(pool->nslot()));
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].round = this;
    slots_[i].number = static_cast<int>(i);
  }
  reserve(1);
}

void AnytimeRound::reserve(int njob) {
  for (Slot& slot : slots_) {
    if (slot.counts.size() >= static_cast<std::size_t>(njob)) continue;
    pool_->wait(slot.number);  // nobody reads what is replaced
    auto record = std::make_unique<Record[]>(static_cast<std::size_t>(njob * most_records_));
    auto entry = std::make_unique<Entry[]>(static_cast<std::size_t>(njob * most_records_ * per_record_));
    slot.first.resize(static_cast<std::size_t>(njob) + 1);
    slot.counts.resize(static_cast<std::size_t>(njob));  // last: it says for how many there is room
    slot.record = std::move(record);
    slot.entry = std::move(entry);
  }
}

// what sizes_[size] records take at most, from what was measured; 0 if nothing was
double AnytimeRound::expected(int thread, int size) const {
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
int AnytimeRound::size_in_time(int thread, Nanoseconds now, Nanoseconds stop) const {
  if (stop == kNever) {
    // the caller's thread looks up in between, whatever the horizon
    int size = kSizes - 1;
    if (!check_ || thread != 0) return size;
    while (size > 0 && expected(0, size) > static_cast<double>(kCheckInterval)) --size;
    return size;
  }
  const double left = static_cast<double>(stop - now);
  if (left <= 0) return -1;
  for (int size = kSizes - 1; size > 0; --size) {
    const double ns = expected(thread, size);
    if (ns > 0 && ns <= left) return size;
  }
  return expected(thread, 0) <= left ? 0 : -1;
}

// every record's own best, so that one evaluated twice holds the same both times
void AnytimeRound::keep_record(Slot& slot, std::int64_t record, Thread& thread) {
  std::vector<Scored>& scored = thread.record;
  std::int64_t n = static_cast<std::int64_t>(scored.size());
  if (slot.keep > 0 && slot.keep < n) n = sort_best(scored.data(), n, slot.keep);
  Entry* entry = slot.entry.get() + record * per_record_;
  for (std::int64_t i = 0; i < n; ++i) {
    entry[i].cost.store(scored[static_cast<std::size_t>(i)].cost, std::memory_order_relaxed);
    entry[i].position.store(static_cast<std::uint32_t>(scored[static_cast<std::size_t>(i)].position),
                            std::memory_order_relaxed);
  }
  slot.record[static_cast<std::size_t>(record)].size.store(static_cast<std::int32_t>(n),
                                                           std::memory_order_release);
  scored.clear();
}

// records of one job
void AnytimeRound::evaluate(Slot& slot, std::int64_t first, std::int64_t count, int number) {
  Thread& thread = threads_[static_cast<std::size_t>(number)];
  int job = 0;
  while (slot.first[static_cast<std::size_t>(job) + 1] <= first) ++job;
  const std::int64_t begin_record = slot.first[static_cast<std::size_t>(job)];
  const std::int64_t begin = (first - begin_record) * unit_;
  const std::int64_t end =
      std::min((first - begin_record + count) * unit_, slot.counts[static_cast<std::size_t>(job)]);
  std::int64_t record = first;
  thread.record.clear();
  for (std::int64_t done = begin; done < end; done += call_) {
    const int n = static_cast<int>(std::min<std::int64_t>(call_, end - done));
    slot.roll(slot.context, slot.number, job, done, n, number, thread.costs.data());
    for (int i = 0; i < n; ++i) {
      const double cost = thread.costs[static_cast<std::size_t>(i)];
      if (std::isfinite(cost)) thread.record.push_back({cost, done + i});
      const std::int64_t next = done + i + 1;
      if (next % unit_ != 0 && next != end) continue;
      keep_record(slot, record, thread);
      ++record;
    }
  }
}

// takes some records and evaluates them; false if there are none, or no time
bool AnytimeRound::take(Slot& slot, int thread) {
  const Nanoseconds begin = monotonic_now();
  const int size = size_in_time(thread, begin, slot.stop);
  if (size < 0) return false;
  std::int64_t first = slot.next.load(std::memory_order_relaxed), count;
  do {
    if (first >= slot.nrecord()) return false;
    int job = 0;
    while (slot.first[static_cast<std::size_t>(job) + 1] <= first) ++job;
    count = std::min<std::int64_t>(sizes_[static_cast<std::size_t>(size)], slot.grain);
    count = std::min(count, slot.first[static_cast<std::size_t>(job) + 1] - first);
  } while (!slot.next.compare_exchange_weak(first, first + count, std::memory_order_relaxed));
  evaluate(slot, first, count, thread);
  // what it took is known of the size that is nearest below
  int known = kSizes - 1;
  while (known > 0 && sizes_[static_cast<std::size_t>(known)] > count) --known;
  threads_[static_cast<std::size_t>(thread)].cost[static_cast<std::size_t>(known)].add(
      static_cast<double>(monotonic_now() - begin) * sizes_[static_cast<std::size_t>(known)] /
      static_cast<double>(count));
  return true;
}

// prefix: records done without a gap. A record that stays the first undone one for longer than it should take
// is evaluated again here.
void AnytimeRound::wait_for_prefix(Slot& slot, bool must) {
  std::int64_t prefix = 0;
  Nanoseconds waited_since = monotonic_now(), checked = waited_since;
  bool taking = true;
  for (;;) {
    const std::int64_t before = prefix;
    while (prefix < slot.nrecord() &&
           slot.record[static_cast<std::size_t>(prefix)].size.load(std::memory_order_acquire) >= 0) {
      ++prefix;
    }
    slot.prefix = prefix;
    const Nanoseconds now = monotonic_now();
    if (check_ && now - checked > kCheckInterval) {
      check_();
      checked = now;
    }
    if (prefix != before) waited_since = now;
    const std::int64_t taken = std::min(slot.next.load(std::memory_order_relaxed), slot.nrecord());
    if (!taking && prefix >= taken && (prefix > 0 || !must)) return;
    const bool in_time = slot.stop == kNever || size_in_time(0, now, slot.stop) >= 0;
    if (!in_time && (prefix > 0 || !must)) {
      // what is in flight may still end in time
      if (now >= slot.stop) return;
      taking = false;
    }
    const double waited = static_cast<double>(now - waited_since);
    const bool overdue = prefix < taken && waited > 3 * expected(0, kSizes - 1);
    if ((overdue && in_time && expected(0, 0) > 0) || (prefix == 0 && !in_time && must)) {
      evaluate(slot, prefix, 1, 0);
      threads_[0].cost[0].add(static_cast<double>(monotonic_now() - now));
    } else if (taking) {
      taking = take(slot, 0);
    } else {
      pause();
    }
  }
}

void AnytimeRound::run(int number, Roll roll, const void* context, const std::int64_t* counts, int njob,
                       std::int64_t keep, Nanoseconds stop, bool must) {
  Slot& slot = slots_[static_cast<std::size_t>(number)];
  slot.roll = roll;
  slot.context = context;
  slot.keep = keep;
  slot.njob = njob;
  slot.first[0] = 0;
  for (std::size_t job = 0; job < static_cast<std::size_t>(njob); ++job) {
    slot.counts[job] = counts[job];
    slot.first[job + 1] = slot.first[job] + (counts[job] + unit_ - 1) / unit_;
  }
  // a small round is shared out evenly
  const std::int64_t nrecord = slot.nrecord(), nthread = pool_->nthread(), most = sizes_[kSizes - 1];
  std::int64_t pieces = (nrecord + most - 1) / most;
  if (pieces < 4 * nthread) pieces = (pieces + nthread - 1) / nthread * nthread;
  slot.grain = std::clamp<std::int64_t>((nrecord + pieces - 1) / std::max<std::int64_t>(pieces, 1), 1, most);
  slot.stop = stop;
  slot.next.store(0, std::memory_order_relaxed);
  for (std::int64_t i = 0; i < nrecord; ++i) {
    slot.record[static_cast<std::size_t>(i)].size.store(-1, std::memory_order_relaxed);
  }
  pool_->open(
      number,
      [](const void* arg, int thread) {
        Slot& s = *static_cast<Slot*>(const_cast<void*>(arg));
        while (s.round->take(s, thread)) {
        }
      },
      &slot);
  try {
    wait_for_prefix(slot, must);
  } catch (...) {
    slot.next.store(nrecord, std::memory_order_relaxed);  // the other threads take no more
    pool_->close();
    throw;
  }
  pool_->close();
}

std::int64_t AnytimeRound::done(int number, int job) const {
  const Slot& slot = slots_[static_cast<std::size_t>(number)];
  const std::int64_t records = slot.prefix - slot.first[static_cast<std::size_t>(job)];
  return std::clamp<std::int64_t>(records * unit_, 0, slot.counts[static_cast<std::size_t>(job)]);
}

std::int64_t AnytimeRound::scored(int number, int job, Scored* out) const {
  const Slot& slot = slots_[static_cast<std::size_t>(number)];
  const std::int64_t end = std::min(slot.prefix, slot.first[static_cast<std::size_t>(job) + 1]);
  std::int64_t n = 0;
  for (std::int64_t i = slot.first[static_cast<std::size_t>(job)]; i < end; ++i) {
    const std::int32_t size = slot.record[static_cast<std::size_t>(i)].size.load(std::memory_order_acquire);
    const Entry* entry = slot.entry.get() + i * per_record_;
    for (std::int32_t k = 0; k < size; ++k) {
      out[n++] = {entry[k].cost.load(std::memory_order_relaxed),
                  static_cast<std::int64_t>(entry[k].position.load(std::memory_order_relaxed))};
    }
  }
  return n;
}

}  // namespace mbmf
