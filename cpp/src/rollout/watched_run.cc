#include "rollout/watched_run.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr auto kInterval = std::chrono::milliseconds(100);

}  // namespace

void run_watched(const std::function<void()>& work, const std::function<std::int64_t()>& steps_done,
                 const std::function<void()>& stop, const Progress& progress) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false, stopped = false;
  std::exception_ptr thrown;
  std::thread runner([&] {
    work();
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
    changed.notify_one();
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    while (!changed.wait_for(lock, kInterval, [&] { return done; })) {
      if (!progress || stopped) continue;
      lock.unlock();
      try {
        stopped = !progress(steps_done());
      } catch (...) {
        thrown = std::current_exception();
        stopped = true;
      }
      if (stopped) stop();
      lock.lock();
    }
  }
  runner.join();
  if (thrown) std::rethrow_exception(thrown);
  if (stopped || (progress && !progress(steps_done()))) throw Error("the collection was stopped");
}

}  // namespace mbmf
