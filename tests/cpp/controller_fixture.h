// What tests of the control loop do with a small robot.

#ifndef MBMF_TESTS_CONTROLLER_FIXTURE_H_
#define MBMF_TESTS_CONTROLLER_FIXTURE_H_

#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mbmf/control/controller.h"
#include "planner_fixture.h"

namespace mbmf::fixture {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr double kPeriod = 0.02;  // everything takes longer
#else
inline constexpr double kPeriod = 0.005;
#endif

inline PlannerOptions planner_options(int nthread = 1) { return {8, 200, 3, nthread}; }

inline ControllerOptions loop_options() {
  ControllerOptions options;
  options.period = kPeriod;
  return options;
}

// waits until something holds; a minute at most, for a machine that does much else
template <typename Condition>
bool eventually(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// A controller; again where this machine was too busy just now for the period (it measures what a plan
// takes).
inline std::unique_ptr<Controller> make_controller(const std::shared_ptr<const Task>& task,
                                                   const std::shared_ptr<const Dynamics>& dynamics,
                                                   const PlannerOptions& planner,
                                                   const ControllerOptions& options) {
  std::unique_ptr<Controller> made;
  const bool in_time = eventually([&] {
    try {
      made = std::make_unique<Controller>(task, dynamics, planner, options);
      return true;
    } catch (const std::invalid_argument& error) {
      if (std::string(error.what()).find("on this machine") == std::string::npos) throw;
      return false;
    }
  });
  if (!in_time) throw std::runtime_error("this machine is too busy for a period");
  return made;
}

// feeds a controller with states from a thread of its own
class Feeder {
 public:
  Feeder(Controller* controller, std::vector<double> state) : state_(std::move(state)) {
    thread_ = std::thread([this, controller] {
      while (!stop) {
        if (!stall) {
          std::vector<double> state = state_;
          if (broken) state[1] = std::nan("");
          // as of a clock of 1970, where the controller's begins with the machine
          const auto ahead = std::chrono::hours(wall_clock ? 480'000 : 0);
          controller->put_state(state.data(), std::chrono::steady_clock::now() + ahead);
        }
        std::this_thread::sleep_for(std::chrono::microseconds(500));
      }
    });
  }
  ~Feeder() {
    stop = true;
    thread_.join();
  }
  std::atomic<bool> stop{false}, stall{false}, broken{false}, wall_clock{false};

 private:
  std::vector<double> state_;
  std::thread thread_;
};

}  // namespace mbmf::fixture

#endif  // MBMF_TESTS_CONTROLLER_FIXTURE_H_
