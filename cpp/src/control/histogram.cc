#include "mbmf/control/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace mbmf {

// values below 2^(kBits + 1) have a bucket each; above, the kBits bits after the leading one choose
int Histogram::bucket(std::int64_t ns) {
  const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0));
  const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kBits - 1);
  const int at = (shift << kBits) + static_cast<int>(value >> shift);
  return std::min(at, ((kPowers + 1) << kBits) - 1);
}

double Histogram::middle(int bucket) {
  const int shift = std::max(0, (bucket >> kBits) - 1);
  const int digits = bucket - (shift << kBits);
  return std::ldexp(static_cast<double>(digits) + (shift > 0 ? 0.5 : 0.0), shift);
}

void Histogram::record(std::int64_t ns) {
  // one thread writes, so that a plain addition loses nothing
  const auto add = [](std::atomic<std::int64_t>& to, std::int64_t x) {
    to.store(to.load(std::memory_order_relaxed) + x, std::memory_order_relaxed);
  };
  ns = std::max<std::int64_t>(ns, 0);
  add(counts_[static_cast<std::size_t>(bucket(ns))], 1);
  add(sum_, ns);
  if (ns > max_.load(std::memory_order_relaxed)) max_.store(ns, std::memory_order_relaxed);
}

void Histogram::clear() {
  for (auto& count : counts_) count.store(0, std::memory_order_relaxed);
  max_.store(0, std::memory_order_relaxed);
  sum_.store(0, std::memory_order_relaxed);
}

Quantiles Histogram::quantiles() const {
  Quantiles q;
  std::array<std::int64_t, (kPowers + 1) << kBits> counts;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i] = counts_[i].load(std::memory_order_relaxed);
    q.count += counts[i];
  }
  if (q.count == 0) return q;
  const double max = static_cast<double>(max_.load(std::memory_order_relaxed));
  q.max = 1e-9 * max;
  q.mean = 1e-9 * static_cast<double>(sum_.load(std::memory_order_relaxed)) / static_cast<double>(q.count);
  const auto quantile = [&](double share) {
    const auto rank = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(q.count)));
    std::int64_t seen = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      seen += counts[i];
      if (seen >= rank) return 1e-9 * std::min(middle(static_cast<int>(i)), max);
    }
    return q.max;
  };
  q.p50 = quantile(0.5);
  q.p99 = quantile(0.99);
  q.p999 = quantile(0.999);
  return q;
}

}  // namespace mbmf
