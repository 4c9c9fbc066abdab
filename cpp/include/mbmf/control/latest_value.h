// The latest value from one thread to another; neither ever waits for the other.
//
// Three buffers: one that the producer fills, one that the consumer reads, and one between them. A value that
// the consumer did not fetch is replaced by the next. One producer, one consumer; no lock, no allocation.

#ifndef MBMF_CONTROL_LATEST_VALUE_H_
#define MBMF_CONTROL_LATEST_VALUE_H_

#include <array>
#include <atomic>
#include <cstdint>

namespace mbmf {

template <typename T>
class LatestValue {
 public:
  // All buffers start as copies of `initial`, with whatever memory it has.
  explicit LatestValue(const T& initial) : buffers_{initial, initial, initial} {}

  // Producer: fill back(), then publish().
  T& back() { return buffers_[back_]; }
  void publish() { back_ = middle_.exchange(back_ | kNew, std::memory_order_acq_rel) & kIndex; }

  // Consumer: update() fetches the latest value, if there is one that was not fetched yet, and says so;
  // front() is the last one fetched, at first the initial one.
  bool update() {
    if ((middle_.load(std::memory_order_relaxed) & kNew) == 0) return false;
    front_ = middle_.exchange(front_, std::memory_order_acq_rel) & kIndex;
    return true;
  }
  const T& front() const { return buffers_[front_]; }

 private:
  static constexpr std::uint32_t kIndex = 3, kNew = 4;
  std::array<T, 3> buffers_;
  alignas(64) std::uint32_t back_ = 0;
  alignas(64) std::uint32_t front_ = 1;
  alignas(64) std::atomic<std::uint32_t> middle_{2};
};

}  // namespace mbmf

#endif  // MBMF_CONTROL_LATEST_VALUE_H_
