// Drives a robot with an exported folder, in real time: cpp_controller <folder> [seconds]
// The robot here is MuJoCo, in a thread of its own; yours takes the place of the function `robot`.

#include <mbmf/control/controller.h>
#include <mbmf/export/bundle.h>
#include <mbmf/physics/simulator.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>

using Clock = std::chrono::steady_clock;

// State in, action out, every control step; returns the rewards' sum.
double robot(const std::shared_ptr<const mbmf::Task>& task, mbmf::Controller& controller,
             Clock::time_point tick, int steps) {
  mbmf::Simulator simulator(task, 1, 1, 0);
  simulator.reset(nullptr, 0, mbmf::ResetKind::kControl);
  mbmf::ActionMessage command;
  double reward = 0;
  for (int k = 0; k < steps; ++k) {
    std::this_thread::sleep_until(tick);
    controller.put_state(simulator.states(), tick);
    controller.get_action(&command);
    // in [-1, 1]: Task::to_control has the actuators' units, which your robot takes
    simulator.step(nullptr, 0, command.action.data());
    reward += simulator.rewards()[0];
    tick += std::chrono::nanoseconds(std::llround(1e9 * task->dt()));
  }
  return reward;
}

void print(const char* name, const mbmf::Quantiles& q) {
  std::printf("%-8s %10.3f %10.3f %10.3f %10.3f\n", name, 1e3 * q.p50, 1e3 * q.p99, 1e3 * q.p999,
              1e3 * q.max);
}

int main(int argc, char** argv) try {
  if (argc < 2) return std::fprintf(stderr, "usage: cpp_controller <folder> [seconds]\n"), 2;
  const mbmf::Bundle bundle = mbmf::Bundle::load(argv[1]);
  const double seconds = argc > 2 ? std::atof(argv[2]) : 10;
  mbmf::ControllerOptions options;
  options.phase = 0.05 * bundle.period;  // the state is there a little after the tick
  options.compensate = true;
  mbmf::PlannerOptions planner = bundle.planner;
  if (planner.search == "random_shooting") planner.settings["warm_start"] = 1;
  mbmf::Controller controller(bundle.task, bundle.dynamics, planner, options);

  const Clock::time_point first = Clock::now() + std::chrono::milliseconds(50);
  controller.start(first);
  const int steps = static_cast<int>(seconds / bundle.period);
  double reward = 0;
  std::thread simulation([&] { reward = robot(bundle.task, controller, first, steps); });
  simulation.join();
  controller.stop();

  const mbmf::ControllerStatistics s = controller.statistics();
  std::printf("ms           median        99%%      99.9%%        max\n");
  print("period", s.period), print("compute", s.compute), print("jitter", s.jitter);
  std::printf("steps %ld, planned %ld, held %ld, safe %ld, deadline misses %ld\n", s.steps, s.planned, s.held,
              s.safe, s.misses());
  std::printf("candidates per plan %.0f, reward %.2f in %d steps\n",
              static_cast<double>(s.candidates) / static_cast<double>(s.planned > 0 ? s.planned : 1), reward,
              steps);
} catch (const std::exception& error) {
  return std::fprintf(stderr, "cpp_controller: %s\n", error.what()), 1;
}
