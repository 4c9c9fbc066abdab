// Counts of durations, from which quantiles are read, to 1 %.
//
// Buckets grow with the value: 64 to each power of two of nanoseconds. One thread records; any thread reads
// at any time, and may then miss what is recorded meanwhile. Recording takes no lock and allocates nothing.

#ifndef MBMF_CONTROL_HISTOGRAM_H_
#define MBMF_CONTROL_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <cstdint>

namespace mbmf {

struct Quantiles {
  std::int64_t count = 0;
  double mean = 0, p50 = 0, p99 = 0, p999 = 0, max = 0;  // seconds; 0 where nothing was recorded
};

class Histogram {
 public:
  Histogram() = default;
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  void record(std::int64_t ns);  // below 0 counts as 0
  void clear();
  Quantiles quantiles() const;

 private:
  static constexpr int kBits = 6, kPowers = 40;  // up to 2^46 ns, 20 hours
  static int bucket(std::int64_t ns);
  static double middle(int bucket);

  std::array<std::atomic<std::int64_t>, (kPowers + 1) << kBits> counts_{};
  std::atomic<std::int64_t> max_{0}, sum_{0};
};

}  // namespace mbmf

#endif  // MBMF_CONTROL_HISTOGRAM_H_
