// A pool of threads that run one parallel loop at a time.
//
// The caller's thread takes part, so a pool of n threads keeps n - 1 workers. Starting a loop takes no lock
// and allocates nothing: workers wait on an atomic. One loop runs at a time; calls from several threads are
// not allowed.

#ifndef MBMF_THREAD_POOL_H_
#define MBMF_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace mbmf {

class ThreadPool {
 public:
  // nthread: threads including the caller's; 0: one for every CPU that the process may use. More than there
  // are CPUs is allowed. Throws std::invalid_argument if negative or above 1024.
  explicit ThreadPool(int nthread);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int nthread() const { return nthread_; }

  // Calls body(item, thread) for item in [0, count), thread in [0, nthread), and returns when all are done.
  // Items are taken in order by whichever thread is free. The body must not throw.
  template <typename Body>
  void parallel_for(std::int64_t count, const Body& body) {
    run(
        count,
        [](const void* context, std::int64_t item, int thread) {
          (*static_cast<const Body*>(context))(item, thread);
        },
        &body);
  }

 private:
  using Function = void (*)(const void* context, std::int64_t item, int thread);
  void run(std::int64_t count, Function function, const void* context);
  void work(int thread);
  void take_items(int thread);

  int nthread_;
  Function function_ = nullptr;
  const void* context_ = nullptr;
  std::int64_t count_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<std::uint32_t> running_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

// The number of threads that `nthread` asks for: itself, or for 0 one for every CPU that the process may use.
int resolve_nthread(int nthread);

}  // namespace mbmf

#endif  // MBMF_THREAD_POOL_H_
