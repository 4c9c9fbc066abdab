#include "control/step_log.h"

#include <algorithm>

namespace mbmf {

namespace {

// only one thread writes
void raise(std::atomic<std::int64_t>* count, std::int64_t by) {
  count->store(count->load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

void StepLog::clear() {
  for (auto* count : {&steps_, &planned_, &held_, &safe_, &waiting_, &late_, &skipped_, &stale_, &future_,
                      &bad_state_, &no_plan_, &candidates_, &fewest_, &most_}) {
    count->store(0);
  }
  for (Histogram* histogram : {&period_, &compute_, &jitter_, &age_}) histogram->clear();
}

void StepLog::skip(std::int64_t ticks) { raise(&skipped_, ticks); }

void StepLog::add(const StepRecord& record, TimePoint woke) {
  const std::int64_t count = steps_.load(std::memory_order_relaxed);
  ring_[static_cast<std::size_t>(count) % ring_.size()] = record;
  latest_.back() = record;
  latest_.publish();
  jitter_.record(record.wake_ns);
  compute_.record(record.compute_ns);
  if (record.fault != Fault::kNoState) age_.record(record.age_ns);
  if (count > 0) period_.record((woke - woke_before_).count());
  woke_before_ = woke;
  raise(record.kind == StepKind::kPlanned ? &planned_ : record.kind == StepKind::kHeld ? &held_ : &safe_, 1);
  if (record.fault == Fault::kNoState) raise(&waiting_, 1);
  if (record.fault == Fault::kLatePlan) raise(&late_, 1);
  if (record.fault == Fault::kStaleState) raise(&stale_, 1);
  if (record.fault == Fault::kFutureState) raise(&future_, 1);
  if (record.fault == Fault::kBadState) raise(&bad_state_, 1);
  if (record.fault == Fault::kNoPlan) raise(&no_plan_, 1);
  if (record.kind == StepKind::kPlanned) {
    raise(&candidates_, record.candidates);
    const std::int64_t least = fewest_.load(std::memory_order_relaxed);
    fewest_.store(least == 0 ? record.candidates : std::min(least, record.candidates),
                  std::memory_order_relaxed);
    most_.store(std::max(most_.load(std::memory_order_relaxed), record.candidates),
                std::memory_order_relaxed);
  }
  steps_.store(count + 1, std::memory_order_release);
}

ControllerStatistics StepLog::statistics() const {
  ControllerStatistics s;
  s.steps = steps_.load(std::memory_order_acquire);
  s.planned = planned_.load();
  s.held = held_.load();
  s.safe = safe_.load();
  s.waiting = waiting_.load();
  s.late = late_.load();
  s.skipped = skipped_.load();
  s.stale = stale_.load();
  s.future = future_.load();
  s.bad_state = bad_state_.load();
  s.no_plan = no_plan_.load();
  s.candidates = candidates_.load();
  s.fewest = fewest_.load();
  s.most = most_.load();
  s.period = period_.quantiles();
  s.compute = compute_.quantiles();
  s.jitter = jitter_.quantiles();
  s.age = age_.quantiles();
  return s;
}

StepRecord StepLog::last() {
  latest_.update();
  return latest_.front();
}

std::vector<StepRecord> StepLog::records() const {
  const std::int64_t steps = steps_.load(), size = static_cast<std::int64_t>(ring_.size());
  std::vector<StepRecord> records;
  for (std::int64_t i = std::max<std::int64_t>(0, steps - size); i < steps; ++i) {
    records.push_back(ring_[static_cast<std::size_t>(i % size)]);
  }
  return records;
}

}  // namespace mbmf
