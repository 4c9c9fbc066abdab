// A pool of threads that run one parallel loop, or one job, at a time.
//
// The caller's thread takes part, so a pool of n threads keeps n - 1 workers. Starting a loop takes no lock
// and allocates nothing: workers wait on an atomic. One loop runs at a time; calls from several threads are
// not allowed. After a fork the child can only destroy it; parallel_for then throws mbmf::Error.

#ifndef MBMF_BASE_THREAD_POOL_H_
#define MBMF_BASE_THREAD_POOL_H_

#include <sys/types.h>

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

  // A job is what workers do while the caller does something else, without waiting for one that sleeps or
  // was taken off its CPU. It lives in a slot: reserve() finds one that no worker is in (there are enough
  // of them: a worker is in at most one), open() lets workers call function(context, thread) in it, thread in
  // [1, nthread), once each, and close() lets no more of them in. Those that are inside go on, perhaps for
  // long; what the context points to must not change before reserve() gives out the slot again.
  using Job = void (*)(const void* context, int thread);
  int nslot() const { return static_cast<int>(slots_.size()); }
  int reserve() const;
  void open(int slot, Job function, const void* context);
  void close();
  void wait(int slot) const;  // until no worker is in it

  // The workers' threads, to set priorities and CPUs.
  std::vector<std::thread::native_handle_type> handles();

 private:
  using Function = void (*)(const void* context, std::int64_t item, int thread);
  void run(std::int64_t count, Function function, const void* context);
  void work(int thread);
  void end();

  struct alignas(64) Slot {
    Job function = nullptr;
    const void* context = nullptr;
    mutable std::atomic<std::uint32_t> users{0};  // workers inside, or about to find that it is closed
  };

  int nthread_;
  std::vector<Slot> slots_;
  // how often a slot was opened or closed, times 2^kSlotBits, plus the open slot + 1, or 0 if none is open
  std::atomic<std::uint32_t> state_{0};
  std::atomic<bool> stop_{false};
  pid_t process_;  // that the workers are in
  std::vector<std::thread> workers_;
};

// The number of threads that `nthread` asks for: itself, or for 0 one for every CPU that the process may use.
int resolve_nthread(int nthread);

}  // namespace mbmf

#endif  // MBMF_BASE_THREAD_POOL_H_
